//! The pages do not lie: every `mrule` block compiles, every `mrule-error` block is refused with
//! the code that it names, the links lead somewhere, and the test command of the README is the one
//! that CI runs.

use super::cli_manual::{commands, help};
use mirrorc::Exit;
use mrule_compiler::compile::{Compiled, MemoryLoader, compile};
use mrule_dataplane::station::geneve;
use mrule_grammar::diagnostic::Severity;
use mrule_tests::cli::mirrorc;
use mrule_tests::pages::unexplained;
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

/// The pages, by their path from the root.
fn pages() -> Vec<String> {
    let folder = std::fs::read_dir(root().join("docs")).unwrap();
    let names = folder.map(|page| page.unwrap().file_name().into_string().unwrap());
    let docs = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let mut pages: Vec<String> = docs.collect();
    pages.sort();
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned));
    pages
}

/// The anchors that GitHub gives the headings of a page.
fn anchors(page: &str) -> Vec<String> {
    let mut code = false;
    let headings = page.lines().filter(|line| {
        code ^= line.starts_with("```");
        !code && line.starts_with('#')
    });
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let slug = |line: &str| line.trim_start_matches('#').trim().chars().filter(kept).collect::<String>();
    headings.map(|line| slug(line).to_lowercase().replace(' ', "-")).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut links = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page);
        let folder = root().join(&page).parent().unwrap().to_owned();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { root().join(&page) } else { folder.join(path) };
            let found = file.exists()
                && (anchor.is_empty()
                    || anchors(&std::fs::read_to_string(&file).unwrap()).iter().any(|a| a == anchor));
            if !found {
                wrong.push(format!("{page}: {target}"));
            }
            links += 1;
        }
    }
    assert!(wrong.is_empty(), "these links lead nowhere: {wrong:#?}");
    assert!(links >= 60, "{links}");
}

#[test]
fn readme_leads_to_every_page() {
    let readme = read("README.md");
    let missing: Vec<String> = pages()
        .into_iter()
        .filter(|page| page.starts_with("docs/") && !readme.contains(&format!("({page})")))
        .collect();
    assert!(missing.is_empty(), "README.md has no link to {missing:?}");
}

#[test]
fn exit_codes_are_those_of_the_page() {
    let page = read("docs/stability.md");
    let table = page.split("### Exit codes").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let codes: Vec<u8> =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    let exits = [Exit::Clean, Exit::Problems, Exit::Usage, Exit::Capture, Exit::Died];
    let exits: Vec<u8> = exits.into_iter().map(Exit::code).collect();
    assert_eq!(codes, [&exits[..], &[Exit::Interrupted(0).code()]].concat());
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

#[test]
fn every_command_is_in_the_readme() {
    let readme = read("README.md");
    let table = readme.split("## Commands").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    // The words of the first cell: `mirrorc load RULES --as NAME` · `unload`.
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let spans = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: Vec<&str> = spans
        .filter_map(|span| span.trim_start_matches("mirrorc ").split(' ').find(|word| !word.is_empty()))
        .collect();
    for command in commands().iter().filter(|words| words.len() == 1) {
        assert!(named.contains(&command[0].as_str()), "`{}` is not in the table of README.md", command[0]);
    }
}

#[test]
fn every_option_is_named_on_a_page() {
    let folder = std::fs::read_dir(root().join("docs")).unwrap().map(|page| page.unwrap().path());
    let pages = folder.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let texts = pages.map(|path| std::fs::read_to_string(path).unwrap());
    let text = texts.chain([read("README.md")]).collect::<String>();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let named: std::collections::BTreeSet<&str> =
        text.split(|c| !word(c)).filter(|word| word.starts_with("--")).collect();
    let mut missing = Vec::new();
    for words in commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let options = help(&words).options;
        let of = |option: &String| format!("{} {option}", words.join(" "));
        missing.extend(options.values().flatten().filter(|o| !named.contains(o.as_str())).map(of));
    }
    assert!(missing.is_empty(), "no page names these options: {missing:#?}");
}

#[test]
fn every_counter_of_a_replay_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("a.mrule");
    let text =
        "station s { pcapng \"s.pcapng\" }\ntrigger busy by net.src { when count(tcp) per 1m > 1  hold 1m }
        rule a { match app == http  snaplen headers  snaplen full when busy  to s }
        limit l { match tcp.port == 22  snaplen headers }\n";
    std::fs::write(&rules, text).unwrap();
    let capture = root().join("tests/pcap/demo.pcapng");
    let words =
        ["run", rules.to_str().unwrap(), "--read", capture.to_str().unwrap(), "--stats", "json", "--out"];
    let run = mirrorc(&[&words[..], &[dir.path().join("out").to_str().unwrap()]].concat());
    let counts: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert!(counts["tracked"]["streams"].is_object() && counts["triggers"][0]["keys"].is_object());
    let missing = unexplained(&counts);
    assert!(missing.is_empty(), "docs/counters.md does not explain: {missing:?}");
}

#[test]
fn options_of_geneve_are_those_of_the_page() {
    let page = read("docs/language.md");
    let (_, table) = page.split_once("| type | bytes | value |\n").unwrap();
    let table: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    let row = |row: &geneve::OptionRow| format!("| {} | {} | {} |", row.number, row.bytes, row.value);
    assert_eq!(table, geneve::OPTIONS.iter().map(row).collect::<Vec<_>>());
    assert!(page.contains(&format!("class `{:#06x}`", geneve::OPTION_CLASS)));
    for special in [geneve::LIMIT_NONE, geneve::LIMIT_BINDING] {
        assert!(table[2].contains(&format!("`{special:#x}`")), "{}", table[2]);
    }
}

#[test]
fn triggers_have_the_room_that_the_page_says() {
    let said = mirrorc(&["check", "--cost", root().join("rules/syn_flood.mrule").to_str().unwrap()]).stdout;
    let page = read("docs/language.md");
    assert!(said.contains("74,176") && said.contains("keys 65536"), "{said}");
    assert!(page.contains("for 74,176 with `keys 65536`"));
}
