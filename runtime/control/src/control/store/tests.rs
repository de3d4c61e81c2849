//! Databases of each schema: one that an earlier mirrorc wrote is taken over complete, rows that
//! cannot be read are told and stay, a newer schema is refused. (Rejected: databases that these
//! tests make by today's code; they would change with it.)

#![allow(clippy::unwrap_used, reason = "a failed test stops")]
use super::super::row_key::encode;
use super::super::saved::refused_text;
use super::super::{Origin, SetStation};
use super::*;
use crate::event::verb::Verb;
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::engine::EngineKind;
use mrule_compiler::hir::{TableId, Value};
use mrule_engine::policy::Policy;
use serde_json::json;

/// When the fixture was written.
const THEN: i64 = 1_796_140_600_000_000_000;

/// A database that a mirrorc of schema 1 wrote.
fn schema_1(directory: &Path) {
    let made = Connection::open(directory.join("state.sqlite")).unwrap();
    made.execute_batch(include_str!("schema_1.sql")).unwrap();
    std::fs::write(directory.join("binding"), r#"{"sequence":32,"binding":{"bind":1},"missing":{}}"#)
        .unwrap();
}

fn opened(directory: &Path) -> (Store, Vec<Kept>) {
    let mut store = Store::open(directory, &|| ()).unwrap();
    let (kept, _) = store.read(THEN).unwrap();
    (store, kept)
}

/// Changes a database while no store has it.
fn tamper(directory: &Path, change: &str) {
    Connection::open(directory.join("state.sqlite")).unwrap().execute_batch(change).unwrap();
}

/// The rows of a query as text.
fn rows(directory: &Path, query: &str) -> Vec<String> {
    let there = Connection::open(directory.join("state.sqlite")).unwrap();
    let mut query = there.prepare(query).unwrap();
    let columns = query.column_count();
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
        let shown = |at| match row.get::<_, rusqlite::types::Value>(at).unwrap() {
            rusqlite::types::Value::Null => "-".to_owned(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        Ok((0..columns).map(shown).collect::<Vec<_>>().join(" | "))
    };
    query.query_map([], row).unwrap().map(Result::unwrap).collect()
}

fn policy(kept: &Kept) -> Policy {
    let budget = CompileBudget::default();
    let program = kept.versions.last().unwrap().bundle.compile(&budget).program.unwrap();
    let made = super::super::load::prepare(EngineKind::Interp, program, false, &budget, |_, _| Ok(()));
    let made = made.unwrap();
    Policy::try_new(made.engine, made.environment).unwrap()
}

const KEYS: &str = "SELECT policy, kind, name, key FROM changes ORDER BY policy, kind, name, key";

/// What the fixture has, with the keys of schema 2.
const TAKEN_OVER: [&str; 27] = [
    "main | param | head | ",
    "main | raise | attack | i10.1.0.2,32",
    "main | row | quiet | i10.9.9.7,32",
    "main | row | quiet | i10.9.9.8,32",
    "main | row | quiet | i10.9.9.9,32",
    "main | row | quiet | i192.0.2.2,32",
    "main | suppress | attack | i10.1.0.4,32",
    "site | drain | t | ",
    "site | param | on | ",
    "site | param | rate | ",
    "site | raise | host | t[101,118,105,108,46,101,120,97,109,112,108,101]",
    "site | raise | switch | ",
    "site | raise | talk | i10.0.0.1,32 n443",
    "site | row | apart | i10.0.0.2,32 i10.0.0.22,32",
    "site | row | hosts | t[97,100,115,46,101,120,97,109,112,108,101]",
    "site | row | macs | n163396519731",
    "site | row | names | t[98,98] t[98]",
    "site | row | nets | i10.0.0.0,8",
    "site | row | nets | i2001:db8::,32",
    "site | row | pairs | i10.0.0.1,32 n443",
    "site | row | roles | i10.1.0.0,16",
    "site | row | ttls | n5",
    "site | row | whole | i10.0.0.1,32",
    "site | row | whole | i10.0.0.2,32",
    "site | station | s | ",
    "site | suppress | host | t[111,117,114,115,46,101,120,97,109,112,108,101]",
    "site | suppress | talk | i10.0.0.2,32 n443",
];

#[test]
fn a_database_of_schema_1_is_taken_over_complete() {
    let place = tempfile::tempdir().unwrap();
    schema_1(place.path());
    let but_keys =
        "SELECT policy, kind, name, time, until, object FROM changes ORDER BY policy, time, object";
    let versions = "SELECT policy, version, loaded, at_work, bundle FROM versions ORDER BY policy, version";
    let before = [but_keys, versions].map(|query| rows(place.path(), query));
    for _ in 0..2 {
        let (store, kept) = opened(place.path());
        drop(store);
        let whole = "site | whole | whole | ".to_owned();
        let expected: Vec<String> = TAKEN_OVER.iter().map(|row| (*row).to_owned()).chain([whole]).collect();
        assert_eq!(rows(place.path(), KEYS), expected);
        assert_eq!([but_keys, versions].map(|query| rows(place.path(), query)), before);
        assert_eq!(rows(place.path(), "PRAGMA user_version"), ["2"]);
        assert_eq!(rows(place.path(), "SELECT number FROM sequence"), ["32"]);
        let about: Vec<_> =
            kept.iter().map(|kept| (&*kept.name, kept.versions.len(), &kept.at_work)).collect();
        let (yes, unloaded) = (AtWork::Yes, AtWork::Unloaded);
        assert_eq!(about, [("bind", 1, &yes), ("gone", 1, &unloaded), ("main", 1, &yes), ("site", 2, &yes)]);
        assert!(kept.iter().all(|kept| kept.refused.is_empty() && !kept.is_behind), "{kept:?}");
        assert!(kept[0].versions[0].bundle.is_binding());
        assert_eq!(kept[2].changes.len() + kept[3].changes.len(), 28);
        for kept in &kept {
            let mut policy = policy(kept);
            let reapplied = kept.restore(&mut policy);
            assert!(reapplied.refused.is_empty() && reapplied.weaker.is_none(), "{reapplied:?}");
            if kept.name == "site" {
                let words = "pcapng \"/captures/s2.pcapng\"".to_owned();
                let set = SetStation { words, origin: Origin::Owner };
                assert_eq!(reapplied.changed.stations, [("s".to_owned(), set)].into());
                assert_eq!(reapplied.changed.drained, ["t".to_owned()].into());
                assert_eq!(reapplied.changed.params, ["on", "rate"].map(str::to_owned).into());
                keys_are_those_of_changes(&policy);
            }
        }
    }
}

/// A row has the key under which a change would take it back.
fn keys_are_those_of_changes(policy: &Policy) {
    let mut keys = Vec::new();
    for (at, table) in policy.program().tables.iter().enumerate() {
        let there = policy.environment().table(TableId(at as u32)).unwrap();
        let form = there.form();
        keys.extend(there.rows().map(|(mut key, ..)| {
            // A pair without order is given in either.
            if form.unordered {
                key.reverse();
            }
            format!("site | row | {} | {}", table.name, encode(&key, form.unordered))
        }));
    }
    keys.sort();
    let saved: Vec<&str> = TAKEN_OVER.into_iter().filter(|row| row.starts_with("site | row")).collect();
    assert_eq!(keys, saved);
}

#[test]
fn a_migration_is_done_whole_or_not_at_all() {
    let place = tempfile::tempdir().unwrap();
    schema_1(place.path());
    // A key that is none of schema 1, and the one that another becomes.
    tamper(place.path(), "INSERT INTO changes VALUES ('site', 'row', 'ttls', 'n5', 1, NULL, '{}')");
    let before = rows(place.path(), KEYS);
    let unusable = Store::open(place.path(), &|| ()).unwrap_err();
    assert!(unusable.why.contains("UNIQUE") && !unusable.is_new, "{unusable:?}");
    assert_eq!(
        (rows(place.path(), KEYS), rows(place.path(), "PRAGMA user_version")),
        (before, vec!["1".into()])
    );
    tamper(place.path(), "DELETE FROM changes WHERE key = 'n5'");
    assert_eq!(opened(place.path()).1[3].changes.len(), 21);
}

#[test]
fn a_large_database_says_that_its_migration_goes_on() {
    let place = tempfile::tempdir().unwrap();
    schema_1(place.path());
    tamper(
        place.path(),
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 31000)
         INSERT INTO changes SELECT 'site', 'row', 'ttls', 'Num(' || i || ')', 1, NULL, '{}' FROM n",
    );
    let calls = std::cell::Cell::new(0);
    drop(Store::open(place.path(), &|| calls.set(calls.get() + 1)).unwrap());
    assert_eq!(calls.get(), 3);
}

#[test]
fn a_newer_schema_is_refused_and_not_touched() {
    let place = tempfile::tempdir().unwrap();
    drop(opened(place.path()));
    tamper(place.path(), "PRAGMA user_version = 3");
    let before = std::fs::read(place.path().join("state.sqlite")).unwrap();
    let unusable = Store::open(place.path(), &|| ()).unwrap_err();
    let says = ["has schema 3, a newer mirrorc's", "schema 2 and earlier", "run the newer mirrorc, or move"];
    assert!(says.iter().all(|part| unusable.why.contains(part)) && !unusable.is_new, "{}", unusable.why);
    assert_eq!(std::fs::read(place.path().join("state.sqlite")).unwrap(), before);
    tamper(place.path(), "PRAGMA user_version = -7");
    let unusable = Store::open(place.path(), &|| ()).unwrap_err();
    assert!(unusable.why.contains("schema -7, which no mirrorc writes"), "{}", unusable.why);
}

fn object(json: serde_json::Value) -> Box<Verb> {
    serde_json::from_value(json).unwrap()
}

/// What is saved of each kind of change. It stands in users' databases: another form needs another
/// schema version and a migration.
#[test]
fn saved_changes_are_pinned() {
    let place = tempfile::tempdir().unwrap();
    let (mut store, _) = opened(place.path());
    let set = |origin| SetStation { words: "pcapng \"a\"".to_owned(), origin };
    // Members by name, as maps have them with or without serde_json's `preserve_order`.
    let contents = [
        (Kind::Whole, Content::Whole),
        (Kind::Row, Content::Change(object(json!({"add": "n", "key": ["10.0.0.1"], "value": 7})))),
        (Kind::Param, Content::Change(object(json!({"set": "n", "value": "5"})))),
        (Kind::Raise, Content::Change(object(json!({"for": "10m", "key": "10.0.0.1", "raise": "n"})))),
        (Kind::Suppress, Content::Change(object(json!({"key": [1], "reason": "ours", "suppress": "n"})))),
        (Kind::Station, Content::Station(set(Origin::Owner))),
        (Kind::Drain, Content::Drain),
        (Kind::Station, Content::Station(set(Origin::client("eve")))),
    ];
    assert!(Kind::ALL.iter().all(|kind| contents.iter().any(|(other, _)| other == kind)));
    let key = |at| encode(&[Value::Num(at)], false);
    let changes = contents.into_iter().zip(0..).map(|((kind, content), at)| SavedChange {
        kind,
        name: "n".to_owned(),
        key: key(at),
        time: at as i64,
        until: (at == 3).then_some(THEN + 1),
        content,
    });
    let changes: Vec<SavedChange> = changes.collect();
    let mut work = |store: &mut Store| {
        changes.iter().try_for_each(|change| store.changed("p", &Mutation::Put(change.clone())))
    };
    store.commit(1, &mut work).unwrap();
    drop(store);
    let expected = [
        r#"p | whole | n | n0 | 0 | - | {"whole":"n"}"#,
        r#"p | row | n | n1 | 1 | - | {"add":"n","key":["10.0.0.1"],"value":7}"#,
        r#"p | param | n | n2 | 2 | - | {"set":"n","value":"5"}"#,
        r#"p | raise | n | n3 | 3 | 1796140600000000001 | {"for":"10m","key":"10.0.0.1","raise":"n"}"#,
        r#"p | suppress | n | n4 | 4 | - | {"key":[1],"reason":"ours","suppress":"n"}"#,
        r#"p | station | n | n5 | 5 | - | {"station":"n","is":"pcapng \"a\"","origin":{"owner":true}}"#,
        r#"p | drain | n | n6 | 6 | - | {"drain":"n"}"#,
        r#"p | station | n | n7 | 7 | - | {"station":"n","is":"pcapng \"a\"","origin":{"client":"eve"}}"#,
    ];
    assert_eq!(rows(place.path(), "SELECT * FROM changes ORDER BY time"), expected);
    assert_eq!(opened(place.path()).1[0].changes, changes);
}

/// What is done to the fixture, and what is said of the row.
const REFUSED: [(&str, &str); 10] = [
    (
        "UPDATE versions SET bundle = '{' WHERE policy = 'site' AND version = 1",
        "version 1: its `bundle` is none: EOF",
    ),
    (
        "UPDATE changes SET key = 'Num(5' WHERE name = 'ttls'",
        "row `ttls` with the key `Num(5`: its `key` is not enc",
    ),
    (
        "UPDATE changes SET object = '5' WHERE name = 'macs'",
        "row `macs` with the key `n163396519731`: its `object`",
    ),
    (
        "UPDATE changes SET object = '{}' WHERE name = 't'",
        "drain `t`: its `object` is no change: missing field `dra",
    ),
    (
        "UPDATE changes SET kind = 'dance' WHERE name = 'on'",
        "dance `on`: this mirrorc knows no changes of its `kind`",
    ),
    (
        "UPDATE changes SET time = 'noon' WHERE name = 'roles'",
        "row `roles` with the key `i10.1.0.0,16`: its `time` is",
    ),
    ("UPDATE changes SET object = x'00' WHERE name = 'rate'", "param `rate`: its `object` is no text"),
    (
        "UPDATE changes SET object = '{\"set\":\"macs\"}' WHERE name = 'macs'",
        "its `object` is no change: `set` needs a `value`",
    ),
    ("UPDATE changes SET kind = 'raise' WHERE name = 'macs'", "its `object` has a verb of another `kind`"),
    (
        "UPDATE changes SET name = 'z' WHERE name = 's'",
        "station `z`: its `object` is about `s`, its `name` is `z`",
    ),
];

#[test]
fn rows_that_cannot_be_read_are_told_and_stay() {
    for (change, says) in REFUSED {
        let place = tempfile::tempdir().unwrap();
        schema_1(place.path());
        tamper(place.path(), change);
        let count = || {
            rows(place.path(), "SELECT * FROM changes").len()
                + rows(place.path(), "SELECT * FROM versions").len()
        };
        let before = count();
        // Each start tells it, until somebody resolves the policy.
        for _ in 0..2 {
            let (mut store, kept) = opened(place.path());
            let site = kept.iter().find(|kept| kept.name == "site").unwrap();
            let told = refused_text("site", &site.refused).unwrap();
            assert!(
                told.starts_with("policy site: 1 row of the state cannot be read") && told.contains(says),
                "{told}"
            );
            assert_eq!(site.at_work, AtWork::Yes);
            let of_change = matches!(site.refused[0].place, RowLocation::Change { .. });
            assert_eq!(site.restore(&mut policy(site)).weaker.is_some(), of_change, "{change}");
            // What is about something else leaves it where it is.
            let other = Mutation::Drop { kind: Kind::Row, name: "other".to_owned(), key: None };
            store.commit(33, &mut |store| store.changed("site", &other)).unwrap();
            store.commit(34, &mut |store| store.expire(THEN).map(drop)).unwrap();
            drop(store);
            assert_eq!(count(), before, "{change}");
        }
        let set_aside =
            "SELECT (SELECT count(*) FROM refused_changes) + (SELECT count(*) FROM refused_versions)";
        assert_eq!(rows(place.path(), set_aside), ["0"]);
        let (mut store, _) = opened(place.path());
        // Twice: what fails is carried out again.
        store
            .commit(35, &mut |store| {
                store.resolve("site")?;
                Err(rusqlite::Error::InvalidQuery)
            })
            .unwrap_err();
        store.commit(35, &mut |store| store.resolve("site")).unwrap();
        assert!(store.refused["site"].is_empty());
        drop(store);
        assert_eq!((count(), rows(place.path(), set_aside)), (before - 1, vec!["1".to_owned()]), "{change}");
        let (_store, kept) = opened(place.path());
        assert!(kept.iter().all(|kept| kept.refused.is_empty()), "{kept:?}");
    }
}

#[test]
fn what_takes_the_place_of_a_refused_row_sets_it_aside() {
    let place = tempfile::tempdir().unwrap();
    schema_1(place.path());
    tamper(place.path(), "UPDATE changes SET object = 'lost' WHERE name IN ('nets', 'macs', 'whole')");
    let (mut store, kept) = opened(place.path());
    assert_eq!(kept[3].refused.len(), 6);
    let told = refused_text("site", &kept[3].refused).unwrap();
    assert!(told.contains("6 rows") && told.contains("; and 2 more; load, unload or release"), "{told}");
    let of_row = Mutation::Put(SavedChange {
        kind: Kind::Row,
        name: "nets".to_owned(),
        key: "i10.0.0.0,8".to_owned(),
        time: 1,
        until: None,
        content: Content::Change(object(json!({"add": "nets", "key": "10.0.0.0/8"}))),
    });
    store.commit(33, &mut |store| store.changed("site", &of_row)).unwrap();
    store.commit(34, &mut |store| store.replaced("site", "whole", &[], 1)).unwrap();
    drop(store);
    let moved = "SELECT policy, kind, name, key, object FROM refused_changes ORDER BY name, kind, key";
    let expected = [
        "site | row | nets | i10.0.0.0,8 | lost",
        "site | row | whole | i10.0.0.1,32 | lost",
        "site | row | whole | i10.0.0.2,32 | lost",
        "site | whole | whole |  | lost",
    ];
    assert_eq!(rows(place.path(), moved), expected);
    let (_store, kept) = opened(place.path());
    assert_eq!(kept[3].refused.len(), 2, "the other network and the MAC");
}

#[test]
fn a_version_at_work_that_cannot_be_read_may_have_bound() {
    for (change, says) in [
        (
            "UPDATE versions SET bundle = '{}' WHERE policy = 'bind'",
            "its version at work cannot be read (version 1: its `bundle`",
        ),
        (
            "UPDATE versions SET at_work = 9 WHERE policy = 'bind'",
            "its `at_work` is 9, which this mirrorc does not know",
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        schema_1(place.path());
        tamper(place.path(), change);
        let (_store, kept) = opened(place.path());
        let why = match &kept[0].at_work {
            AtWork::Lost(why) => why.clone(),
            other => format!("{other:?}"),
        };
        assert!(why.contains(says), "{why}");
    }
}
