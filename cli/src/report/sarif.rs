//! Diagnostics as SARIF 2.1.0 (OASIS), for code scanning uploads. The tool's rules are the codes
//! that occur, each with its help page; columns count characters, as the log says (`columnKind`).
//! The invariant: every result names a rule by index and id, and a relative path stays a relative
//! URI, so that uploads match the checkout. (Rejected: a SARIF crate; this part is a dozen
//! objects.)

use super::location::{Location, Texts};
use super::{Report, severity};
use mrule_grammar::codes::Code;
use mrule_grammar::diagnostic::Diagnostic;
use serde_json::{Value, json};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The report as a SARIF log with one run.
pub fn render(report: &Report<'_>) -> serde_json::Result<String> {
    let texts = Texts::new(report.diagnostics.iter().copied(), report.sources);
    let mut codes: Vec<Code> = report.diagnostics.iter().map(|d| d.code).collect();
    codes.sort_by_key(|c| c.id());
    codes.dedup();
    let results: Vec<Value> = report.diagnostics.iter().map(|d| result(d, &codes, &texts)).collect();
    serde_json::to_string_pretty(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "mirrorc",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|c| rule(*c)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.id(),
        "name": pascal(code.0.title),
        "shortDescription": { "text": code.0.title },
        "help": { "text": code.0.explain, "markdown": code.0.explain },
        "defaultConfiguration": { "level": severity(code.severity()) },
    })
}

/// `bracket never closed` as `BracketNeverClosed`, the form that SARIF requires for a rule's name.
fn pascal(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.map(|w| w[..1].to_ascii_uppercase() + &w[1..]).collect()
}

fn result(d: &Diagnostic, codes: &[Code], texts: &Texts<'_>) -> Value {
    let text = match &d.help {
        Some(help) => format!("{}\n{help}", d.message),
        None => d.message.clone(),
    };
    let mut result = json!({
        "ruleId": d.code.id(),
        "ruleIndex": codes.iter().position(|c| *c == d.code),
        "level": severity(d.severity()),
        "message": { "text": text },
    });
    let mut places = d.labels.iter().filter_map(|l| Some((texts.place(l.span)?, l.text.as_str())));
    // The message has the text of the main label; only the other locations have their own message.
    if let Some((main, words)) = places.next() {
        result["locations"] = json!([location(&main, words, None)]);
    }
    let related: Vec<Value> =
        places.enumerate().map(|(i, (p, words))| location(&p, words, Some(i + 1))).collect();
    if !related.is_empty() {
        result["relatedLocations"] = Value::Array(related);
    }
    if let Some(fix) = &d.fix
        && let Some(place) = texts.place(fix.span)
    {
        result["fixes"] = json!([{
            "description": { "text": d.help.as_deref().unwrap_or("replace it") },
            "artifactChanges": [{
                "artifactLocation": { "uri": uri(place.file) },
                "replacements": [{
                    "deletedRegion": region(&place),
                    "insertedContent": { "text": fix.replacement },
                }],
            }],
        }]);
    }
    result
}

fn location(place: &Location<'_>, words: &str, id: Option<usize>) -> Value {
    let mut location = json!({
        "physicalLocation": { "artifactLocation": { "uri": uri(place.file) }, "region": region(place) },
    });
    if let Some(id) = id {
        location["id"] = json!(id);
    }
    if !words.is_empty() {
        location["message"] = json!({ "text": words });
    }
    location
}

fn region(place: &Location<'_>) -> Value {
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    })
}

/// A path as a URI reference (RFC 3986): relative stays relative, absolute becomes `file:`.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+@!$&'()*,=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uri_references() {
        assert_eq!(uri("rules/web.mrule"), "rules/web.mrule");
        assert_eq!(uri("./a b/é:1.mrule"), "a%20b/%C3%A9%3A1.mrule");
        assert_eq!(uri("/etc/x#y.mrule"), "file:///etc/x%23y.mrule");
    }

    #[test]
    fn titles_become_names() {
        assert_eq!(pascal("bracket never closed"), "BracketNeverClosed");
        assert_eq!(pascal("`=` used as a comparison"), "UsedAsAComparison");
    }
}
