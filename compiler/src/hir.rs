//! The typed program: what the checker makes and both engines run. No sugar is left: fields that
//! stand for several have become `or`s, comparisons with constants have become interval sets, CIDRs
//! too, presence has become guards. It can only be built through the constructors here, which keep
//! the invariants: a load, slot or address stands behind its presence bits in the same `And` (or
//! under one that is behind them); arithmetic cannot overflow 64 bits (each number knows its
//! greatest value); `And` and `Or` have two or more members, flattened, without constants.
//! (Rejected: engines that decide about presence themselves, twice.)

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

/// A number: at most 64 bits, unsigned. Its kind may be read only where its guards hold (see
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
        /// Which packet.
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
    /// The one byte of a one-byte slice; guarded by [`PredKind::HasBytes`].
    Byte(Bytes),
    /// How many bytes; 0 when absent.
    Len(Bytes),
    /// A number in a TCP option; guarded by [`PredKind::HasOption`].
    Option(TcpOption),
    /// A hash; the flow's needs [`crate::abi::bit::NET`].
    Hash(Hash),
    /// A number of the packet's flow, behind its presence bits in the outer stack.
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
    /// The value of a sliding window for the key of its trigger, this packet included; only in that
    /// trigger's `when`.
    Window(WindowId),
    /// The first number where it exists, else the second.
    Else(Box<Num>, Box<Num>),
    /// Arithmetic. `Sub` stands behind a guard that it does not go below zero, `Div` and `Rem`
    /// behind one that the divisor is not zero; nothing overflows.
    Arith(ArithOp, Box<Num>, Box<Num>),
}

/// A place in a TCP option: bytes `at..at+width` from its kind byte, big-endian. The first option
/// of the kind counts; one shorter than `at + width` has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpOption {
    /// Which packet.
    pub layer: Layer,
    /// The option's kind.
    pub kind: u8,
    /// First byte.
    pub at: u8,
    /// How many bytes: 0 (only its presence), 1, 2 or 4.
    pub width: u8,
}

/// Bytes of the packet, or a slice of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bytes {
    /// Which packet.
    pub layer: Layer,
    /// Which bytes.
    pub source: BytesSource,
    /// A part of them.
    pub slice: Option<Slice>,
}

/// A 128-bit address in a header: 16 bytes at `slot + at`, behind its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// Which packet.
    pub layer: Layer,
    /// The presence bits it needs.
    pub bits: u64,
    /// What `at` counts from.
    pub slot: Slot,
    /// First byte.
    pub at: u16,
}

/// A part of each of a run of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TagPart {
    /// Which packet.
    pub layer: Layer,
    /// Which tags.
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
    /// What messages say: the first value that the packet has of it. Only in a trigger's own key.
    Facet(Facet),
}

/// How much of a packet: resolved per packet to a byte range by [`crate::length`].
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
    /// The headers and up to N bytes behind them, padding excluded (`headers`, `headers + N`,
    /// `payload ..N`).
    Headers(Num),
    /// Bytes M..N of the frame.
    Slice(Num, Num),
}

/// One `snaplen` line.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Its `when`; [`Pred::always`] without one.
    pub when: Pred,
    /// How much.
    pub length: Length,
    /// Where it is written.
    pub span: mrule_grammar::span::Span,
}

/// A rule or a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Where the name is written.
    pub span: mrule_grammar::span::Span,
    /// Its `match`.
    pub matches: Pred,
    /// Its `snaplen` lines.
    pub asks: Vec<Ask>,
    /// The stations it speaks of, one bit each; for a limit without `to`, all.
    pub stations: u64,
    /// A limit without `to`.
    pub everywhere: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: mrule_grammar::span::Span,
    /// What its rows are, and those at the start.
    pub start: crate::table::Table,
}

/// A param.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: mrule_grammar::span::Span,
    /// Its type.
    pub ty: ValueTy,
    /// Its value for this run.
    pub value: Value,
    /// Its bounds, both inclusive, for numbers.
    pub bounds: (u64, u64),
}

