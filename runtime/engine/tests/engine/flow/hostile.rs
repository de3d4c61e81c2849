//! Packets made to harm the table: garbage, floods, jumps of time and of sequence numbers. The
//! table must survive, count them, and keep its memory.

use crate::flow::frames::*;
use crate::flow::traffic::Random;
use mrule_compiler::abi::{Link, Packet};
use mrule_compiler::dissect::dissect;
use mrule_engine::flow::{FlowTable, Limits};

const SERVER: u32 = 0x0a00_0002;

fn source(i: u32) -> Ends {
    Ends { v6: false, hosts: [i.wrapping_mul(0x9e37_79b1), SERVER], ports: [i as u16 | 1, 443] }
}

fn client(i: u32) -> Ends {
    Ends { v6: false, hosts: [0xc0a8_0000 + i, SERVER], ports: [40_000, 443] }
}

#[test]
fn a_syn_flood_evicts_none_that_is_established() {
    const FLOWS: u32 = 1000;
    const KEPT: u32 = 900;
    let mut w = Watch::limited(&Limits { flows: FLOWS as usize, fragments: 64, ..Limits::default() });
    let memory = w.table.memory();
    for i in 0..KEPT {
        w.tcp(client(i), 100, 0, SYN, &[]);
        w.tcp(client(i).back(), 200, 101, SYN | ACK, &[]);
        w.tcp(client(i), 101, 201, ACK, &[]);
    }
    for i in 0..200_000 {
        w.wait(10_000);
        w.tcp(source(i), i, 0, SYN, &[]);
        // The server answers some of them.
        if i % 3 == 0 {
            w.tcp(source(i).back(), i, i + 1, SYN | ACK, &[]);
        }
        if i % 1000 == 0 {
            assert_eq!((w.counts().evicted_established, w.table.memory()), (0, memory));
        }
    }
    for i in 0..KEPT {
        let said = w.tcp(client(i), 101, 201, ACK, b"x");
        assert_eq!((said.view.is_new, said.stream()), (0, (0, 1, 1)));
    }
    let counts = w.counts();
    assert_eq!((counts.active, counts.evicted_established), (u64::from(FLOWS), 0));
    assert_eq!(counts.evicted_young, u64::from(KEPT) + 200_000 - u64::from(FLOWS));
    // The table evicts an established flow, the longest idle, only when all flows are established.
    let mut w = Watch::limited(&Limits { flows: 10, fragments: 64, ..Limits::default() });
    for i in 0..11 {
        w.wait(5 * SECOND).udp(client(i), b"x");
        w.udp(client(i).back(), b"x");
    }
    assert_eq!((w.counts().evicted_established, w.counts().evicted_young), (1, 0));
    assert_eq!(w.udp(client(1), b"x").view.is_new, 0);
    assert_eq!(w.udp(client(0), b"x").view.is_new, 1);
}

/// Frames with a valid shape, random contents and arbitrary times.
#[test]
fn garbage_does_no_harm() {
    let mut random = Random(5);
    let limits = Limits { flows: 100, fragments: 16, ..Limits::default() };
    let mut table = FlowTable::new(&limits);
    let memory = table.memory();
    let mut told = 0;
    let mut seen = 0;
    for _ in 0..6000 {
        let frames: Vec<Vec<u8>> = (0..random.below(40)).map(|_| garbage(&mut random)).collect();
        let packets: Vec<Packet> = frames
            .iter()
            .map(|f| {
                let time = match random.below(8) {
                    0 => random.next() as i64,
                    1 => (random.next() >> 3) as i64,
                    _ => 1_700_000_000 * SECOND + (random.next() >> 24) as i64,
                };
                let length = f.len() as u32 + random.below(3) as u32 * 1000;
                let link = [Link::Ethernet, Link::RawIp][usize::from(f[0] >> 4 == 4 || f[0] >> 4 == 6)];
                Packet::new(f, length, link).at(time)
            })
            .collect();
        let mut heads: Vec<_> = packets.iter().map(dissect).collect();
        table.prepare(&packets, &heads);
        for (i, packet) in packets.iter().enumerate() {
            if let Some(said) = observed(&mut table, i, packet, &mut heads[i]) {
                seen += 1;
                table.raise(said.flow, random.next());
                assert!(said.flow.index() < limits.flows);
            }
        }
        let counts = adding_up(table.counts());
        assert!(counts.active <= limits.flows as u64);
        assert!(counts.packets >= counts.non_ip + counts.orphan_fragments);
        table.drain_ended(|id| {
            told += 1;
            assert!(id.index() < limits.flows);
        });
        assert!(told <= counts.expired);
    }
    let counts = table.counts();
    assert!(seen > 50_000 && counts.evicted_young > 1000 && counts.orphan_fragments > 100, "{counts:?}");
    // Most SYNs in open flows end no flow.
    assert!(counts.ended > 50 && counts.expired > 100 && counts.fragments > 100, "{counts:?}");
    assert_eq!(table.memory(), memory);
}

/// A frame with arbitrary contents between few hosts and ports, so that flows recur.
fn garbage(random: &mut Random) -> Vec<u8> {
    let few = |random: &mut Random| random.below(3) as u32;
    let ends = Ends {
        v6: random.below(3) == 0,
        hosts: [few(random), few(random)],
        ports: [few(random) as u16, [4789, 6081, 80][random.below(3) as usize]],
    };
    let payload: Vec<u8> = (0..random.below(64)).map(|_| random.next() as u8).collect();
    let proto = [6, 6, 6, 17, 1, 58, 47, 132, 4, 50][random.below(10) as usize];
    let (seq, ack) = (random.next() as u32 >> (8 * random.below(4)), random.next() as u32);
    let inside = match proto {
        6 => tcp(ends, seq, ack, random.next() as u8, &payload),
        17 => udp(ends, &payload),
        _ => payload,
    };
    let piece = Piece { id: few(random), offset: few(random) as u16 / 2 * 8, more: random.below(2) == 0 };
    let piece = (random.below(4) == 0).then_some(piece);
    let vlans = [random.below(2) as u16, 3];
    let mut bytes = frame(ends, proto, &vlans[..random.below(9).saturating_sub(6) as usize], piece, &inside);
    if random.below(3) == 0 {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = random.next() as u8;
    }
    if random.below(4) == 0 {
        bytes.truncate(1 + random.below(bytes.len() as u64) as usize);
    }
    bytes
}
