//! Changes that wait for a database that cannot be written. The invariants: they are tried again in
//! order, after 1 s, 2 s, ... 60 s; their number is bounded; the file `binding` names each policy
//! that would copy more without them, so that a restart withholds its copies. (Rejected: writing
//! all policies again after an error; the current state and the database would have to be
//! compared.)

use super::store::Store;
use super::store_thread::{Change, Outcome, WAITING};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// The first and the longest pause before the next attempt.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// The approximate size of waiting changes in addition to the first, in bytes.
pub(super) const SIZE: usize = 64 << 20;

/// The longest time of an attempt: new changes, and the end of the run, wait for it.
const SLICE: Duration = Duration::from_secs(1);

/// Changes that wait.
#[derive(Default)]
pub(super) struct Backlog {
    changes: VecDeque<Change>,
    size: usize,
    /// The time of the next attempt, and the pause before it.
    again: Option<(Instant, Duration)>,
    /// Why writing failed, and why no more changes are accepted.
    failed: String,
    lost: Option<String>,
}

impl Backlog {
    /// The time of the next attempt.
    pub fn is_due(&self) -> Option<Instant> {
        self.again.map(|(at, _)| at)
    }

    /// Writes a change, or appends it to the waiting changes.
    pub fn take(&mut self, store: &mut Store, mut change: Change) -> Outcome {
        if self.lost.is_some() {
            return self.give_up(store, change);
        }
        if self.changes.is_empty() {
            match store.commit(change.number, &mut *change.work) {
                Ok(()) => return Outcome::Good,
                Err(why) => self.failed = why,
            }
            self.again = Some((Instant::now() + AGAIN[0], AGAIN[0]));
        } else if self.changes.len() >= WAITING || self.size + change.size > SIZE {
            let megabytes = SIZE >> 20;
            self.lost = Some(format!(
                "{}; {} changes wait, and no more than {WAITING} or {megabytes} MiB do",
                self.failed,
                self.changes.len()
            ));
            return self.give_up(store, change);
        }
        let missed = miss(store, &change);
        self.size += change.size;
        self.changes.push_back(change);
        Outcome::Waits(match missed {
            Ok(()) => self.failed.clone(),
            Err(also) => format!("{}; {also}", self.failed),
        })
    }

    /// Tries the waiting changes again.
    pub fn retry(&mut self, store: &mut Store) -> Outcome {
        let begun = Instant::now();
        while let Some(change) = self.changes.front_mut() {
            if begun.elapsed() > SLICE {
                self.again = Some((Instant::now(), AGAIN[0]));
                return self.lost.clone().map_or_else(|| Outcome::Waits(self.failed.clone()), Outcome::Lost);
            }
            if let Err(why) = store.commit(change.number, &mut *change.work) {
                let wait = self.again.map_or(AGAIN[0], |(_, wait)| (wait * 2).min(AGAIN[1]));
                self.again = Some((Instant::now() + wait, wait));
                self.failed = why.clone();
                // A written change may have resolved a policy with further waiting changes.
                for change in &self.changes {
                    let _tried_again = miss(store, change);
                }
                return self.lost.clone().map_or(Outcome::Waits(why), Outcome::Lost);
            }
            self.size -= change.size;
            self.changes.pop_front();
        }
        self.again = None;
        match (store.marker().caught_up(), self.lost.clone()) {
            (_, Some(lost)) => Outcome::Lost(lost),
            // The database is complete, also by its numbers.
            (_, None) => Outcome::Good,
        }
    }

    /// Changes were lost before they reached this queue, among them changes of these policies: no
    /// more changes are accepted.
    pub fn lose(&mut self, store: &mut Store, why: String, missed: &BTreeSet<String>) {
        self.lost.get_or_insert(why);
        store.marker().lose();
        for policy in missed {
            let _told_already = store.marker().miss(policy, None);
        }
    }

    /// Checks that the database is still in its place.
    pub fn look(&mut self, store: &mut Store) -> Outcome {
        if !self.changes.is_empty() {
            return Outcome::Unknown;
        }
        store.is_there().map_or_else(Outcome::Waits, |()| Outcome::Good)
    }

    /// Too many changes wait: what is missing now is missing for good.
    fn give_up(&mut self, store: &mut Store, change: Change) -> Outcome {
        store.marker().lose();
        if let Some(policy) = &change.lessens {
            let _told_already = store.marker().miss(policy, None);
        }
        Outcome::Lost(self.lost.clone().unwrap_or_default())
    }
}

fn miss(store: &mut Store, change: &Change) -> Result<(), String> {
    let Some(policy) = &change.lessens else { return Ok(()) };
    let missed = store.marker().miss(policy, Some(change.number));
    missed.map_err(|error| format!("the file `binding` cannot say what is missing: {error}"))
}
