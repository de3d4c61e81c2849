//! What is known of the packets of a batch beside their bytes: their flows, the patterns that their
//! streams contain, what their messages say. Whoever tracks flows fills it, engines read it. The
//! invariant: `heads.len() == flows.len() == capacity`, `found.len() == capacity * words`; a packet
//! that nobody looked at has no presence bits, so whatever asks for its flow is false. (Rejected:
//! engines that look into the table of flows; they would no longer be pure.)

use crate::abi::{FlowView, Head, OwnKeyWords, Packet, WindowEvent};
use crate::dissect;
use crate::fields::Facet;
use crate::hir::{Program, StreamId, TriggerId};
use std::ops::Range;

/// What became of a trigger's conditions for one packet.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fired {
    /// Its `when` does not hold.
    #[default]
    No = 0,
    /// It is raised.
    Raised = 1,
    /// Its `when` holds, and so does its `unless`.
    Vetoed = 2,
}

/// The most facets that one packet has; more are counted and left out.
pub const MAX_FACETS: usize = 256;

/// What is known of a batch of packets.
#[derive(Debug, Clone, Default)]
pub struct BatchContext {
    /// What was found in each packet, with the bits of its flow.
    pub heads: Vec<Head>,
    /// Its flow.
    pub flows: Vec<FlowView>,
    found: Vec<u64>,
    words: usize,
    facets: Vec<(Facet, Said)>,
    /// For each packet, its facets.
    ranges: Vec<Range<u32>>,
    text: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Said {
    Num(u64),
    Text(Range<u32>),
}

/// What packets are to the triggers of a program: their keys, and what its windows count of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// For each of [`Program::key_groups`], the first trigger.
    leads: Vec<TriggerId>,
    /// How many windows the program has, and for how many packets there is room.
    windows: usize,
    packets: usize,
    keys: Vec<OwnKeyWords>,
    events: Vec<WindowEvent>,
}

impl Probe {
    /// Room for so many packets of this program.
    pub fn new(program: &Program, packets: usize) -> Probe {
        let leads: Vec<TriggerId> =
            program.key_groups().iter().filter_map(|(_, group)| group.first().copied()).collect();
        Probe {
            keys: vec![OwnKeyWords::default(); packets * leads.len()],
            events: vec![WindowEvent::default(); packets * program.windows.len()],
            windows: program.windows.len(),
            packets,
            leads,
        }
    }

    /// The key that a packet has in one of [`Program::key_groups`].
    #[inline(always)]
    pub fn key(&self, packet: usize, group: usize) -> Option<&OwnKeyWords> {
        self.keys.get(packet * self.leads.len() + group)
    }

    /// What a packet is to these windows of the program.
    #[inline(always)]
    pub fn events(&self, packet: usize, windows: Range<usize>) -> Option<&[WindowEvent]> {
        let first = packet * self.windows;
        self.events.get(first + windows.start..first + windows.end)
    }

    /// The triggers whose keys are kept, and for each packet its keys and events, to write them.
    pub(crate) fn rows(
        &mut self,
    ) -> (&[TriggerId], impl Iterator<Item = (&mut [OwnKeyWords], &mut [WindowEvent])>) {
        let mut rest = (&mut *self.keys, &mut *self.events);
        let (groups, windows) = (self.leads.len(), self.windows);
        let row = move |_| {
            let (keys, events) = std::mem::take(&mut rest);
            let (first, second) = (keys.split_at_mut_checked(groups)?, events.split_at_mut_checked(windows)?);
            rest = (first.1, second.1);
            Some((first.0, second.0))
        };
        (&self.leads, (0..self.packets).map_while(row))
    }

    /// Says nothing of any packet.
    pub(crate) fn clear(&mut self) {
        self.keys.fill(OwnKeyWords::default());
        self.events.fill(WindowEvent::default());
    }

    /// For generated code: all of them, if there is room for so many packets of a program with so
    /// many keys and windows.
    pub(crate) fn room(
        &mut self,
        packets: usize,
        groups: usize,
        windows: usize,
    ) -> Option<(&mut [OwnKeyWords], &mut [WindowEvent])> {
        let fits = self.leads.len() == groups && self.windows == windows && self.packets >= packets;
        fits.then_some((&mut *self.keys, &mut *self.events))
    }
}

/// One packet of a [`BatchContext`].
#[derive(Debug, Clone, Copy)]
pub struct PacketContext<'a> {
    /// The batch.
    pub sight: &'a BatchContext,
    /// Which packet of it.
    pub at: usize,
    /// The values of the program's windows for this packet, then for those after it; empty where
    /// none are needed.
    pub windows: &'a [u64],
}

static NOTHING: BatchContext = BatchContext {
    heads: Vec::new(),
    flows: Vec::new(),
    found: Vec::new(),
    words: 0,
    facets: Vec::new(),
    ranges: Vec::new(),
    text: Vec::new(),
};

impl PacketContext<'static> {
    /// A packet that nobody looked at.
    pub fn nothing() -> PacketContext<'static> {
        PacketContext::of(&NOTHING, 0)
    }
}

