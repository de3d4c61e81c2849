//! Changes of tables: rows put in, replaced, taken out, or gone because their time has come. The invariant: a row is found
//! by its key, named by its value and due at its end, or none of the three; the work of a change is bounded, whatever
//! the number of rows (but for doubling what grows). (Rejected: a pass over all rows from time to time.)

use super::expiry::Expiry;
use super::prefixes::{self, Net};
use super::{EVER, Finder, Form, Group, Key, Made, Stored, Table, TableError, V6, hash, net_of};
use crate::hir::Value;

/// How many rows that have ended one change takes out at most, beside its own.
const SWEEP: usize = 8;

impl Table {
    /// Puts a row in, and gives back the value that it replaces.
    pub fn insert(&mut self, key: &[Value], value: Option<Value>) -> Result<Option<Value>, TableError> {
        self.insert_until(key, value, None, i64::MIN)
    }

    /// Puts a row in at a time `now`, until another (both in nanoseconds since the Unix epoch) or for ever, and gives back
    /// the value that it replaces. Some rows that have ended are taken out first.
    pub fn insert_until(
        &mut self,
        key: &[Value],
        value: Option<Value>,
        until: Option<i64>,
        now: i64,
    ) -> Result<Option<Value>, TableError> {
        let made = self.made(key)?;
        let fits = match (self.form.value, &value) {
            (None, None) => true,
            (Some(ty), Some(value)) => self.fits(ty, value),
            _ => false,
        };
        if !fits {
            return Err(TableError::Type);
        }
        self.expire(now, SWEEP);
        let until = until.unwrap_or(EVER);
        if let Some(row) = self.exact(&made) {
            return Ok(self.replace(row, &made, value, until));
        }
        if self.len >= self.limit {
            return Err(TableError::Full(self.limit));
        }
        let value = value.map_or(0, |value| self.values.take(self.seed, value));
        let row = self.new_row();
        let (stored, slot) = (self.link(&made, row), prefixes::slot(row, value, until != EVER));
        if let (Finder::Prefix { v4, v6 }, Made::Net(net, is_v6)) = (&mut self.finder, &made) {
            let trie = if *is_v6 { v6 } else { v4 };
            trie.insert(*net, slot, |row| net_of(&self.rows, row));
        }
        let (key, group) = stored;
        self.outside += key.outside();
        self.rows.set(row as usize, Stored { key, group, value, until });
        self.len += 1;
        self.ends(row, until);
        Ok(None)
    }

    /// Takes a row out; whether there was one of exactly this key.
    pub fn remove(&mut self, key: &[Value]) -> Result<bool, TableError> {
        let made = self.made(key)?;
        let row = self.exact(&made);
        if let Some(row) = row {
            self.unlink(row, &made);
        }
        Ok(row.is_some())
    }

    /// Takes out at most `most` rows that have ended by a time; how many.
    pub fn expire(&mut self, now: i64, most: usize) -> usize {
        let (mut gone, mut looked) = (0, 0);
        // One whose end was put off is looked at in vain, but not twice for one change of it.
        while looked < most && self.expiry.next().is_some_and(|next| next <= now) {
            looked += 1;
            let Some((_, row)) = self.expiry.pop() else { break };
            let until = self.rows.get(row as usize).filter(|stored| !matches!(stored.key, Key::Free(_)));
            match until.map(|stored| stored.until) {
                Some(until) if until <= now => {
                    if let Some(made) = self.row(row).and_then(|(key, ..)| self.made(&key).ok()) {
                        self.unlink(row, &made);
                        gone += 1;
                    }
                }
                Some(until) if until != EVER => self.expiry.push(until, row),
                _ => {}
            }
        }
        gone
    }

    /// The time from which on there may be something for [`Table::expire`].
    pub fn due(&self) -> Option<i64> {
        self.expiry.next()
    }

    /// Takes all rows out.
    pub fn clear(&mut self) {
        if let Ok(empty) = Table::of(Form::clone(&self.form), self.limit) {
            *self = empty;
        }
    }

    fn new_row(&mut self) -> u32 {
        let Some(row) = self.free else {
            self.rows.push(Stored::default());
            return (self.rows.len() - 1) as u32;
        };
        self.free = match self.rows.get(row as usize) {
            Some(Stored { key: Key::Free(next), .. }) if *next != u32::MAX => Some(*next),
            _ => None,
        };
        row
    }

