//! What the source says of conditions whose values are told later, in reasons of events. The
//! invariant: texts are for people; two programs that differ only in them are equal. (Rejected: the
//! source itself; it would have to be kept with each program at work.)

use std::sync::Arc;

/// The longest text that is kept, in characters.
const LONGEST: usize = 240;

/// Texts of a program, by the places of triggers and windows; empty for a program that was not made
/// of text.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Of each trigger what stands behind `when`, if it has that.
    pub when: Vec<Option<Arc<str>>>,
    /// Of each trigger what stands behind `unless`, if it has that.
    pub unless: Vec<Option<Arc<str>>>,
    /// Of each window the whole of it: `count(tcp) per 1m`.
    pub windows: Vec<Arc<str>>,
}

impl PartialEq for Texts {
    fn eq(&self, _: &Texts) -> bool {
        true
    }
}

/// A piece of the source on one line, without remarks; a long one is cut.
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
