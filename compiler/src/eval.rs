//! The reference interpreter: it walks the typed program in the plainest way, in safe code, without
//! fast paths. It defines the meaning of a program; native code is tested against it. The
//! invariant: every condition and number is total. If the packet lacks its bytes, a condition is
//! false and a number is absent. (Rejected: sharing its walk with native code's, whose bugs it must
//! find.)

use crate::abi::{FlowView, Head, NO_LIMIT, OwnKeyWords, Packet, Verdict, WindowEvent, distinct_word};
use crate::context::{Fired, PacketContext};
use crate::environment::{Environment, Scratch};
use crate::fields::Hash;
use crate::helpers;
use crate::hir::{
    Address, Ask, Bytes, CompareOp, Key, Length, Num, NumKind, OwnKey, Pred, PredKind, Program, TableId,
    Trigger, TriggerId, WindowKind, build,
};
use crate::length;
use crate::table::{KeyValue, MAX_KEY};

/// A packet and the data for its decision.
pub struct Eval<'a> {
    environment: &'a Environment,
    scratch: &'a mut Scratch,
    packet: &'a Packet<'a>,
    head: &'a Head,
    seen: PacketContext<'a>,
    flow: FlowView,
}

impl<'a> Eval<'a> {
    /// Starts a packet.
    pub fn new(
        environment: &'a Environment,
        scratch: &'a mut Scratch,
        packet: &'a Packet<'a>,
        head: &'a Head,
        seen: PacketContext<'a>,
    ) -> Eval<'a> {
        scratch.begin();
        Eval::resume(environment, scratch, packet, head, seen)
    }

    /// Continues with a packet for which searches have begun.
    pub(crate) fn resume(
        environment: &'a Environment,
        scratch: &'a mut Scratch,
        packet: &'a Packet<'a>,
        head: &'a Head,
        seen: PacketContext<'a>,
    ) -> Eval<'a> {
        Eval { environment, scratch, packet, head, seen, flow: seen.flow() }
    }

    /// The packet's key for each of these triggers, and its event for each window.
    pub fn probe(
        &mut self,
        program: &Program,
        triggers: &[TriggerId],
        keys: &mut [OwnKeyWords],
        events: &mut [WindowEvent],
    ) {
        for (id, key) in triggers.iter().zip(keys) {
            *key = program.triggers.get(id.index()).map_or_else(OwnKeyWords::default, |t| self.own(&t.own));
        }
        for (window, event) in program.windows.iter().zip(events) {
            *event = WindowEvent::default();
            if !self.holds(&window.when) {
                continue;
            }
            let amount = match &window.kind {
                WindowKind::Count => Some(0),
                WindowKind::Sum(num) => self.num(num),
                WindowKind::Distinct(values) => {
                    let value = self.own(values);
                    (value.form > 0).then(|| distinct_word(value.parts.first().copied().unwrap_or_default()))
                }
            };
            if let Some(amount) = amount {
                *event = WindowEvent { counts: 1, amount };
            }
        }
    }

    /// The first of several forms of a key that the packet has.
    fn own(&mut self, forms: &[OwnKey]) -> OwnKeyWords {
        let mut words = OwnKeyWords::default();
        let Some(at) = forms.iter().position(|form| self.holds(&form.when)) else { return words };
        let Some(form) = forms.get(at) else { return words };
        for (part, word) in form.key.iter().zip(&mut words.parts) {
            *word = match part {
                Key::Num(num) | Key::Ipv4(num) => [0, self.num(num).unwrap_or(0)],
                Key::Ipv6(address) => {
                    let address = self.address(address).unwrap_or(0);
                    [(address >> 64) as u64, address as u64]
                }
                Key::Bytes(_) | Key::Text(_) | Key::Facet(_) => [0, 0],
            };
        }
        words.form = at as u64 + 1;
        words
    }

    /// The result of a trigger's conditions.
    pub fn fire(&mut self, trigger: &Trigger) -> Fired {
        match &trigger.when {
            Some(when) if self.holds(when) => {
                if self.holds(&trigger.unless) {
                    Fired::Vetoed
                } else {
                    Fired::Raised
                }
            }
            _ => Fired::No,
        }
    }

    /// The stations for which a rule asked a copy. Their verdicts are written.
    pub fn decide(&mut self, program: &Program, verdicts: &mut [Verdict], counters: &mut [u64]) -> u64 {
        let mut asked = 0;
        // For each station, the size of the longest single requested range.
        let mut longest = [0; crate::abi::MAX_STATIONS];
        for (r, rule) in program.rules.iter().enumerate() {
            if !self.holds(&rule.matches) {
                continue;
            }
            count(counters, r);
            for ask in &rule.asks {
                let Some(range) = self.ask(ask) else { continue };
                if length::size(range) == 0 {
                    continue;
                }
                for (s, (verdict, longest)) in verdicts.iter_mut().zip(&mut longest).enumerate() {
                    if rule.stations & 1 << s == 0 {
                        continue;
                    }
                    if asked & 1 << s == 0 {
                        asked |= 1 << s;
                        *verdict = Verdict { start: 0, end: 0, rule: 0, limit: NO_LIMIT };
                    }
                    (verdict.start, verdict.end) = length::cover((verdict.start, verdict.end), range);
                    if length::size(range) > *longest {
                        *longest = length::size(range);
                        verdict.rule = r as u32;
                    }
                }
            }
        }
        if asked != 0 {
            self.limit(program, asked, verdicts, counters);
        }
        asked
    }

    fn limit(&mut self, program: &Program, asked: u64, verdicts: &mut [Verdict], counters: &mut [u64]) {
        // For each station, the range requested before any limit, and the size of the shortest cut
        // of that range by one limit.
        let mut full_length = [(0, 0); crate::abi::MAX_STATIONS];
        let mut shortest = [0; crate::abi::MAX_STATIONS];
        for ((verdict, full_length), shortest) in verdicts.iter().zip(&mut full_length).zip(&mut shortest) {
            *full_length = (verdict.start, verdict.end);
            *shortest = length::size(*full_length);
        }
        for (l, limit) in program.limits.iter().enumerate() {
            if !self.holds(&limit.matches) {
                continue;
            }
            count(counters, program.rules.len() + l);
            for ask in &limit.asks {
                let Some(allowed) = self.ask(ask) else { continue };
                for (s, verdict) in verdicts.iter_mut().enumerate() {
                    if limit.stations & asked & 1 << s == 0 {
                        continue;
                    }
                    (verdict.start, verdict.end) = length::cut((verdict.start, verdict.end), allowed);
                    let (Some(full_length), Some(shortest)) = (full_length.get(s), shortest.get_mut(s))
                    else {
                        continue;
                    };
                    let left = length::size(length::cut(*full_length, allowed));
                    if left < *shortest {
                        *shortest = left;
                        verdict.limit = l as u32;
                    }
                }
            }
        }
    }

    /// The range of a `snaplen` line, if its `when` holds.
    pub(crate) fn ask(&mut self, ask: &Ask) -> Option<length::Range> {
        self.holds(&ask.when).then(|| self.range(&ask.length))
    }

    /// The range of a length. A number without a value counts as 0.
    pub(crate) fn range(&mut self, length: &Length) -> length::Range {
        let (packet, head) = (self.packet, self.head);
        length::range(length, packet, head, |num| self.num(num).unwrap_or(0))
    }

    /// Whether a condition holds.
    pub(crate) fn holds(&mut self, pred: &Pred) -> bool {
        match pred.kind() {
            PredKind::Const(value) => *value,
            PredKind::Bits { layer, bits } => helpers::stack(self.head, *layer).bits & bits == *bits,
            PredKind::Not(inner) => !self.holds(inner),
            PredKind::And(parts) => parts.iter().all(|part| self.holds(part)),
            PredKind::Or(parts) => parts.iter().any(|part| self.holds(part)),
            PredKind::In(num, set) => self.num(num).is_some_and(|value| set.contains(value)),
            PredKind::Compare(op, a, b) => {
                matches!((self.num(a), self.num(b)), (Some(a), Some(b)) if compare(*op, &a, &b))
            }
            PredKind::AddressIn(address, set) => {
                self.address(address).is_some_and(|value| set.contains(value))
            }
            PredKind::AddressCompare(op, a, b) => {
                matches!((self.address(a), self.address(b)), (Some(a), Some(b)) if compare(*op, &a, &b))
            }
            PredKind::TagIn(part, set) => {
                helpers::tags_any(self.packet, self.head, part, |value| set.contains(value))
            }
            PredKind::TagInTable(part, table) => {
                helpers::tag_in_table(self.environment, self.packet, self.head, part, *table)
            }
            PredKind::HasOption(option) => helpers::tcp_option(self.packet, self.head, *option).is_some(),
            PredKind::HasBytes(bytes) => self.bytes(bytes).is_some(),
            PredKind::BytesCompare(op, bytes, value) => {
                self.bytes(bytes).is_some_and(|bytes| compare(*op, bytes, value.as_ref()))
            }
            PredKind::ConstCompare(op, value, bytes) => {
                self.bytes(bytes).is_some_and(|bytes| compare(*op, value.as_ref(), bytes))
            }
            PredKind::BytesBytes(op, a, b) => {
                matches!((self.bytes(a), self.bytes(b)), (Some(a), Some(b)) if compare(*op, a, b))
            }
            PredKind::Contains(bytes, needle) => {
                helpers::contains(self.environment, self.scratch, self.packet, self.head, bytes, *needle)
            }
            PredKind::Matches(bytes, regex) => {
                helpers::matches(self.environment, self.scratch, self.packet, self.head, bytes, *regex)
            }
            PredKind::InTable { table, key } => {
                let (environment, now) = (self.environment, self.packet.time);
                self.with_key(key, |key| helpers::in_table(environment, *table, key, now)).unwrap_or(false)
            }
            PredKind::LookupIs { table, key, text } => {
                let (environment, now) = (self.environment, self.packet.time);
                self.with_key(key, |key| helpers::lookup_is(environment, *table, key, text, now))
                    .unwrap_or(false)
            }
            PredKind::Active { trigger, key } => {
                let (environment, now) = (self.environment, self.packet.time);
                self.with_key(key, |key| helpers::active(environment, *trigger, key, now)).unwrap_or(false)
            }
            PredKind::FlowActive(bit) => self.flow.active & 1 << bit != 0,
            PredKind::Stream(pattern) => self.seen.found(*pattern),
            PredKind::HasFacet(facet) => self.seen.facets(*facet).next().is_some(),
            PredKind::FacetIn(facet, set) => helpers::facet_in(self.seen, *facet, set),
            PredKind::FacetText(facet, test) => {
                helpers::facet_text(self.environment, self.seen, *facet, test)
            }
            PredKind::FacetInTable(facet, table) => {
                helpers::facet_in_table(self.environment, self.seen, *facet, *table, self.packet.time)
            }
        }
    }

    /// A number's value, if the packet has it.
    pub(crate) fn num(&self, num: &Num) -> Option<u64> {
        match num.kind() {
            NumKind::Const(value) => Some(*value),
            NumKind::Param(id) => Some(self.environment.param(*id)),
            NumKind::ParamHigh(id) => Some(self.environment.param_high(*id)),
            NumKind::Load(load) => helpers::load(self.packet, self.head, load),
            NumKind::Slot { layer, bits, slot } => {
                let stack = helpers::stack(self.head, *layer);
                (stack.bits & bits == *bits).then(|| u64::from(slot.get(stack)))
            }
            NumKind::Flow { bits, slot } => {
                (self.head.outer.bits & bits == *bits).then(|| slot.get(&self.flow))
            }
            NumKind::FrameLen => Some(u64::from(self.packet.len)),
            NumKind::FrameCapLen => Some(u64::from(self.packet.cap_len())),
            NumKind::Byte(bytes) => self.bytes(bytes)?.first().copied().map(u64::from),
            NumKind::Len(bytes) => Some(self.bytes(bytes).map_or(0, |bytes| bytes.len() as u64)),
            NumKind::Option(option) => helpers::tcp_option(self.packet, self.head, *option),
            NumKind::Hash(Hash::Packet) => Some(helpers::packet_hash(self.packet)),
            NumKind::Hash(Hash::Flow) => helpers::flow_hash(self.packet, self.head),
            NumKind::Lookup { table, key } => self.lookup(*table, key),
            NumKind::Window(id) => self.seen.windows.get(id.index()).copied(),
            NumKind::Else(first, second) => self.num(first).or_else(|| self.num(second)),
            NumKind::Arith(op, a, b) => build::eval(*op, self.num(a)?, self.num(b)?),
        }
    }

    fn lookup(&self, table: TableId, key: &[Key]) -> Option<u64> {
        let now = self.packet.time;
        self.with_key(key, |key| helpers::lookup_num(self.environment, table, key, now)).flatten()
    }

    /// An address, if the packet has it.
    pub(crate) fn address(&self, address: &Address) -> Option<u128> {
        helpers::address(self.packet, self.head, address)
    }

    /// Bytes, if the packet has them.
    pub(crate) fn bytes(&self, bytes: &Bytes) -> Option<&'a [u8]> {
        helpers::bytes(self.packet, self.head, bytes)
    }

    /// One part of a key, if the packet has it.
    pub(crate) fn key_part<'k>(&self, part: &'k Key) -> Option<KeyValue<'k>>
    where
        'a: 'k,
    {
        Some(match part {
            Key::Num(num) => KeyValue::Num(self.num(num)?),
            Key::Ipv4(num) => KeyValue::V4(u32::try_from(self.num(num)?).ok()?),
            Key::Ipv6(address) => KeyValue::V6(self.address(address)?),
            Key::Bytes(bytes) => KeyValue::Bytes(self.bytes(bytes)?),
            Key::Text(text) => KeyValue::Bytes(text),
            Key::Facet(facet) => helpers::first_facet(self.seen, *facet)?,
        })
    }

    /// Runs `f` on the key, unless the packet lacks a part of it.
    fn with_key<T>(&self, key: &[Key], f: impl FnOnce(&[KeyValue]) -> T) -> Option<T> {
        let mut values = [KeyValue::Num(0); MAX_KEY];
        let values = values.get_mut(..key.len())?;
        for (value, part) in values.iter_mut().zip(key) {
            *value = self.key_part(part)?;
        }
        Some(f(values))
    }
}

/// `Eq`, `Lt` and `Le`, the only comparisons in a typed program. Byte strings compare as by memcmp,
/// then by length.
fn compare<T: Ord + ?Sized>(op: CompareOp, a: &T, b: &T) -> bool {
    match op {
        CompareOp::Eq | CompareOp::AllEq => a == b,
        CompareOp::Ne | CompareOp::AnyNe => a != b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::Gt => a > b,
        CompareOp::Ge => a >= b,
    }
}

fn count(counters: &mut [u64], at: usize) {
    if let Some(n) = counters.get_mut(at) {
        *n = n.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
