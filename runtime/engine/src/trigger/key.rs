//! Keys: converts the parts of a key to words, and words to the text that is shown. A part is two
//! words and a kind, so that a number never equals an address, an IPv4 address never an IPv6
//! address, and text neither of them. Text of up to 15 bytes is in the words. Longer text is in
//! them as a 128-bit hash; text of up to 64 bytes is also stored beside them if the trigger keeps
//! text. Invariant: two keys are equal when kinds, words and stored text are equal; for longer
//! text, or without stored text, this is as sure as the hash. (Rejected: keys as byte strings of
//! any length, which are slower to hash and compare.)

use super::cells::{get, set};
use super::lock_shards;
use mrule_compiler::abi::MAX_KEY;
use mrule_compiler::hir::Value;
use mrule_compiler::table::KeyValue;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicU64;
use xxhash_rust::xxh3::xxh3_128;

/// The longest text that is stored as it is, in bytes.
pub const MAX_TEXT: usize = 64;
/// Words of stored text beside a part: its length, its bytes.
pub(super) const TEXT_WORDS: usize = 1 + MAX_TEXT / 8;
/// Text of up to this number of bytes is in the words of its part.
const SHORT_TEXT: usize = 15;

pub(super) const NUM: u64 = 0;
pub(super) const V4: u64 = 1;
pub(super) const V6: u64 = 2;
pub(super) const SHORT: u64 = 3;
pub(super) const LONG: u64 = 4;
/// Number of bits of a kind.
pub(super) const KIND_BITS: usize = 3;

/// A part as words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct PackedPart {
    pub(super) kind: u64,
    pub(super) low: u64,
    pub(super) high: u64,
}

impl PackedPart {
    #[inline(always)]
    pub(super) fn of(value: &KeyValue) -> PackedPart {
        match *value {
            KeyValue::Num(n) => PackedPart { kind: NUM, low: n, high: 0 },
            KeyValue::V4(ip) => PackedPart { kind: V4, low: u64::from(ip), high: 0 },
            KeyValue::V6(ip) => PackedPart { kind: V6, low: ip as u64, high: (ip >> 64) as u64 },
            KeyValue::Bytes(text) => PackedPart::text(text),
        }
    }

    #[inline(never)]
    fn text(text: &[u8]) -> PackedPart {
        let (kind, words) = if text.len() <= SHORT_TEXT {
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(text) {
                *to = *from;
            }
            bytes[SHORT_TEXT] = text.len() as u8;
            (SHORT, u128::from_le_bytes(bytes))
        } else {
            (LONG, xxh3_128(text))
        };
        PackedPart { kind, low: words as u64, high: (words >> 64) as u64 }
    }
}

/// Folds a product into a word: each bit of the word depends on all bits of both factors.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A key as it is looked for, in all triggers of a store that have this key. The default is no key,
/// for which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash {
    /// Determines bucket and lock. Which keys collide cannot be predicted without the seed.
    pub(super) hash: u64,
    /// The key's first part: low word, high word.
    pub(super) first: [u64; 2],
    /// The kinds of the key's parts, the first in the lowest bits.
    pub(super) kinds: u32,
    /// The row in which the key is expected, plus 1; 0 for none.
    pub(super) row: u32,
    /// The number of the key's parts.
    pub(super) parts: u8,
    /// The number of parts if this record contains the whole key; else [`PART_OF_IT`].
    pub(super) whole: u8,
}

/// Markers above any number of parts, all different.
const PART_OF_IT: u8 = u8::MAX;
const NO_KEY: u8 = u8::MAX - 2;

impl Default for KeyHash {
    fn default() -> KeyHash {
        KeyHash { hash: 0, first: [0; 2], kinds: 0, row: 0, parts: NO_KEY, whole: NO_KEY }
    }
}

impl KeyHash {
    #[inline(always)]
    pub(super) fn new(seed: [u64; 2], key: &[KeyValue]) -> KeyHash {
        let [value] = key else { return KeyHash::of_several(seed, key) };
        let part = PackedPart::of(value);
        let hash = last(seed, next(seed, seed[0], part));
        let whole = if part.kind == LONG { PART_OF_IT } else { 1 };
        KeyHash { hash, first: [part.low, part.high], kinds: part.kind as u32, row: 0, parts: 1, whole }
    }

