//! Tables: sets and maps that packets are looked up in. A row's key is a tuple of numbers,
//! addresses with a prefix length and byte strings. A single prefix is found in a trie
//! (`prefixes`); other keys by hash (`index`), in one group of rows for each combination of prefix
//! lengths, longest prefix first. Rows may end at a time. The invariants: a look-up allocates
//! nothing; a v4 address never matches a v6 prefix. A copy shares all memory with its original
//! until either is changed; a change copies some kilobytes, so tables change while they are read.
//! (Rejected: a trie for tuples too, which has no answer for them; an index built anew at each
//! change.)

use crate::value::{Value, ValueTy};
use std::net::IpAddr;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

mod change;
mod chunks;
mod direct;
mod expiry;
mod index;
mod key;
mod prefixes;
pub mod text;
mod values;

use chunks::Chunks;
use direct::{Direct, Found};
use expiry::Expiry;
use index::Index;
pub use key::KeyValue;
use key::{KeyPart, Shape, key_value, mask, stored};
use prefixes::{Net, Prefixes};
use values::Values;

pub use crate::abi::MAX_KEY;

/// The default greatest number of rows of a table.
pub const DEFAULT_ROWS: usize = 1 << 22;

/// The greatest number of rows that a table can be given.
pub const MOST_ROWS: usize = 1 << 25;

/// Why a row could not be inserted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The key has another number of parts than the table's type.
    #[error("a key of {expected} parts is needed, {found} were given")]
    Arity {
        /// Parts of the table's key.
        expected: usize,
        /// Parts given.
        found: usize,
    },
    /// A part or the value has another type than the table's.
    #[error("a value of another type than the table's")]
    Type,
    /// The table is full: it has this many rows.
    #[error("the table is full: it holds at most {0} rows")]
    Full(usize),
    /// More than [`MAX_KEY`] parts.
    #[error("a key has at most {MAX_KEY} parts")]
    Wide,
    /// A key without order is not a pair of one type.
    #[error("a key without order is a pair of one type")]
    NoPair,
}

/// The form of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The types of the key's parts.
    pub key: Vec<ValueTy>,
    /// The type of the values. `None`: a set.
    pub value: Option<ValueTy>,
    /// Whether the key is a pair that stands for both of its orders.
    pub unordered: bool,
    /// The words of a table whose values are words; a value is a word's number.
    pub words: Arc<[String]>,
}

impl Form {
    /// A set, or a map, with keys in order.
    pub fn new(key: &[ValueTy], value: Option<ValueTy>) -> Form {
        Form { key: key.to_vec(), value, unordered: false, words: Arc::default() }
    }
}

/// A row: its key, its value, and when it ends.
pub type Row = (Vec<Value>, Option<Value>, Option<i64>);

#[derive(Debug, Clone, Default)]
struct Stored {
    key: Key,
    /// The number of its group, or its prefix's length and family.
    group: u32,
    value: u32,
    until: i64,
}

#[derive(Debug, Clone)]
enum Key {
    /// A free row: the number of the next free row.
    Free(u32),
    One(KeyPart),
    Many(Arc<[KeyPart]>),
    /// The first bits of an address, at the left of 128.
    Net([u64; 2]),
}

impl Default for Key {
    fn default() -> Key {
        Key::Free(u32::MAX)
    }
}

/// The `group` of a v6 prefix: this and its length.
const V6: u32 = 1 << 8;
/// The `until` of a row that does not end.
const EVER: i64 = i64::MAX;