/// A trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: mrule_grammar::span::Span,
    /// What it is active for.
    pub scope: Scope,
    /// How long it stays active after it was last raised, in nanoseconds, a constant or a param;
    /// none: as long as its flow lives.
    pub hold: Option<Num>,
    /// What raises it: none for one that only the API raises.
    pub when: Option<Pred>,
    /// What vetoes a raise; [`Pred::never`] without an `unless`.
    pub unless: Pred,
    /// The key of a packet: the first of these whose condition holds; a packet for which none does
    /// has no key. None of a trigger whose whole state is in flows.
    pub own: Vec<OwnKey>,
    /// How many keys it remembers.
    pub capacity: usize,
    /// Where `keys` is written; none where it is not.
    pub keys_at: Option<mrule_grammar::span::Span>,
    /// Whether it may be raised from outside.
    pub external: bool,
}

/// One form of a packet's own key for a trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnKey {
    /// When the packet has it.
    pub when: Pred,
    /// Its parts: numbers and addresses.
    pub key: Vec<Key>,
}

/// How many keys a trigger remembers unless it says otherwise.
pub const DEFAULT_KEYS: usize = 1 << 16;

/// The most windows that one trigger can have.
pub const MAX_TRIGGER_WINDOWS: usize = 16;

/// The most that a window says, whatever it has counted: small enough to be reckoned with.
pub const MAX_WINDOW: u64 = (1 << 60) - 1;

/// A sliding window of a trigger: what it counts, for each key.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Whose.
    pub trigger: TriggerId,
    /// When a packet counts.
    pub when: Pred,
    /// What is counted.
    pub kind: WindowKind,
    /// How far it reaches back, in nanoseconds: a constant or a param.
    pub per: Num,
}

/// What a window counts.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowKind {
    /// Packets.
    Count,
    /// The sum of a number.
    Sum(Num),
    /// How many different values: of a number or an address, the first alternative whose condition
    /// holds.
    Distinct(Vec<OwnKey>),
}

/// What a trigger is active for.
#[derive(Debug, Clone, PartialEq)]
pub enum Scope {
    /// Keys whose parts have these types; none for one global switch.
    Keys(Vec<ValueTy>),
    /// The flow, both directions: this bit of [`crate::abi::FlowView::active`].
    Flow(u32),
}

impl Trigger {
    /// The types of its key's parts; empty for a global switch or one by flow.
    pub fn key(&self) -> &[ValueTy] {
        if let Scope::Keys(types) = &self.scope { types } else { &[] }
    }

    /// Whether it is by flow: a bit in each flow, or a key that is the flow's number.
    pub fn is_by_flow(&self) -> bool {
        let number = |part: &Key| matches!(part, Key::Num(num) if matches!(num.kind(), NumKind::Flow { slot: FlowSlot::Id, .. }));
        matches!(self.scope, Scope::Flow(_)) || self.own.iter().flat_map(|own| &own.key).any(number)
    }
}

/// The most triggers `by flow` that a program can have: a flow keeps one bit for each.
pub const MAX_FLOW_TRIGGERS: usize = 64;

/// How many bytes of a stream are looked into where the program does not say.
pub const DEFAULT_DEPTH: u64 = 64 << 10;

/// The most bytes of a stream that a program can have looked into.
pub const MAX_DEPTH: u64 = 4 << 30;

/// A pattern that streams are searched for. A packet has it when its new bytes complete a match
/// that ends within the first `depth` bytes of its direction's stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamPattern {
    /// What is looked for.
    pub kind: StreamKind,
    /// How many bytes of the stream are looked into: a constant or a param.
    pub depth: Num,
}

/// A regular expression, as given to the engine: byte-oriented, caseless unless it says otherwise.
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
    /// What `contains` looks for.
    pub needles: Vec<Arc<[u8]>>,
    /// What `matches` looks for.
    pub regexes: Vec<Regex>,
    /// What streams are searched for.
    pub streams: Vec<StreamPattern>,
    /// What triggers count over time.
    pub windows: Vec<Window>,
    /// With what: [`Program::automaton`].
    pub automaton: AutomatonCache,
    /// What has to be tracked: [`Program::uses`].
    pub uses: UsesCache,
    /// What the source says of triggers and windows.
    pub texts: Texts,
}

/// A set of numbers shared between the nodes that test it.
pub type NumSet = Arc<Intervals<u64>>;
/// A set of IPv6 addresses shared between the nodes that test it.
pub type AddressSet = Arc<Intervals<u128>>;