    #[inline(never)]
    fn of_several(seed: [u64; 2], key: &[KeyValue]) -> KeyHash {
        if key.len() > MAX_KEY {
            return KeyHash::default();
        }
        let whole = if key.is_empty() { 0 } else { PART_OF_IT };
        let mut hash = KeyHash { hash: seed[0], parts: key.len() as u8, whole, ..KeyHash::default() };
        for (i, part) in key.iter().map(PackedPart::of).enumerate() {
            hash.hash = next(seed, hash.hash, part);
            hash.kinds |= (part.kind as u32) << (KIND_BITS * i);
            if i == 0 {
                hash.first = [part.low, part.high];
            }
        }
        hash.hash = last(seed, hash.hash);
        hash
    }

    /// Whether this record contains the whole key, so that callers need no separate key.
    #[inline(always)]
    pub(crate) fn is_whole(&self) -> bool {
        self.whole != PART_OF_IT
    }

    /// The key's lock.
    #[inline(always)]
    pub(super) fn lock_shard(&self) -> usize {
        (self.hash >> (u64::BITS - lock_shards::BITS)) as usize
    }
}

/// Derives a seed from a number.
pub(super) fn seed_of(number: u64) -> [u64; 2] {
    [0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db]
        .map(|odd| KeyHash::new([odd, !odd | 1], &[KeyValue::Num(number)]).hash | 1)
}

#[inline(always)]
fn next(seed: [u64; 2], hash: u64, part: PackedPart) -> u64 {
    fold(part.low ^ hash, part.high ^ part.kind ^ seed[1])
}

#[inline(always)]
fn last(seed: [u64; 2], hash: u64) -> u64 {
    fold(hash ^ seed[0], seed[1])
}

/// Stores the text of a part, if there is room for it.
pub(super) fn put_text(cells: &[AtomicU64], text: &[u8]) {
    let Some((len, cells)) = cells.split_first() else { return };
    let fits = text.len() <= MAX_TEXT;
    set(len, if fits { text.len() as u64 } else { 0 });
    for (cell, bytes) in cells.iter().zip(text.chunks(8)) {
        set(cell, word(bytes));
    }
}

/// Whether the stored text equals `text`. Without stored text, or when it is too long, the hash has
/// already decided.
pub(super) fn same_text(cells: &[AtomicU64], text: &[u8]) -> bool {
    let Some((len, cells)) = cells.split_first() else { return true };
    if text.len() > MAX_TEXT {
        return get(len) == 0;
    }
    get(len) == text.len() as u64
        && cells.iter().zip(text.chunks(8)).all(|(cell, bytes)| get(cell) == word(bytes))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// A part of a key, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyPart {
    /// A number, a MAC address or a flag.
    Num(u64),
    /// An IP address.
    Ip(IpAddr),
    /// Text or bytes.
    Text(Vec<u8>),
    /// Text of which only the hash is kept.
    Hash(u128),
}

impl KeyPart {
    pub(super) fn new(part: PackedPart, text: &[AtomicU64]) -> KeyPart {
        let both = u128::from(part.high) << 64 | u128::from(part.low);
        match part.kind {
            NUM => KeyPart::Num(part.low),
            V4 => KeyPart::Ip(Ipv4Addr::from_bits(part.low as u32).into()),
            V6 => KeyPart::Ip(Ipv6Addr::from_bits(both).into()),
            SHORT => {
                let bytes = both.to_le_bytes();
                let len = usize::from(bytes[SHORT_TEXT]).min(SHORT_TEXT);
                KeyPart::Text(bytes[..len].to_vec())
            }
            _ => match text.split_first() {
                Some((len, cells)) if get(len) != 0 => {
                    let bytes = cells.iter().flat_map(|cell| get(cell).to_le_bytes());
                    KeyPart::Text(bytes.take(get(len) as usize).collect())
                }
                _ => KeyPart::Hash(both),
            },
        }
    }

    /// A part of a key from outside.
    pub(super) fn given(value: &KeyValue) -> KeyPart {
        match *value {
            KeyValue::Bytes(text) if text.len() <= MAX_TEXT => KeyPart::Text(text.to_vec()),
            _ => KeyPart::new(PackedPart::of(value), &[]),
        }
    }

