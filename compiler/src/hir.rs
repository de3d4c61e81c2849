//! The typed program: the checker makes it and both engines run it. It has no sugar: fields of
//! several values have become `or`s, comparisons with constants and CIDRs have become interval
//! sets, presence has become guards. Only the constructors here can build it, and they keep the
//! invariants. A load, slot or address stands after its presence bits in the same `And` (or under a
//! part that does). Arithmetic cannot exceed 64 bits (each number knows its greatest value). `And`
//! and `Or` have two or more members, flattened, without constants. (Rejected: engines that decide
//! about presence themselves, twice.)

use crate::fields::{BytesSource, Facet, FlowSlot, Hash, Layer, Load, Slot, Tags};
use crate::sets::Intervals;
use std::sync::Arc;

pub use crate::streams::{StreamId, StreamKind};
pub use crate::value::{Value, ValueTy};
pub use mrule_grammar::ast::{ArithOp, CompareOp, Slice};

mod bounds;
pub mod build;
mod cache;
mod pred;
mod station;
mod texts;
mod walk;
pub use cache::{AutomatonCache, UsesCache};
pub use pred::{Pred, PredKind, TextTest};
pub use station::{CONVERSIONS, Encap, Rate, RateOf, Rotate, Station, Target};
pub use texts::{Texts, on_one_line};
pub use walk::Uses;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $name {
            /// As an index.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A param of the program.
    ParamId
    /// A table of the program.
    TableId
    /// A trigger of the program.
    TriggerId
    /// A station of the program: below [`crate::abi::MAX_STATIONS`].
    StationId
    /// A search pattern (`contains`) of the program.
    NeedleId
    /// A regular expression (`matches`) of the program.
    RegexId
    /// A sliding window of a trigger (`count`, `sum`, `distinct`).
    WindowId
}

/// A number: at most 64 bits, unsigned. Its value may be read only if its guards hold (see
/// [`Pred`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Num {
    pub(crate) kind: NumKind,
    pub(crate) max: u64,
}

/// The forms of a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NumKind {
    /// A constant.
    Const(u64),
    /// The low word of a param's value.
    Param(ParamId),
    /// The high word of a param's value: for an address, its first 64 bits.
    ParamHigh(ParamId),
    /// A number in a header.
    Load(Load),
    /// A slot's own value.
    Slot {
        /// The outer or the inner packet.
        layer: Layer,
        /// The presence bits it needs.
        bits: u64,
        /// The slot.
        slot: Slot,
    },
    /// `frame.len`
    FrameLen,
    /// `frame.cap_len`
    FrameCapLen,
    /// The byte of a one-byte slice; guarded by [`PredKind::HasBytes`].
    Byte(Bytes),
    /// The number of bytes; 0 if absent.
    Len(Bytes),
    /// A number in a TCP option; guarded by [`PredKind::HasOption`].
    Option(TcpOption),
    /// A hash; the flow's needs [`crate::abi::bit::NET`].
    Hash(Hash),
    /// A number of the packet's flow, guarded by its presence bits in the outer stack.
    Flow {
        /// The presence bits it needs.
        bits: u64,
        /// Which number.
        slot: FlowSlot,
    },
    /// The value of a table's row; guarded by [`PredKind::InTable`].
    Lookup {
        /// The map.
        table: TableId,
        /// Its key.
        key: Vec<Key>,
    },
    /// The value of a sliding window for the key of its trigger, including this packet; only in
    /// that trigger's `when`.
    Window(WindowId),
    /// The first number if it exists, else the second.
    Else(Box<Num>, Box<Num>),
    /// Arithmetic. The guard of `Sub` excludes results below zero, the guard of `Div` and `Rem` a
    /// divisor of zero. Nothing overflows.
    Arith(ArithOp, Box<Num>, Box<Num>),
}

/// A place in a TCP option: bytes `at..at+width` from its kind byte, big-endian. The first option
/// of the kind counts; an option shorter than `at + width` has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpOption {
    /// The outer or the inner packet.
    pub layer: Layer,
    /// The option's kind.
    pub kind: u8,
    /// First byte.
    pub at: u8,
    /// The number of bytes: 0 (only its presence), 1, 2 or 4.
    pub width: u8,
}

