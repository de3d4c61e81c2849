//! Programs as text, and the checker's results: the typed program in its printed form, mistakes by
//! their codes and the text under their carets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

use crate::compile::{Compiled, MemoryLoader, compile};
use crate::hir::{Pred, Program};
use mrule_grammar::diagnostic::Diagnostic;

mod bounds;
mod clauses;
mod explained;
mod expressions;
mod files;
mod flows;
mod mistakes;
mod tables;
mod wireshark;

/// Compiles one file.
fn build(text: &str) -> Compiled {
    build_with(text, &[], &[])
}

fn build_with(text: &str, others: &[(&str, &str)], sets: &[(&str, &str)]) -> Compiled {
    let texts = std::iter::once(("main.mrule", text)).chain(others.iter().copied());
    let sets: Vec<_> = sets.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    compile(&["main.mrule".to_owned()], &mut MemoryLoader::new(texts), &sets)
}

/// The program of a text without mistakes.
fn program(text: &str) -> Program {
    let built = build(text);
    assert!(built.program.is_some(), "{text}\n{:#?}", built.diagnostics);
    built.program.unwrap()
}

const STATION: &str = "station ids { interface eth1 }\n";

/// The condition of an expression.
fn pred(expr: &str) -> Pred {
    pred_with("", expr)
}

/// The condition of an expression, with other items.
fn pred_with(items: &str, expr: &str) -> Pred {
    let text = format!("{STATION}{items}\nrule r {{ match {expr}\n snaplen full to ids }}");
    program(&text).rules.remove(0).matches
}

/// The codes of a text's findings, each with the text under its caret, in order.
fn findings(built: &Compiled) -> Vec<(&'static str, String)> {
    let caret = |d: &Diagnostic| d.labels.first().map_or("", |l| built.sources.text(l.span)).to_owned();
    built.diagnostics.iter().map(|d| (d.code.id(), caret(d))).collect()
}

/// Asserts the findings of a text: codes and the texts under their carets.
#[track_caller]
fn wrong(text: &str, expected: &[(&str, &str)]) -> Compiled {
    let built = build(text);
    let found = findings(&built);
    let found: Vec<(&str, &str)> = found.iter().map(|(c, t)| (*c, t.as_str())).collect();
    assert_eq!(found, expected, "{text}\n{:#?}", built.diagnostics);
    built
}

/// The only finding about an expression, and the text under its caret.
#[track_caller]
fn about(expr: &str) -> (Diagnostic, String) {
    about_with("", expr)
}

#[track_caller]
fn about_with(items: &str, expr: &str) -> (Diagnostic, String) {
    let text = format!("{STATION}{items}\nrule r {{ match {expr}\n snaplen full to ids }}");
    let built = build(&text);
    assert_eq!(built.diagnostics.len(), 1, "{expr}: {:#?}", built.diagnostics);
    let finding = built.diagnostics[0].clone();
    let caret = finding.labels.first().map_or("", |l| built.sources.text(l.span)).to_owned();
    if let Some(fix) = &finding.fix {
        // If there is a fix, the fixed text compiles.
        let mut mended = text.clone();
        mended.replace_range(fix.span.range(), &fix.replacement);
        let again = build(&mended);
        assert!(
            again.diagnostics.iter().all(|d| d.code != finding.code),
            "{expr} with {fix:?}: {:#?}",
            again.diagnostics
        );
    }
    (finding, caret)
}

/// Asserts the code and caret of the only finding about an expression, and returns its help.
#[track_caller]
fn refused(expr: &str, code: &str, caret: &str) -> String {
    let (finding, found) = about(expr);
    assert_eq!((finding.code.id(), found.as_str()), (code, caret), "{expr}: {finding:#?}");
    finding.help.unwrap_or_default()
}
