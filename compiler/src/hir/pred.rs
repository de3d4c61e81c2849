//! Conditions, and the constructors that keep their invariants. A constructor adds the guards of
//! every number that it tests, folds constants, flattens `and` and `or`, and puts presence bits
//! first. The invariant: every pred is total, and its parts may be evaluated in order with short
//! circuit. (Rejected: public enum variants; a checker that forgets a guard would then read outside
//! the frame.)

use super::{
    Address, AddressSet, ArithOp, Bytes, CompareOp, Key, NeedleId, Num, NumKind, NumSet, RegexId, StreamId,
    TableId, TagPart, TcpOption, TriggerId,
};
use crate::abi::bit;
use crate::fields::{Facet, Hash, Layer};
use crate::sets::Intervals;
use std::collections::HashSet;
use std::sync::Arc;

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pred {
    kind: PredKind,
}

/// The forms of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PredKind {
    /// Always or never.
    Const(bool),
    /// All of these presence bits are set.
    Bits {
        /// The outer or the inner packet.
        layer: Layer,
        /// [`crate::abi::bit`]
        bits: u64,
    },
    /// Not.
    Not(Box<Pred>),
    /// All parts hold. Two or more parts, presence bits first.
    And(Vec<Pred>),
    /// At least one part holds. Two or more parts.
    Or(Vec<Pred>),
    /// The number is in the set.
    In(Num, NumSet),
    /// Two numbers compared: `Eq`, `Lt` or `Le`.
    Compare(CompareOp, Num, Num),
    /// The address is in the set.
    AddressIn(Address, AddressSet),
    /// Two addresses compared: `Eq`, `Lt` or `Le`.
    AddressCompare(CompareOp, Address, Address),
    /// A tag's part is in the set; false without tags.
    TagIn(TagPart, NumSet),
    /// A tag's part is a key of the table; false without tags.
    TagInTable(TagPart, TableId),
    /// The TCP option is present, with at least `at + width` bytes.
    HasOption(TcpOption),
    /// The bytes exist: they are present and not empty, and the slice is within them.
    HasBytes(Bytes),
    /// Bytes compared with a constant: `Eq`, `Lt` or `Le`, as by memcmp and then by length; false
    /// when absent.
    BytesCompare(CompareOp, Bytes, Arc<[u8]>),
    /// Constant compared with bytes: `Lt` or `Le`; false when absent.
    ConstCompare(CompareOp, Arc<[u8]>, Bytes),
    /// Two byte strings compared: `Eq`, `Lt` or `Le`; false when either is absent.
    BytesBytes(CompareOp, Bytes, Bytes),
    /// The bytes contain the needle; false when absent.
    Contains(Bytes, NeedleId),
    /// The regular expression matches somewhere in the bytes; false when absent.
    Matches(Bytes, RegexId),
    /// The key is in the table; false when a part of the key is absent.
    InTable {
        /// The table.
        table: TableId,
        /// The key's parts.
        key: Vec<Key>,
    },
    /// The table's value for the key is this text; false when there is none.
    LookupIs {
        /// The map.
        table: TableId,
        /// The key's parts.
        key: Vec<Key>,
        /// The text.
        text: Arc<[u8]>,
    },
    /// The trigger is active for the key; false when a part of the key is absent.
    Active {
        /// The trigger.
        trigger: TriggerId,
        /// The key's parts.
        key: Vec<Key>,
    },
    /// The trigger `by flow` of this bit is active for the packet's flow; false without a flow.
    FlowActive(u32),
    /// The packet completes a match of the pattern in its stream.
    Stream(StreamId),
    /// A message that the packet completes has this field.
    HasFacet(Facet),
    /// A number of this field is in the set.
    FacetIn(Facet, NumSet),
    /// A text of this field passes the test.
    FacetText(Facet, TextTest),
    /// A number or text of this field is a key of the table.
    FacetInTable(Facet, TableId),
}

