//! A conjunction of tests, as facts about the packets that pass them all: presence bits, a set of
//! values per number and address, other tests by identity. Contradictions are found when tests are
//! added. The invariant: every fact is true of every packet that passes. The facts may describe
//! more packets than pass: "impossible" and "always" are reliable, any other answer means nothing.
//! (Rejected: a solver; the questions are small and must be answered for 10,000 rules in a blink.)

use super::facts;
use crate::abi::bit;
use crate::extract;
use crate::fields::{Hash, Layer};
use crate::hir::{
    Address, AddressSet, Bytes, CompareOp, Key, Num, NumKind, NumSet, Pred, PredKind, Program, Slice, TagPart,
};
use crate::sets::{Intervals, Point};
use std::sync::Arc;

/// A test is compared with at most this many others, so that a long conjunction does not take
/// quadratic time.
const MAX_COMPARED: usize = 1000;

/// The greatest number of ranges in the set of a number's values, from which unwanted values are
/// removed.
const MAX_HOLES: usize = 512;

/// Why a conjunction is impossible.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Conflict<'p> {
    /// The constant `false`.
    Never,
    /// Two headers that are never in the same packet.
    Headers(Layer, u64, u64),
    /// A header that never precedes a tunnel, and a header inside a tunnel.
    Tunnel(u64),
    /// A header that must be present and absent.
    Absent(Layer, u64),
    /// No value of the number passes.
    Num(&'p Num),
    /// No value of the address passes.
    Address(&'p Address),
    /// A test that contradicts another.
    Test(&'p Pred),
    /// A byte string that never has the required length.
    Length(&'p Pred),
}

/// The facts about one variable.
#[derive(Debug, Clone)]
pub(super) struct Known<'p, V, T> {
    pub of: &'p V,
    pub set: Arc<Intervals<T>>,
    /// Whether the packet always has the variable. If not, the set describes only the packets that
    /// have it.
    pub present: bool,
}

/// The facts about the packets that pass some tests.
#[derive(Debug, Clone)]
pub(super) struct Cube<'p> {
    program: &'p Program,
    /// Bits of the outer and the inner packet that are set, with all bits that they imply.
    bits: [u64; 2],
    /// Bits that are not all set.
    lacks: Vec<(Layer, u64)>,
    pub nums: Vec<Known<'p, Num, u64>>,
    pub addresses: Vec<Known<'p, Address, u128>>,
    tags: Vec<(&'p TagPart, &'p NumSet, bool)>,
    /// Tests that are not analysed, and their results.
    pub tests: Vec<(&'p Pred, bool)>,
}

impl<'p> Cube<'p> {
    /// No facts.
    pub(super) fn new(program: &'p Program) -> Cube<'p> {
        Cube {
            program,
            bits: [0; 2],
            lacks: Vec::new(),
            nums: Vec::new(),
            addresses: Vec::new(),
            tags: Vec::new(),
            tests: Vec::new(),
        }
    }

    /// Adds that a test (no `and`, `or`, `not`) has the result `holds`.
    pub(super) fn assume(&mut self, test: &'p Pred, holds: bool) -> Result<(), Conflict<'p>> {
        match (test.kind(), holds) {
            (PredKind::Const(value), _) if *value == holds => Ok(()),
            (PredKind::Const(_), _) => Err(Conflict::Never),
            (PredKind::Bits { layer, bits }, true) => self.set(*layer, *bits),
            (PredKind::Bits { layer, bits }, false) => self.lack(*layer, *bits),
            (PredKind::In(num, set), _) => self.number(num, set, holds),
            (PredKind::AddressIn(address, set), _) => self.address(address, set, holds),
            (PredKind::TagIn(part, set), _) => self.tag(part, set, holds, test),
            (_, true) => {
                self.needs(test)?;
                if never_so_long(test) {
                    return Err(Conflict::Length(test));
                }
                self.test(test, true)
            }
            (_, false) => self.test(test, false),
        }
    }

    /// Draws the conclusions from all tests together. Called after all tests are added.
    pub(super) fn settle(&mut self) -> Result<(), Conflict<'p>> {
        for i in 0..self.nums.len() {
            let Some(known) = self.nums.get(i) else { break };
            let (num, layer) = (known.of, layer_of(known.of));
            if !(known.present || self.has(num)) {
                continue;
            }
            if let Some(layer) = layer {
                let told = facts::told_by(num, &known.set);
                self.set(layer, told)?;
                if let Some(values) = facts::values(num, self.of(layer)) {
                    self.number(num, &Arc::new(values), true)?;
                }
            }
            if self.nums.get(i).is_some_and(|known| known.set.is_empty()) {
                return Err(Conflict::Num(num));
            }
        }
        for known in &self.addresses {
            if known.set.is_empty() && self.of(known.of.layer) & known.of.bits == known.of.bits {
                return Err(Conflict::Address(known.of));
            }
        }
        for &(test, holds) in &self.tests {
            if let (PredKind::Compare(op, a, b), true) = (test.kind(), holds) {
                let ((a_low, a_high), (b_low, b_high)) = (self.span(a), self.span(b));
                let possible = match op {
                    CompareOp::Lt => a_low < b_high,
                    CompareOp::Le => a_low <= b_high,
                    _ => a_low <= b_high && b_low <= a_high,
                };
                if !possible {
                    return Err(Conflict::Test(test));
                }
            }
        }
        Ok(())
    }

    /// The value of a condition, if the facts decide it.
    pub(super) fn decides(&self, pred: &Pred) -> Option<bool> {
        match pred.kind() {
            PredKind::Const(value) => Some(*value),
            PredKind::Bits { layer, bits } => {
                let known = self.of(*layer);
                let lacked = || self.lacks.iter().any(|&(of, lack)| of == *layer && lack & !bits == 0);
                match () {
                    () if bits & !known == 0 => Some(true),
                    () if bits & facts::excluded(known) != 0 || lacked() => Some(false),
                    () => None,
                }
            }
            PredKind::Not(inner) => self.decides(inner).map(|holds| !holds),
            PredKind::And(parts) => self.all(parts, true),
            PredKind::Or(parts) => self.all(parts, false),
            PredKind::In(num, set) => {
                let known = self.nums.iter().find(|known| same(known.of, num))?;
                if !(known.present || self.has(num)) {
                    return None;
                }
                within(&known.set, set)
            }
            PredKind::AddressIn(address, set) => {
                let known = self.addresses.iter().find(|known| known.of == address && known.present)?;
                within(&known.set, set)
            }
            PredKind::TagIn(part, set) => self.tags.iter().find_map(|&(of, known, holds)| match holds {
                _ if of != part => None,
                true => known.is_subset(set).then_some(true),
                false => set.is_subset(known).then_some(false),
            }),
            _ => self.tests.iter().find(|(test, _)| *test == pred).map(|(_, holds)| *holds),
        }
    }

    /// `and` (`unit` true) or `or` of parts.
    fn all(&self, parts: &[Pred], unit: bool) -> Option<bool> {
        let mut out = Some(unit);
        for part in parts {
            match self.decides(part) {
                Some(holds) if holds == unit => {}
                Some(_) => return Some(!unit),
                None => out = None,
            }
        }
        out
    }

    fn of(&self, layer: Layer) -> u64 {
        self.bits[usize::from(layer == Layer::Inner)]
    }

    fn set(&mut self, layer: Layer, bits: u64) -> Result<(), Conflict<'p>> {
        if bits & !self.of(layer) == 0 {
            return Ok(());
        }
        let all = facts::closure(self.of(layer) | bits);
        self.bits[usize::from(layer == Layer::Inner)] = all;
        if let Some((a, b)) = facts::clash(all) {
            return Err(Conflict::Headers(layer, a, b));
        }
        if layer == Layer::Inner {
            self.set(Layer::Outer, bit::NET)?;
        }
        let [outer, inner] = self.bits;
        let no_tunnel = outer & facts::NO_TUNNEL;
        if inner != 0 && no_tunnel != 0 {
            let one = 1 << no_tunnel.trailing_zeros();
            return Err(Conflict::Tunnel(one));
        }
        match self.lacks.iter().find(|&&(of, lack)| lack & !self.of(of) == 0) {
            Some(&(of, lack)) => Err(Conflict::Absent(of, lack)),
            None => Ok(()),
        }
    }

    fn lack(&mut self, layer: Layer, bits: u64) -> Result<(), Conflict<'p>> {
        if bits & !self.of(layer) == 0 {
            return Err(Conflict::Absent(layer, bits));
        }
        if !self.lacks.contains(&(layer, bits)) {
            self.lacks.push((layer, bits));
        }
        Ok(())
    }

    fn number(&mut self, num: &'p Num, set: &NumSet, holds: bool) -> Result<(), Conflict<'p>> {
        if holds {
            self.num_needs(num)?;
        }
        let present = holds || self.has(num);
        let at = match self.nums.iter().position(|known| same(known.of, num)) {
            Some(at) => at,
            None => {
                // The set of a test is within the number's bounds, except for a param.
                let whole = match num.kind() {
                    NumKind::Param(_) => None,
                    _ => holds.then(|| set.clone()),
                };
                let whole = whole.unwrap_or_else(|| {
                    let (low, high) = bounds(self.program, num);
                    Arc::new(Intervals::range(low, high))
                });
                self.nums.push(Known { of: num, set: whole, present: false });
                self.nums.len() - 1
            }
        };
        let Some(known) = self.nums.get_mut(at) else { return Ok(()) };
        known.present |= present;
        narrow(&mut known.set, set, holds);
        if known.present && known.set.is_empty() {
            return Err(Conflict::Num(num));
        }
        Ok(())
    }

    fn address(&mut self, address: &'p Address, set: &AddressSet, holds: bool) -> Result<(), Conflict<'p>> {
        if holds {
            self.set(address.layer, address.bits)?;
        }
        let at = match self.addresses.iter().position(|known| known.of == address) {
            Some(at) => at,
            None => {
                self.addresses.push(Known { of: address, set: Arc::new(Intervals::all()), present: false });
                self.addresses.len() - 1
            }
        };
        let Some(known) = self.addresses.get_mut(at) else { return Ok(()) };
        known.present |= holds;
        narrow(&mut known.set, set, holds);
        if known.present && known.set.is_empty() {
            return Err(Conflict::Address(address));
        }
        Ok(())
    }

    /// Adds that a tag is in the set, or that none is.
    fn tag(
        &mut self,
        part: &'p TagPart,
        set: &'p NumSet,
        holds: bool,
        test: &'p Pred,
    ) -> Result<(), Conflict<'p>> {
        if holds {
            self.set(part.layer, part.present())?;
        }
        self.tags.push((part, set, holds));
        let mine = |want| self.tags.iter().filter(move |(of, _, holds)| *of == part && *holds == want);
        let none = mine(false).fold(Intervals::new([]), |all, (_, set, _)| all.union(set));
        match mine(true).any(|(_, some, _)| some.is_subset(&none)) {
            true => Err(Conflict::Test(test)),
            false => Ok(()),
        }
    }

    fn test(&mut self, test: &'p Pred, holds: bool) -> Result<(), Conflict<'p>> {
        match self.tests.iter().take(MAX_COMPARED).find(|(other, _)| *other == test) {
            Some((_, known)) if *known == holds => return Ok(()),
            Some(_) => return Err(Conflict::Test(test)),
            None => {}
        }
        if let (PredKind::BytesCompare(CompareOp::Eq, bytes, value), true) = (test.kind(), holds) {
            let other = self.tests.iter().take(MAX_COMPARED).any(|(other, holds)| {
                *holds
                    && matches!(other.kind(), PredKind::BytesCompare(CompareOp::Eq, b, v) if b == bytes && v != value)
            });
            if other {
                return Err(Conflict::Test(test));
            }
        }
        self.tests.push((test, holds));
        Ok(())
    }

    /// Adds the bits without which a test that is not analysed never holds.
    fn needs(&mut self, test: &'p Pred) -> Result<(), Conflict<'p>> {
        match test.kind() {
            PredKind::Compare(_, a, b) => {
                self.num_needs(a)?;
                self.num_needs(b)
            }
            PredKind::AddressCompare(_, a, b) => {
                self.set(a.layer, a.bits)?;
                self.set(b.layer, b.bits)
            }
            PredKind::TagInTable(part, _) => self.set(part.layer, part.present()),
            PredKind::HasOption(option) => self.set(option.layer, bit::TCP_HDR),
            PredKind::HasBytes(bytes)
            | PredKind::BytesCompare(_, bytes, _)
            | PredKind::ConstCompare(_, _, bytes)
            | PredKind::Contains(bytes, _)
            | PredKind::Matches(bytes, _) => self.bytes_need(bytes),
            PredKind::BytesBytes(_, a, b) => {
                self.bytes_need(a)?;
                self.bytes_need(b)
            }
            PredKind::InTable { key, .. } | PredKind::LookupIs { key, .. } | PredKind::Active { key, .. } => {
                self.key_needs(key)
            }
            _ => Ok(()),
        }
    }

    fn bytes_need(&mut self, bytes: &Bytes) -> Result<(), Conflict<'p>> {
        self.set(bytes.layer, extract::needs(bytes.source))
    }

    fn key_needs(&mut self, key: &[Key]) -> Result<(), Conflict<'p>> {
        key.iter().try_for_each(|part| match part {
            Key::Num(num) | Key::Ipv4(num) => self.num_needs(num),
            Key::Ipv6(address) => self.set(address.layer, address.bits),
            Key::Bytes(bytes) => self.bytes_need(bytes),
            Key::Text(_) | Key::Facet(_) => Ok(()),
        })
    }

    fn num_needs(&mut self, num: &Num) -> Result<(), Conflict<'p>> {
        match num.kind() {
            NumKind::Load(load) => self.set(load.layer, load.bits),
            NumKind::Slot { layer, bits, .. } => self.set(*layer, *bits),
            NumKind::Flow { bits, .. } => self.set(Layer::Outer, *bits),
            NumKind::Byte(bytes) => self.bytes_need(bytes),
            NumKind::Option(option) => self.set(option.layer, bit::TCP_HDR),
            NumKind::Hash(Hash::Flow) => self.set(Layer::Outer, bit::NET),
            NumKind::Lookup { key, .. } => self.key_needs(key),
            // One of two numbers; it is not known which.
            NumKind::Else(..) => Ok(()),
            NumKind::Arith(_, a, b) => {
                self.num_needs(a)?;
                self.num_needs(b)
            }
            NumKind::Const(_)
            | NumKind::Window(_)
            | NumKind::Param(_)
            | NumKind::ParamHigh(_)
            | NumKind::FrameLen
            | NumKind::FrameCapLen
            | NumKind::Len(_)
            | NumKind::Hash(Hash::Packet) => Ok(()),
        }
    }

    /// Whether the packet always has the number.
    fn has(&self, num: &Num) -> bool {
        match num.kind() {
            NumKind::Load(load) => load.bits & !self.of(load.layer) == 0,
            NumKind::Slot { layer, bits, .. } => bits & !self.of(*layer) == 0,
            NumKind::Flow { bits, .. } => bits & !self.of(Layer::Outer) == 0,
            NumKind::Const(_)
            | NumKind::Window(_)
            | NumKind::Param(_)
            | NumKind::ParamHigh(_)
            | NumKind::FrameLen
            | NumKind::FrameCapLen
            | NumKind::Len(_)
            | NumKind::Hash(Hash::Packet) => true,
            NumKind::Else(a, b) => self.has(a) || self.has(b),
            NumKind::Hash(Hash::Flow) => false,
            NumKind::Byte(_) | NumKind::Option(_) | NumKind::Lookup { .. } | NumKind::Arith(..) => false,
        }
    }

    /// The least and the greatest value that a number can have.
    fn span(&self, num: &Num) -> (u64, u64) {
        let known = self.nums.iter().find(|known| same(known.of, num));
        match known.map(|known| known.set.parts()) {
            Some([(low, _), .., (_, high)] | [(low, high)]) => (*low, *high),
            _ => bounds(self.program, num),
        }
    }
}

/// Whether two numbers are the same bytes, whatever their presence bits are.
pub(super) fn same(a: &Num, b: &Num) -> bool {
    match (a.kind(), b.kind()) {
        (NumKind::Load(a), NumKind::Load(b)) => {
            crate::fields::Load { bits: 0, ..*a } == crate::fields::Load { bits: 0, ..*b }
        }
        (NumKind::Slot { layer: la, slot: a, .. }, NumKind::Slot { layer: lb, slot: b, .. }) => {
            (la, a) == (lb, b)
        }
        _ => a == b,
    }
}

fn layer_of(num: &Num) -> Option<Layer> {
    match num.kind() {
        NumKind::Load(load) => Some(load.layer),
        NumKind::Slot { layer, .. } => Some(*layer),
        _ => None,
    }
}

/// The least and the greatest value that a number ever has.
pub(super) fn bounds(program: &Program, num: &Num) -> (u64, u64) {
    match num.kind() {
        NumKind::Const(value) => (*value, *value),
        NumKind::Param(id) => match program.params.get(id.index()) {
            Some(param) if matches!(param.value, crate::hir::Value::Num(_)) => param.bounds,
            _ => (0, u64::MAX),
        },
        _ => (0, num.max()),
    }
}

fn narrow<T: Point>(known: &mut Arc<Intervals<T>>, set: &Arc<Intervals<T>>, holds: bool) {
    if holds && Arc::ptr_eq(known, set) {
        return;
    }
    // Each removed range costs the length of the set. A set that stays too wide is still true.
    if !holds && known.parts().len() > MAX_HOLES {
        return;
    }
    let left = if holds { known.intersect(set) } else { known.intersect(&set.complement()) };
    *known = Arc::new(left);
}

fn within<T: Point>(known: &Intervals<T>, set: &Intervals<T>) -> Option<bool> {
    let both = known.intersect(set);
    match () {
        () if both == *known => Some(true),
        () if both.is_empty() => Some(false),
        () => None,
    }
}

/// Whether a slice of a fixed length is compared with bytes of another length, or searched for
/// longer bytes.
fn never_so_long(test: &Pred) -> bool {
    match test.kind() {
        PredKind::BytesCompare(CompareOp::Eq, bytes, value) => {
            fixed_length(bytes).is_some_and(|length| length != value.len() as u64)
        }
        _ => false,
    }
}

/// The length of a slice, if it is always the same.
fn fixed_length(bytes: &Bytes) -> Option<u64> {
    match bytes.slice? {
        Slice::OffsetLength(_, length) | Slice::To(length) => Some(length),
        Slice::At(_) => Some(1),
        Slice::FirstLast(first, last) if (first < 0) == (last < 0) => {
            u64::try_from(last.checked_sub(first)?.checked_add(1)?).ok()
        }
        Slice::FirstLast(..) | Slice::From(_) => None,
    }
}
