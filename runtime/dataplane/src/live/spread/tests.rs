//! Runs the program in an interpreter as the kernel runs it: from the network header on, behind a
//! tag that the kernel has taken out. (Rejected: the kernel alone, which the live tests use; here
//! each instruction is visible.)
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test stops")]

use super::*;

/// What the kernel shows of a frame: its Ethernet header, its type, and what follows.
struct Shown {
    link: Vec<u8>,
    protocol: u32,
    network: Vec<u8>,
}

impl Shown {
    fn ethernet(frame: &[u8]) -> Shown {
        let word = |at: usize| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        let tagged = matches!(word(12), 0x8100 | 0x88a8);
        let at = if tagged { 16 } else { 12 };
        let protocol = if word(at) < 0x600 { 4 } else { word(at) };
        Shown { link: frame[..12].to_vec(), protocol, network: frame[at + 2..].to_vec() }
    }

    /// Returns `None` where a load is outside of the packet: the kernel then uses 0.
    fn run(&self, code: &[Insn]) -> Option<u32> {
        let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [None; 16], 0);
        loop {
            let Insn { code, jt, jf, k } = code[at];
            at += 1;
            let load = |from: u32, bytes: usize| -> Option<u32> {
                let (data, from) =
                    if from >= LINK { (&self.link, from - LINK) } else { (&self.network, from) };
                let bytes = data.get(from as usize..from as usize + bytes)?;
                Some(bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
            };
            let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
            match code {
                LD_IMM => a = k,
                LD_W_ABS if k == PROTOCOL => a = self.protocol,
                LD_W_ABS => a = load(k, 4)?,
                LD_H_ABS => a = load(k, 2)?,
                LD_W_X => a = load(x + k, 4)?,
                LD_H_X => a = load(x + k, 2)?,
                LD_B_X => a = load(x + k, 1)?,
                LD_MEM => a = memory[k as usize].unwrap(),
                LDX_MEM => x = memory[k as usize].unwrap(),
                LDX_IMM => x = k,
                ST => memory[k as usize] = Some(a),
                STX => memory[k as usize] = Some(x),
                ADD => a = a.wrapping_add(k),
                ADD_X => a = a.wrapping_add(x),
                MUL => a = a.wrapping_mul(k),
                AND => a &= k,
                LSH => a <<= k,
                RSH => a >>= k,
                XOR_X => a ^= x,
                TAX => x = a,
                TXA => a = x,
                JA => at += k as usize,
                JEQ => jump(a == k),
                JGT => jump(a > k),
                JSET => jump(a & k != 0),
                RET_A => return Some(a),
                other => panic!("{other:#x}"),
            }
        }
    }
}

fn ip4(ends: (u32, u32), proto: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, proto, 0, 0]);
    packet.extend([ends.0.to_be_bytes(), ends.1.to_be_bytes()].concat());
    packet.extend(payload);
    packet
}

fn ip6(ends: (u32, u32), next: u8, payload: &[u8]) -> Vec<u8> {
    let address = |end: u32| [&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &end.to_be_bytes()].concat();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([address(ends.0), address(ends.1)].concat());
    packet.extend(payload);
    packet
}

fn ports((from, to): (u16, u16)) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 16]].concat()
}

/// A packet behind each kind of header that leads to IP.
fn carried(packet: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let six = packet[0] >> 4 == 6;
    let kind: u16 = if six { 0x86dd } else { 0x0800 };
    let with = |head: &[u8]| {
        let addresses = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        [&addresses[..], head, packet].concat()
    };
    let typed = |head: &[u8]| with(&[head, &kind.to_be_bytes()].concat());
    let protocol: u8 = if six { 0x57 } else { 0x21 };
    vec![
        ("plain", typed(&[])),
        ("VLAN", typed(&[0x81, 0, 0, 9])),
        ("QinQ", typed(&[0x88, 0xa8, 0, 9, 0x81, 0, 0x20, 8])),
        ("three tags", typed(&[0x88, 0xa8, 0, 9, 0x91, 0, 0, 8, 0x81, 0, 0, 7])),
        ("MPLS", with(&[0x88, 0x47, 0, 1, 1, 64])),
        ("three labels", with(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 1, 64])),
        ("MPLS in a tag", with(&[0x81, 0, 0, 9, 0x88, 0x48, 0, 1, 1, 64])),
        ("PPPoE", with(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 200, 0, protocol])),
        ("PPPoE, short", with(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 200, protocol])),
        ("MPLS in PPPoE", with(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 200, 2, 0x81, 0, 1, 1, 64])),
        ("SNAP", typed(&[0, 200, 0xaa, 0xaa, 3, 0, 0, 0])),
        ("SNAP in a tag", typed(&[0x81, 0, 0, 9, 0, 200, 0xaa, 0xaa, 3, 0, 0, 0])),
    ]
}