/// A test of a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TextTest {
    /// Compared with a constant: `Eq`, `Lt`, `Le`, `Gt` or `Ge`, as by memcmp and then by length.
    Compare(CompareOp, Arc<[u8]>),
    /// Contains the needle.
    Contains(NeedleId),
    /// The regular expression matches somewhere in it.
    Matches(RegexId),
}

impl Pred {
    /// Its form.
    pub fn kind(&self) -> &PredKind {
        &self.kind
    }

    fn of(kind: PredKind) -> Pred {
        Pred { kind }
    }

    /// Holds for every packet.
    pub fn always() -> Pred {
        Pred::of(PredKind::Const(true))
    }

    /// Holds for no packet.
    pub fn never() -> Pred {
        Pred::of(PredKind::Const(false))
    }

    /// The constant value of the condition, if it has one.
    pub fn as_const(&self) -> Option<bool> {
        if let PredKind::Const(c) = self.kind { Some(c) } else { None }
    }

    /// All of these presence bits are set. Without bits: always.
    pub fn bits(layer: Layer, bits: u64) -> Pred {
        if bits == 0 { Pred::always() } else { Pred::of(PredKind::Bits { layer, bits }) }
    }

    /// Not `of`.
    #[expect(clippy::should_implement_trait, reason = "a constructor beside `and` and `or`, not an operator")]
    pub fn not(of: Pred) -> Pred {
        match of.kind {
            PredKind::Const(c) => Pred::of(PredKind::Const(!c)),
            PredKind::Not(inner) => *inner,
            _ => Pred::of(PredKind::Not(Box::new(of))),
        }
    }

    /// All parts hold.
    pub fn and(parts: impl IntoIterator<Item = Pred>) -> Pred {
        let (mut outer, mut inner, mut rest) = (0, 0, Vec::<Pred>::new());
        let mut seen = HashSet::new();
        let mut todo: Vec<Pred> = parts.into_iter().collect();
        todo.reverse();
        while let Some(part) = todo.pop() {
            match part.kind {
                PredKind::Const(true) => {}
                PredKind::Const(false) => return Pred::never(),
                PredKind::And(parts) => todo.extend(parts.into_iter().rev()),
                PredKind::Bits { layer: Layer::Outer, bits } => outer |= bits,
                PredKind::Bits { layer: Layer::Inner, bits } => inner |= bits,
                // Few parts are compared with each other; many parts are found by their hash.
                _ if rest.len() < 16 => {
                    if !rest.contains(&part) {
                        rest.push(part);
                    }
                }
                _ => {
                    if seen.is_empty() {
                        seen.extend(rest.iter().cloned());
                    }
                    if seen.insert(part.clone()) {
                        rest.push(part);
                    }
                }
            }
        }
        let bits = [Pred::bits(Layer::Outer, outer), Pred::bits(Layer::Inner, inner)];
        let mut all: Vec<Pred> = bits.into_iter().filter(|p| p.as_const().is_none()).collect();
        all.append(&mut rest);
        match (all.pop(), all.is_empty()) {
            (None, _) => Pred::always(),
            (Some(only), true) => only,
            (Some(last), false) => {
                all.push(last);
                Pred::of(PredKind::And(all))
            }
        }
    }

    /// At least one part holds.
    pub fn or(parts: impl IntoIterator<Item = Pred>) -> Pred {
        let mut all: Vec<Pred> = Vec::new();
        for part in parts {
            match part.kind {
                PredKind::Const(false) => {}
                PredKind::Const(true) => return Pred::always(),
                PredKind::Or(parts) => all.extend(parts),
                _ => all.push(part),
            }
        }
        if all.len() <= 16 {
            let mut at = 1;
            while let Some((before, [part, ..])) = all.split_at_checked(at) {
                if before.contains(part) {
                    all.remove(at);
                } else {
                    at += 1;
                }
            }
        } else {
            let mut seen = HashSet::new();
            all.retain(|p| seen.insert(p.clone()));
        }
        match (all.pop(), all.is_empty()) {
            (None, _) => Pred::never(),
            (Some(only), true) => only,
            (Some(last), false) => {
                all.push(last);
                Pred::of(PredKind::Or(all))
            }
        }
    }

