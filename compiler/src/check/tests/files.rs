//! Several files: includes, circles, bounds, and the order of findings.

use super::{STATION, build_with, findings};
use crate::compile::{MAX_FILES, MAX_INCLUDE_DEPTH, MemoryLoader, compile};

#[test]
fn files_share_one_name_space() {
    let built = build_with(
        "include \"lib/ports.mrule\"\nrule r { match tcp.port in web snaplen full to ids }",
        &[
            ("lib/ports.mrule", "include \"../stations.mrule\"\ninclude \"more.mrule\"\nlet web = {80, tls}"),
            ("lib/more.mrule", "include \"../stations.mrule\"\nlet tls_port = 443\nlet tls = tls_port"),
            ("stations.mrule", STATION),
        ],
        &[],
    );
    // Fields have names that begin with `tls`.
    assert_eq!(findings(&built), [("E0105", "tls".to_owned())], "{:#?}", built.diagnostics);
    assert_eq!(built.files.len(), 4, "a file that is included twice counts once");
    let names: Vec<_> = built.sources.iter().map(|(_, s)| s.name.as_str()).collect();
    assert_eq!(names, ["main.mrule", "lib/ports.mrule", "stations.mrule", "lib/more.mrule"]);
}

#[test]
fn several_files_are_one_program() {
    let texts = [
        ("a", "include \"b\"\nrule r { match x snaplen full to ids }"),
        ("b", "let x = tcp"),
        ("c", STATION),
    ];
    let paths: Vec<String> = ["a", "c", "b", "a"].map(str::to_owned).into();
    let built = compile(&paths, &mut MemoryLoader::new(texts), &[]);
    assert!(built.program.is_some(), "{:#?}", built.diagnostics);
    assert_eq!(built.files.len(), 3);
}

#[test]
fn circles_and_depth_show_the_chain() {
    let built = build_with("include \"a\"", &[("a", "include \"b\""), ("b", "include \"main.mrule\"")], &[]);
    assert_eq!(findings(&built), [("E0051", "\"main.mrule\"".to_owned())]);
    let message = &built.diagnostics[0].message;
    assert_eq!(message, "`main.mrule` includes itself: main.mrule -> a -> b -> main.mrule");
    let texts: Vec<_> = (0..40).map(|i| (format!("f{i}"), format!("include \"f{}\"", i + 1))).collect();
    let built = compile(&["f0".to_owned()], &mut MemoryLoader::new(texts), &[]);
    assert_eq!(findings(&built), [("E0052", format!("\"f{MAX_INCLUDE_DEPTH}\""))]);
    assert!(built.diagnostics[0].message.contains("f0 -> f1 -> f2"));
}

#[test]
fn the_number_of_files_is_bounded() {
    let includes: String = (0..MAX_FILES + 10).map(|i| format!("include \"f{i}\"\n")).collect();
    let texts = (0..MAX_FILES + 10).map(|i| (format!("f{i}"), String::new()));
    let texts = texts.chain([("main".to_owned(), includes)]);
    let built = compile(&["main".to_owned()], &mut MemoryLoader::new(texts), &[]);
    let codes: Vec<_> = findings(&built).into_iter().map(|f| f.0).collect();
    assert!(codes.iter().all(|c| *c == "E0053") && codes.len() <= 2, "{codes:?}");
}

#[test]
fn files_that_are_not_there() {
    let built = build_with("include \"none\"\ninclude \"none\"", &[], &[]);
    assert_eq!(findings(&built).len(), 2);
    let built = compile(&["none".to_owned()], &mut MemoryLoader::default(), &[]);
    assert_eq!(findings(&built), [("E0050", String::new())]);
    assert!(built.program.is_none());
}

#[test]
fn findings_are_sorted_by_file_and_place() {
    let built = build_with(
        "include \"a\"\nlet z = tcp.prot\nlet y = tcp.prott\nlet x = {90..80}",
        &[("a", "let b = ip.srcc\nlet a = ip.dstt")],
        &[("nothing", "1")],
    );
    let codes: Vec<_> = findings(&built).iter().map(|(_, t)| t.clone()).collect();
    assert_eq!(codes, ["", "tcp.prot", "tcp.prott", "90..80", "ip.srcc", "ip.dstt"]);
}
