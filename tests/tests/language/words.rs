//! Private words do not come back. A name is the field's standard term; a table has each word that
//! was replaced, what stands in its place, and where the old word has another meaning. The
//! invariant: identifiers and file names in the sources, and what users and programs see (members
//! of JSON, options, parameters of the API, code in pages) have none of the old words. (Rejected: a
//! search in prose, where `told` and `most` are English words.)

use crate::tidy::texts;
use std::path::Path;

/// A word, what stands in its place, and the files in which it means something else.
type Word = (&'static str, &'static str, &'static [&'static str]);

/// Identifiers: types, functions, variables, fields.
const IDENTIFIERS: &[Word] = &[
    ("Sight", "BatchContext", &[]),
    ("sight", "context", &[]),
    ("run_sighted", "run_with_context", &[]),
    ("World", "Environment", &[]),
    ("change_world", "change_environment", &[]),
    ("Built", "AutomatonCache", &[]),
    ("Way", "KeyGroup, PacketKey or Endpoint", &[]),
    ("Spot", "KeyHash", &[]),
    ("Raiser", "TriggerEvaluator", &[]),
    ("Probed", "ProbeBatch", &[]),
    ("Quiet", "Suppressions", &["cli/src/lib.rs", "cli/src/screen.rs"]),
    ("Hush", "Suppression", &[]),
    ("Door", "Listener", &[]),
    ("Papers", "TlsFiles", &[]),
    ("Renewal", "TlsReload", &[]),
    ("Seat", "PolicySlot", &[]),
    ("Seating", "SlotUpdate", &[]),
    ("Hand", "WorkerHandle", &[]),
    ("bell", "wakeup", &[]),
    ("Outlet", "StationProducer", &[]),
    ("Lane", "QueueState", &[]),
    ("Heritage", "Migration", &[]),
    ("Gone", "RetiredTotals", &[]),
    ("Begun", "Privileged", &[]),
    ("Telling", "Notifier", &[]),
    ("Faces", "Renderers", &[]),
    ("Losses", "LossMonitor", &[]),
    ("STORM", "EVENT_RATE_LIMIT", &[]),
    ("CALM", "QUIET_PERIOD", &[]),
    ("Told", "what is told: RuleExplanation, PublishedEvent", &[]),
    ("Teller", "Explainer", &[]),
    ("Tally", "what is counted: FindingCounts, SinkStatus", &[]),
    ("tally", "counts, status", &[]),
    ("Place", "what it is a place of: FileLocation, Haystack", &[]),
    ("moved_times", "clamped_timestamps", &[]),
    ("Asker", "Principal", &[]),
    ("asker", "principal", &[]),
    ("Asked", "LoadRequest or QueryQueue", &[]),
    ("Keeper", "StoreThread", &[]),
    ("Keeping", "Persistence", &[]),
    ("keeping", "persistence", &[]),
    ("Held", "what is held: PolicyEntry, ReorderBuffer, CopyMeta", &[]),
    ("Intent", "BindingIntent", &[]),
    ("Remade", "Reapplied", &[]),
];

/// Files and modules.
const FILES: &[Word] = &[
    ("wire", "dissect", &["tests/src/wire.rs"]),
    ("room", "admit", &[]),
    ("door", "auth", &[]),
    ("keep", "persistence", &[]),
    ("asker", "principal", &[]),
    ("keeper", "store_thread", &[]),
    ("remake", "reapply", &[]),
    ("intent", "binding_intent", &[]),
    ("full", "full_triggers", &["tests/tests/robustness/confinement/full.rs"]),
    ("afar", "remote", &[]),
    ("wheel", "idle_buckets", &[]),
    ("asked", "flow_query", &[]),
    ("heir", "migration", &[]),
    ("outside", "flow_control", &[]),
    ("stripes", "lock_shards", &[]),
    ("ledger", "shard_index", &[]),
    ("way", "endpoint", &[]),
    ("place", "location", &[]),
];

/// Members of JSON, parameters of the API, labels of metrics, options, kinds of events.
const PUBLIC: &[Word] = &[
    ("most", "limit, max", &[]),
    ("least", "min", &[]),
    (
        "foreign",
        "non_ip",
        &["runtime/dataplane/src/confine/location.rs", "runtime/dataplane/src/privilege/private.rs"],
    ),
    ("unread", "malformed", &[]),
    ("finished", "checksums_completed", &[]),
    ("uncut", "unsegmented", &[]),
    ("moved_times", "clamped_timestamps", &[]),
    ("asked", "requested, request", &[]),
    ("copies_asked", "copies_requested", &[]),
    ("told", "notified", &[]),
    ("drops_over", "drops_cleared", &["runtime/control/src/history/disk/schema.rs"]),
];

