//! A database that is taken away and put back: what waits is written in its order, and what never
//! was is known to be missing after a restart. (Rejected: a database that fails when a test says
//! so; the file is what fails.)

#![allow(clippy::unwrap_used, reason = "a failed test stops")]
use super::super::saved::SavedTableRow;
use super::super::store::AtWork;
use super::*;

fn store_thread(directory: &Path) -> (StoreThread, Vec<Kept>) {
    StoreThread::open(directory, &Arc::default()).unwrap()
}

/// Takes the database away, or puts it back.
fn away(directory: &Path, is_away: bool) {
    let [there, away] = ["state.sqlite", "away"].map(|name| directory.join(name));
    let (from, to) = if is_away { (there, away) } else { (away, there) };
    std::fs::rename(from, to).unwrap();
}

fn row(store_thread: &mut StoreThread, policy: &'static str, number: u32) {
    let key = format!("n{number}");
    let row = SavedTableRow { key, until: None, object: format!("{{\"add\":\"t{number}\"}}") };
    let work =
        move |store: &mut Store| store.replaced(policy, &format!("t{number}"), std::slice::from_ref(&row), 1);
    store_thread.send(1, 256, Some(policy.to_owned()), work).unwrap().wait();
}

fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_fails_waits_and_is_written_in_its_order() {
    let place = tempfile::tempdir().unwrap();
    let (mut store_thread, kept) = self::store_thread(place.path());
    assert!(kept.is_empty());
    row(&mut store_thread, "a", 1);
    assert_eq!(store_thread.trouble(), None);
    away(place.path(), true);
    (2..10).for_each(|number| row(&mut store_thread, "a", number));
    assert!(store_thread.trouble().unwrap().contains("was removed"), "{:?}", store_thread.trouble());
    away(place.path(), false);
    until("it is tried again", || store_thread.trouble().is_none());
    drop(store_thread);
    let (store_thread, kept) = self::store_thread(place.path());
    let policy = &kept[0];
    assert!(kept.len() == 1 && !policy.is_behind && policy.changes.len() == 18, "{policy:?}");
    drop(store_thread);
}

#[test]
fn what_was_never_written_is_known_to_be_missing() {
    let place = tempfile::tempdir().unwrap();
    let (mut store_thread, _) = self::store_thread(place.path());
    row(&mut store_thread, "a", 1);
    row(&mut store_thread, "b", 1);
    away(place.path(), true);
    row(&mut store_thread, "a", 2);
    // Nothing is missed without this one.
    let nothing = store_thread.send(0, 0, None, |store| store.expire(0).map(drop));
    nothing.unwrap().wait();
    // The file says what is to bind, whatever the database is like.
    store_thread.mark("c", Mark::Intended(7)).unwrap().wait().unwrap();
    drop(store_thread);
    away(place.path(), false);
    for _ in 0..2 {
        let (store_thread, kept) = self::store_thread(place.path());
        let of = |name: &str| kept.iter().find(|policy| policy.name == name).unwrap();
        assert!(of("a").is_behind && !of("b").is_behind, "{kept:?}");
        assert!(matches!(of("c").at_work, AtWork::Lost(_)), "{kept:?}");
        drop(store_thread);
    }
    let (mut store_thread, _) = self::store_thread(place.path());
    let unload = |store: &mut Store| ["a", "c"].into_iter().try_for_each(|name| store.unloaded(name, &[]));
    store_thread.send(0, 0, None, unload).unwrap().wait();
    drop(store_thread);
    let (_keeper, kept) = self::store_thread(place.path());
    assert!(kept.iter().all(|policy| !policy.is_behind && policy.name == "b"), "{kept:?}");
}

#[test]
fn what_waits_is_bounded_and_what_is_given_up_stays_missing() {
    let place = tempfile::tempdir().unwrap();
    let (mut store_thread, _) = self::store_thread(place.path());
    away(place.path(), true);
    let mut send = |size: usize| {
        store_thread.send(0, size, Some("a".to_owned()), |store| store.expire(0).map(drop)).unwrap().wait();
        store_thread.trouble().unwrap()
    };
    assert!(send(60 << 20).contains("it is tried again"));
    assert!(send(5 << 20).contains("no more than 10000 or 64 MiB do"));
    drop(store_thread);
    away(place.path(), false);
    let (_keeper, kept) = self::store_thread(place.path());
    assert!(kept.iter().any(|policy| policy.name == "a" && policy.is_behind), "{kept:?}");
}

