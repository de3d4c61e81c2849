//! A key that packets have, and the triggers with windows that use it: where their states lie, and
//! how a packet's events get into them. Invariant: for each packet in order, the bucket is
//! prefetched, then the row is guessed and prefetched, then the state is visited. (Rejected: all
//! keys of one packet after the other; data that all packets share would be fetched again for each
//! key.)

use super::key_extract::{KeyForms, ROOM, Room};
use crate::trigger::{KeyHash, Moment, TriggerStore};
use mrule_compiler::abi::{Head, Packet};
use mrule_compiler::context::{BatchContext, PacketContext, Probe};
use mrule_compiler::hir::{OwnKey, Program, TriggerId};
use mrule_compiler::table::KeyValue;
use std::ops::Range;

/// Probed packets. The first of them is packet `first` of a batch.
#[derive(Clone, Copy)]
pub(super) struct ProbeBatch<'a> {
    pub packets: &'a [Packet<'a>],
    pub first: usize,
    pub context: &'a BatchContext,
    pub probe: &'a Probe,
    /// The packets' dissected headers, where a key has bytes.
    pub heads: &'a [Head],
}

/// Results for these packets: a row per packet with a value for each window, and for each trigger
/// whether the key is active.
pub(super) struct TriggerOutputs<'a> {
    pub moments: &'a mut [Moment],
    pub values: &'a mut [u64],
    pub windows: usize,
    pub active: &'a mut [bool],
    pub triggers: usize,
}

/// A key that packets have, and the triggers with windows that use it.
#[derive(Debug)]
pub(super) struct KeyGroup {
    /// The key's place among [`Program::key_groups`].
    at: usize,
    forms: KeyForms,
    pub(super) counters: Vec<Counter>,
    /// The hash of each probed packet's key, by which its states are found.
    hashes: Vec<KeyHash>,
}

/// A trigger with windows.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) trigger: usize,
    /// The places of the trigger's windows among the program's windows.
    windows: Range<usize>,
    /// The trigger's states lie beside the states of the first trigger.
    colocated: bool,
    /// How often lately the state was not beside the state of the first trigger.
    displaced: u8,
}

/// From this count on, a trigger's states are prefetched separately.
const APART: u8 = 4;

impl Counter {
    /// A trigger. Returns `None` when it has no windows.
    fn new(program: &Program, id: TriggerId) -> Option<Counter> {
        let mut windows = program.windows_of(id).map(|(id, _)| id.index());
        // The checker gives the windows of one trigger contiguous places.
        let first = windows.next()?;
        let windows = first..first + 1 + windows.count();
        Some(Counter { trigger: id.index(), windows, colocated: true, displaced: 0 })
    }

    /// Notes whether a state was displaced.
    #[inline(never)]
    fn note(&mut self, displaced: bool) {
        self.displaced =
            if displaced { (self.displaced + 1).min(2 * APART) } else { self.displaced.saturating_sub(1) };
    }

    fn is_apart(&self) -> bool {
        self.displaced >= APART
    }
}

impl<'a> ProbeBatch<'a> {
    fn seen(&self, row: usize) -> PacketContext<'a> {
        PacketContext::of(self.context, self.first + row)
    }
}

impl KeyGroup {
    pub(super) fn new(
        program: &Program,
        triggers: &TriggerStore,
        (at, own, alike): (usize, &[OwnKey], &[TriggerId]),
        ahead: usize,
    ) -> KeyGroup {
        let mut counters: Vec<Counter> = alike.iter().filter_map(|id| Counter::new(program, *id)).collect();
        if let Some((lead, others)) = counters.split_first_mut() {
            for other in others {
                other.colocated = triggers.colocated(lead.trigger, other.trigger);
            }
        }
        KeyGroup { at, forms: KeyForms::new(own), counters, hashes: vec![KeyHash::default(); ahead] }
    }

    /// Whether a part of the key is bytes, which are read from packets.
    pub(super) fn reads_bytes(&self) -> bool {
        self.forms.read_bytes()
    }