/// A line without its comment and without what stands between quotes, and the texts between them.
fn code_and_strings(line: &str) -> (String, Vec<String>) {
    let (mut code, mut strings, mut text) = (String::new(), Vec::new(), None::<String>);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match (&mut text, c) {
            (None, '/') if characters.peek() == Some(&'/') => break,
            (None, '"') => text = Some(String::new()),
            (None, _) => code.push(c),
            (Some(_), '"') => strings.extend(text.take()),
            (Some(text), '\\') => text.extend(characters.next()),
            (Some(text), _) => text.push(c),
        }
    }
    (code, strings)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Whether a text shows a word as an option, a parameter of a request, or by itself.
fn shows(text: &str, word: &str) -> bool {
    let parameter = |start: char| {
        let begins = text.match_indices(&format!("{start}{word}=")).next();
        begins.is_some()
    };
    let option =
        text.split(|c: char| c.is_whitespace() || c == '=').any(|w| w.strip_prefix("--") == Some(word));
    text == word || option || parameter('?') || parameter('&')
}

/// What a page shows as code.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn find(table: &[Word], path: &Path, is_there: impl Fn(&str) -> bool, wrong: &mut Vec<String>, at: usize) {
    for (old, new, elsewhere) in table {
        if !elsewhere.iter().any(|other| path == Path::new(other)) && is_there(old) {
            wrong.push(format!("{}:{at}: `{old}` is a replaced word; write instead: {new}", path.display()));
        }
    }
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// This file names all of them.
fn is_this(path: &Path) -> bool {
    path.ends_with("language/words.rs")
}

#[test]
fn no_identifier_is_a_word_that_was_replaced() {
    let mut wrong = Vec::new();
    for (path, text) in texts(&["rs"]).iter().filter(|(path, _)| !is_this(path)) {
        for (at, line) in text.lines().enumerate() {
            let (code, _) = code_and_strings(line);
            find(IDENTIFIERS, path, |old| words(&code).any(|word| word == old), &mut wrong, at + 1);
        }
    }
    none(&wrong);
}

#[test]
fn no_file_is_named_by_a_word_that_was_replaced() {
    let mut wrong = Vec::new();
    for (path, _) in &texts(&["rs"]) {
        let names: Vec<&str> = path.iter().filter_map(|part| part.to_str()?.split('.').next()).collect();
        find(FILES, path, |old| names.contains(&old), &mut wrong, 1);
    }
    none(&wrong);
}

#[test]
fn nothing_public_has_a_word_that_was_replaced() {
    let mut wrong = Vec::new();
    for (path, text) in texts(&["rs", "md"]).iter().filter(|(path, _)| !is_this(path)) {
        let is_page = path.extension().is_some_and(|ending| ending == "md");
        // The change log says what was called how; tests name files and params as they like.
        if path.ends_with("CHANGELOG.md") || path.starts_with("tests") {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            let shown: Vec<String> = match is_page {
                true => spans(line).map(str::to_owned).chain([line.to_owned()]).collect(),
                false => code_and_strings(line).1,
            };
            find(PUBLIC, path, |old| shown.iter().any(|text| shows(text, old)), &mut wrong, at + 1);
        }
    }
    none(&wrong);
}

/// The search itself.
#[test]
fn replaced_words_are_found_where_they_stand() {
    let (code, strings) = code_and_strings(r#"let a = Told { b: "most \" x" }; // Tally"#);
    assert!(words(&code).any(|word| word == "Told") && !code.contains("Tally"), "{code}");
    assert_eq!(strings, ["most \" x"]);
    for text in ["most", "top --most 3", "/v1/flows/top?most=3", "/v1?by=x&most=3"] {
        assert!(shows(text, "most"), "{text}");
    }
    for text in ["at most 3", "--utmost", "most=3"] {
        assert!(!shows(text, "most"), "{text}");
    }
    assert_eq!(spans("a `most` of `--least`").collect::<Vec<_>>(), ["most", "--least"]);
}
