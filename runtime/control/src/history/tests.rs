//! The history in memory and on the disk: what is found, what is forgotten, what happens when the
//! disk does not do its part.
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

use super::*;
use serde_json::json;
use std::time::{Duration, Instant};

fn keep(history: &History, kind: Kind, number: i64) {
    keep_for(history, kind, number, None);
}

fn keep_for(history: &History, kind: Kind, number: i64, client: Option<&str>) {
    let members = json!({ "n": number }).as_object().unwrap().clone();
    keep_record(history, &Record { kind, time: number, client: client.map(Arc::from), members });
}

fn keep_record(history: &History, record: &Record) {
    let line = record.text().into();
    history.keep(record, &PublishedEvent { id: None, kind: record.kind, policy: None, line }, &mut drop);
}

fn times(found: &Found) -> Vec<i64> {
    found.events.iter().map(|entry| entry.time).collect()
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn pages_come_in_order_and_without_gaps() {
    let place = tempfile::tempdir().unwrap();
    for directory in [None, Some(place.path())] {
        let history = History::new(directory);
        for number in 1..=500 {
            keep(&history, if number % 3 == 0 { Kind::Change } else { Kind::Raised }, number);
        }
        let last = history.find(&Query { limit: 3, ..Query::default() });
        assert_eq!((times(&last), last.next), (vec![498, 499, 500], None));
        for (kinds, expected) in [
            (vec![], (100..=500).collect::<Vec<i64>>()),
            (vec![Kind::Change], (100..=500).filter(|n| n % 3 == 0).collect()),
            (vec![Kind::Note], vec![]),
        ] {
            let mut query = Query { since: Some(100), limit: 7, kinds, ..Query::default() };
            let mut seen = Vec::new();
            loop {
                let page = history.find(&query);
                assert!(page.events.len() <= 7);
                seen.extend(times(&page));
                let Some(next) = page.next else { break };
                query.after = Some(next);
            }
            assert_eq!(seen, expected);
        }
        let all = history.find(&Query { limit: usize::MAX, after: Some(0), ..Query::default() });
        assert_eq!(all.events.len(), 500);
        history.finish();
    }
}

#[test]
fn memory_is_bounded_and_a_storm_does_not_push_out_changes() {
    let history = History::default();
    keep(&history, Kind::Change, 1);
    for number in 2..=(KEPT as i64 + 100) {
        keep(&history, Kind::Raised, number);
    }
    let all = Query { after: Some(0), limit: 1, kinds: vec![Kind::Change], ..Query::default() };
    assert_eq!(times(&history.find(&all)), [1]);
    let raised =
        history.find(&Query { after: Some(0), limit: 1, kinds: vec![Kind::Raised], ..Query::default() });
    assert_eq!(times(&raised), [101], "the oldest {KEPT} that packets caused are there");
    let long = Record::note(&"x".repeat(1800));
    for _ in 0..5000 {
        keep_record(&history, &long);
    }
    let memory = history.0.memory.lock().unwrap();
    assert!(memory.others.bytes <= KEPT_BYTES && memory.others.entries > 2000);
}

#[test]
fn one_client_does_not_push_out_another() {
    let place = tempfile::tempdir().unwrap();
    for directory in [None, Some(place.path())] {
        let history = History::new(directory);
        keep(&history, Kind::Loaded, 1);
        for number in 2..=50 {
            keep_for(&history, Kind::Change, number, Some("owner"));
        }
        for number in 51..=30_000 {
            // Also what the requests of a client have triggers do.
            let kind = if number % 2 == 0 { Kind::Change } else { Kind::Raised };
            keep_for(&history, kind, number, Some("otto"));
            keep(&history, Kind::Unauthenticated, number);
        }
        history.finish();
        let query = |limit, kind| Query { after: Some(0), limit, kinds: vec![kind], ..Query::default() };
        let first = times(&history.find(&query(100, Kind::Change)));
        assert_eq!(first[..49], (2..=50).collect::<Vec<i64>>(), "all of the owner's are there");
        assert_eq!(times(&history.find(&query(1, Kind::Loaded))), [1]);
        let memory = history.0.memory.lock().unwrap();
        assert_eq!(memory.others.entries, KEPT);
        assert_eq!(memory.unauthenticated.entries.len(), KEPT_UNAUTHENTICATED);
    }
}

#[test]
fn numbers_of_a_run_without_a_disk_are_new() {
    let first = History::default().newest();
    let run = History::new(None);
    assert!(run.newest() > 1_600_000_000_000 && run.newest() > first);
}

#[test]
fn the_disk_remembers_and_numbers_go_on() {
    let place = tempfile::tempdir().unwrap();
    let history = History::new(Some(place.path()));
    keep(&history, Kind::Loaded, 1);
    keep(&history, Kind::Raised, 2);
    until("written", || history.counts().written == 2);
    // As after a kill: nobody said goodbye.
    assert!(History::new(Some(place.path())).counts().trouble.unwrap().contains("locked"));
    history.finish();
    drop(history);
    let history = History::new(Some(place.path()));
    keep(&history, Kind::Change, 3);
    let all = history.find(&Query { after: Some(0), limit: 10, ..Query::default() });
    assert_eq!(all.events.iter().map(|e| (e.id, e.time)).collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(all.events[1].kind, Kind::Raised);
}

#[test]
fn the_disk_forgets_the_oldest() {
    let place = tempfile::tempdir().unwrap();
    let history = History::new(Some(place.path()));
    keep(&history, Kind::Change, 0);
    let more = KEPT_ON_DISK as i64 + 20_000;
    for number in 1..=more {
        keep(&history, Kind::Raised, number);
        if number % 4000 == 0 {
            until("written", || {
                let counts = history.counts();
                counts.written + counts.unwritten == number as u64 + 1
            });
        }
    }
    let counts = history.counts();
    assert_eq!((counts.unwritten, counts.trouble), (0, None));
    let oldest =
        |kind| history.find(&Query { after: Some(0), limit: 1, kinds: vec![kind], ..Query::default() });
    assert_eq!(times(&oldest(Kind::Change)), [0], "it is of another kind");
    let oldest = times(&oldest(Kind::Raised))[0];
    let kept = more - oldest + 1;
    assert!((KEPT_ON_DISK as i64..=KEPT_ON_DISK as i64 * 21 / 20 + 2048).contains(&kept), "{kept} are there");
}

#[test]
fn a_disk_that_fails_disturbs_nothing() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("history.sqlite"), "nonsense ".repeat(1000)).unwrap();
    let history = History::new(Some(place.path()));
    assert!(history.counts().trouble.unwrap().contains("cannot be used"));
    keep(&history, Kind::Change, 1);
    assert_eq!(times(&history.find(&Query { limit: 9, ..Query::default() })), [1]);
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(History::new(Some(&file)).counts().trouble.is_some());

    // One that is damaged while it is at work: what is asked for is found in memory, all is
    // counted.
    let place = tempfile::tempdir().unwrap();
    let history = History::new(Some(place.path()));
    let disk = history.0.disk.as_ref().unwrap();
    disk.break_it();
    for number in 1..=10 {
        keep(&history, Kind::Change, number);
    }
    until("it is told", || history.counts().trouble.is_some_and(|why| why.contains("cannot be written")));
    for number in 11..=20 {
        keep(&history, Kind::Change, number);
    }
    until("all are counted", || history.counts().unwritten == 20);
    assert_eq!(history.find(&Query { after: Some(0), limit: 100, ..Query::default() }).events.len(), 20);
    history.finish();
}

