//! `mirrorc check --format json` and `sarif`: one program with several findings, as recorded, and
//! the promises of the shapes that scripts rely on. The SARIF of the recording was validated
//! against the OASIS schema by hand. (Rejected: the schema as a test; it would need a validator and
//! a copy of the schema for a dozen members.)

use mirrorc::Exit;
use mrule_grammar::codes::Code;
use mrule_tests::cli::{assert_recorded, mirrorc};
use serde_json::Value;

const PROGRAM: &str = "cli/findings.mrule";

fn checked(format: &str) -> (String, Value) {
    let run = mirrorc(&["check", PROGRAM, "--format", format]);
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Problems, ""));
    let json = serde_json::from_str(&run.stdout).unwrap();
    (run.stdout, json)
}

#[test]
fn the_formats_are_as_recorded() {
    for format in ["json", "sarif"] {
        assert_recorded(format!("cli/findings.{format}"), &checked(format).0);
    }
}

#[test]
fn json_places_cut_the_text_where_they_say() {
    let (_, json) = checked("json");
    let found = json["diagnostics"].as_array().unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["errors"].as_u64().unwrap() + json["warnings"].as_u64().unwrap(), found.len() as u64);
    for finding in found {
        let code = Code::find(finding["code"].as_str().unwrap()).unwrap();
        assert_eq!(finding["severity"] == "warning", code.id().starts_with('W'));
        for place in std::iter::once(finding).chain(finding["labels"].as_array().unwrap()) {
            let text = std::fs::read_to_string(place["file"].as_str().unwrap()).unwrap();
            let number = |name: &str| usize::try_from(place[name].as_u64().unwrap()).unwrap();
            let cut = &text[number("start")..number("end")];
            let line = text.lines().nth(number("line") - 1).unwrap();
            let from_columns: String =
                line.chars().skip(number("column") - 1).take(cut.chars().count()).collect();
            assert_eq!(from_columns, cut.lines().next().unwrap_or(""));
        }
    }
}

#[test]
fn sarif_results_name_their_rules_and_places() {
    let (_, log) = checked("sarif");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(
        (log["version"].as_str(), run["columnKind"].as_str()),
        (Some("2.1.0"), Some("unicodeCodePoints"))
    );
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), checked("json").1["diagnostics"].as_array().unwrap().len());
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(!rule["help"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], PROGRAM);
        let region = |name: &str| place["region"][name].as_u64().unwrap();
        assert!(region("startLine") >= 1 && region("startColumn") >= 1);
        assert!((region("startLine"), region("startColumn")) <= (region("endLine"), region("endColumn")));
    }
    assert!(results.iter().any(|r| r["fixes"].is_array()), "a mechanical mend is a fix");
    assert!(results.iter().any(|r| r["relatedLocations"].is_array()), "a second label is a related location");
}

#[test]
fn warnings_count_when_they_are_denied() {
    let warned = "ui/w0950_backwards.mrule";
    for (args, exit, ok) in [(vec![], Exit::Clean, true), (vec!["--deny", "warnings"], Exit::Problems, false)]
    {
        let mut all = vec!["check", warned, "--format", "json"];
        all.extend(args);
        let run = mirrorc(&all);
        let json: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((run.exit, json["ok"].as_bool(), json["errors"].as_u64()), (exit, Some(ok), Some(0)));
    }
    let run = mirrorc(&["check", warned, "--deny", "warnings"]);
    assert!(run.stderr.contains("1 warning, denied by `--deny warnings`"), "{}", run.stderr);
    let run = mirrorc(&["check", warned]);
    assert_eq!(run.stdout, "ok: 1 rule, 0 limits, 1 station, 1 warning\n");
}
