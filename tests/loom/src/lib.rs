//! Models of the engine's lock shards: loom runs each interleaving of two threads and each value
//! that a relaxed load may see. Invariant: the code under test is the engine's own file. (Rejected:
//! a copy of the lock for the model, which the lock would leave behind; loom as a dependency of the
//! engine's tests, which would build Cranelift once more for a model of a page.)
#![cfg(all(loom, test))]

#[path = "../../../runtime/engine/src/trigger/lock_shards.rs"]
#[allow(dead_code, reason = "the models use a part of it")]
mod lock_shards;

/// What the engine's file imports: a hint to the processor, which changes nothing.
mod memory {
    pub(crate) fn prefetch_to_write<T>(_: &T) {}
}

use lock_shards::LockShards;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

/// The lock shards, and two words of a row that is changed inside shard 1.
struct Shared {
    lock_shards: LockShards,
    pair: [AtomicU64; 2],
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { lock_shards: LockShards::new(), pair: [AtomicU64::new(0), AtomicU64::new(0)] })
    }

    fn read(&self) -> (u64, u64) {
        (self.pair[0].load(Relaxed), self.pair[1].load(Relaxed))
    }

    /// Adds 1 to both words, as the engine does it: relaxed loads and stores, which alone lose
    /// updates.
    fn increment(&self) {
        for word in &self.pair {
            word.store(word.load(Relaxed) + 1, Relaxed);
        }
    }
}

#[test]
fn no_update_is_lost() {
    loom::model(|| {
        let shared = Shared::new();
        let other = shared.clone();
        let thread = thread::spawn(move || {
            let _inside = other.lock_shards.enter(1);
            other.increment();
        });
        {
            let _inside = shared.lock_shards.enter(1);
            shared.increment();
        }
        thread.join().unwrap();
        let _inside = shared.lock_shards.enter(1);
        assert_eq!(shared.read(), (2, 2));
    });
}

#[test]
fn one_thread_is_inside_a_lock() {
    loom::model(|| {
        let (shared, inside) = (Shared::new(), Arc::new(AtomicU64::new(0)));
        let enter = |shared: &Shared, inside: &AtomicU64| {
            let _inside = shared.lock_shards.enter(1);
            assert_eq!(inside.fetch_add(1, Relaxed), 0, "another thread is inside");
            inside.fetch_sub(1, Relaxed);
        };
        let (its, its_inside) = (shared.clone(), inside.clone());
        let thread = thread::spawn(move || enter(&its, &its_inside));
        enter(&shared, &inside);
        thread.join().unwrap();
    });
}

/// A writer beside a reader. The writer is the first thread: loom tries other orders for a load
/// that comes after a store, and not for a store that comes after a load.
fn beside_a_writer(read: impl Fn(&Shared) + Send + Sync + 'static + Copy) {
    loom::model(move || {
        let shared = Shared::new();
        let other = shared.clone();
        let reader = thread::spawn(move || read(&other));
        {
            let _inside = shared.lock_shards.enter(1);
            shared.increment();
        }
        reader.join().unwrap();
        assert_eq!(shared.lock_shards.peek(1, || shared.read()), (1, 1));
        assert_eq!(shared.lock_shards.glance(1, || Some(shared.read())), Some((1, 1)));
    });
}

#[test]
fn a_reader_sees_no_half_of_a_change() {
    beside_a_writer(|shared| {
        let (a, b) = shared.lock_shards.peek(1, || shared.read());
        assert_eq!(a, b);
    });
}

#[test]
fn a_glance_gives_a_whole_answer_or_none() {
    beside_a_writer(|shared| {
        if let Some((a, b)) = shared.lock_shards.glance(1, || Some(shared.read())) {
            assert_eq!(a, b);
        }
    });
}

#[test]
fn a_glance_does_not_wait() {
    loom::model(|| {
        let shared = Shared::new();
        let inside = shared.lock_shards.enter(1);
        assert_eq!(shared.lock_shards.glance(1, || Some(())), None, "a writer is inside");
        assert_eq!(shared.lock_shards.glance(0, || Some(())), Some(()), "another lock is free");
        drop(inside);
        assert_eq!(shared.lock_shards.glance(1, || Some(())), Some(()));
    });
}

#[test]
fn two_locks_exclude_nobody() {
    loom::model(|| {
        let shared = Shared::new();
        let other = shared.clone();
        let thread = thread::spawn(move || {
            let _inside = other.lock_shards.enter(0);
            other.pair[0].store(1, Relaxed);
        });
        {
            let _inside = shared.lock_shards.enter(1);
            shared.pair[1].store(1, Relaxed);
        }
        thread.join().unwrap();
        assert_eq!(shared.read(), (1, 1));
    });
}

#[test]
fn moments_are_given_once() {
    loom::model(|| {
        let shared = Shared::new();
        let other = shared.clone();
        let thread = thread::spawn(move || other.lock_shards.moments(2));
        let (mine, its) = (shared.lock_shards.moments(3), thread.join().unwrap());
        assert!((mine, its) == (1, 4) || (mine, its) == (3, 1), "{mine}, {its}");
    });
}