    /// The number exists and is in the set.
    pub fn test(num: Num, set: impl Into<NumSet>) -> Pred {
        let mut set: NumSet = set.into();
        if set.parts().last().is_some_and(|&(_, high)| high > num.max) {
            set = Arc::new(set.intersect(&Intervals::range(0, num.max)));
        }
        let guard = num.guard();
        let test = match num.kind {
            _ if set.is_empty() => Pred::never(),
            _ if set.parts() == [(0, num.max)] => Pred::always(),
            NumKind::Const(value) => Pred::of(PredKind::Const(set.contains(value))),
            _ => Pred::of(PredKind::In(num, set)),
        };
        Pred::and([guard, test])
    }

    /// Both numbers exist and the comparison holds. `AllEq` is `Eq` and `AnyNe` is `Ne` here: each
    /// side is one value.
    pub fn compare(op: CompareOp, left: Num, right: Num) -> Pred {
        use CompareOp::{AllEq, AnyNe, Eq, Ge, Gt, Le, Lt, Ne};
        let below = |value: u64, inclusive: bool| match (value, inclusive) {
            (value, true) => Intervals::range(0, value),
            (0, false) => Intervals::new([]),
            (value, false) => Intervals::range(0, value - 1),
        };
        match (op, &left.kind, &right.kind) {
            (Ne | AnyNe, ..) => {
                let guard = Pred::and([left.guard(), right.guard()]);
                Pred::and([guard, Pred::not(Pred::compare(Eq, left, right))])
            }
            (Gt, ..) => Pred::compare(Lt, right, left),
            (Ge, ..) => Pred::compare(Le, right, left),
            (Eq | AllEq, _, &NumKind::Const(v)) => Pred::test(left, Intervals::one(v)),
            (Eq | AllEq, &NumKind::Const(v), _) => Pred::test(right, Intervals::one(v)),
            (Lt, _, &NumKind::Const(v)) => Pred::test(left, below(v, false)),
            (Le, _, &NumKind::Const(v)) => Pred::test(left, below(v, true)),
            (Lt, &NumKind::Const(v), _) => Pred::test(right, below(v, true).complement()),
            (Le, &NumKind::Const(v), _) => Pred::test(right, below(v, false).complement()),
            (Eq | AllEq | Lt | Le, ..) => {
                let op = if op == AllEq { Eq } else { op };
                Pred::and([left.guard(), right.guard(), Pred::of(PredKind::Compare(op, left, right))])
            }
        }
    }

    /// The address exists and is in the set.
    pub fn address_in(address: Address, set: impl Into<AddressSet>) -> Pred {
        let set: AddressSet = set.into();
        let test = match set.parts() {
            [] => Pred::never(),
            [(0, u128::MAX)] => Pred::always(),
            _ => Pred::of(PredKind::AddressIn(address, set)),
        };
        Pred::and([Pred::bits(address.layer, address.bits), test])
    }

    /// Both addresses exist and the comparison holds.
    pub fn address_compare(op: CompareOp, left: Address, right: Address) -> Pred {
        use CompareOp::{AllEq, AnyNe, Eq, Ge, Gt, Le, Lt, Ne};
        let guard = Pred::and([Pred::bits(left.layer, left.bits), Pred::bits(right.layer, right.bits)]);
        let test = |op, a, b| Pred::of(PredKind::AddressCompare(op, a, b));
        Pred::and([
            guard,
            match op {
                Eq | AllEq => test(Eq, left, right),
                Ne | AnyNe => Pred::not(test(Eq, left, right)),
                Lt | Le => test(op, left, right),
                Gt => test(Lt, right, left),
                Ge => test(Le, right, left),
            },
        ])
    }

