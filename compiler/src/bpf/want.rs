//! Which packets are wanted, and how many of their bytes must be kept so that no decision changes.
//! For a plain packet: the headers, a number of bytes, or all. The invariant: a condition, key or
//! length reads no byte beyond the kept bytes. (Rejected: asking engines what they read; both
//! engines would have to give the same answer.)

use super::kind::{Carried, Kind};
use crate::abi::bit;
use crate::fields::{BytesSource, Hash, Layer, Slot};
use crate::hir::{
    Ask, Bytes, Key, Length, Num, NumKind, OwnKey, Pred, PredKind, Program, Rule, TriggerId, WindowKind,
};

/// The greatest length of a plain packet's headers and one byte of payload, in bytes: two
/// addresses, a type, a tag, an IPv6 header, a TCP header with all its options.
pub(super) const HEADERS: u32 = 128;

/// If more bytes than this are needed, all are kept.
pub const LONGEST_HEAD: u32 = 8 << 10;

/// How many bytes of a packet must be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// The headers. The copy ends with them.
    Headers,
    /// This many bytes.
    Bytes(u32),
    /// All bytes.
    Whole,
}

impl Reach {
    /// The reach for packets of a kind. A copied UDP payload may be a packet in a tunnel that is
    /// not known here, with an incomplete checksum; the same holds for unknown protocols.
    pub fn of(self, kind: Kind) -> Reach {
        match (self, kind.carried()) {
            (Reach::Bytes(_), Some(Carried::Udp)) | (_, Some(Carried::Rest)) => Reach::Whole,
            _ => self,
        }
    }
}

/// A set of packets: those for which all of these conditions hold.
#[derive(Debug)]
pub(super) struct Want<'a> {
    pub when: Vec<&'a Pred>,
    pub reach: Reach,
}

/// All parts of a program that want packets, or that read packets wanted by others.
#[derive(Debug, Default)]
pub(super) struct Wants<'a> {
    /// Rules, triggers, windows.
    pub own: Vec<Want<'a>>,
    /// Limits.
    pub limits: Vec<Want<'a>>,
    /// Every packet of a flow is wanted.
    pub flows: bool,
    /// The program reads packets in tunnels.
    pub tunnels: bool,
}

impl<'a> Wants<'a> {
    pub fn of(program: &'a Program) -> Wants<'a> {
        let mut wants = Wants { flows: program.uses().flows, ..Wants::default() };
        let mut tunnels = wants.flows;
        let lines = |rule: &'a Rule| rule.asks.iter().map(move |ask| (rule, ask));
        for (rule, ask) in program.rules.iter().flat_map(lines) {
            if ask.length != Length::None {
                let reads = Reads::of_line(rule, ask);
                tunnels |= reads.tunnels;
                let reach = reads.reach(length(&ask.length));
                wants.own.push(Want { when: vec![&rule.matches, &ask.when], reach });
            }
        }
        for (limit, ask) in program.limits.iter().flat_map(lines) {
            let reads = Reads::of_line(limit, ask);
            tunnels |= reads.tunnels;
            let reach = reads.reach(Reach::Headers);
            wants.limits.push(Want { when: vec![&limit.matches, &ask.when], reach });
        }
        for (id, trigger) in (0..).map(TriggerId).zip(&program.triggers) {
            let Some(when) = &trigger.when else { continue };
            let mut key = Reads::default();
            key.forms(&trigger.own);
            let mut reads = key;
            [when, &trigger.unless].into_iter().for_each(|pred| reads.pred(pred));
            tunnels |= reads.tunnels;
            wants.own.push(Want { when: vec![when], reach: reads.reach(Reach::Headers) });
            for (_, window) in program.windows_of(id) {
                let mut reads = key;
                reads.pred(&window.when);
                match &window.kind {
                    WindowKind::Count => {}
                    WindowKind::Sum(num) => reads.num(num),
                    WindowKind::Distinct(values) => reads.forms(values),
                }
                tunnels |= reads.tunnels;
                wants.own.push(Want { when: vec![&window.when], reach: reads.reach(Reach::Headers) });
            }
        }
        wants.tunnels = tunnels;
        wants
    }

    /// Whether no packet is wanted.
    pub fn nothing(&self) -> bool {
        self.own.is_empty() && !self.flows
    }

    /// How many bytes are enough for packets that need not be kept whole.
    pub fn head(&self) -> u32 {
        let bytes = self.own.iter().chain(&self.limits).map(|want| match want.reach {
            Reach::Bytes(bytes) => bytes,
            Reach::Headers | Reach::Whole => HEADERS,
        });
        bytes.fold(HEADERS, u32::max)
    }
}

/// How many bytes of a packet a copy of this length has.
fn length(length: &Length) -> Reach {
    // Two addresses, a type, IPv4 and UDP.
    const LEAST_HEADERS: u64 = 42;
    let bytes = |n: u64| match u32::try_from(n) {
        Ok(bytes) if bytes <= LONGEST_HEAD => Reach::Bytes(bytes),
        _ => Reach::Whole,
    };
    match length {
        Length::None => Reach::Headers,
        Length::Full | Length::Percent(_) => Reach::Whole,
        Length::Bytes(n) | Length::Slice(_, n) if n.max() <= LEAST_HEADERS => Reach::Headers,
        Length::Bytes(n) | Length::Slice(_, n) => bytes(n.max()),
        Length::Headers(n) if n.max() == 0 => Reach::Headers,
        Length::Headers(n) => bytes(n.max().saturating_add(HEADERS.into())),
    }
}

/// What is read of a packet besides its headers.
#[derive(Debug, Clone, Copy, Default)]
struct Reads {
    /// A value that depends on all its bytes, or on how many were captured.
    whole: bool,
    tunnels: bool,
}

/// The bits of tunnel headers.
const TUNNELS: u64 = bit::GRE | bit::VXLAN | bit::GENEVE | bit::ESP | bit::UNPARSED;

impl Reads {
    fn of_line(rule: &Rule, ask: &Ask) -> Reads {
        let mut reads = Reads::default();
        [&rule.matches, &ask.when].into_iter().for_each(|pred| reads.pred(pred));
        match &ask.length {
            Length::None | Length::Full => {}
            Length::Bytes(n) | Length::Percent(n) | Length::Headers(n) => reads.num(n),
            Length::Slice(m, n) => [m, n].into_iter().for_each(|num| reads.num(num)),
        }
        reads
    }