impl<'a> PacketContext<'a> {
    /// A packet of a batch.
    pub fn of(sight: &'a BatchContext, at: usize) -> PacketContext<'a> {
        PacketContext { sight, at, windows: &[] }
    }

    /// The same with the values of windows.
    pub fn with_windows(self, windows: &'a [u64]) -> PacketContext<'a> {
        PacketContext { windows, ..self }
    }

    /// The packet so many after this one; windows say so many values for each.
    pub fn on(self, packets: usize, windows: usize) -> PacketContext<'a> {
        let windows = self.windows.get(packets * windows..).unwrap_or(&[]);
        PacketContext { at: self.at + packets, windows, ..self }
    }

    /// Its flow; one without anything known where there is none.
    pub fn flow(self) -> FlowView {
        self.sight.flows.get(self.at).copied().unwrap_or_default()
    }

    /// What was found in it, if anybody looked.
    pub fn head(self) -> Option<&'a Head> {
        self.sight.heads.get(self.at)
    }

    /// What is in the packet: what was found in it, or else what a look finds now.
    pub fn head_of(self, packet: &Packet) -> Head {
        self.head().copied().unwrap_or_else(|| dissect::dissect(packet))
    }

    /// Whether it completes a match of a pattern.
    pub fn found(self, pattern: StreamId) -> bool {
        self.sight.found(self.at, pattern)
    }

    /// The values that its messages have of a facet.
    pub fn facets(self, facet: Facet) -> impl Iterator<Item = FacetValue<'a>> {
        self.sight.facets(self.at, facet)
    }
}

/// The value of a facet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FacetValue<'a> {
    /// A number.
    Num(u64),
    /// Text.
    Text(&'a [u8]),
}

impl BatchContext {
    /// Room for `capacity` packets of this program.
    pub fn new(program: &Program, capacity: usize) -> BatchContext {
        let words = program.streams.len().div_ceil(64);
        BatchContext {
            heads: vec![Head::default(); capacity],
            flows: vec![FlowView::default(); capacity],
            found: vec![0; capacity * words],
            words,
            ranges: vec![0..0; capacity],
            ..BatchContext::default()
        }
    }

    /// Starts a batch: nothing is found, no message is complete. Heads and flows are left, as each
    /// is written anew.
    pub fn begin(&mut self) {
        self.found.fill(0);
        if !self.facets.is_empty() {
            self.facets.clear();
            self.text.clear();
            self.ranges.fill(0..0);
        }
    }

    /// Says that packet `i` completes a match of a pattern.
    pub fn mark(&mut self, i: usize, pattern: StreamId) {
        let at = pattern.index();
        if at / 64 < self.words
            && let Some(word) = self.found.get_mut(i * self.words + at / 64)
        {
            *word |= 1 << (at % 64);
        }
    }

    /// Whether packet `i` completes a match of a pattern.
    pub fn found(&self, i: usize, pattern: StreamId) -> bool {
        let at = pattern.index();
        at / 64 < self.words
            && self.found.get(i * self.words + at / 64).is_some_and(|word| word & 1 << (at % 64) != 0)
    }

    /// For generated code: the words of [`BatchContext::mark`].
    pub(crate) fn found_words(&self) -> (&[u64], usize) {
        (&self.found, self.words)
    }

    /// Whether it has room for so many packets, and for so many patterns of each.
    pub(crate) fn fits(&self, packets: usize, patterns: usize) -> bool {
        packets <= self.heads.len()
            && self.flows.len() == self.heads.len()
            && self.words == patterns.div_ceil(64)
            && self.found.len() == self.heads.len() * self.words
    }

    /// Adds a number that a message of packet `i` says; packets come in order. False when it has
    /// too many.
    pub fn say_num(&mut self, i: usize, facet: Facet, value: u64) -> bool {
        self.say(i, facet, Said::Num(value))
    }

    /// Adds a text that a message of packet `i` says; packets come in order. False when it has too
    /// many.
    pub fn say_text(&mut self, i: usize, facet: Facet, text: &[u8]) -> bool {
        let start = self.text.len() as u32;
        let end = start.saturating_add(text.len() as u32);
        let taken = self.say(i, facet, Said::Text(start..end));
        if taken {
            self.text.extend_from_slice(text);
        }
        taken
    }

    fn say(&mut self, i: usize, facet: Facet, said: Said) -> bool {
        let end = self.facets.len() as u32;
        let Some(range) = self.ranges.get_mut(i) else { return false };
        if range.start == range.end {
            *range = end..end;
        }
        if range.len() >= MAX_FACETS || range.end != end {
            return false;
        }
        range.end += 1;
        self.facets.push((facet, said));
        true
    }

    /// The values that the messages of packet `i` have of a facet.
    pub fn facets(&self, i: usize, facet: Facet) -> impl Iterator<Item = FacetValue<'_>> {
        let range = self.ranges.get(i).cloned().unwrap_or(0..0);
        let all = self.facets.get(range.start as usize..range.end as usize).unwrap_or(&[]);
        all.iter().filter(move |(f, _)| *f == facet).map(|(_, said)| match said {
            Said::Num(n) => FacetValue::Num(*n),
            Said::Text(at) => {
                FacetValue::Text(self.text.get(at.start as usize..at.end as usize).unwrap_or(&[]))
            }
        })
    }
}
