//! What `mirrorc check` prints, byte for byte: each `ui/<code>_<what>.mrule` has a `.stderr` beside
//! it with the exact output, without colours, 100 columns wide.
//! `UPDATE=1 cargo test --workspace --test language ui` writes them anew; read the difference.
//! Every code of the table has a case. The first line of a case may be `# args: ...` with more
//! arguments. (Rejected: asserting on parts of the output; what is not compared changes unseen.)

use crate::tidy::texts;
use mirrorc::report::{Report, text};
use mirrorc::{Exit, Look};
use mrule_grammar::codes::{CODES, Code};
use mrule_grammar::span::SourceMap;
use mrule_tests::cli::{Run, assert_recorded, compare, mirrorc};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn files(extension: &str) -> BTreeSet<PathBuf> {
    let all = std::fs::read_dir("ui").unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.extension().is_some_and(|e| e == extension)).collect()
}

/// The code that a case is for: `ui/e0101_unknown_field.mrule` is for `E0101`.
fn code(case: &Path) -> String {
    let stem = case.file_stem().unwrap().to_str().unwrap();
    stem.split('_').next().unwrap().to_uppercase()
}

fn run(case: &Path) -> Run {
    let text = std::fs::read(case).unwrap();
    let first = String::from_utf8_lossy(&text).lines().next().unwrap_or("").to_owned();
    let more = first.strip_prefix("# args:").unwrap_or("").to_owned();
    let mut args = vec!["check", case.to_str().unwrap()];
    args.extend(more.split_whitespace());
    mirrorc(&args)
}

#[test]
fn every_case_prints_exactly_what_is_recorded() {
    let mut wrong = Vec::new();
    for case in files("mrule") {
        let run = run(&case);
        let code = code(&case);
        if !run.stderr.contains(&format!("[{code}]")) {
            wrong.push(format!("{} does not show {code}:\n{}", case.display(), run.stderr));
        }
        let expected = if code.starts_with('E') { Exit::Problems } else { Exit::Clean };
        if run.exit != expected {
            wrong.push(format!("{} ends with {:?}, not {expected:?}", case.display(), run.exit));
        }
        wrong.extend(compare(&case.with_extension("stderr"), &run.stderr).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_recording_is_without_its_case() {
    for recording in files("stderr") {
        assert!(
            recording.with_extension("mrule").exists(),
            "{} has no .mrule file beside it: write or rename that file, or delete this one",
            recording.display()
        );
    }
}

#[test]
fn every_code_is_in_the_list() {
    let mut wrong = Vec::new();
    for (path, text) in texts(&["rs"]).iter().filter(|(path, _)| path.starts_with("grammar/src/codes")) {
        let ids = text.lines().filter_map(|line| line.trim().strip_prefix("id: \"")?.strip_suffix("\","));
        for id in ids.filter(|id| Code::find(id).is_none()) {
            wrong.push(format!(
                "{}: {id} is not in the list `CODES` of grammar/src/codes.rs, so `check --explain {id}` does not \
                 know it: add its constant there",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_case_and_a_page() {
    let cases: BTreeSet<String> = files("mrule").iter().map(|p| code(p)).collect();
    let mut generated = GENERATED.map(|g| g.code).to_vec();
    // What these show depends on the size of a text and on the machine.
    generated.extend(["E0002", "E0403"]);
    let lacking: Vec<&str> =
        CODES.iter().map(|c| c.id()).filter(|c| !cases.contains(*c) && !generated.contains(c)).collect();
    assert!(
        lacking.is_empty(),
        "no case in tests/ui for {lacking:?}: write rules that give the code into tests/ui/CODE_WHAT.mrule \
         (`w0901_let.mrule`), and record the output with UPDATE=1"
    );
    let without: Vec<&str> = CODES.iter().filter(|c| c.0.explain.trim().is_empty()).map(|c| c.id()).collect();
    assert!(without.is_empty(), "nothing for `mirrorc check --explain` to say of {without:?}");
}

/// Cases too large to be kept as files; what is recorded is the end of the output.
struct Generated {
    code: &'static str,
    /// Writes the files into a directory; the rule file is `large.mrule`.
    write: fn(&Path),
    last_lines: usize,
}

const LAKE: &str = "station lake { pcapng \"lake.pcapng\" }\nrule all { match any  snaplen full  to lake }\n";

const GENERATED: [Generated; 4] = [
    Generated {
        code: "E0031",
        write: |dir| {
            let rule = |i| format!("rule x{i} {{ match tcp.port = 1  snaplen full  to lake }}\n");
            write(dir, "large.mrule", &(LAKE.to_owned() + &(0..1100).map(rule).collect::<String>()));
        },
        last_lines: 9,
    },
    Generated {
        code: "E0053",
        write: |dir| {
            write(dir, "part.mrule", "let unused = tcp\n");
            write(dir, "large.mrule", &"include \"part.mrule\"\n".repeat(4097));
        },
        last_lines: 9,
    },
    Generated {
        code: "E0124",
        write: |dir| {
            let needles: Vec<String> =
                (0..=65_536).map(|i| format!("tcp.payload contains \"n{i}\"")).collect();
            let text =
                format!("{LAKE}rule many {{ match {}  snaplen full  to lake }}\n", needles.join(" or "));
            write(dir, "large.mrule", &text);
        },
        last_lines: 9,
    },
    Generated {
        code: "E0205",
        write: |dir| {
            write(dir, "rows.csv", &(0..=4 << 20).map(|i| format!("{i}\n")).collect::<String>());
            write(dir, "large.mrule", &format!("table large : set<uint> from \"rows.csv\"\n{LAKE}"));
        },
        last_lines: 9,
    },
];

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

#[test]
fn large_inputs_are_told_about_too() {
    for case in GENERATED {
        let dir = tempfile::tempdir().unwrap();
        (case.write)(dir.path());
        // The time budget is for users: a slow machine must not change what is found.
        let path = dir.path().join("large.mrule");
        let run = mirrorc(&["check", path.to_str().unwrap(), "--compile-time", "10m"]);
        assert!(run.stderr.contains(&format!("[{}]", case.code)), "{}", run.stderr);
        let shown = run.stderr.replace(&format!("{}/", dir.path().to_str().unwrap()), "");
        let lines: Vec<&str> = shown.lines().collect();
        let end = lines[lines.len().saturating_sub(case.last_lines)..].join("\n") + "\n";
        assert_recorded(format!("ui/{}_large.end", case.code.to_lowercase()), &end);
    }
}

/// The command line refuses such a file before it is a text; a program that gets its texts
/// elsewhere is told this.
#[test]
fn a_text_that_is_too_large_is_told_about() {
    let text = format!("# {}\n", "x".repeat(16 << 20));
    let mut sources = SourceMap::default();
    let file = sources.add("large.mrule", text.as_str()).unwrap();
    let parsed = mrule_grammar::parse(file, &text);
    let report = Report::new(&parsed.diagnostics, &sources);
    assert_recorded("ui/e0002_large.end", &text::render(&report, Look::PLAIN));
}
