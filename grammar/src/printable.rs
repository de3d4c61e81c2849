//! Text of other people (rule files, captures, file names), made safe to print. The invariant: the
//! result controls no terminal and changes no text direction. (Rejected: a replacement at each
//! place that prints; one place would be forgotten.)

/// `text` without characters that control a terminal or change the text direction: rule files,
/// captures and file names come from other people. A replacement has the same length in bytes, so
/// offsets stay valid.
pub fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    let harmless = |c: char| matches!(c, '\n' | '\t') || replacement(c).is_none();
    if text.chars().all(harmless) {
        return text.into();
    }
    let mut chars = text.chars().peekable();
    let mut clean = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        match replacement(c) {
            Some(_) if matches!(c, '\n' | '\t') || (c == '\r' && chars.peek() == Some(&'\n')) => {
                clean.push(c)
            }
            Some(r) => clean.push(r),
            None => clean.push(c),
        }
    }
    clean.into()
}

fn replacement(c: char) -> Option<char> {
    match c {
        '\0'..='\x1f' | '\x7f' => Some('?'),
        '\u{80}'..='\u{9f}' | '\u{61c}' => Some('·'),
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            Some('\u{fffd}')
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_and_direction_marks_are_shown_not_obeyed() {
        let text = "a\x1b[31mb\u{202e}c\u{9b}d\te\r\nf\rg";
        let clean = printable(text);
        assert_eq!(clean, "a?[31mb\u{fffd}c·d\te\r\nf?g");
        assert_eq!(clean.len(), text.len());
        assert!(matches!(printable("plain é 漢\r\n"), std::borrow::Cow::Owned(_)));
        assert!(matches!(printable("plain é 漢\n"), std::borrow::Cow::Borrowed(_)));
    }
}
