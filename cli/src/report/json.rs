//! Diagnostics as one JSON object, for scripts. Its structure is documented in
//! `docs/diagnostics.md` and versioned: names are added, never renamed. The invariant: a position
//! is complete or `null`, and texts are as the user wrote them, with control characters (JSON
//! escapes them). (Rejected: one object on each line; a truncated report would look complete.)

use super::location::{Location, Texts};
use super::{Report, severity};
use mrule_compiler::compile::Compiled;
use serde::Serialize;

/// The version of the structure.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Whole<'a> {
    version: u32,
    ok: bool,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'a str,
    severity: &'static str,
    message: &'a str,
    #[serde(flatten)]
    place: Option<Location<'a>>,
    labels: Vec<Label<'a>>,
    help: Option<&'a str>,
    fix: Option<Fix<'a>>,
}

#[derive(Serialize)]
struct Label<'a> {
    #[serde(flatten)]
    place: Location<'a>,
    text: &'a str,
}

#[derive(Serialize)]
struct Fix<'a> {
    #[serde(flatten)]
    place: Location<'a>,
    replacement: &'a str,
}

/// What the compiler found, as the same JSON.
pub fn value(compiled: &Compiled) -> serde_json::Value {
    let report = Report::new(&compiled.diagnostics, &compiled.sources);
    let ok = report.counts().errors == 0;
    let text = render(&report, ok).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The report as JSON; `ok` is the exit code's answer, so it knows of `--deny warnings`.
pub fn render(report: &Report<'_>, ok: bool) -> serde_json::Result<String> {
    let texts = Texts::new(report.diagnostics.iter().copied(), report.sources);
    let counts = report.counts();
    let diagnostics = report.diagnostics.iter().map(|d| Finding {
        code: d.code.id(),
        severity: severity(d.severity()),
        message: &d.message,
        place: d.labels.first().and_then(|l| texts.place(l.span)),
        labels: d
            .labels
            .iter()
            .filter_map(|l| Some(Label { place: texts.place(l.span)?, text: &l.text }))
            .collect(),
        help: d.help.as_deref(),
        fix: d
            .fix
            .as_ref()
            .and_then(|f| Some(Fix { place: texts.place(f.span)?, replacement: &f.replacement })),
    });
    let whole = Whole {
        version: VERSION,
        ok,
        errors: counts.errors,
        warnings: counts.warnings,
        diagnostics: diagnostics.collect(),
    };
    serde_json::to_string_pretty(&whole)
}