/// The rows whose parts have these shapes.
#[derive(Debug, Clone)]
struct Group {
    shapes: Box<[Shape]>,
    number: u32,
    rows: usize,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a table has one of them, in its place")]
enum Finder {
    /// Rows by one prefix, of either family. `many`: the number of IPv4 rows. A large number has a
    /// short cut.
    Prefix { v4: Prefixes, v6: Prefixes, direct: Option<Direct>, many: usize },
    /// Rows by hash. The groups are in the order of look-ups: by the first part's prefix length,
    /// longest first, then the second's.
    Exact { index: Index, groups: Vec<Group> },
}

/// A set or map.
#[derive(Debug, Clone)]
pub struct Table {
    form: Arc<Form>,
    limit: usize,
    len: usize,
    seed: u64,
    rows: Chunks<Stored, 9>,
    free: Option<u32>,
    finder: Finder,
    values: Values,
    expiry: Expiry,
    /// Rows that end.
    ending: usize,
    /// Bytes of keys outside of rows.
    outside: usize,
}

impl Table {
    /// An empty table of this key and value type that holds at most `limit` rows, or [`MOST_ROWS`].
    pub fn new(key: &[ValueTy], value: Option<ValueTy>, limit: usize) -> Result<Table, TableError> {
        Table::of(Form::new(key, value), limit)
    }

    /// An empty table of this form that holds at most `limit` rows, or [`MOST_ROWS`].
    pub fn of(form: Form, limit: usize) -> Result<Table, TableError> {
        if form.key.len() > MAX_KEY {
            return Err(TableError::Wide);
        }
        if form.unordered && !matches!(form.key.as_slice(), [a, b] if a == b) {
            return Err(TableError::NoPair);
        }
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
        let finder = match form.key.as_slice() {
            [ValueTy::Cidr] => {
                Finder::Prefix { v4: Prefixes::new(), v6: Prefixes::new(), direct: None, many: 0 }
            }
            _ => Finder::Exact { index: Index::new(), groups: Vec::new() },
        };
        Ok(Table {
            form: Arc::new(form),
            limit: limit.min(MOST_ROWS),
            len: 0,
            seed,
            rows: Chunks::new(),
            free: None,
            finder,
            values: Values::new(),
            expiry: Expiry::new(),
            ending: 0,
            outside: 0,
        })
    }

    /// The form of its rows.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// The number of rows, including expired rows that are not removed yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The greatest number of rows.
    pub fn capacity(&self) -> usize {
        self.limit
    }

    /// Approximate bytes of memory. A text that several rows' keys or other tables share counts for
    /// each.
    pub fn memory(&self) -> usize {
        let finder = match &self.finder {
            Finder::Prefix { v4, v6, direct, .. } => {
                v4.memory() + v6.memory() + direct.as_ref().map_or(0, Direct::memory)
            }
            Finder::Exact { index, .. } => index.memory(),
        };
        finder + self.rows.memory() + self.values.memory() + self.expiry.memory() + self.outside
    }

    /// Whether a row's key covers this one at a time, in nanoseconds since the Unix epoch.
    pub fn contains(&self, key: &[KeyValue], now: i64) -> bool {
        self.find(key, now).is_some()
    }

    /// The value, at a time, of the row whose key covers this one, by the longest prefix of the
    /// first part, then of the second, and so on; `None` in a set. Of a pair without order, the
    /// part with the longer prefix is the first.
    pub fn get(&self, key: &[KeyValue], now: i64) -> Option<&Value> {
        self.values.get(self.find(key, now)?)
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        (0..self.rows.len()).filter_map(|at| self.row(at as u32))
    }

    /// Row number `at`. As long as no row was removed, rows are numbered from 0 in the order of
    /// insertion.
    pub fn row(&self, at: u32) -> Option<Row> {
        let stored = self.rows.get(at as usize)?;
        let key = match &stored.key {
            Key::Free(_) => return None,
            Key::One(part) => vec![part.value()],
            Key::Many(parts) => parts.iter().map(KeyPart::value).collect(),
            Key::Net([high, low]) => {
                let len = stored.group as u8;
                let ip = match stored.group & V6 {
                    0 => IpAddr::V4(((high >> 32) as u32).into()),
                    _ => IpAddr::V6((u128::from(*high) << 64 | u128::from(*low)).into()),
                };
                vec![Value::Ip(ip, len)]
            }
        };
        let key = match &self.finder {
            Finder::Prefix { .. } => key,
            Finder::Exact { groups, .. } => {
                let shapes = groups.iter().find(|g| g.number == stored.group).map(|g| &g.shapes);
                key.into_iter().zip(shapes?).map(|(value, shape)| shape.value(value)).collect()
            }
        };
        Some((key, self.values.get(stored.value).cloned(), (stored.until != EVER).then_some(stored.until)))
    }

