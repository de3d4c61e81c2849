//! The source text of conditions and windows, for the reasons of events. The invariant: texts are
//! for people; two programs that differ only in their texts are equal. (Rejected: the source
//! itself; each running program would have to keep it.)

use std::sync::Arc;

/// The greatest length of a text, in characters.
const LONGEST: usize = 240;

/// Texts of a program, by the numbers of triggers and windows. Empty for a program that was not
/// made from text.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// The text after `when` of each trigger, if there is one.
    pub when: Vec<Option<Arc<str>>>,
    /// The text after `unless` of each trigger, if there is one.
    pub unless: Vec<Option<Arc<str>>>,
    /// The whole text of each window: `count(tcp) per 1m`.
    pub windows: Vec<Arc<str>>,
}

impl PartialEq for Texts {
    fn eq(&self, _: &Texts) -> bool {
        true
    }
}

/// A part of the source on one line, without comments. A long text is cut.
pub fn on_one_line(source: &str) -> Arc<str> {
    let mut line = String::new();
    let (mut quoted, mut escaped, mut remark) = (false, false, false);
    for c in source.chars() {
        if remark {
            remark = c != '\n';
            continue;
        }
        match c {
            '"' if !escaped => quoted = !quoted,
            '#' if !quoted => {
                remark = true;
                continue;
            }
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        if quoted || !c.is_whitespace() {
            line.push(c);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
    let line = line.trim_end();
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or(line)).into(),
        None => line.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_one_line() {
        let source = "count(tcp)   # all of them\n   per 1m\n > 5 and http.host == \"a  # b\\\" #\"";
        assert_eq!(&*on_one_line(source), "count(tcp) per 1m > 5 and http.host == \"a  # b\\\" #\"");
        assert_eq!(on_one_line(&"é".repeat(500)).chars().count(), LONGEST + 1);
    }
}