#[test]
fn all_of_a_pair_of_hosts_meet() {
    let code = program(Link::Ethernet, false, 0x0123_4567_89ab_cdef);
    assert!(code.len() < 1000, "{} instructions", code.len());
    let (a, b) = (0x0a01_0001, 0xc000_0207);
    for six in [false, true] {
        let whole = |ends, proto, payload: &[u8]| match six {
            false => ip4(ends, proto, 0x4000, payload),
            true => ip6(ends, proto, payload),
        };
        let mut packets = Vec::new();
        for ends in [(a, b), (b, a)] {
            packets.push(whole(ends, 6, &ports((1000, 80))));
            packets.push(whole(ends, 17, &ports((53, 4000))));
            packets.push(whole(ends, 1, &[8, 0, 0, 0, 0, 1, 0, 1]));
            packets.push(whole(ends, 47, &[0; 8]));
            packets.push(whole(ends, 50, &[0; 8]));
            packets.push(whole(ends, 4, &ip4((1, 2), 17, 0, &ports((1, 2)))));
            packets.push(whole(ends, 41, &ip6((3, 4), 6, &ports((1, 2)))));
            packets.push(ip4(ends, 17, 0x2000, &ports((53, 4000))));
            packets.push(ip4(ends, 17, 5, &[9; 8]));
            packets.push(ip6(ends, 44, &[17, 0, 0, 8, 0, 0, 0, 1, 9, 9]));
        }
        let family = |packet: &&Vec<u8>| (packet[0] >> 4 == 6) == six;
        let mut results = Vec::new();
        for packet in packets.iter().filter(family) {
            for (how, frame) in carried(packet) {
                results.push((how, Shown::ethernet(&frame).run(&code).unwrap()));
            }
        }
        assert!(results.iter().all(|result| result.1 == results[0].1), "{results:?}");
        let bare = Shown {
            link: Vec::new(),
            protocol: 0,
            network: packets.into_iter().find(|p| family(&p)).unwrap(),
        };
        assert_eq!(bare.run(&program(Link::RawIp, false, 0x0123_4567_89ab_cdef)), Some(results[0].1));
    }
}

#[test]
fn pairs_of_hosts_and_ports_are_spread_evenly() {
    let seed = 0x9876_5432_10fe_dcba;
    for workers in [2, 3, 4, 7] {
        let mut shares = [[0_u32; 7]; 4];
        for i in 0..4000_u32 {
            let ends = (0x0a00_0001 + i % 250 + ((i / 250) << 8), 0x0a00_0001);
            let frames = [
                (0, ip4(ends, 6, 0, &ports((1, 2)))),
                (1, ip6(ends, 6, &ports((1, 2)))),
                (2, ip4((1, 2), 17, 0, &ports((40_000 + i as u16, 53)))),
                (3, ip6((1, 2), 6, &ports((443, 40_000 + i as u16)))),
            ];
            for (at, packet) in frames {
                let code = program(Link::RawIp, at > 1, seed);
                let shown = Shown { link: Vec::new(), protocol: 0, network: packet };
                let result = shown.run(&code).unwrap();
                shares[at][(result % workers) as usize] += 1;
            }
        }
        for share in shares {
            let fair = 4000 / workers;
            let near = |n: &u32| (fair * 8 / 10..fair * 12 / 10).contains(n);
            assert!(share.iter().take(workers as usize).all(near), "{workers}: {share:?}");
        }
    }
}

#[test]
fn ports_do_not_tell_directions_apart() {
    let code = program(Link::RawIp, true, 7);
    let result =
        |packet: Vec<u8>| Shown { link: Vec::new(), protocol: 0, network: packet }.run(&code).unwrap();
    assert_eq!(result(ip4((1, 2), 6, 0, &ports((3, 4)))), result(ip4((2, 1), 6, 0, &ports((4, 3)))));
    assert_ne!(result(ip4((1, 2), 6, 0, &ports((3, 4)))), result(ip4((1, 2), 6, 0, &ports((3, 5)))));
    assert_eq!(result(ip4((1, 2), 6, 1, &ports((3, 4)))), result(ip4((1, 2), 6, 0x2000, &ports((5, 6)))));
    assert_eq!(result(ip6((1, 2), 17, &ports((3, 4)))), result(ip6((2, 1), 17, &ports((4, 3)))));
}

#[test]
fn what_is_not_ip_is_spread_by_ethernet_addresses_and_what_is_cut_is_not() {
    let code = program(Link::Ethernet, true, 7);
    let frame = |from: u8, to: u8, rest: &[u8]| [&[2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from], rest].concat();
    let result = |frame: Vec<u8>| Shown::ethernet(&frame).run(&code);
    for rest in
        [&[0x08, 6, 0, 1][..], &[0x89, 0x26, 0, 0], &[0, 200, 0x42, 0x42, 3], &[0x88, 0x47, 0, 1, 1, 64, 0]]
    {
        let there = result(frame(1, 2, rest));
        assert!(there.is_some(), "{rest:x?}");
        assert_eq!(there, result(frame(2, 1, rest)));
        assert_ne!(there, result(frame(1, 3, rest)));
    }
    let whole = carried(&ip6((1, 2), 6, &ports((1, 2))));
    for (_, frame) in whole {
        for cut in 14..frame.len() {
            let _ended =
                Shown::ethernet(&[&frame[..cut], &[0; 4][..(18 - cut.min(18)).min(4)]].concat()).run(&code);
        }
    }
}