    /// The key of a packet.
    #[inline(always)]
    pub(super) fn key<'k, 'a>(
        &self,
        (probe, row): (&Probe, usize),
        head: &Head,
        packet: &'a Packet<'a>,
        seen: PacketContext<'a>,
        room: &'k mut Room<'a>,
    ) -> Option<&'k [KeyValue<'a>]> {
        self.forms.key(probe.key(row, self.at)?, head, packet, seen, room)
    }

    /// Prefetches the buckets of all packets' keys, so that their memory accesses overlap. This
    /// must come before any lock: taking a lock waits for earlier memory accesses.
    pub(super) fn prefetch_bucket(&mut self, triggers: &TriggerStore, probes: ProbeBatch) {
        let Some((lead, others)) = self.counters.split_first() else { return };
        let lead = triggers.states(lead.trigger);
        let rows = probes.packets.iter().zip(probes.heads).zip(&mut self.hashes);
        for (row, ((packet, head), hash)) in rows.enumerate() {
            let Some(words) = probes.probe.key(row, self.at) else { return };
            *hash = self.forms.hash(triggers, words, head, packet, probes.seen(row));
            lead.prefetch_bucket(hash);
        }
        for other in others.iter().filter(|other| other.is_apart()) {
            let states = triggers.states(other.trigger);
            self.hashes.iter().take(probes.packets.len()).for_each(|hash| states.prefetch_bucket(hash));
        }
    }

    /// Guesses and prefetches the rows, some time after the buckets.
    pub(super) fn prefetch_row(&mut self, triggers: &TriggerStore, packets: usize) {
        let Some((lead, others)) = self.counters.split_first() else { return };
        let lead = triggers.states(lead.trigger);
        let hashes = self.hashes.get_mut(..packets).unwrap_or(&mut []);
        for hash in &mut *hashes {
            lead.guess_row(hash);
            if others.is_empty() {
                lead.prefetch_row(hash);
            } else {
                lead.prefetch_rows(hash);
            }
        }
        for other in others.iter().filter(|other| !other.colocated || other.is_apart()) {
            let states = triggers.states(other.trigger);
            for hash in &*hashes {
                let mut hash = *hash;
                if other.is_apart() {
                    states.guess_row(&mut hash);
                }
                states.prefetch_row(&hash);
            }
        }
    }

    /// Takes the events of some packets into the windows of their keys.
    pub(super) fn observe(
        &mut self,
        triggers: &TriggerStore,
        probes: ProbeBatch,
        rows: Range<usize>,
        outputs: &mut TriggerOutputs,
    ) {
        if self.counters.is_empty() {
            return;
        }
        for row in rows {
            let (Some(moment), Some(hash)) = (outputs.moments.get_mut(row), self.hashes.get_mut(row)) else {
                return;
            };
            let mut room = None;
            // Where the hash contains the whole key, no key is built.
            let key = if hash.is_whole() {
                &[]
            } else {
                let (Some(head), Some(packet)) = (probes.heads.get(row), probes.packets.get(row)) else {
                    return;
                };
                let Some(words) = probes.probe.key(row, self.at) else { return };
                match self.forms.key(words, head, packet, probes.seen(row), room.insert(ROOM)) {
                    Some(key) => key,
                    None => {
                        *hash = KeyHash::default();
                        &[]
                    }
                }
            };
            let (windows, flags) = (row * outputs.windows, row * outputs.triggers);
            let mut visit = triggers.visit(hash, key);
            for counter in &mut self.counters {
                let Range { start, end } = counter.windows;
                let (Some(events), Some(values), Some(active)) = (
                    probes.probe.events(row, start..end),
                    outputs.values.get_mut(windows + start..windows + end),
                    outputs.active.get_mut(flags + counter.trigger),
                ) else {
                    return;
                };
                *active = visit.observe(counter.trigger, moment, events, values);
                if visit.displaced() | (counter.displaced > 0) {
                    counter.note(visit.displaced());
                }
            }
        }
    }
}
