//! What a program reads of a packet: presence bits and slots, collected from its conditions, so
//! that generated code computes only these. The invariant: every fact that the code generator reads
//! was collected here. (Rejected: all facts of every packet; most programs read two or three.)

use super::shape::Fact;
use crate::abi::bit;
use crate::fields::{Hash, Layer, Slot, Tags};
use crate::hir::{Length, Num, NumKind, OwnKey, Pred, PredKind, Program, Rule, Trigger, WindowKind};

/// What a program reads of a packet.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    pub facts: Vec<Fact>,
    pub outer: u64,
    pub inner: u64,
}

/// Bits and slots that depend on the TCP data offset or the UDP length.
const TRANSPORT_BITS: u64 = bit::TCP_SEQ
    | bit::TCP_FLAGS
    | bit::TCP_HDR
    | bit::TCP_LEN
    | bit::TCP_PAYLOAD
    | bit::UDP_PAYLOAD
    | bit::PAYLOAD;
/// Bits of tunnels. In the fast shapes, only UDP can carry them.
const TUNNEL_BITS: u64 = bit::VXLAN | bit::GENEVE | bit::ESP | bit::UNPARSED;

impl Needs {
    /// What rules and limits read.
    pub fn of<'r>(rules: impl Iterator<Item = &'r Rule>) -> Needs {
        let mut needs = Needs::default();
        for rule in rules {
            needs.pred(&rule.matches);
            for ask in &rule.asks {
                needs.pred(&ask.when);
                match &ask.length {
                    Length::None | Length::Full => {}
                    Length::Bytes(n) | Length::Percent(n) => needs.length(n),
                    Length::Headers(n) => {
                        needs.length(n);
                        needs.slot(Layer::Outer, Slot::HeadersEnd);
                        needs.slot(Layer::Outer, Slot::L3End);
                    }
                    Length::Slice(m, n) => {
                        needs.length(m);
                        needs.length(n);
                    }
                }
            }
        }
        needs
    }

    /// What the conditions of triggers read.
    pub fn of_triggers<'r>(triggers: impl Iterator<Item = &'r Trigger>) -> Needs {
        let mut needs = Needs::default();
        for trigger in triggers {
            if let Some(when) = &trigger.when {
                needs.pred(when);
                needs.pred(&trigger.unless);
            }
        }
        needs
    }

    /// What keys and windows of triggers read.
    pub fn of_probe(program: &Program) -> Needs {
        let mut needs = Needs::default();
        for trigger in program.triggers.iter().filter(|t| t.when.is_some()) {
            needs.forms(&trigger.own);
        }
        for window in &program.windows {
            needs.pred(&window.when);
            match &window.kind {
                WindowKind::Count => {}
                WindowKind::Sum(num) => needs.length(num),
                WindowKind::Distinct(values) => needs.forms(values),
            }
        }
        needs
    }

    fn forms(&mut self, forms: &[OwnKey]) {
        for form in forms {
            self.pred(&form.when);
            form.key.iter().for_each(|part| self.key(part));
        }
    }

    fn add(&mut self, fact: Fact) {
        if !self.facts.contains(&fact) {
            self.facts.push(fact);
        }
    }

    fn slot(&mut self, layer: Layer, slot: Slot) {
        self.add(Fact::Slot(layer, slot));
    }

    fn bits(&mut self, layer: Layer, bits: u64) {
        self.add(Fact::Bits(layer));
        match layer {
            Layer::Outer => self.outer |= bits,
            Layer::Inner => self.inner |= bits,
        }
    }

    /// A number of a length. It is 0 if it does not exist.
    fn length(&mut self, num: &Num) {
        self.pred(&num.guard());
        self.number(num);
    }

    fn number(&mut self, num: &Num) {
        match num.kind() {
            NumKind::Load(load) => self.slot(load.layer, load.slot),
            NumKind::Slot { layer, slot, .. } => self.slot(*layer, *slot),
            NumKind::Else(a, b) => {
                self.length(a);
                self.number(b);
            }
            NumKind::Arith(_, a, b) => {
                self.number(a);
                self.number(b);
            }
            NumKind::Lookup { key, .. } => key.iter().for_each(|k| self.key(k)),
            NumKind::Hash(Hash::Packet | Hash::Flow)
            | NumKind::Window(_)
            | NumKind::Flow { .. }
            | NumKind::Const(_)
            | NumKind::Param(_)
            | NumKind::ParamHigh(_)
            | NumKind::FrameLen
            | NumKind::FrameCapLen
            | NumKind::Byte(_)
            | NumKind::Len(_)
            | NumKind::Option(_) => {}
        }
    }

    fn key(&mut self, key: &crate::hir::Key) {
        use crate::hir::Key;
        match key {
            Key::Num(n) | Key::Ipv4(n) => self.number(n),
            Key::Ipv6(a) => self.slot(a.layer, a.slot),
            Key::Bytes(_) | Key::Text(_) | Key::Facet(_) => {}
        }
    }

    fn pred(&mut self, pred: &Pred) {
        match pred.kind() {
            PredKind::Bits { layer, bits } => self.bits(*layer, *bits),
            PredKind::Not(p) => self.pred(p),
            PredKind::And(parts) | PredKind::Or(parts) => parts.iter().for_each(|p| self.pred(p)),
            PredKind::In(n, _) => self.number(n),
            PredKind::Compare(_, a, b) => {
                self.number(a);
                self.number(b);
            }
            PredKind::AddressIn(a, _) => self.slot(a.layer, a.slot),
            PredKind::AddressCompare(_, a, b) => {
                self.slot(a.layer, a.slot);
                self.slot(b.layer, b.slot);
            }
            PredKind::TagIn(part, _) => {
                let (first, count) = match part.tags {
                    Tags::Vlan => (Slot::Vlan, Slot::Vlans),
                    Tags::Mpls => (Slot::Mpls, Slot::Labels),
                };
                self.slot(part.layer, first);
                self.slot(part.layer, count);
            }
            PredKind::InTable { key, .. } | PredKind::LookupIs { key, .. } | PredKind::Active { key, .. } => {
                key.iter().for_each(|k| self.key(k));
            }
            // Helpers dissect the packet themselves if they need to.
            PredKind::Const(_)
            | PredKind::FlowActive(_)
            | PredKind::Stream(_)
            | PredKind::HasFacet(_)
            | PredKind::FacetIn(..)
            | PredKind::FacetText(..)
            | PredKind::FacetInTable(..)
            | PredKind::TagInTable(..)
            | PredKind::HasOption(_)
            | PredKind::HasBytes(_)
            | PredKind::BytesCompare(..)
            | PredKind::ConstCompare(..)
            | PredKind::BytesBytes(..)
            | PredKind::Contains(..)
            | PredKind::Matches(..) => {}
        }
    }

    pub fn has_slot(&self, slot: Slot) -> bool {
        self.facts.contains(&Fact::Slot(Layer::Outer, slot))
    }

    /// Whether the program reads beyond the ports: header lengths or payloads.
    pub fn transport(&self) -> bool {
        self.outer & TRANSPORT_BITS != 0
            || [Slot::HeadersEnd, Slot::Payload, Slot::PayloadEnd, Slot::TcpLen]
                .into_iter()
                .any(|s| self.has_slot(s))
    }

    pub fn tunnels(&self) -> bool {
        self.outer & TUNNEL_BITS != 0 || self.facts.iter().any(|f| matches!(f, Fact::Bits(Layer::Inner)))
    }
}
