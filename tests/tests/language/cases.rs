//! Every case of the corpus, on every engine. The invariant: a file that cannot be read fails, so
//! that no case is skipped. (Rejected: one test function for each case; all that is wrong is told
//! at once.)

use std::path::Path;

#[test]
fn every_case_on_every_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let files = std::fs::read_dir(folder).expect("the cases").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    let (mut wrong, mut cases) = (String::new(), 0);
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a file of cases");
        cases += mrule_tests::case::count(&text);
        for line in mrule_tests::case::run_text(&text) {
            wrong += &format!("{}: {line}\n", file.file_name().unwrap_or_default().display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases > 300, "only {cases} cases were found");
}