/// A database as a mirrorc of version 1 or 2 wrote it.
fn written_by(version: i64, extra: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let made = rusqlite::Connection::open(place.path().join("history.sqlite")).unwrap();
    made.execute_batch(match version {
        1 => include_str!("tests/version_1.sql"),
        _ => include_str!("tests/version_2.sql"),
    })
    .unwrap();
    made.execute_batch(extra).unwrap();
    place
}

fn all(history: &History) -> Vec<Entry> {
    history.find(&Query { after: Some(0), limit: 100, ..Query::default() }).events
}

#[test]
fn databases_of_earlier_versions_are_migrated() {
    for version in [1, 2] {
        let place = written_by(version, "");
        let history = History::new(Some(place.path()));
        assert_eq!(history.counts().trouble, None, "version {version}");
        let found = all(&history);
        let found: Vec<_> = found.iter().map(|event| (event.id, event.kind, &*event.line)).collect();
        let cleared = r#"{"time":"1970-01-01T00:00:00.000000003Z","event":"drops_cleared"}"#;
        assert_eq!(found[1..], [(2, Kind::Drops, found[1].2), (3, Kind::DropsCleared, cleared)]);
        assert_eq!(found[0].1, Kind::Raised);
        let query = Query { kinds: vec![Kind::DropsCleared], limit: 9, ..Query::default() };
        assert_eq!(times(&history.find(&query)), [3]);
        keep(&history, Kind::Change, 4);
        history.finish();
        drop(history);
        // The second start has nothing to migrate.
        let history = History::new(Some(place.path()));
        assert_eq!((all(&history).len(), history.counts().trouble), (4, None));
    }
}

