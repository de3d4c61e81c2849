//! From conditions to formulas of a filter: for a kind of packets, a formula that holds for each
//! packet for which the condition holds (or does not hold), whatever the params, tables, triggers
//! and flows are. The invariant: the formula is wider than the condition, never narrower.
//! (Rejected: the present content of tables; tables change while the filter is in place.)

use super::formula::{Formula, NO, Word, YES};
use super::kind::{FRAME_TAG, FRAME_TYPE, Kind, Net, TAG, TAG_TAKEN, TAG_TYPE};
use crate::extract;
use crate::fields::{Layer, Load, Slot, Tags};
use crate::hir::{Address, Num, NumKind, Pred, PredKind, TagPart};
use crate::sets::Intervals;

/// The greatest number of MAC or IPv6 ranges of one set that are tested one by one.
const SINGLES: usize = 64;

/// A formula that holds for every packet of the kind for which the condition has the value `holds`.
pub(super) fn over(kind: Kind, pred: &Pred, holds: bool) -> Formula {
    match pred.kind() {
        PredKind::Const(value) => Formula::Const(*value == holds),
        PredKind::Bits { layer, bits } => kind.bits(*layer, *bits, holds),
        PredKind::Not(inner) => over(kind, inner, !holds),
        PredKind::And(parts) if holds => all(kind, parts, holds),
        PredKind::And(parts) => any(kind, parts, holds),
        PredKind::Or(parts) if holds => any(kind, parts, holds),
        PredKind::Or(parts) => all(kind, parts, holds),
        PredKind::In(num, set) => number(kind, num, set, holds),
        PredKind::AddressIn(of, set) => address(kind, of, set, holds),
        PredKind::TagIn(part, set) => tag(kind, part, set, holds),
        PredKind::TagInTable(part, _) if holds => kind.bits(part.layer, part.present(), true),
        PredKind::HasBytes(bytes)
        | PredKind::BytesCompare(_, bytes, _)
        | PredKind::ConstCompare(_, _, bytes)
        | PredKind::Contains(bytes, _)
        | PredKind::Matches(bytes, _)
            if holds =>
        {
            match kind.bits(bytes.layer, extract::needs(bytes.source), true) {
                NO => NO,
                _ => YES,
            }
        }
        _ => YES,
    }
}

fn all(kind: Kind, parts: &[Pred], holds: bool) -> Formula {
    let mut met = Vec::new();
    for part in parts {
        match over(kind, part, holds) {
            // Most rules of a large program test another kind of packets.
            NO => return NO,
            other => met.push(other),
        }
    }
    Formula::and(met)
}

fn any(kind: Kind, parts: &[Pred], holds: bool) -> Formula {
    Formula::or(parts.iter().map(|part| over(kind, part, holds)))
}

/// A test behind presence bits. It does not hold unless all of them are set.
fn behind(kind: Kind, layer: Layer, bits: u64, holds: bool, test: impl FnOnce() -> Formula) -> Formula {
    if kind.bits(layer, bits, true) == NO {
        return Formula::Const(!holds);
    }
    if !holds && kind.bits(layer, bits, false) != NO {
        return YES;
    }
    test()
}

fn number(kind: Kind, num: &Num, set: &Intervals<u64>, holds: bool) -> Formula {
    let wanted = if holds { set.clone() } else { set.complement() };
    match num.kind() {
        NumKind::Load(load) => behind(kind, load.layer, load.bits, holds, || loaded(kind, load, &wanted)),
        NumKind::Slot { layer, bits, slot: Slot::Proto } => {
            behind(kind, *layer, *bits, holds, || match kind.protocol() {
                Some(word) => Formula::test(word, &narrow(&wanted)),
                None => YES,
            })
        }
        _ => YES,
    }
}

fn loaded(kind: Kind, load: &Load, set: &Intervals<u64>) -> Formula {
    match (load.slot, load.at, load.width) {
        (Slot::L2, at, 8) if load.layer == Layer::Outer => mac(at.into(), set),
        // If the kernel took out a tag, the type is that tag's.
        (Slot::L2, 12, 2) if load.layer == Layer::Outer => {
            let set = narrow(set);
            let there =
                |taken, word| Formula::and([Formula::is(TAG_TAKEN, taken), Formula::test(word, &set)]);
            Formula::or([there(1, TAG_TYPE), there(0, FRAME_TYPE)])
        }
        _ => kind.word(load).map_or(YES, |word| Formula::test(word, &narrow(set))),
    }
}

