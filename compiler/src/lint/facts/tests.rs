//! The tables of facts, compared with the dissector.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::Head;
use crate::fields::{FIELDS, Source};
use crate::helpers;
use crate::lint::packets::frame;
use proptest::prelude::*;

/// The numbers of the field table, for both layers.
fn numbers() -> Vec<(Num, Layer)> {
    let mut out = Vec::new();
    for layer in [Layer::Outer, Layer::Inner] {
        out.extend(FIELDS.iter().filter_map(|field| match field.source {
            Source::Load(load) => Some((Num::load(Load { layer, ..load }), layer)),
            Source::Slot { bits, slot, .. } => Some((Num::slot(layer, bits, slot, 32), layer)),
            _ => None,
        }));
    }
    out
}

fn value(packet: &crate::abi::Packet, head: &Head, num: &Num) -> Option<u64> {
    match num.kind() {
        NumKind::Load(load) => helpers::load(packet, head, load),
        NumKind::Slot { layer, bits, slot } => {
            let stack = helpers::stack(head, *layer);
            (stack.bits & bits == *bits).then(|| u64::from(slot.get(stack)))
        }
        _ => None,
    }
}

#[test]
fn one_pass_closes() {
    for &(some, _) in IMPLIES {
        for i in 0..64 {
            let once = closure(some & 1 << i);
            assert_eq!(closure(once), once, "bit {i}");
        }
    }
    assert_eq!(clash(TCP | NET | UDP), Some((TCP, UDP)));
    assert_eq!(clash(closure(UDP_PAYLOAD)), None);
    assert_eq!(excluded(closure(TCP)) & (TCP | UDP | NET | ARP), UDP | ARP);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn the_dissector_keeps_them(frame in frame()) {
        let packet = frame.packet();
        let head = crate::dissect::dissect(&packet);
        for stack in [&head.outer, &head.inner] {
            prop_assert_eq!(closure(stack.bits), stack.bits);
            prop_assert_eq!(clash(stack.bits), None);
        }
        if head.inner.bits != 0 {
            prop_assert_eq!(head.outer.bits & NO_TUNNEL, 0);
            prop_assert_eq!(head.outer.bits & NET, NET);
        }
        for (num, layer) in numbers() {
            let Some(value) = value(&packet, &head, &num) else { continue };
            let bits = helpers::stack(&head, layer).bits;
            if let Some(values) = values(&num, bits) {
                prop_assert!(values.contains(value), "{:?} is {}", num, value);
            }
            prop_assert_eq!(told_by(&num, &Intervals::one(value)) & !bits, 0);
        }
    }
}