/// What a member of the file `binding` says.
fn says(directory: &Path, member: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(directory.join("binding")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()[member].clone()
}

/// Gives the thread a change that makes a policy bind at a version, or not.
fn binds(store_thread: &mut StoreThread, policy: &'static str, version: Option<u64>, is_written: bool) {
    let work = move |store: &mut Store| {
        store.mark(policy, version)?;
        if is_written { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
    };
    store_thread.send(0, 0, Some(policy.to_owned()), work).unwrap().wait();
}

#[test]
fn a_mark_goes_with_its_own_change_or_a_later_one_only() {
    let place = tempfile::tempdir().unwrap();
    let (mut store_thread, _) = self::store_thread(place.path());
    let says = |version: Option<u64>| {
        assert_eq!(says(place.path(), "binding")["p"].as_u64(), version);
    };
    binds(&mut store_thread, "p", Some(3), true);
    // Unloaded while another load is about to bind.
    store_thread.mark("p", Mark::Intended(4)).unwrap().wait().unwrap();
    binds(&mut store_thread, "p", None, true);
    says(Some(4));
    binds(&mut store_thread, "p", Some(4), true);
    store_thread.over("p", Some(4)).unwrap().wait().unwrap();
    binds(&mut store_thread, "p", None, true);
    says(None);
    // One that is refused lowers it to what is at work; where that is missing, it stays.
    binds(&mut store_thread, "p", Some(5), true);
    store_thread.mark("p", Mark::Intended(6)).unwrap().wait().unwrap();
    store_thread.over("p", Some(5)).unwrap().wait().unwrap();
    says(Some(5));
    store_thread.mark("p", Mark::Intended(6)).unwrap().wait().unwrap();
    store_thread.mark("p", Mark::Intended(1)).unwrap().wait().unwrap();
    store_thread.mark("p", Mark::Stays).unwrap().wait().unwrap();
    says(Some(6));
    // An unload waits; a later load is marked and never written.
    away(place.path(), true);
    binds(&mut store_thread, "p", None, true);
    store_thread.mark("p", Mark::Intended(8)).unwrap().wait().unwrap();
    binds(&mut store_thread, "p", Some(8), false);
    store_thread.over("p", Some(8)).unwrap().wait().unwrap();
    away(place.path(), false);
    until("it is tried again", || store_thread.trouble().unwrap().contains("cannot be written"));
    says(Some(8));
    drop(store_thread);
    let (_keeper, kept) = self::store_thread(place.path());
    assert!(matches!(kept[0].at_work, AtWork::Lost(_)), "{kept:?}");
}

#[test]
fn what_waits_resolves_nothing_that_was_given_up() {
    let place = tempfile::tempdir().unwrap();
    let (mut store_thread, _) = self::store_thread(place.path());
    away(place.path(), true);
    let mut send = |size: usize, policy: &'static str| {
        let work = move |store: &mut Store| store.resolve(policy);
        store_thread.send(0, size, Some(policy.to_owned()), work).unwrap().wait();
    };
    send(60 << 20, "a");
    send(5 << 20, "a");
    // The mark is there when it is answered, also once nothing is taken.
    for policy in ["b", "c", "d"] {
        send(0, policy);
        assert!(says(place.path(), "missing")[policy].is_u64(), "{policy}");
    }
    away(place.path(), false);
    drop(store_thread);
    let (_keeper, kept) = self::store_thread(place.path());
    assert!(kept.len() == 4 && kept.iter().all(|policy| policy.is_behind), "{kept:?}");
}

#[test]
fn what_is_refused_while_the_directory_hangs_is_marked_later() {
    let place = tempfile::tempdir().unwrap();
    let (mut store_thread, _) = self::store_thread(place.path());
    let hang = |_: &mut Store| {
        std::thread::sleep(JOB + Duration::from_millis(1500));
        Ok(())
    };
    store_thread.send(0, 0, None, hang).unwrap().wait();
    assert!(store_thread.trouble().unwrap().contains("does not answer"));
    let mut send =
        |size: usize, policy: &str| store_thread.send(0, size, Some(policy.to_owned()), |_| Ok(())).is_some();
    assert!(send(60 << 20, "a") && !send(5 << 20, "b") && !send(0, "c"));
    until("it answers", || store_thread.shared.lock().hung.is_none());
    store_thread.look();
    drop(store_thread);
    let (_keeper, kept) = self::store_thread(place.path());
    let behind: Vec<&str> =
        kept.iter().filter(|kept| kept.is_behind).map(|kept| kept.name.as_str()).collect();
    assert_eq!(behind, ["b", "c"], "{kept:?}");
}

#[test]
fn an_older_database_is_known_whatever_was_changed() {
    let place = tempfile::tempdir().unwrap();
    let (mut store_thread, _) = self::store_thread(place.path());
    row(&mut store_thread, "a", 1);
    drop(store_thread);
    let before = std::fs::read(place.path().join("state.sqlite")).unwrap();
    let (mut store_thread, _) = self::store_thread(place.path());
    row(&mut store_thread, "a", 2);
    assert_eq!(says(place.path(), "sequence"), 1);
    store_thread.note();
    row(&mut store_thread, "a", 3);
    assert_eq!(says(place.path(), "sequence"), 2);
    drop(store_thread);
    assert_eq!(says(place.path(), "sequence"), 3);
    std::fs::write(place.path().join("state.sqlite"), before).unwrap();
    let unusable = StoreThread::open(place.path(), &Arc::default()).unwrap_err();
    assert!(unusable.why.contains("is older than") && !unusable.is_new, "{unusable:?}");
}