/// The set as numbers of 32 bits.
fn narrow(set: &Intervals<u64>) -> Intervals<u32> {
    let clip = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let parts = set.parts().iter().filter(|(low, _)| *low <= u32::MAX.into());
    Intervals::new(parts.map(|(low, high)| (clip(*low), clip(*high))))
}

fn mac(at: u32, set: &Intervals<u64>) -> Formula {
    let wide = set.parts().iter().map(|(low, high)| (u128::from(*low), u128::from(*high)));
    // The accumulator has 32 bits: the test reads the first two bytes, then the other four.
    let bytes = [Word { at, width: 2, shift: 0, mask: 0xffff }, whole(at + 2)];
    wide_in(&bytes, &wide.collect::<Vec<_>>())
}

fn address(kind: Kind, of: &Address, set: &Intervals<u128>, holds: bool) -> Formula {
    let wanted = if holds { set.clone() } else { set.complement() };
    behind(kind, of.layer, of.bits, holds, || match (of.slot, kind.net) {
        (Slot::L3, Net::Ip6(_)) => {
            let at = kind.l3() + u32::from(of.at);
            wide_in(&[0, 4, 8, 12].map(|word| whole(at + word)), wanted.parts())
        }
        _ => YES,
    })
}

fn whole(at: u32) -> Word {
    Word { at, width: 4, shift: 0, mask: u32::MAX }
}

/// Tests a number in several words, the highest first. All words but the first have 32 bits.
fn wide_in(words: &[Word], ranges: &[(u128, u128)]) -> Formula {
    let Some((first, rest)) = words.split_first() else { return YES };
    let below = 32 * rest.len() as u32;
    let top = |value: u128| u32::try_from(value >> below).unwrap_or(u32::MAX);
    let low_half = |value: u128| value & ((1 << below) - 1);
    let mut parts = Vec::new();
    // Ranges whose first word is the same at both ends, by that word.
    let mut within: Vec<(u32, Vec<(u128, u128)>)> = Vec::new();
    let mut across = Vec::new();
    for (low, high) in ranges {
        let (from, to) = (top(*low), top(*high));
        if from != to || rest.is_empty() || ranges.len() > SINGLES {
            across.push((from, to));
            continue;
        }
        let inside = (low_half(*low), low_half(*high));
        match within.last_mut().filter(|(at, _)| *at == from) {
            Some((_, ranges)) => ranges.push(inside),
            None => within.push((from, vec![inside])),
        }
    }
    parts.push(Formula::test(*first, &Intervals::new(across)));
    for (value, inside) in within {
        parts.push(Formula::and([Formula::is(*first, value), wide_in(rest, &inside)]));
    }
    Formula::or(parts)
}

/// A test of a tag's part. The tag is the one that the kernel took out or the one in the frame.
fn tag(kind: Kind, part: &TagPart, set: &Intervals<u64>, holds: bool) -> Formula {
    const DEI: u8 = 12;
    let there = kind.bits(part.layer, part.present(), true);
    if there == NO {
        return Formula::Const(!holds);
    }
    // Kernels before 5.0 keep their own mark in the place of the drop eligible bit.
    if part.tags != Tags::Vlan || part.at != 0 || part.shift == DEI {
        return if holds { there } else { YES };
    }
    let wanted = narrow(&if holds { set.clone() } else { set.complement() });
    let mask = u32::try_from(part.mask).unwrap_or(u32::MAX);
    let test = |word: Word| Formula::test(Word { shift: part.shift, mask, ..word }, &wanted);
    let taken = |is| Formula::is(TAG_TAKEN, is);
    match (holds, kind.tagged) {
        (true, false) => Formula::and([taken(1), test(TAG)]),
        (true, true) => Formula::or([test(FRAME_TAG), Formula::and([taken(1), test(TAG)])]),
        (false, false) => Formula::or([taken(0), test(TAG)]),
        (false, true) => Formula::and([test(FRAME_TAG), Formula::or([taken(0), test(TAG)])]),
    }
}
