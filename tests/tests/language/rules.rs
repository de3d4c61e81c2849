//! The example rules: each compiles without a word from the compiler, runs over the capture that
//! ships with both engines alike, and copies exactly as much as written here.

use mrule_compiler::compile::compile;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_dataplane::replay::Summary;
use mrule_dataplane::replay::{Options, replay};
use mrule_dataplane::source::Files;
use mrule_engine::policy::Policy;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn run(rules: &str, kind: EngineKind) -> Summary {
    let path = root().join("rules").join(rules).to_str().unwrap().to_owned();
    let compiled = compile(&[path], &mut Files::default(), &[]);
    let said: Vec<String> =
        compiled.diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    assert!(said.is_empty(), "{rules}: {said:#?}");
    let program = Arc::new(compiled.program.unwrap());
    let environment = Environment::new(&program).unwrap();
    let engine = Engine::new(kind, program, &environment).unwrap();
    let options =
        Options { read: vec![root().join("tests/pcap/demo.pcapng")], out: None, ..Options::default() };
    let mut policy = Policy::repeatable(Arc::new(engine), environment);
    let summary = replay(&options, &mut policy, None, &mut |_| ()).unwrap();
    summary.totals.check().unwrap();
    summary
}

/// Station, copies, bytes.
type Expected = &'static [(&'static str, u64, u64)];

const EXAMPLES: &[(&str, Expected)] = &[
    ("content.mrule", &[("review", 49, 10798)]),
    ("customers.mrule", &[("branch_20", 75, 40785), ("branch_30", 59, 5836), ("operator", 134, 9680)]),
    ("demo.mrule", &[("ids", 626, 44546), ("lake", 626, 41728)]),
    ("forbidden.mrule", &[("evidence", 411, 46321)]),
    ("keep.mrule", &[("ids", 626, 41728)]),
    ("logins.mrule", &[("ids", 626, 41728)]),
    ("marker.mrule", &[("ids", 626, 42281)]),
    ("odd_ports.mrule", &[("analyst", 387, 42240)]),
    ("port_scan.mrule", &[("ids", 559, 38418)]),
    ("privacy.mrule", &[("analysis", 572, 121852)]),
    ("sampling.mrule", &[("sample", 109, 29434)]),
    ("scan.mrule", &[("probes", 200, 13052)]),
    ("starter.mrule", &[("ids", 626, 69347), ("lake", 626, 45867)]),
    ("streams.mrule", &[("lake", 626, 124273)]),
    ("syn_flood.mrule", &[("ids", 626, 41728)]),
];

#[test]
fn each_example_copies_what_it_says() {
    for (rules, expected) in EXAMPLES {
        let jit = run(rules, EngineKind::Jit);
        assert_eq!(jit, run(rules, EngineKind::Interp), "{rules}");
        let got: Vec<(&str, u64, u64)> =
            jit.totals.stations.iter().map(|s| (s.name.as_str(), s.copies, s.bytes)).collect();
        assert_eq!(got, *expected, "{rules}");
    }
}

#[test]
fn no_example_is_left_out() {
    let mut files: Vec<String> = std::fs::read_dir(root().join("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(".mrule"))
        .collect();
    files.sort();
    let listed: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, listed);
}

/// Each example as a recipe: what it is for, the program, what arrives from the capture that ships.
fn cookbook() -> String {
    let mut page = "# Cookbook\n\n\
        Each file of `rules/` as a recipe: the need, the program, and what arrives when it runs on the\n\
        capture that ships: `mirrorc run rules/FILE --read tests/pcap/demo.pcapng`. This page is made\n\
        from the files by a test, which also runs them.\n"
        .to_owned();
    for (name, expected) in EXAMPLES {
        let text = std::fs::read_to_string(root().join("rules").join(name)).unwrap();
        let need: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let program = text.lines().skip(need.len()).collect::<Vec<_>>().join("\n");
        let title = name.trim_end_matches(".mrule").replace('_', " ");
        page += &format!("\n## {title}\n\n");
        for line in &need {
            page += &format!("{}\n", line.trim_start_matches('#').trim());
        }
        page += &format!("\n`rules/{name}`:\n\n```mrule\n{}\n```\n\n", program.trim());
        page += "| station | copies | bytes |\n| --- | ---: | ---: |\n";
        for (station, copies, bytes) in *expected {
            page += &format!("| {station} | {copies} | {bytes} |\n");
        }
    }
    page
}

#[test]
fn the_cookbook_is_fresh() {
    mrule_tests::cli::assert_recorded(root().join("docs/cookbook.md"), &cookbook());
}
