//! Changes that wait for a database that does not take them. The invariants: they are tried again
//! in their order, after 1 s, 2 s, ... 60 s; what waits is bounded; the file `binding` names each
//! policy that would copy more without what waits, so that a restart withholds its copies.
//! (Rejected: to write all policies anew after an error; what is at work and what the database has
//! would have to be compared.)

use super::keeper::{Change, Outcome, WAITING};
use super::store::Store;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// After how long it is tried again, first and at most.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// About how many bytes changes that wait hold together, beside the first one.
pub(super) const SIZE: usize = 64 << 20;

/// How long it is tried at a time: new changes, and the end of the run, wait for it.
const SLICE: Duration = Duration::from_secs(1);

/// Changes that wait.
#[derive(Default)]
pub(super) struct Backlog {
    changes: VecDeque<Change>,
    size: usize,
    /// When the first one is tried again, and how long after the last time that is.
    again: Option<(Instant, Duration)>,
    /// Why it failed, and why nothing more is taken.
    failed: String,
    lost: Option<String>,
}

impl Backlog {
    /// When something is to be tried again.
    pub fn is_due(&self) -> Option<Instant> {
        self.again.map(|(at, _)| at)
    }

    /// Carries a change out, or has it wait behind those that wait.
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

    /// Tries those that wait again.
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
                // What was carried out may have resolved a policy of which more waits.
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
            // The database has all; the numbers say so, too.
            (_, None) => Outcome::Good,
        }
    }

    /// Changes were not even taken, those of these policies among them: nothing more is.
    pub fn lose(&mut self, store: &mut Store, why: String, missed: &BTreeSet<String>) {
        self.lost.get_or_insert(why);
        store.marker().lose();
        for policy in missed {
            let _told_already = store.marker().miss(policy, None);
        }
    }

    /// Looks whether the database is where it was.
    pub fn look(&mut self, store: &mut Store) -> Outcome {
        if !self.changes.is_empty() {
            return Outcome::Unknown;
        }
        store.is_there().map_or_else(Outcome::Waits, |()| Outcome::Good)
    }

    /// Too much waits: what is missing now is missing for good.
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
