//! The keys that packets have for triggers: turns the words that engines write into values, and
//! reads from the packet what engines do not write. Invariant: a key is built in the caller's
//! buffer, and only its own parts are written. (Rejected: keys returned by value, 264 bytes that
//! are copied two or three times.)

use crate::trigger::{KeyHash, TriggerStore};
use mrule_compiler::abi::{Head, MAX_KEY, OwnKeyWords, Packet};
use mrule_compiler::context::PacketContext;
use mrule_compiler::fields::Facet;
use mrule_compiler::helpers;
use mrule_compiler::hir::{Bytes, Key, OwnKey};
use mrule_compiler::table::KeyValue;

/// The kind of a key's part. This module reads the parts that the engine does not write.
#[derive(Debug)]
enum PartSource {
    Num,
    V4,
    V6,
    Bytes(Bytes),
    Facet(Facet),
}

/// For each form of a key, the kinds of its parts.
#[derive(Debug)]
pub(super) struct KeyForms(Vec<Vec<PartSource>>);

/// A buffer for a key.
pub(super) type Room<'a> = [KeyValue<'a>; MAX_KEY];

/// An empty buffer.
pub(super) const ROOM: Room<'static> = [KeyValue::Num(0); MAX_KEY];

impl KeyForms {
    pub(super) fn new(own: &[OwnKey]) -> KeyForms {
        let part = |part: &Key| match part {
            Key::Ipv4(_) => PartSource::V4,
            Key::Ipv6(_) => PartSource::V6,
            Key::Bytes(bytes) => PartSource::Bytes(bytes.clone()),
            Key::Facet(facet) => PartSource::Facet(*facet),
            // A constant is not part of a packet's own key.
            Key::Num(_) | Key::Text(_) => PartSource::Num,
        };
        KeyForms(own.iter().map(|form| form.key.iter().map(part).collect()).collect())
    }

    /// Whether a part is bytes. To read it, the packet's dissected headers are needed.
    pub(super) fn read_bytes(&self) -> bool {
        self.0.iter().flatten().any(|part| matches!(part, PartSource::Bytes(_)))
    }

    /// The key of a packet.
    #[inline(always)]
    pub(super) fn key<'k, 'a>(
        &self,
        words: &OwnKeyWords,
        head: &Head,
        packet: &'a Packet<'a>,
        seen: PacketContext<'a>,
        room: &'k mut Room<'a>,
    ) -> Option<&'k [KeyValue<'a>]> {
        let form = self.form(words)?;
        for ((value, part), words) in room.iter_mut().zip(form).zip(&words.parts) {
            *value = match part {
                PartSource::Num => num(words),
                PartSource::V4 => v4(words),
                PartSource::V6 => v6(words),
                PartSource::Bytes(bytes) => KeyValue::Bytes(helpers::bytes(packet, head, bytes)?),
                PartSource::Facet(facet) => helpers::first_facet(seen, *facet)?,
            };
        }
        room.get(..form.len())
    }

    /// The hash of a packet's key; the default where the packet has no key.
    #[inline(always)]
    pub(super) fn hash<'a>(
        &self,
        triggers: &TriggerStore,
        words: &OwnKeyWords,
        head: &Head,
        packet: &'a Packet<'a>,
        seen: PacketContext<'a>,
    ) -> KeyHash {
        let first = &words.parts[0];
        // Most keys are one or two words and need no buffer.
        match self.form(words) {
            Some([PartSource::Num]) => triggers.hash(&[num(first)]),
            Some([PartSource::V4]) => triggers.hash(&[v4(first)]),
            Some([PartSource::V6]) => triggers.hash(&[v6(first)]),
            _ => self.hash_of_several(triggers, words, head, packet, seen),
        }
    }

    #[inline(never)]
    fn hash_of_several<'a>(
        &self,
        triggers: &TriggerStore,
        words: &OwnKeyWords,
        head: &Head,
        packet: &'a Packet<'a>,
        seen: PacketContext<'a>,
    ) -> KeyHash {
        let mut room = ROOM;
        let key = self.key(words, head, packet, seen, &mut room);
        key.map_or_else(KeyHash::default, |key| triggers.hash(key))
    }

    #[inline(always)]
    fn form(&self, words: &OwnKeyWords) -> Option<&[PartSource]> {
        Some(self.0.get(usize::try_from(words.form).ok()?.checked_sub(1)?)?)
    }
}

#[inline(always)]
fn num([_, low]: &[u64; 2]) -> KeyValue<'static> {
    KeyValue::Num(*low)
}

#[inline(always)]
fn v4([_, low]: &[u64; 2]) -> KeyValue<'static> {
    KeyValue::V4(*low as u32)
}

#[inline(always)]
fn v6([high, low]: &[u64; 2]) -> KeyValue<'static> {
    KeyValue::V6(u128::from(*high) << 64 | u128::from(*low))
}