    /// The number of the row with exactly this key.
    pub fn number(&self, key: &[Value]) -> Result<Option<u32>, TableError> {
        Ok(self.exact(&self.made(key)?))
    }

    /// The number of the value of the row that covers a key.
    fn find(&self, key: &[KeyValue], now: i64) -> Option<u32> {
        let lives = |row: u32| self.rows.get(row as usize).is_some_and(|stored| now < stored.until);
        match (&self.finder, key) {
            (Finder::Prefix { v4, direct, .. }, [KeyValue::V4(ip)]) => {
                if let Some(Found::Value(value)) = direct.as_ref().map(|direct| direct.find(*ip)) {
                    return value;
                }
                let slot = v4.longest(u128::from(*ip) << 96, |row| net_of(&self.rows, row), lives);
                slot.map(prefixes::value_of)
            }
            (Finder::Prefix { v6, .. }, [KeyValue::V6(ip)]) => {
                let slot = v6.longest(*ip, |row| net_of(&self.rows, row), lives);
                slot.map(prefixes::value_of)
            }
            (Finder::Prefix { .. }, _) => None,
            (Finder::Exact { index, groups }, _) => {
                if key.len() != self.form.key.len() {
                    return None;
                }
                match key {
                    &[a, b] if self.form.unordered => {
                        let (a, b) = if b < a { (b, a) } else { (a, b) };
                        groups.iter().find_map(|group| {
                            let there = self.find_in(index, group, &[a, b], lives);
                            // Rows of equal shapes are stored in the order of their parts.
                            let alike = matches!(*group.shapes, [a, b] if a == b);
                            if alike {
                                there
                            } else {
                                there.or_else(|| self.find_in(index, group, &[b, a], lives))
                            }
                        })
                    }
                    _ => groups.iter().find_map(|group| self.find_in(index, group, key, lives)),
                }
            }
        }
    }

    fn find_in(
        &self,
        index: &Index,
        group: &Group,
        key: &[KeyValue],
        lives: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let masked = || key.iter().zip(&group.shapes).map(|(&part, &shape)| mask(part, shape));
        let hash =
            masked().try_fold(first(self.seed, group.number), |seed, part| Some(hash_part(seed, part?)))?;
        let mut value = None;
        index
            .find(hash, |row| {
                let Some(stored) = self.rows.get(row as usize) else { return false };
                let same = stored.group == group.number
                    && match &stored.key {
                        Key::One(part) => masked().eq([Some(key_value(part))]),
                        Key::Many(parts) => masked().eq(parts.iter().map(|part| Some(key_value(part)))),
                        Key::Net(_) | Key::Free(_) => false,
                    };
                value = Some(stored.value);
                same
            })
            .filter(|row| lives(*row))
            .and(value)
    }

    /// A row's key: checked, without host bits, and a pair without order in its stored order.
    fn made(&self, key: &[Value]) -> Result<StoredKey, TableError> {
        if key.len() != self.form.key.len() {
            return Err(TableError::Arity { expected: self.form.key.len(), found: key.len() });
        }
        if !key.iter().zip(&self.form.key).all(|(value, &ty)| self.fits(ty, value)) {
            return Err(TableError::Type);
        }
        if let (Finder::Prefix { .. }, [Value::Ip(ip, len)]) = (&self.finder, key) {
            let address = match ip {
                IpAddr::V4(ip) => u128::from(ip.to_bits() & key::mask_v4(*len)) << 96,
                IpAddr::V6(ip) => ip.to_bits() & key::mask_v6(*len),
            };
            return Ok(StoredKey::Net(Net { address, len: *len }, ip.is_ipv6()));
        }
        let mut both: Vec<(Shape, KeyPart)> = key.iter().map(stored).collect();
        if self.form.unordered {
            both.sort_unstable();
        }
        let (shapes, parts) = both.into_iter().unzip();
        Ok(StoredKey::Parts(shapes, parts))
    }