    /// A tag's part is in the set.
    pub fn tag_in(part: TagPart, set: impl Into<NumSet>) -> Pred {
        let mut set: NumSet = set.into();
        if set.parts().last().is_some_and(|&(_, high)| high > part.mask) {
            set = Arc::new(set.intersect(&Intervals::range(0, part.mask)));
        }
        if set.is_empty() {
            return Pred::never();
        }
        Pred::and([Pred::bits(part.layer, part.present()), Pred::of(PredKind::TagIn(part, set))])
    }

    /// A tag's part is a key of the table.
    pub fn tag_in_table(part: TagPart, table: TableId) -> Pred {
        Pred::and([Pred::bits(part.layer, part.present()), Pred::of(PredKind::TagInTable(part, table))])
    }

    /// The TCP option is present.
    pub fn has_option(option: TcpOption) -> Pred {
        Pred::and([Pred::bits(option.layer, bit::TCP_HDR), Pred::of(PredKind::HasOption(option))])
    }

    /// The bytes exist.
    pub fn has_bytes(bytes: Bytes) -> Pred {
        Pred::of(PredKind::HasBytes(bytes))
    }

    /// The bytes exist and the comparison with the constant holds.
    pub fn bytes_compare(op: CompareOp, bytes: Bytes, value: Arc<[u8]>) -> Pred {
        use CompareOp::{AllEq, AnyNe, Eq, Ge, Gt, Le, Lt, Ne};
        match op {
            Eq | AllEq => Pred::of(PredKind::BytesCompare(Eq, bytes, value)),
            Ne | AnyNe => Pred::and([
                Pred::has_bytes(bytes.clone()),
                Pred::not(Pred::of(PredKind::BytesCompare(Eq, bytes, value))),
            ]),
            Lt | Le => Pred::of(PredKind::BytesCompare(op, bytes, value)),
            Gt => Pred::of(PredKind::ConstCompare(Lt, value, bytes)),
            Ge => Pred::of(PredKind::ConstCompare(Le, value, bytes)),
        }
    }

    /// Both byte strings exist and the comparison holds.
    pub fn bytes_bytes(op: CompareOp, left: Bytes, right: Bytes) -> Pred {
        use CompareOp::{AllEq, AnyNe, Eq, Ge, Gt, Le, Lt, Ne};
        let test = |op, a, b| Pred::of(PredKind::BytesBytes(op, a, b));
        match op {
            Eq | AllEq => test(Eq, left, right),
            Ne | AnyNe => Pred::and([
                Pred::has_bytes(left.clone()),
                Pred::has_bytes(right.clone()),
                Pred::not(test(Eq, left, right)),
            ]),
            Lt | Le => test(op, left, right),
            Gt => test(Lt, right, left),
            Ge => test(Le, right, left),
        }
    }

    /// The bytes contain the needle.
    pub fn contains(bytes: Bytes, needle: NeedleId) -> Pred {
        Pred::of(PredKind::Contains(bytes, needle))
    }

    /// The regular expression matches somewhere in the bytes.
    pub fn matches(bytes: Bytes, regex: RegexId) -> Pred {
        Pred::of(PredKind::Matches(bytes, regex))
    }

    /// The key is in the table.
    pub fn in_table(table: TableId, key: Vec<Key>) -> Pred {
        let guard = key_guard(&key);
        Pred::and([guard, Pred::of(PredKind::InTable { table, key })])
    }

    /// The table's value for the key is this text.
    pub fn lookup_is(table: TableId, key: Vec<Key>, text: Arc<[u8]>) -> Pred {
        let guard = key_guard(&key);
        Pred::and([guard, Pred::of(PredKind::LookupIs { table, key, text })])
    }

