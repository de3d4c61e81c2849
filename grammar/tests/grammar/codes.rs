//! Every code of files and syntax has an explanation, and its examples are correct: those marked
//! `mrule` give no diagnostic, those marked `text` give the code.

use crate::common::{good, read};
use mrule_grammar::codes::{CODES, Code, syntax};

/// The snippets of an explanation that have this mark.
fn snippets(explain: &str, mark: &str) -> Vec<String> {
    let fence = format!("```{mark}\n");
    explain.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_string()).collect()
}

/// Without the lines that point at the line above them.
fn without_carets(text: &str) -> String {
    text.lines().filter(|l| !l.trim_start().starts_with('^')).map(|l| format!("{l}\n")).collect()
}

fn syntax_codes() -> impl Iterator<Item = Code> {
    CODES.iter().copied().filter(|c| c.id() < "E0050")
}

#[test]
fn ids_are_unique_and_in_order() {
    let ids: Vec<&str> = CODES.iter().map(|c| c.id()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(ids, sorted);
    assert_eq!(Code::find("e0001"), Some(syntax::SYNTAX));
    assert_eq!(Code::find("E9999"), None);
}

#[test]
fn right_examples_are_right() {
    for code in syntax_codes() {
        assert!(code.0.explain.len() > 80, "{code} does not explain itself");
        for snippet in snippets(code.0.explain, "mrule") {
            good(&snippet);
        }
    }
}

#[test]
fn wrong_examples_are_wrong() {
    // Texts that are too long for a page are tested elsewhere.
    let long = ["E0002", "E0003", "E0031"];
    for code in syntax_codes().filter(|c| !long.contains(&c.id())) {
        let wrong = snippets(code.0.explain, "text");
        assert!(!wrong.is_empty(), "{code} has no example of the mistake");
        for snippet in wrong {
            let found: Vec<Code> =
                read(&without_carets(&snippet)).diagnostics.iter().map(|d| d.code).collect();
            assert!(found.contains(&code), "{code}: {snippet} gave {found:?}");
            let lines =
                snippet.lines().filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('^')).count();
            assert!(found.len() >= lines, "{code}: a line of {snippet} is read without a mistake: {found:?}");
        }
    }
}
