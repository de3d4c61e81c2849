//! Every code of the checker has an explanation, and its examples are correct: those marked `mrule`
//! compile, those marked `text` give the code.

use super::build;
use mrule_grammar::codes::{CODES, Code};

fn snippets(explain: &str, mark: &str) -> Vec<String> {
    let fence = format!("```{mark}\n");
    explain.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn checker_codes() -> impl Iterator<Item = Code> {
    let ours =
        |id: &str| ("E0100".."E0999").contains(&id) || ("W0950".."W0999").contains(&id) || id == "E0050";
    CODES.iter().copied().filter(move |c| ours(c.id()))
}

#[test]
fn right_examples_are_clean() {
    for code in checker_codes() {
        assert!(code.0.explain.len() > 80, "{code} does not explain itself");
        for snippet in snippets(code.0.explain, "mrule") {
            let built = build(&snippet);
            let own: Vec<_> =
                built.diagnostics.iter().filter(|d| d.code.id() < "W0900" || d.code == code).collect();
            assert!(own.is_empty(), "{code}: {snippet}\n{own:#?}");
        }
    }
}

#[test]
fn wrong_examples_give_their_code() {
    // Codes that need very long texts, or the command line, are tested elsewhere.
    let elsewhere =
        ["E0123", "E0124", "E0205", "E0206", "E0212", "E0213", "E0223", "E0401", "E0402", "E0403", "W0961"];
    for code in checker_codes().filter(|c| !elsewhere.contains(&c.id())) {
        let wrong = snippets(code.0.explain, "text");
        assert!(!wrong.is_empty(), "{code} has no example of the mistake");
        for snippet in wrong {
            let built = build(&snippet);
            assert!(!built.diagnostics.is_empty(), "{code}: {snippet}");
            for finding in &built.diagnostics {
                assert_eq!(finding.code, code, "{snippet}\n{finding:#?}");
                assert!(finding.help.is_some(), "{finding:#?}");
            }
        }
    }
}