    /// The row of exactly this key.
    fn exact(&self, made: &StoredKey) -> Option<u32> {
        match (&self.finder, made) {
            (Finder::Prefix { v4, v6, .. }, StoredKey::Net(net, is_v6)) => {
                let trie = if *is_v6 { v6 } else { v4 };
                trie.find(*net, |row| net_of(&self.rows, row)).map(prefixes::row_of)
            }
            (Finder::Exact { index, groups }, StoredKey::Parts(shapes, parts)) => {
                let at = groups.binary_search_by(|g| g.shapes.as_ref().cmp(shapes)).ok()?;
                let group = groups.get(at)?;
                let is = |row| self.is(row, group.number, parts);
                index.find(hash(self.seed, group.number, parts), is)
            }
            _ => None,
        }
    }

    fn is(&self, row: u32, group: u32, parts: &[KeyPart]) -> bool {
        let Some(stored) = self.rows.get(row as usize).filter(|s| s.group == group) else { return false };
        match &stored.key {
            Key::One(part) => parts == std::slice::from_ref(part),
            Key::Many(many) => **many == *parts,
            Key::Net(_) | Key::Free(_) => false,
        }
    }

    /// Whether a value can stand in a table of this type.
    fn fits(&self, ty: ValueTy, value: &Value) -> bool {
        match (ty, value) {
            (ValueTy::Bool, Value::Num(n)) => *n <= 1,
            (ValueTy::Mac, Value::Num(n)) => *n < 1 << 48,
            (ValueTy::Word, Value::Num(n)) => *n < self.form.words.len() as u64,
            (ValueTy::Uint | ValueTy::Size | ValueTy::Duration, Value::Num(_)) => true,
            (ValueTy::Ip, Value::Ip(ip, len)) => *len == if ip.is_ipv4() { 32 } else { 128 },
            (ValueTy::Cidr, Value::Ip(ip, len)) => *len <= if ip.is_ipv4() { 32 } else { 128 },
            (ValueTy::String, Value::Text(_)) => true,
            _ => false,
        }
    }
}

/// Tables are equal if they have one form and the same rows.
impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        let same = |(key, value, until): Row| {
            let row = other.number(&key).ok().flatten().and_then(|row| other.row(row));
            row.is_some_and(|row| (row.1, row.2) == (value, until))
        };
        self.form == other.form && self.len == other.len && self.rows().all(same)
    }
}

/// A key as it is stored.
enum StoredKey {
    Net(Net, bool),
    Parts(Vec<Shape>, Vec<KeyPart>),
}

impl Key {
    /// Bytes outside of the row.
    fn outside(&self) -> usize {
        match self {
            Key::One(part) => part.outside(),
            Key::Many(parts) => {
                16 + size_of_val(&**parts) + parts.iter().map(KeyPart::outside).sum::<usize>()
            }
            Key::Net(_) | Key::Free(_) => 0,
        }
    }
}

fn net_of(rows: &Chunks<Stored, 9>, row: u32) -> Option<Net> {
    let stored = rows.get(row as usize)?;
    let Key::Net([high, low]) = stored.key else { return None };
    Some(Net { address: u128::from(high) << 64 | u128::from(low), len: stored.group as u8 })
}

/// The start of the hashes of a group.
fn first(seed: u64, group: u32) -> u64 {
    seed ^ u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash(seed: u64, group: u32, parts: &[KeyPart]) -> u64 {
    parts.iter().fold(first(seed, group), |seed, part| hash_part(seed, key_value(part)))
}

fn hash_part(seed: u64, part: KeyValue) -> u64 {
    match part {
        KeyValue::Num(n) => xxh3_64_with_seed(&n.to_le_bytes(), seed),
        KeyValue::V4(ip) => xxh3_64_with_seed(&ip.to_le_bytes(), seed),
        KeyValue::V6(ip) => xxh3_64_with_seed(&ip.to_le_bytes(), seed),
        KeyValue::Bytes(bytes) => xxh3_64_with_seed(bytes, seed),
    }
}

#[cfg(test)]
mod tests;