    /// Whether this part was made from this value.
    pub(super) fn is(&self, value: &KeyValue) -> bool {
        match (self, *value) {
            (KeyPart::Num(mine), KeyValue::Num(n)) => *mine == n,
            (KeyPart::Ip(IpAddr::V4(mine)), KeyValue::V4(ip)) => mine.to_bits() == ip,
            (KeyPart::Ip(IpAddr::V6(mine)), KeyValue::V6(ip)) => mine.to_bits() == ip,
            (KeyPart::Text(mine), KeyValue::Bytes(text)) => mine == text,
            (KeyPart::Hash(mine), KeyValue::Bytes(text)) => text.len() > MAX_TEXT && *mine == xxh3_128(text),
            _ => false,
        }
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            KeyPart::Num(n) => write!(f, "{n}"),
            KeyPart::Ip(ip) => write!(f, "{ip}"),
            KeyPart::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            KeyPart::Hash(hash) => write!(f, "text with hash {hash:032x}"),
        }
    }
}

/// A key as it is shown.
pub fn key_parts(key: &[KeyValue]) -> Vec<KeyPart> {
    key.iter().map(KeyPart::given).collect()
}

/// A key as text: a single part alone, several parts in parentheses, `()` for a global switch.
pub fn key_text(parts: &[KeyPart]) -> String {
    let list = parts.iter().map(KeyPart::to_string).collect::<Vec<_>>().join(", ");
    if parts.len() == 1 { list } else { format!("({list})") }
}

/// A key from values of the language. Returns `None` when a part is a prefix instead of an address.
pub fn key_values(key: &[Value]) -> Option<Vec<KeyValue<'_>>> {
    key.iter()
        .map(|value| match value {
            Value::Num(n) => Some(KeyValue::Num(*n)),
            Value::Ip(IpAddr::V4(ip), 32) => Some(KeyValue::V4(ip.to_bits())),
            Value::Ip(IpAddr::V6(ip), 128) => Some(KeyValue::V6(ip.to_bits())),
            Value::Ip(..) => None,
            Value::Text(text) => Some(KeyValue::Bytes(text)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_different_kinds_are_never_the_same() {
        let text = [0, 0, 0, 1];
        let mapped = Ipv4Addr::new(0, 0, 0, 1).to_ipv6_mapped().to_bits();
        let alike = [
            KeyValue::Num(1),
            KeyValue::V4(1),
            KeyValue::V6(1),
            KeyValue::V6(mapped),
            KeyValue::Bytes(&text),
            KeyValue::Bytes(b""),
            KeyValue::Bytes(b"\0"),
        ];
        for (i, a) in alike.iter().enumerate() {
            for (j, b) in alike.iter().enumerate() {
                assert_eq!(PackedPart::of(a) == PackedPart::of(b), i == j, "{a:?} {b:?}");
                let seed = [0x1234_5678_9abc_def3, 0xfeed_dead_beef_cafd];
                let [one, other] = [a, b].map(|value| KeyHash::new(seed, &[*value]));
                assert_eq!(one.hash == other.hash, i == j, "{a:?} {b:?}");
                let kinds = KeyHash::new(seed, &[*a, *b]).kinds;
                assert_eq!(u64::from(kinds), PackedPart::of(a).kind | PackedPart::of(b).kind << KIND_BITS);
            }
        }
    }

    #[test]
    fn keys_as_text() {
        let part = |value: KeyValue| KeyPart::new(PackedPart::of(&value), &[]);
        let key = [
            part(KeyValue::V4(0x0a00_0001)),
            part(KeyValue::V6(1)),
            part(KeyValue::Num(443)),
            part(KeyValue::Bytes(b"a\"b\n")),
        ];
        assert_eq!(key_text(&key), r#"(10.0.0.1, ::1, 443, "a\"b\n")"#);
        assert_eq!(key_text(&key[..1]), "10.0.0.1");
        assert_eq!(key_text(&[]), "()");
    }

    #[test]
    fn text_beside_a_part() {
        let cells = super::super::cells::words(TEXT_WORDS).unwrap_or_default();
        for len in 16..=MAX_TEXT {
            let text: Vec<u8> = (0..len as u8).collect();
            put_text(&cells, &text);
            assert!(same_text(&cells, &text));
            assert!(!same_text(&cells, &text[1..]));
            assert_eq!(KeyPart::new(PackedPart::of(&KeyValue::Bytes(&text)), &cells), KeyPart::Text(text));
        }
        let long = [7; MAX_TEXT + 1];
        put_text(&cells, &long);
        assert!(same_text(&cells, &long) && !same_text(&cells, &long[1..]));
        assert!(matches!(KeyPart::new(PackedPart::of(&KeyValue::Bytes(&long)), &cells), KeyPart::Hash(_)));
    }
}
