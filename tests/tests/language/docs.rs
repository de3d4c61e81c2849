//! The pages do not lie: every `mrule` block compiles, every `mrule-error` block is refused with the code that it
//! names, the links lead somewhere, and the test command of the README is the one that CI runs.

use mrule_compiler::compile::{Compiled, MemoryLoader, compile};
use mrule_grammar::diagnostic::Severity;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"))
}

/// The fenced blocks of a page: what stands behind the fence, the text, and its line.
fn blocks(page: &str) -> Vec<(String, String, usize)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String, usize)> = None;
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => open = Some((info.trim().to_owned(), String::new(), number + 1)),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some((info, text, at))) => open = Some((info, text + line + "\n", at)),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn compiled(text: &str) -> Compiled {
    compile(&["page.mrule".to_owned()], &mut MemoryLoader::new([("page.mrule", text)]), &[])
}

#[test]
fn every_snippet_does_what_its_page_says() {
    let (mut good, mut bad) = (0, 0);
    for page in ["README.md", "docs/language.md", "docs/operations.md"] {
        for (info, text, line) in blocks(&read(page)) {
            if !info.starts_with("mrule") {
                continue;
            }
            let result = compiled(&text);
            let said: Vec<String> =
                result.diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
            match info.strip_prefix("mrule-error ") {
                None => {
                    assert!(result.program.is_some(), "{page}:{line}: {said:#?}");
                    good += 1;
                }
                Some(code) => {
                    let errors = result.diagnostics.iter().filter(|d| d.severity() == Severity::Error);
                    let codes: Vec<&str> = errors.map(|d| d.code.id()).collect();
                    assert_eq!(codes, [code], "{page}:{line}: {said:#?}");
                    bad += 1;
                }
            }
        }
    }
    assert!(good >= 8 && bad >= 2, "snippets were found: {good} good, {bad} bad");
}

#[test]
fn links_lead_to_files() {
    let mut links = 0;
    for page in ["README.md", "docs/language.md", "docs/architecture.md", "docs/performance.md"] {
        let text = read(page);
        let folder = root().join(page).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            assert!(folder.join(path).exists(), "{page}: {target}");
            links += 1;
        }
    }
    assert!(links >= 4, "{links}");
}

#[test]
fn ci_runs_the_test_command_of_the_readme() {
    let readme = read("README.md");
    let command = blocks(&readme)
        .into_iter()
        .find(|(info, text, _)| info == "sh" && text.contains("cargo test"))
        .map(|(_, text, _)| text.trim().to_owned())
        .unwrap();
    let ci = read(".ci/run");
    assert!(ci.lines().any(|line| line.trim().ends_with(&command)), "`{command}` is not a line of .ci/run");
}
