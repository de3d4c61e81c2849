//! Changes of tables: rows that are inserted, replaced, removed or expired. The invariant: a row
//! has all three or none: it is found by its key, named by its value and due at its end. The work
//! of a change is bounded, whatever the number of rows (except for doubling a structure that
//! grows). (Rejected: a pass over all rows from time to time.)

use super::direct::{Direct, Entry, FEW, MANY};
use super::expiry::Expiry;
use super::prefixes::{self, Net};
use super::{EVER, Finder, Form, Group, Key, Stored, StoredKey, Table, TableError, V6, hash, net_of};
use crate::value::Value;

/// The greatest number of expired rows that a change removes, besides its own row.
const SWEEP: usize = 8;

impl Table {
    /// Inserts a row and returns the value that it replaces.
    pub fn insert(&mut self, key: &[Value], value: Option<Value>) -> Result<Option<Value>, TableError> {
        self.insert_until(key, value, None, i64::MIN)
    }

    /// Inserts a row at a time `now`, until `until` (both in nanoseconds since the Unix epoch) or
    /// for ever. Returns the value that it replaces. Some expired rows are removed first.
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
        let (key, group) = stored;
        self.outside += key.outside();
        self.rows.set(row as usize, Stored { key, group, value, until });
        if let StoredKey::Net(net, is_v6) = made {
            self.set_prefix(net, is_v6, slot, true);
        }
        self.len += 1;
        self.ends(row, until);
        Ok(None)
    }

    /// Removes a row. Returns whether there was a row with exactly this key.
    pub fn remove(&mut self, key: &[Value]) -> Result<bool, TableError> {
        let made = self.made(key)?;
        let row = self.exact(&made);
        if let Some(row) = row {
            self.unlink(row, &made);
        }
        Ok(row.is_some())
    }

    /// Removes at most `most` rows that have expired by `now`. Returns their number.
    pub fn expire(&mut self, now: i64, most: usize) -> usize {
        let (mut gone, mut looked) = (0, 0);
        // A row whose end was postponed is visited too, but at most once for each change of it.
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

    /// The time from which on [`Table::expire`] may find an expired row.
    pub fn due(&self) -> Option<i64> {
        self.expiry.next()
    }

    /// Removes all rows.
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

    /// Adds a row to the index of its key, in an exact table. Returns the stored form of the key.
    fn link(&mut self, made: &StoredKey, row: u32) -> (Key, u32) {
        let (shapes, parts) = match made {
            StoredKey::Net(Net { address, len }, is_v6) => {
                let family = if *is_v6 { V6 } else { 0 };
                return (Key::Net([(address >> 64) as u64, *address as u64]), family | u32::from(*len));
            }
            StoredKey::Parts(shapes, parts) => (shapes, parts),
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

    /// Inserts a prefix, or changes its slot.
    fn set_prefix(&mut self, net: Net, is_v6: bool, slot: u64, new: bool) {
        let nets = |row| net_of(&self.rows, row);
        let Finder::Prefix { v4, v6, direct, many } = &mut self.finder else { return };
        if is_v6 {
            return v6.insert(net, slot, nets);
        }
        v4.insert(net, slot, nets);
        *many += usize::from(new);
        if let Some(direct) = direct {
            entry(slot, nets).into_iter().for_each(|entry| direct.insert(entry));
        } else if *many >= MANY {
            let mut made = Direct::new();
            for stored in (0..self.rows.len()).filter_map(|at| self.rows.get(at)) {
                if let Key::Net([high, _]) = stored.key
                    && stored.group & V6 == 0
                {
                    let net = Net { address: u128::from(high) << 64, len: stored.group as u8 };
                    made.insert((net, stored.value, stored.until != EVER));
                }
            }
            *direct = Some(made);
        }
    }

    fn replace(&mut self, row: u32, made: &StoredKey, value: Option<Value>, until: i64) -> Option<Value> {
        let stored = self.rows.get(row as usize)?;
        let (number, ended) = (stored.value, stored.until);
        let new = value.map(|value| self.values.take(self.seed, value));
        let old = new.and_then(|_| self.values.give_back(self.seed, number));
        let number = new.unwrap_or(number);
        if let StoredKey::Net(net, is_v6) = made {
            self.set_prefix(*net, *is_v6, prefixes::slot(row, number, until != EVER), false);
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

    /// Records when a row ends.
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

    fn unlink(&mut self, row: u32, made: &StoredKey) {
        match (&mut self.finder, made) {
            (Finder::Prefix { v4, v6, direct, many }, StoredKey::Net(net, is_v6)) => {
                let nets = |row| net_of(&self.rows, row);
                if *is_v6 {
                    v6.remove(*net, nets);
                } else {
                    v4.remove(*net, nets);
                    *many -= 1;
                    if *many < FEW {
                        *direct = None;
                    }
                    if let Some(direct) = direct {
                        let below = net.len > 24 && v4.below(*net, 3, nets);
                        direct.remove(
                            *net,
                            v4.covering(*net, nets).and_then(|slot| entry(slot, nets)),
                            below,
                        );
                    }
                }
            }
            (Finder::Exact { index, groups }, StoredKey::Parts(shapes, parts)) => {
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

/// A slot of the trie in the form of the short cut.
fn entry(slot: u64, nets: impl Fn(u32) -> Option<Net>) -> Option<Entry> {
    Some((nets(prefixes::row_of(slot))?, prefixes::value_of(slot), slot & prefixes::ENDS != 0))
}
