//! Habits that a compiler does not check: files stay short and say what they are for, nothing is
//! left half done, no machine's own paths stand anywhere, and the generated pages in `docs/` are
//! fresh (`UPDATE=1` writes them). (Rejected: a lint tool of its own; these are a few lines and run
//! with the other tests.)

use mrule_compiler::fields::FIELDS;
use mrule_tests::cli::{assert_recorded, mirrorc};
use std::path::{Path, PathBuf};

/// Lines of a Rust file.
const MAX_LINES: usize = 500;
/// Columns of a line of a comment or of a page.
const MAX_COLUMNS: usize = 100;
/// Pages that are made from tables.
const GENERATED: &[&str] = &["docs/fields.md", "docs/diagnostics.md", "docs/api.md", "docs/metrics.md"];
/// Lines of a file's head comment.
const MAX_HEAD: usize = 24;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every text file of the project with one of these endings, and its text.
pub(crate) fn texts(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                // `target` is what cargo makes, `corpus` and `artifacts` what fuzzers make.
                if !name.starts_with('.') && !["target", "corpus", "artifacts"].contains(&name.as_str()) {
                    dirs.push(path);
                }
            } else if path.extension().is_some_and(|e| endings.iter().any(|w| e == *w)) {
                let text = String::from_utf8(std::fs::read(&path).unwrap());
                let shown = path.strip_prefix(root()).unwrap().to_owned();
                found.extend(text.ok().map(|text| (shown, text)));
            }
        }
    }
    found.sort();
    found
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rust_files_are_short() {
    let long = |(path, text): &(PathBuf, String)| {
        let lines = text.lines().count();
        (lines >= MAX_LINES).then(|| {
            format!("{} has {lines} lines, at least {MAX_LINES}: move a part into a module", path.display())
        })
    };
    none(&texts(&["rs"]).iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn rust_files_say_what_they_are_for() {
    let headless = |(path, text): &(PathBuf, String)| {
        // An example in it is code, and as long as it needs to be.
        let mut in_example = false;
        let prose = text.lines().take_while(|l| l.starts_with("//!")).filter(|line| {
            let fence = line.contains("```");
            in_example ^= fence;
            !in_example && !fence
        });
        let lines = prose.count();
        // A module of tests is known by the module it tests.
        let is_tests = path.file_name().is_some_and(|name| name == "tests.rs");
        let head = text.lines().take_while(|l| l.starts_with("//!")).collect::<Vec<_>>().join(" ");
        let empty = lines == 0 || (!is_tests && head.split_whitespace().count() < 8);
        // An example that runs is no prose.
        let mut in_example = false;
        let prose = text.lines().take(lines).filter(|line| {
            let fence = line.starts_with("//! ```");
            in_example ^= fence;
            !fence && !in_example
        });
        let lines = prose.count();
        match (empty, lines > MAX_HEAD) {
            (true, _) => Some(format!(
                "{} has no head comment: begin it with `//!` lines: its job, its invariant, `(Rejected: ...)`",
                path.display()
            )),
            (_, true) => Some(format!(
                "{} has a head comment of {lines} lines, more than {MAX_HEAD}: shorten it",
                path.display()
            )),
            _ => None,
        }
    };
    none(&texts(&["rs"]).iter().filter_map(headless).collect::<Vec<_>>());
}

/// Tables of pages, code in them, and pages that are generated may have longer lines.
#[test]
fn prose_ends_at_100_columns() {
    let long = |line: &str| line.chars().count() > MAX_COLUMNS;
    let mut wrong = Vec::new();
    for (path, text) in texts(&["rs", "pest", "md"]) {
        let is_page = path.extension().is_some_and(|ending| ending == "md");
        let generated = GENERATED.iter().any(|page| path.ends_with(page));
        let mut code = false;
        for (at, line) in text.lines().enumerate().filter(|_| !generated) {
            let start = line.trim_start();
            code ^= is_page && start.starts_with("```");
            let prose = if is_page { !code && !start.starts_with('|') } else { start.starts_with("//") };
            if prose && long(line) {
                wrong.push(format!(
                    "{}:{}: {} columns, more than {MAX_COLUMNS}",
                    path.display(),
                    at + 1,
                    line.chars().count()
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn nothing_is_left_half_done() {
    // Written in two parts, so that this file does not find itself.
    let words = [["to", "do!("], ["unimple", "mented!("], ["db", "g!("], ["FIX", "ME"], ["XX", "X:"]]
        .map(|w| w.concat());
    let mut wrong = Vec::new();
    for (path, text) in texts(&["rs", "pest", "md", "toml", "mrule"]) {
        for (i, line) in text.lines().enumerate() {
            wrong.extend(
                words
                    .iter()
                    .filter(|w| line.contains(*w))
                    .map(|w| format!("{}:{}: {w}", path.display(), i + 1)),
            );
        }
    }
    none(&wrong);
}

#[test]
fn no_path_of_one_machine_stands_anywhere() {
    let paths = [["/wo", "rk/"], ["/tm", "p/"], ["/ho", "me/"], ["/ro", "ot/"]].map(|p| p.concat());
    let mut wrong = Vec::new();
    for (path, text) in
        texts(&["rs", "pest", "md", "toml", "mrule", "stderr", "snap", "json", "sarif", "yml", "sh"])
    {
        for (i, line) in text.lines().enumerate() {
            wrong.extend(
                paths
                    .iter()
                    .filter(|p| line.contains(*p))
                    .map(|p| format!("{}:{}: {p}", path.display(), i + 1)),
            );
        }
    }
    none(&wrong);
}

#[test]
fn generated_pages_are_fresh() {
    let rows: Vec<_> = FIELDS.iter().collect();
    assert_recorded(root().join("docs/fields.md"), &mirrorc::pages::fields(&rows));
    assert_recorded(root().join("docs/diagnostics.md"), &mirrorc::pages::diagnostics());
    assert_recorded(root().join("docs/api.md"), &mirrorc::pages::api());
    assert_recorded(root().join("docs/metrics.md"), &mirrorc::pages::metrics());
    assert_eq!(mirrorc(&["fields", "--format", "markdown"]).stdout, mirrorc::pages::fields(&rows));
}
