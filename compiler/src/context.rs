//! The context of the packets of a batch besides their bytes: their flows, the patterns that their
//! streams contain, the fields of their messages. Flow tracking fills it, engines read it. The
//! invariant: `heads.len() == flows.len() == capacity`, `found.len() == capacity * words`. A packet
//! without context has no presence bits, so every test of its flow is false. (Rejected: engines
//! that read the flow table; they would no longer be pure.)

use crate::abi::{FlowView, Head, OwnKeyWords, Packet, WindowEvent};
use crate::dissect;
use crate::fields::Facet;
use crate::hir::{Program, StreamId, TriggerId};
use std::ops::Range;

/// The result of a trigger's conditions for one packet.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fired {
    /// Its `when` does not hold.
    #[default]
    No = 0,
    /// The trigger is raised.
    Raised = 1,
    /// Its `when` holds, and so does its `unless`.
    Vetoed = 2,
}

/// The greatest number of message fields of a packet. Further fields are counted and left out.
pub const MAX_FACETS: usize = 256;

/// The context of a batch of packets.
#[derive(Debug, Clone, Default)]
pub struct BatchContext {
    /// The headers of each packet, with the bits of its flow.
    pub heads: Vec<Head>,
    /// The flow of each packet.
    pub flows: Vec<FlowView>,
    found: Vec<u64>,
    words: usize,
    facets: Vec<(Facet, Said)>,
    /// For each packet, the range of its message fields.
    ranges: Vec<Range<u32>>,
    text: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Said {
    Num(u64),
    Text(Range<u32>),
}

/// The keys of packets for the triggers of a program, and their events for its windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The first trigger of each of [`Program::key_groups`].
    leads: Vec<TriggerId>,
    /// The number of the program's windows, and the number of packets that fit.
    windows: usize,
    packets: usize,
    keys: Vec<OwnKeyWords>,
    events: Vec<WindowEvent>,
}

impl Probe {
    /// Room for this many packets of this program.
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

    /// The packet's key in one of [`Program::key_groups`].
    #[inline(always)]
    pub fn key(&self, packet: usize, group: usize) -> Option<&OwnKeyWords> {
        self.keys.get(packet * self.leads.len() + group)
    }

    /// The packet's events for these windows of the program.
    #[inline(always)]
    pub fn events(&self, packet: usize, windows: Range<usize>) -> Option<&[WindowEvent]> {
        let first = packet * self.windows;
        self.events.get(first + windows.start..first + windows.end)
    }

    /// The first trigger of each key group, and the rows of each packet's keys and events, for
    /// writing.
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

    /// Removes the keys and events of all packets.
    pub(crate) fn clear(&mut self) {
        self.keys.fill(OwnKeyWords::default());
        self.events.fill(WindowEvent::default());
    }

    /// For generated code: all keys and events, if there is room for this many packets of a program
    /// with this many keys and windows.
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
    pub context: &'a BatchContext,
    /// The packet's number in the batch.
    pub at: usize,
    /// The values of the program's windows for this packet, then for the packets after it. Empty if
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
    /// A packet without context.
    pub fn nothing() -> PacketContext<'static> {
        PacketContext::of(&NOTHING, 0)
    }
}

impl<'a> PacketContext<'a> {
    /// A packet of a batch.
    pub fn of(context: &'a BatchContext, at: usize) -> PacketContext<'a> {
        PacketContext { context, at, windows: &[] }
    }

    /// The same packet with the values of windows.
    pub fn with_windows(self, windows: &'a [u64]) -> PacketContext<'a> {
        PacketContext { windows, ..self }
    }

    /// The packet `packets` after this one. Each packet has `windows` values of windows.
    pub fn on(self, packets: usize, windows: usize) -> PacketContext<'a> {
        let windows = self.windows.get(packets * windows..).unwrap_or(&[]);
        PacketContext { at: self.at + packets, windows, ..self }
    }

    /// Its flow; a flow without any data if there is none.
    pub fn flow(self) -> FlowView {
        self.context.flows.get(self.at).copied().unwrap_or_default()
    }

    /// Its headers, if they were dissected for the batch.
    pub fn head(self) -> Option<&'a Head> {
        self.context.heads.get(self.at)
    }

    /// The packet's headers: from the context, or dissected now.
    pub fn head_of(self, packet: &Packet) -> Head {
        self.head().copied().unwrap_or_else(|| dissect::dissect(packet))
    }

    /// Whether it completes a match of a pattern.
    pub fn found(self, pattern: StreamId) -> bool {
        self.context.found(self.at, pattern)
    }

    /// The values of a field of its messages.
    pub fn facets(self, facet: Facet) -> impl Iterator<Item = FacetValue<'a>> {
        self.context.facets(self.at, facet)
    }
}

/// The value of a message field.
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

    /// Starts a batch: no pattern is found, no message is complete. Heads and flows stay; each will
    /// be overwritten.
    pub fn begin(&mut self) {
        self.found.fill(0);
        if !self.facets.is_empty() {
            self.facets.clear();
            self.text.clear();
            self.ranges.fill(0..0);
        }
    }

    /// Records that packet `i` completes a match of a pattern.
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

    /// Whether it has room for this many packets and patterns.
    pub(crate) fn fits(&self, packets: usize, patterns: usize) -> bool {
        packets <= self.heads.len()
            && self.flows.len() == self.heads.len()
            && self.words == patterns.div_ceil(64)
            && self.found.len() == self.heads.len() * self.words
    }

    /// Adds a number of a message of packet `i`; packets come in order. False if the packet has too
    /// many fields.
    pub fn say_num(&mut self, i: usize, facet: Facet, value: u64) -> bool {
        self.say(i, facet, Said::Num(value))
    }

    /// Adds a text of a message of packet `i`; packets come in order. False if the packet has too
    /// many fields.
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

    /// The values of a message field of packet `i`.
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