#[test]
fn rows_with_exchanged_columns_are_repaired() {
    // A mirrorc of version 2 migrated a database of version 1, and wrote by position.
    let extra = r#"ALTER TABLE events RENAME COLUMN of_packets TO class;
        ALTER TABLE events ADD COLUMN client TEXT;
        ALTER TABLE events ADD COLUMN policy TEXT;
        INSERT INTO events VALUES (4, 4, 'change', 0, 'eve', 'main', '{"event":"change"}');
        INSERT INTO events VALUES (5, 5, 'loaded', 0, NULL, NULL, '{"event":"loaded"}');
        UPDATE events SET kind = replace(kind, ' ', '_');
        PRAGMA user_version = 2;"#;
    let place = written_by(1, extra);
    let history = History::new(Some(place.path()));
    let found = all(&history);
    let found: Vec<_> =
        found[3..].iter().map(|e| (e.client.as_deref(), e.policy.as_deref(), &*e.line)).collect();
    let changed = (Some("eve"), Some("main"), r#"{"event":"change"}"#);
    assert_eq!(found, [changed, (None, None, r#"{"event":"loaded"}"#)]);
    assert_eq!(history.counts().trouble, None);
    history.finish();
}

#[test]
fn a_migration_is_made_as_a_whole_or_not_at_all() {
    // The second step of the migration fails: the column exists.
    let place = written_by(1, "ALTER TABLE events ADD COLUMN client TEXT;");
    let why = History::new(Some(place.path())).counts().trouble.unwrap();
    assert!(why.contains("duplicate column name: client"), "{why}");
    let there = rusqlite::Connection::open(place.path().join("history.sqlite")).unwrap();
    let count = |query: &str| there.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(of_packets) FROM events WHERE kind = 'drops over'"), 1);
    assert_eq!(count("PRAGMA user_version"), 1);
}

#[test]
fn databases_of_other_versions_are_refused_and_not_touched() {
    for (version, says) in [(4, "a newer mirrorc's"), (-7, "which no mirrorc writes")] {
        let place = written_by(2, &format!("PRAGMA user_version = {version}"));
        let before = std::fs::read(place.path().join("history.sqlite")).unwrap();
        let why = History::new(Some(place.path())).counts().trouble.unwrap();
        assert!(why.contains(says), "{why}");
        assert_eq!(std::fs::read(place.path().join("history.sqlite")).unwrap(), before);
    }
}

#[test]
fn events_of_unknown_kinds_are_reported_and_not_answered() {
    let extra = "UPDATE events SET kind = 'dance' WHERE id = 1; UPDATE events SET kind = NULL WHERE id = 2";
    let place = written_by(2, extra);
    for _ in 0..2 {
        let history = History::new(Some(place.path()));
        let why = history.counts().trouble.unwrap();
        assert!(why.contains("does not know: `NULL` (1 events), `dance` (1 events); answers"), "{why}");
        assert_eq!(all(&history).iter().map(|event| event.id).collect::<Vec<_>>(), [3]);
        // Pages are full: the events that are left out do not count.
        let first = history.find(&Query { after: Some(0), limit: 1, ..Query::default() });
        assert_eq!(times(&first), [3]);
        history.finish();
    }
}

#[test]
fn a_database_that_cannot_be_read_is_reported() {
    let place = tempfile::tempdir().unwrap();
    let history = History::new(Some(place.path()));
    keep(&history, Kind::Change, 1);
    until("written", || history.counts().written == 1);
    assert_eq!((all(&history).len(), history.counts().trouble), (1, None));
    history.0.disk.as_ref().unwrap().break_it();
    assert_eq!(all(&history).len(), 1, "the event in memory");
    let why = history.counts().trouble.unwrap();
    assert!(why.contains("cannot be read: no such table: events") && why.contains("move the file"), "{why}");
}