    fn reach(self, otherwise: Reach) -> Reach {
        if self.whole { Reach::Whole } else { otherwise }
    }

    fn bits(&mut self, layer: Layer, bits: u64) {
        self.tunnels |= layer == Layer::Inner || bits & TUNNELS != 0;
    }

    fn bytes(&mut self, bytes: &Bytes) {
        self.whole |= bytes.source != BytesSource::InterfaceName;
        self.bits(bytes.layer, 0);
    }

    fn forms(&mut self, forms: &[OwnKey]) {
        for form in forms {
            self.pred(&form.when);
            form.key.iter().for_each(|part| self.key(part));
        }
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::Num(num) | Key::Ipv4(num) => self.num(num),
            Key::Ipv6(address) => self.bits(address.layer, address.bits),
            Key::Bytes(bytes) => self.bytes(bytes),
            Key::Text(_) | Key::Facet(_) => {}
        }
    }

    fn num(&mut self, num: &Num) {
        match num.kind() {
            NumKind::Const(_)
            | NumKind::Param(_)
            | NumKind::ParamHigh(_)
            | NumKind::FrameLen
            | NumKind::Window(_)
            | NumKind::Hash(Hash::Flow) => {}
            NumKind::Load(load) => {
                // An incomplete checksum has no meaning; its completion reads all bytes.
                self.whole |= load.slot == Slot::L4 && matches!(load.at, 6 | 16);
                self.bits(load.layer, load.bits);
            }
            NumKind::Slot { layer, bits, slot } => {
                self.whole |= !matches!(slot, Slot::Proto | Slot::TcpLen);
                self.bits(*layer, *bits);
            }
            NumKind::Byte(bytes) | NumKind::Len(bytes) => self.bytes(bytes),
            NumKind::Option(option) => self.bits(option.layer, 0),
            NumKind::Flow { .. } | NumKind::FrameCapLen | NumKind::Hash(Hash::Packet) => self.whole = true,
            NumKind::Lookup { key, .. } => key.iter().for_each(|part| self.key(part)),
            NumKind::Else(a, b) | NumKind::Arith(_, a, b) => [a, b].into_iter().for_each(|n| self.num(n)),
        }
    }

    fn pred(&mut self, pred: &Pred) {
        pred.visit(&mut |pred| match pred.kind() {
            PredKind::Const(_) | PredKind::Not(_) | PredKind::And(_) | PredKind::Or(_) => {}
            PredKind::Bits { layer, bits } => self.bits(*layer, *bits),
            PredKind::In(num, _) => self.num(num),
            PredKind::Compare(_, a, b) => [a, b].into_iter().for_each(|num| self.num(num)),
            PredKind::AddressIn(a, _) => self.bits(a.layer, a.bits),
            PredKind::AddressCompare(_, a, b) => {
                [a, b].into_iter().for_each(|a| self.bits(a.layer, a.bits));
            }
            PredKind::TagIn(part, _) | PredKind::TagInTable(part, _) => self.bits(part.layer, 0),
            PredKind::HasOption(option) => self.bits(option.layer, 0),
            PredKind::HasBytes(bytes)
            | PredKind::BytesCompare(_, bytes, _)
            | PredKind::ConstCompare(_, _, bytes)
            | PredKind::Contains(bytes, _)
            | PredKind::Matches(bytes, _) => self.bytes(bytes),
            PredKind::BytesBytes(_, a, b) => [a, b].into_iter().for_each(|bytes| self.bytes(bytes)),
            PredKind::InTable { key, .. } | PredKind::LookupIs { key, .. } | PredKind::Active { key, .. } => {
                key.iter().for_each(|part| self.key(part))
            }
            PredKind::FlowActive(_)
            | PredKind::Stream(_)
            | PredKind::HasFacet(_)
            | PredKind::FacetIn(..)
            | PredKind::FacetText(..)
            | PredKind::FacetInTable(..) => self.whole = true,
        });
    }
}
