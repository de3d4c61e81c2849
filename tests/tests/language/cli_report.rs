//! Findings drawn at any place of any text: nothing panics, and every label is drawn. Texts have
//! what real files have and tests forget: tabs, wide characters, CRLF, empty lines, no line end,
//! lines of thousands of characters. (Rejected: trusting the drawing library; it indexes by what it
//! is given.)

use mirrorc::Look;
use mirrorc::report::{Report, json, sarif, text};
use mrule_grammar::codes::CODES;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{FileId, SourceMap, Span};
use proptest::prelude::*;

fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z .=(){}]{0,20}",
        2 => Just("\n".to_owned()),
        1 => Just("\r\n".to_owned()),
        1 => Just("\t".to_owned()),
        1 => Just("漢字é\u{202e}\u{9b}\x1b[31m".to_owned()),
        1 => Just("x".repeat(400)),
        1 => Just("é ".repeat(300)),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A span on character boundaries, as the parser and the checker make them.
fn span(text: &str, file: FileId, a: usize, b: usize) -> Span {
    let at = |share: usize| text.floor_char_boundary(text.len() * share / 100);
    Span::new(file, at(a.min(b)), at(a.max(b)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_finding_can_be_shown(
        one in texts(),
        two in texts(),
        places in proptest::collection::vec((any::<bool>(), 0..=100usize, 0..=100usize), 0..5),
        colour in any::<bool>(),
        unicode in any::<bool>(),
        width in 40..120usize,
    ) {
        let mut sources = SourceMap::default();
        let files = [sources.add("one.mrule", &one).unwrap(), sources.add("two.mrule", &two).unwrap()];
        let mut finding = Diagnostic::new(CODES[0], "a thing is `wrong`").help("do something\nelse");
        for (i, (second, a, b)) in places.iter().enumerate() {
            let (file, text) = if *second { (files[1], &two) } else { (files[0], &one) };
            finding = finding.at(span(text, file, *a, *b), format!("label {i}"));
            if i == 1 {
                finding = finding.fix(span(text, file, *a, *b), "mended");
            }
        }
        let all = [finding];
        let report = Report::new(&all, &sources);
        let shown = text::render(&report, Look { width, colour, unicode, live: false });
        prop_assert!(shown.contains("a thing is `wrong`"), "{shown}");
        prop_assert!(!shown.contains('\u{202e}') && !shown.contains("Failed to read"), "{shown}");
        for i in 0..places.len() {
            prop_assert!(shown.contains(&format!("label {i}")), "label {i} of {places:?} is missing:\n{shown}");
        }
        prop_assert!(unicode || !shown.contains(['╭', '╰', '─', '│']), "{shown}");
        prop_assert!(json::render(&report, false).unwrap().contains("a thing"));
        prop_assert!(sarif::render(&report).unwrap().contains("a thing"));
    }
}