    /// Makes a row found by its key, in an exact table; gives what is stored of the key.
    fn link(&mut self, made: &Made, row: u32) -> (Key, u32) {
        let (shapes, parts) = match made {
            Made::Net(Net { address, len }, is_v6) => {
                let family = if *is_v6 { V6 } else { 0 };
                return (Key::Net([(address >> 64) as u64, *address as u64]), family | u32::from(*len));
            }
            Made::Parts(shapes, parts) => (shapes, parts),
        };
        let mut number = 0;
        if let Finder::Exact { groups, .. } = &mut self.finder {
            let at = groups.binary_search_by(|g| g.shapes.as_ref().cmp(shapes)).unwrap_or_else(|at| {
                let number = (0..).find(|n| groups.iter().all(|g| g.number != *n)).unwrap_or(0);
                groups.insert(at, Group { shapes: shapes.as_slice().into(), number, rows: 0 });
                at
            });
            if let Some(group) = groups.get_mut(at) {
                group.rows += 1;
                number = group.number;
            }
        }
        let hash = hash(self.seed, number, parts);
        if let Finder::Exact { index, .. } = &mut self.finder {
            index.insert(hash, row);
        }
        let key = match parts.as_slice() {
            [part] => Key::One(part.clone()),
            parts => Key::Many(parts.into()),
        };
        (key, number)
    }

    fn replace(&mut self, row: u32, made: &Made, value: Option<Value>, until: i64) -> Option<Value> {
        let stored = self.rows.get(row as usize)?;
        let (number, ended) = (stored.value, stored.until);
        let new = value.map(|value| self.values.take(self.seed, value));
        let old = new.and_then(|_| self.values.give_back(self.seed, number));
        let number = new.unwrap_or(number);
        if let (Finder::Prefix { v4, v6 }, Made::Net(net, is_v6)) = (&mut self.finder, made) {
            let trie = if *is_v6 { v6 } else { v4 };
            trie.insert(*net, prefixes::slot(row, number, until != EVER), |row| net_of(&self.rows, row));
        }
        if let Some(stored) = self.rows.get_mut(row as usize) {
            (stored.value, stored.until) = (number, until);
        }
        if ended != EVER {
            self.ending -= 1;
        }
        if until < ended {
            self.ends(row, until);
        } else if until != EVER {
            self.ending += 1;
        }
        old
    }

    /// Remembers when a row ends.
    fn ends(&mut self, row: u32, until: i64) {
        if until == EVER {
            return;
        }
        self.ending += 1;
        if self.expiry.len() > 2 * self.ending + 64 {
            let mut old = std::mem::replace(&mut self.expiry, Expiry::new());
            let mut seen = std::collections::HashSet::from([row]);
            while let Some((_, row)) = old.pop() {
                if let Some(stored) = self.rows.get(row as usize)
                    && !matches!(stored.key, Key::Free(_))
                    && stored.until != EVER
                    && seen.insert(row)
                {
                    self.expiry.push(stored.until, row);
                }
            }
        }
        self.expiry.push(until, row);
    }

    fn unlink(&mut self, row: u32, made: &Made) {
        match (&mut self.finder, made) {
            (Finder::Prefix { v4, v6 }, Made::Net(net, is_v6)) => {
                let trie = if *is_v6 { v6 } else { v4 };
                trie.remove(*net, |row| net_of(&self.rows, row));
            }
            (Finder::Exact { index, groups }, Made::Parts(shapes, parts)) => {
                if let Ok(at) = groups.binary_search_by(|g| g.shapes.as_ref().cmp(shapes))
                    && let Some(group) = groups.get_mut(at)
                {
                    let hash = hash(self.seed, group.number, parts);
                    index.remove(hash, |other| other == row);
                    group.rows -= 1;
                    if group.rows == 0 {
                        groups.remove(at);
                    }
                }
            }
            _ => {}
        }
        let next = self.free.replace(row).unwrap_or(u32::MAX);
        if let Some(place) = self.rows.get_mut(row as usize) {
            let gone = std::mem::replace(place, Stored { key: Key::Free(next), ..Stored::default() });
            self.outside -= gone.key.outside();
            if gone.until != EVER {
                self.ending -= 1;
            }
            if self.form.value.is_some() {
                self.values.give_back(self.seed, gone.value);
            }
        }
        self.len -= 1;
    }
}
