//! Which station writes which file. Invariant: at most one station that is not ending holds a file,
//! by device and inode. At most one holds a name in a directory, by the directory's device and
//! inode. So other spellings, hard links and symbolic links lead to the same claim. (Rejected: file
//! locks, which end with any close of the same file.)

use super::FileId;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a station can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// An existing file or FIFO.
    File(FileId),
    /// A name, or a pattern of names, in a directory.
    Name(FileId, String),
}

/// A station as a holder. Clones are the same holder.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    id: u64,
    /// The station's name for users.
    shown: Arc<str>,
    /// The station is ending: it finishes its file, and another station may take the name.
    ending: Arc<AtomicBool>,
    /// The stations of an older version that end when this station runs.
    replaces: Arc<[u64]>,
}

static LAST: AtomicU64 = AtomicU64::new(0);

impl Holder {
    /// A station with this name for users. It may take over what the stations in `replaces` hold.
    pub fn new<'h>(shown: String, replaces: impl IntoIterator<Item = &'h Holder>) -> Holder {
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        let replaces = replaces.into_iter().map(|other| other.id).collect();
        Holder { id, shown: shown.into(), ending: Arc::default(), replaces }
    }

    /// Marks the station as ending.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    fn excludes(&self, other: &Holder) -> bool {
        self.id != other.id && !self.ending.load(Ordering::Relaxed) && !other.replaces.contains(&self.id)
    }
}

/// All claims.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<Vec<(Key, Holder)>>);

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Vec<(Key, Holder)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn claim(self: &Arc<Claims>, key: Key, holder: &Holder) -> Result<Claim, String> {
        let mut held = self.lock();
        if let Some((_, other)) = held.iter().find(|(other, by)| *other == key && by.excludes(holder)) {
            return Err(format!("{} writes there; give one of them another path", other.shown));
        }
        held.push((key.clone(), holder.clone()));
        Ok(Claim { claims: self.clone(), key, holder: holder.id })
    }
}

/// A claim, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    key: Key,
    holder: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        let at = held.iter().position(|(key, by)| *key == self.key && by.id == self.holder);
        if let Some(at) = at {
            held.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn one_holder_at_a_time_until_it_ends() {
        let claims = Arc::new(Claims::default());
        let key = || Key::File((1, 2));
        let first = Holder::new("station `a` of policy `main`".to_owned(), []);
        let held = claims.claim(key(), &first).unwrap();
        let other = Holder::new("station `b` of policy `main`".to_owned(), []);
        let why = claims.claim(key(), &other).unwrap_err();
        assert!(why.contains("station `a` of policy `main` writes there"), "{why}");
        let heir = Holder::new("station `a` of policy `main`".to_owned(), [&first]);
        drop(claims.claim(key(), &heir).unwrap());
        first.end();
        let second = claims.claim(key(), &other).unwrap();
        drop(held);
        assert!(claims.claim(key(), &heir).is_err(), "another one has it now");
        drop(second);
        assert!(claims.lock().is_empty());
    }
}
