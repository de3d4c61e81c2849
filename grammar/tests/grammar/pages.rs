//! The shipped texts are formatted: the rule files, and every `mrule` block of the pages that gives
//! no diagnostic. The invariant: a block that is not formatted is listed here with the reason.
//! (Rejected: this check where the blocks are compiled; there it needs a build of the compiler.)

use crate::common::read;
use mrule_grammar::format;
use std::fs;
use std::path::{Path, PathBuf};

/// Blocks that show text that `fmt` changes: a line of the block, and the reason.
const OTHERWISE: &[(&str, &str)] =
    &[("rule web { match tcp.port eq 80 and tcp  snaplen full  to ids }", "shows a second spelling of `==`")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files of a folder with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// The blocks of a page that hold rules: the line of the fence, and the text.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, bool)> = None;
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(mark), None) => open = Some((number + 1, String::new(), mark.starts_with("mrule"))),
            (Some(_), Some((at, text, true))) => blocks.push((at, text)),
            (None, Some((at, text, is_rules))) => open = Some((at, text + line + "\n", is_rules)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    blocks
}

#[test]
fn shipped_rules_are_formatted() {
    let files = files("rules", "mrule");
    assert!(files.len() >= 15, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format(&text).unwrap(), "`mirrorc fmt {}`", path.display());
    }
}

#[test]
fn blocks_of_pages_are_formatted() {
    let mut count = 0;
    let mut pages = files("docs", "md");
    pages.push(root().join("README.md"));
    let mut otherwise = Vec::new();
    let mut ugly = String::new();
    for path in pages {
        for (line, text) in blocks(&fs::read_to_string(&path).unwrap()) {
            if !read(&text).diagnostics.is_empty() {
                continue;
            }
            count += 1;
            let canonical = format(&text).unwrap();
            let listed = OTHERWISE.iter().find(|(part, _)| text.lines().any(|line| line == *part));
            if let Some((part, _)) = listed {
                otherwise.push(*part);
                assert_ne!(text, canonical, "{}:{line}: listed without need", path.display());
            } else if text != canonical {
                ugly += &std::format!("{}:{line}: write\n{canonical}\n", path.display());
            }
        }
    }
    assert!(ugly.is_empty(), "{ugly}");
    assert!(count > 100, "{count} blocks were found");
    otherwise.dedup();
    assert_eq!(otherwise.len(), OTHERWISE.len(), "a listed block is gone");
}