/// Bytes of the packet, or a slice of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bytes {
    /// The outer or the inner packet.
    pub layer: Layer,
    /// The source of the bytes.
    pub source: BytesSource,
    /// A part of them.
    pub slice: Option<Slice>,
}

/// A 128-bit address in a header: 16 bytes at `slot + at`, guarded by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// The outer or the inner packet.
    pub layer: Layer,
    /// The presence bits it needs.
    pub bits: u64,
    /// The slot from which `at` counts.
    pub slot: Slot,
    /// First byte.
    pub at: u16,
}

/// A part of each of a run of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagPart {
    /// The outer or the inner packet.
    pub layer: Layer,
    /// The kind of tags.
    pub tags: Tags,
    /// First byte in the tag.
    pub at: u16,
    /// 1, 2 or 4 bytes.
    pub width: u8,
    /// Right shift.
    pub shift: u8,
    /// Mask after the shift.
    pub mask: u64,
}

/// A part of a table's or trigger's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A number, a MAC, a flag.
    Num(Num),
    /// An IPv4 address.
    Ipv4(Num),
    /// An IPv6 address.
    Ipv6(Address),
    /// Text or bytes.
    Bytes(Bytes),
    /// Constant text.
    Text(Arc<[u8]>),
    /// A message field: the packet's first value of it. Only in a trigger's own key.
    Facet(Facet),
}

/// A capture length. [`crate::length`] resolves it to a byte range of each packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Length {
    /// Nothing.
    None,
    /// The whole frame.
    Full,
    /// The first N bytes.
    Bytes(Num),
    /// N percent of the original length, rounded up.
    Percent(Num),
    /// The headers and up to N bytes after them, without padding (`headers`, `headers + N`,
    /// `payload ..N`).
    Headers(Num),
    /// Bytes M..N of the frame.
    Slice(Num, Num),
}

/// One `snaplen` line.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Its `when`; [`Pred::always`] if there is none.
    pub when: Pred,
    /// Its length.
    pub length: Length,
    /// Its place in the text.
    pub span: mrule_grammar::span::Span,
}

/// A rule or a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// The place of its name.
    pub span: mrule_grammar::span::Span,
    /// Its `match`.
    pub matches: Pred,
    /// Its `snaplen` lines.
    pub asks: Vec<Ask>,
    /// Its stations, one bit each. For a limit without `to`: all.
    pub stations: u64,
    /// Whether it is a limit without `to`.
    pub everywhere: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The place of its declaration.
    pub span: mrule_grammar::span::Span,
    /// The form of its rows, and the rows at the start.
    pub start: crate::table::Table,
}

/// A param.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// The place of its declaration.
    pub span: mrule_grammar::span::Span,
    /// Its type.
    pub ty: ValueTy,
    /// Its value for this run.
    pub value: Value,
    /// Its bounds, both inclusive; for numbers only.
    pub bounds: (u64, u64),
}

/// A trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The place of its declaration.
    pub span: mrule_grammar::span::Span,
    /// Whether it is active for keys or for flows.
    pub scope: Scope,
    /// How long it stays active after it was last raised, in nanoseconds: a constant or a param.
    /// `None`: as long as its flow lives.
    pub hold: Option<Num>,
    /// The condition that raises it. `None`: only the API raises it.
    pub when: Option<Pred>,
    /// The condition that vetoes a raise; [`Pred::never`] without an `unless`.
    pub unless: Pred,
    /// The key of a packet: the first of these whose condition holds. If none holds, the packet has
    /// no key. Empty for a trigger whose whole state is in flows.
    pub own: Vec<OwnKey>,
    /// The greatest number of its keys.
    pub capacity: usize,
    /// The place of `keys`; `None` if it is not written.
    pub keys_at: Option<mrule_grammar::span::Span>,
    /// Whether it may be raised from outside.
    pub external: bool,
}

/// One form of a packet's own key for a trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnKey {
    /// The condition under which the packet has it.
    pub when: Pred,
    /// Its parts: numbers and addresses.
    pub key: Vec<Key>,
}

