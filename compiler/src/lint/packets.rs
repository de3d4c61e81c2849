//! Random packets for property tests: mostly well-formed, of all protocols that are dissected, with
//! few values so that tests often match, then changed in a few bytes. (Rejected: random bytes, of
//! which hardly any is a TCP segment.)

use crate::abi::{Link, Packet};
use proptest::prelude::*;

/// A frame and its link type.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    link: Link,
}

impl Frame {
    pub(super) fn packet(&self) -> Packet<'_> {
        Packet::new(&self.bytes, self.bytes.len() as u32, self.link)
    }
}

pub(super) fn frame() -> impl Strategy<Value = Frame> {
    let bends = prop::collection::vec((any::<u16>(), any::<u8>()), 0..3);
    (prop::collection::vec(any::<u8>(), 40), bends, 0u8..8).prop_map(|(choices, bends, cut)| {
        let mut dice = Dice(choices.into_iter());
        let (link, mut bytes) = match dice.below(8) {
            0 => (Link::RawIp, network(&mut dice, 2).1),
            1 => (Link::LinuxSll, {
                let (kind, inside) = network(&mut dice, 2);
                [[0; 14].as_slice(), &kind.to_be_bytes(), &inside].concat()
            }),
            _ => (Link::Ethernet, ethernet(&mut dice, 2)),
        };
        for (at, value) in bends {
            if let Some(byte) = bytes.get_mut(usize::from(at) % 80) {
                *byte = value;
            }
        }
        if cut == 0 {
            bytes.truncate(usize::from(dice.below(90)));
        }
        Frame { bytes, link }
    })
}

struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn below(&mut self, most: u8) -> u8 {
        self.0.next().unwrap_or(0) % most
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.below(of.len() as u8))]
    }
}

fn ethernet(dice: &mut Dice, depth: u8) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, dice.below(2), 2, 0, 0, 0, 0, dice.below(2)];
    for _ in 0..dice.pick(&[0u8, 0, 0, 1, 2]) {
        out.extend([0x81, 0, dice.below(2), dice.below(3)]);
    }
    let (kind, inside) = network(dice, depth);
    out.extend(kind.to_be_bytes());
    out.extend(inside);
    out
}

fn network(dice: &mut Dice, depth: u8) -> (u16, Vec<u8>) {
    match dice.below(8) {
        0 => (0x0806, [[0, 1, 8, 0, 6, 4, 0, 1].as_slice(), &[7; 20]].concat()),
        1 => (dice.pick(&[0x1234, 0x0030, 0x8847]), vec![9; 20]),
        2 | 3 => {
            let (proto, inside) = transport(dice, depth);
            let src = 0x2001_0db8_0000_0000u128 << 64 | u128::from(dice.below(4));
            let dst = 0x2001_0db8_0000_0000u128 << 64 | u128::from(dice.below(4));
            let (next, extension): (u8, Vec<u8>) = match dice.below(6) {
                0 => (0, [proto, 0, 0, 0, 0, 0, 0, 0].to_vec()),
                1 => (44, vec![proto, 0, 0, dice.pick(&[0, 1, 8]), 0, 0, 0, 1]),
                _ => (proto, Vec::new()),
            };
            let length = (extension.len() + inside.len()) as u16;
            let mut out = vec![0x60, 0, 0, 0];
            out.extend(length.to_be_bytes());
            out.extend([next, 64]);
            out.extend(src.to_be_bytes());
            out.extend(dst.to_be_bytes());
            (dice.pick(&[0x86dd, 0x86dd, 0x86dd, 0x0800]), [out, extension, inside].concat())
        }
        _ => {
            let (proto, inside) = transport(dice, depth);
            let fragment = dice.pick(&[0u16, 0, 0, 0x4000, 0x2000, 0x2001, 5]);
            let (proto, inside) = match dice.below(8) {
                0 => (51, [vec![proto, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], inside].concat()),
                _ => (proto, inside),
            };
            let mut out = vec![0x45, 0];
            out.extend(((20 + inside.len()) as u16).to_be_bytes());
            out.extend([0, 0]);
            out.extend(fragment.to_be_bytes());
            out.extend([
                dice.pick(&[1, 64]),
                proto,
                0,
                0,
                10,
                0,
                0,
                dice.below(4),
                10,
                dice.below(2),
                0,
                dice.below(4),
            ]);
            (dice.pick(&[0x0800, 0x0800, 0x0800, 0x0800, 0x86dd]), [out, inside].concat())
        }
    }
}

fn transport(dice: &mut Dice, depth: u8) -> (u8, Vec<u8>) {
    let ports =
        [dice.pick(&[80u16, 53, 1000]).to_be_bytes(), dice.pick(&[80u16, 53, 4789, 6081]).to_be_bytes()]
            .concat();
    let text = dice.pick(&[b"".as_slice(), b"GET /", b"x", b"\x16\x03\x01"]);
    match dice.below(10) {
        0 => (1, [&[dice.pick(&[0, 8]), 0, 0, 0, 0, 0, 0, 0], text].concat()),
        1 => (58, [&[dice.pick(&[128, 135]), 0, 0, 0, 0, 0, 0, 0], text].concat()),
        2 => (132, [ports.as_slice(), &[0; 8], text].concat()),
        3 => (dice.pick(&[50, 89]), vec![1; 16]),
        4 if depth > 0 => (47, [&[0, 0, 0x65, 0x58], ethernet(dice, depth - 1).as_slice()].concat()),
        5 if depth > 0 => {
            let (kind, inside) = network(dice, depth - 1);
            (if kind == 0x86dd { 41 } else { 4 }, inside)
        }
        6 | 7 => {
            let inside = match (depth, ports[2..] == 4789u16.to_be_bytes()) {
                (1.., true) => [&[8, 0, 0, 0, 0, 0, 77, 0], ethernet(dice, depth - 1).as_slice()].concat(),
                _ => text.to_vec(),
            };
            let length = (8 + inside.len()) as u16;
            (17, [ports.as_slice(), &length.to_be_bytes(), &[0, 0], &inside].concat())
        }
        _ => {
            let options: &[u8] = dice.pick(&[b"".as_slice(), &[2, 4, 5, 0xb4], &[1, 1, 8, 2]]);
            let offset = (20 + options.len() as u8) << 2;
            let header = [0, 0, 0, 1, 0, 0, 0, 2, offset, dice.pick(&[2, 0x10, 0x12, 4]), 1, 0, 0, 0, 0, 0];
            (6, [ports.as_slice(), &header, options, text].concat())
        }
    }
}
