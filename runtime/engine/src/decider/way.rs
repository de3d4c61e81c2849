//! A key that packets have, and the triggers with windows of which it is: where their states lie, and how a packet's events come
//! into them. The invariant: a state is asked for, then expected, then visited, packet by packet in their order.
//! (Rejected: packet by packet, all keys of each; what is the same for all packets is then fetched anew for each key.)

use super::own::{Forms, ROOM, Room};
use crate::trigger::{Moment, Spot, TriggerStore};
use mrule_compiler::abi::{Head, Packet};
use mrule_compiler::context::{BatchContext, PacketContext, Probe};
use mrule_compiler::hir::{OwnKey, Program, TriggerId};
use mrule_compiler::table::KeyValue;
use std::ops::Range;

/// Packets that were probed, the first of which is packet `first` of a batch.
#[derive(Clone, Copy)]
pub(super) struct Probed<'a> {
    pub packets: &'a [Packet<'a>],
    pub first: usize,
    pub sight: &'a BatchContext,
    pub probe: &'a Probe,
    /// What is in them, where a key has bytes.
    pub heads: &'a [Head],
}

/// What is said of those packets: rows of values, a value for each window, and of whether keys are active, one for each trigger.
pub(super) struct Told<'a> {
    pub moments: &'a mut [Moment],
    pub values: &'a mut [u64],
    pub windows: usize,
    pub active: &'a mut [bool],
    pub triggers: usize,
}

/// A way to a key.
#[derive(Debug)]
pub(super) struct Way {
    /// Its place among [`Program::ways`].
    at: usize,
    forms: Forms,
    pub(super) counters: Vec<Counter>,
    /// For each packet that was probed, where the states of its key are looked for.
    spots: Vec<Spot>,
}

/// A trigger with windows.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) trigger: usize,
    /// Which windows of the program are its.
    windows: Range<usize>,
    /// Its states lie beside those of the first.
    beside: bool,
    /// How often, of late, its state was not beside that of the first.
    strayed: u8,
}

/// From here on, a trigger's states are asked for by themselves.
const APART: u8 = 4;

impl Counter {
    /// A trigger; none when it has no windows.
    fn new(program: &Program, id: TriggerId) -> Option<Counter> {
        let mut windows = program.windows_of(id).map(|(id, _)| id.index());
        // The checker makes those of one trigger together.
        let first = windows.next()?;
        let windows = first..first + 1 + windows.count();
        Some(Counter { trigger: id.index(), windows, beside: true, strayed: 0 })
    }

    /// Notes whether a state was elsewhere.
    #[inline(never)]
    fn note(&mut self, strayed: bool) {
        self.strayed =
            if strayed { (self.strayed + 1).min(2 * APART) } else { self.strayed.saturating_sub(1) };
    }

    fn is_apart(&self) -> bool {
        self.strayed >= APART
    }
}

impl<'a> Probed<'a> {
    fn seen(&self, row: usize) -> PacketContext<'a> {
        PacketContext::of(self.sight, self.first + row)
    }
}

impl Way {
    pub(super) fn new(
        program: &Program,
        triggers: &TriggerStore,
        (at, own, alike): (usize, &[OwnKey], &[TriggerId]),
        ahead: usize,
    ) -> Way {
        let mut counters: Vec<Counter> = alike.iter().filter_map(|id| Counter::new(program, *id)).collect();
        if let Some((lead, others)) = counters.split_first_mut() {
            for other in others {
                other.beside = triggers.beside(lead.trigger, other.trigger);
            }
        }
        Way { at, forms: Forms::new(own), counters, spots: vec![Spot::default(); ahead] }
    }

    /// Whether a part of the key is bytes, which are read from packets.
    pub(super) fn reads_bytes(&self) -> bool {
        self.forms.read_bytes()
    }

    /// The key that a packet has.
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

    /// Asks the memory where the states of all packets' keys are, so that these come side by side: a lock, as each key takes, waits
    /// for what was asked before it.
    pub(super) fn seek(&mut self, triggers: &TriggerStore, probed: Probed) {
        let Some((lead, others)) = self.counters.split_first() else { return };
        let lead = triggers.states(lead.trigger);
        let rows = probed.packets.iter().zip(probed.heads).zip(&mut self.spots);
        for (row, ((packet, head), spot)) in rows.enumerate() {
            let Some(words) = probed.probe.key(row, self.at) else { return };
            *spot = self.forms.spot(triggers, words, head, packet, probed.seen(row));
            lead.seek(spot);
        }
        for other in others.iter().filter(|other| other.is_apart()) {
            let states = triggers.states(other.trigger);
            self.spots.iter().take(probed.packets.len()).for_each(|spot| states.seek(spot));
        }
    }

    /// Asks it for the states, some time after that.
    pub(super) fn hint(&mut self, triggers: &TriggerStore, packets: usize) {
        let Some((lead, others)) = self.counters.split_first() else { return };
        let lead = triggers.states(lead.trigger);
        let spots = self.spots.get_mut(..packets).unwrap_or(&mut []);
        for spot in &mut *spots {
            lead.expect(spot);
            if others.is_empty() {
                lead.hint(spot);
            } else {
                lead.hint_all(spot);
            }
        }
        for other in others.iter().filter(|other| !other.beside || other.is_apart()) {
            let states = triggers.states(other.trigger);
            for spot in &*spots {
                let mut spot = *spot;
                if other.is_apart() {
                    states.expect(&mut spot);
                }
                states.hint(&spot);
            }
        }
    }

    /// Takes the events of some packets into the windows of their keys.
    pub(super) fn observe(
        &mut self,
        triggers: &TriggerStore,
        probed: Probed,
        rows: Range<usize>,
        told: &mut Told,
    ) {
        if self.counters.is_empty() {
            return;
        }
        for row in rows {
            let (Some(moment), Some(spot)) = (told.moments.get_mut(row), self.spots.get_mut(row)) else {
                return;
            };
            let mut room = None;
            // Where the spot says all of the key, none is made.
            let key = if spot.is_whole() {
                &[]
            } else {
                let (Some(head), Some(packet)) = (probed.heads.get(row), probed.packets.get(row)) else {
                    return;
                };
                let Some(words) = probed.probe.key(row, self.at) else { return };
                match self.forms.key(words, head, packet, probed.seen(row), room.insert(ROOM)) {
                    Some(key) => key,
                    None => {
                        *spot = Spot::default();
                        &[]
                    }
                }
            };
            let (windows, flags) = (row * told.windows, row * told.triggers);
            let mut visit = triggers.visit(spot, key);
            for counter in &mut self.counters {
                let Range { start, end } = counter.windows;
                let (Some(events), Some(values), Some(active)) = (
                    probed.probe.events(row, start..end),
                    told.values.get_mut(windows + start..windows + end),
                    told.active.get_mut(flags + counter.trigger),
                ) else {
                    return;
                };
                *active = visit.observe(counter.trigger, moment, events, values);
                if visit.strayed() | (counter.strayed > 0) {
                    counter.note(visit.strayed());
                }
            }
        }
    }
}