/// The default greatest number of a trigger's keys.
pub const DEFAULT_KEYS: usize = 1 << 16;

/// The greatest number of windows of a trigger.
pub const MAX_TRIGGER_WINDOWS: usize = 16;

/// The greatest value of a window, whatever it has counted: small enough for arithmetic.
pub const MAX_WINDOW: u64 = (1 << 60) - 1;

/// A sliding window of a trigger: it counts for each key.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Its trigger.
    pub trigger: TriggerId,
    /// When a packet counts.
    pub when: Pred,
    /// What is counted.
    pub kind: WindowKind,
    /// How far it extends into the past, in nanoseconds: a constant or a param.
    pub per: Num,
}

/// The counted quantity of a window.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowKind {
    /// Packets.
    Count,
    /// The sum of a number.
    Sum(Num),
    /// The number of different values of a number or an address; the first alternative whose
    /// condition holds is the value.
    Distinct(Vec<OwnKey>),
}

/// Whether a trigger is active for keys or for flows.
#[derive(Debug, Clone, PartialEq)]
pub enum Scope {
    /// Keys whose parts have these types. No types: one global switch.
    Keys(Vec<ValueTy>),
    /// The flow, both directions: this bit of [`crate::abi::FlowView::active`].
    Flow(u32),
}

impl Trigger {
    /// The types of its key's parts; empty for a global switch or a trigger by flow.
    pub fn key(&self) -> &[ValueTy] {
        if let Scope::Keys(types) = &self.scope { types } else { &[] }
    }

    /// Whether it is by flow: a bit in each flow, or a key that is the flow's number.
    pub fn is_by_flow(&self) -> bool {
        let number = |part: &Key| matches!(part, Key::Num(num) if matches!(num.kind(), NumKind::Flow { slot: FlowSlot::Id, .. }));
        matches!(self.scope, Scope::Flow(_)) || self.own.iter().flat_map(|own| &own.key).any(number)
    }
}

/// The greatest number of triggers `by flow` of a program: a flow has one bit for each.
pub const MAX_FLOW_TRIGGERS: usize = 64;

/// How many bytes of a stream are searched by default.
pub const DEFAULT_DEPTH: u64 = 64 << 10;

/// The greatest number of bytes of a stream that a program can search.
pub const MAX_DEPTH: u64 = 4 << 30;

/// A pattern of a search in streams. It holds for a packet if the packet's new bytes complete a
/// match that ends within the first `depth` bytes of its direction's stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamPattern {
    /// The searched text or expression.
    pub kind: StreamKind,
    /// How many bytes of the stream are searched: a constant or a param.
    pub depth: Num,
}

/// A regular expression in the engine's form: byte-oriented, caseless unless the pattern says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regex {
    /// The pattern.
    pub pattern: String,
}

/// A whole checked program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Program {
    /// The rules, sorted by name.
    pub rules: Vec<Rule>,
    /// The limits, sorted by name.
    pub limits: Vec<Rule>,
    /// The stations, sorted by name; at most [`crate::abi::MAX_STATIONS`].
    pub stations: Vec<Station>,
    /// The tables, sorted by name.
    pub tables: Vec<Table>,
    /// The params, sorted by name.
    pub params: Vec<Param>,
    /// The triggers, sorted by name.
    pub triggers: Vec<Trigger>,
    /// The needles of `contains`.
    pub needles: Vec<Arc<[u8]>>,
    /// The regular expressions of `matches`.
    pub regexes: Vec<Regex>,
    /// The patterns of searches in streams.
    pub streams: Vec<StreamPattern>,
    /// The windows of triggers.
    pub windows: Vec<Window>,
    /// The automaton of `streams`: [`Program::automaton`].
    pub automaton: AutomatonCache,
    /// The data that must be tracked: [`Program::uses`].
    pub uses: UsesCache,
    /// The source texts of triggers and windows.
    pub texts: Texts,
}

/// A set of numbers shared between the nodes that test it.
pub type NumSet = Arc<Intervals<u64>>;
/// A set of IPv6 addresses shared between the nodes that test it.
pub type AddressSet = Arc<Intervals<u128>>;