    /// The trigger `by flow` of this bit is active.
    pub fn flow_active(bit: u32) -> Pred {
        Pred::and([Pred::bits(Layer::Outer, bit::FLOW), Pred::of(PredKind::FlowActive(bit))])
    }

    /// The packet completes a match of the pattern.
    pub fn stream(pattern: StreamId) -> Pred {
        Pred::and([Pred::bits(Layer::Outer, bit::FLOW), Pred::of(PredKind::Stream(pattern))])
    }

    /// A message has this field.
    pub fn has_facet(facet: Facet) -> Pred {
        Pred::of(PredKind::HasFacet(facet))
    }

    /// A number of this field is in the set.
    pub fn facet_in(facet: Facet, set: impl Into<NumSet>) -> Pred {
        let set = set.into();
        if set.is_empty() { Pred::never() } else { Pred::of(PredKind::FacetIn(facet, set)) }
    }

    /// A text of this field passes the test.
    pub fn facet_text(facet: Facet, test: TextTest) -> Pred {
        Pred::of(PredKind::FacetText(facet, test))
    }

    /// A number or text of this field is a key of the table.
    pub fn facet_in_table(facet: Facet, table: TableId) -> Pred {
        Pred::of(PredKind::FacetInTable(facet, table))
    }

    /// The trigger is active for the key.
    pub fn active(trigger: TriggerId, key: Vec<Key>) -> Pred {
        let guard = key_guard(&key);
        Pred::and([guard, Pred::of(PredKind::Active { trigger, key })])
    }
}

impl super::OwnKey {
    /// A form of a key. A packet has this key if it has all parts.
    pub fn new(key: Vec<Key>) -> super::OwnKey {
        super::OwnKey { when: key_guard(&key), key }
    }
}

fn key_guard(key: &[Key]) -> Pred {
    Pred::and(key.iter().map(|part| match part {
        Key::Num(n) | Key::Ipv4(n) => n.guard(),
        Key::Ipv6(a) => Pred::bits(a.layer, a.bits),
        Key::Bytes(b) => Pred::has_bytes(b.clone()),
        Key::Text(_) => Pred::always(),
        Key::Facet(facet) => Pred::has_facet(*facet),
    }))
}

impl Num {
    /// The condition under which the number exists. The constructors of [`Pred`] add it themselves.
    pub fn guard(&self) -> Pred {
        match &self.kind {
            NumKind::Const(_)
            | NumKind::Param(_)
            | NumKind::ParamHigh(_)
            | NumKind::FrameLen
            | NumKind::FrameCapLen
            | NumKind::Hash(Hash::Packet) => Pred::always(),
            NumKind::Load(load) => Pred::bits(load.layer, load.bits),
            NumKind::Slot { layer, bits, .. } => Pred::bits(*layer, *bits),
            NumKind::Flow { bits, .. } => Pred::bits(Layer::Outer, *bits),
            NumKind::Byte(bytes) | NumKind::Len(bytes) => Pred::has_bytes(bytes.clone()),
            NumKind::Option(option) => Pred::has_option(*option),
            NumKind::Hash(Hash::Flow) => Pred::bits(Layer::Outer, bit::NET),
            NumKind::Lookup { table, key } => Pred::in_table(*table, key.clone()),
            NumKind::Window(_) => Pred::always(),
            NumKind::Else(first, second) => Pred::or([first.guard(), second.guard()]),
            NumKind::Arith(op, a, b) => {
                let own = match op {
                    ArithOp::Sub => Pred::compare(CompareOp::Le, (**b).clone(), (**a).clone()),
                    ArithOp::Div | ArithOp::Rem => {
                        Pred::compare(CompareOp::Lt, Num::constant(0), (**b).clone())
                    }
                    ArithOp::And | ArithOp::Or | ArithOp::Add | ArithOp::Mul => Pred::always(),
                };
                Pred::and([a.guard(), b.guard(), own])
            }
        }
    }
}
