//! Tests which packets belong to one flow, how long it lives, and which flow a full table evicts.

use crate::flow::frames::*;
use mrule_compiler::abi::{Link, Packet, bit};
use mrule_compiler::dissect::dissect;
use mrule_compiler::fields::App;
use mrule_engine::flow::{FlowId, Limits, Timeouts};

const ENDS: Ends = Ends { v6: false, hosts: [0x0a00_0001, 0x0a00_0002], ports: [40000, 80] };

fn client(i: u32) -> Ends {
    Ends { v6: false, hosts: [i, 0x0a00_0002], ports: [(i >> 7) as u16 | 1024, 80] }
}

#[test]
fn both_directions_are_one_flow() {
    for ends in [Ends::v4([9, 5]), Ends::v4([5, 9]), Ends::v6([9, 5]), Ends::v4([5, 9]).back()] {
        let mut w = Watch::new();
        let start = w.now;
        let one = w.udp(ends, b"12345");
        assert_eq!((one.view.is_new, one.view.established, one.is_from_client()), (1, 0, true));
        assert_eq!((one.view.age, one.view.idle, one.view.midstream), (0, 0, 0));
        let bytes = one.view.bytes;
        let two = w.wait(2 * SECOND).udp(ends.back(), b"12345");
        assert_eq!(
            (two.flow, two.view.is_new, two.view.established, two.is_from_client()),
            (one.flow, 0, 1, false)
        );
        let three = w.wait(SECOND).udp(ends, b"12345");
        assert_eq!((three.view.age, three.view.idle), ((w.now - start) as u64, SECOND as u64));
        assert_eq!((three.view.client_packets, three.view.server_packets, three.view.packets), (2, 1, 3));
        assert_eq!((three.view.client_bytes, three.view.bytes), (2 * bytes, 3 * bytes));
        assert_eq!(three.stream(), (5, 10, 10));
        assert_eq!((w.counts().active, w.counts().created), (1, 1));
    }
}

#[test]
fn the_client_is_who_opens() {
    let mut w = Watch::new();
    assert!(w.tcp(ENDS, 1, 0, SYN, &[]).is_from_client());
    assert!(!w.tcp(ENDS.back(), 1, 2, SYN | ACK, &[]).is_from_client());
    // The answer came first.
    let mut w = Watch::new();
    assert!(!w.tcp(ENDS.back(), 9, 2, SYN | ACK, &[]).is_from_client());
    let ack = w.tcp(ENDS, 2, 10, ACK, &[]);
    assert_eq!((ack.is_from_client(), ack.view.established, ack.view.midstream), (true, 1, 1));
    assert_eq!((ack.view.client_packets, ack.view.server_packets), (1, 1));
    // A flow found in mid-stream: the ports tell, or the first sender counts as the client.
    for (ports, back_is_client) in [
        ([40000, 80], false),
        ([80, 40000], true),
        ([40000, 8080], false),
        ([2000, 443], false),
        ([40000, 50000], true),
        ([5000, 8080], true),
        ([80, 443], true),
    ] {
        for ends in [Ends::v4(ports), Ends::v6(ports)] {
            let mut w = Watch::new();
            let first = w.tcp(ends.back(), 9, 2, ACK, b"x");
            assert_eq!((first.is_from_client(), first.view.client_known), (back_is_client, 0), "{ports:?}");
            // Content may tell otherwise.
            w.table.set_client(first.flow, first.end);
            let next = w.tcp(ends.back(), 10, 2, ACK, b"x");
            assert_eq!((next.is_from_client(), next.view.client_known), (true, 1));
        }
    }
}

/// An open flow of the client, with a raised trigger.
fn open() -> (Watch, FlowId) {
    let mut w = Watch::new();
    w.tcp(ENDS, 100, 0, SYN, &[]);
    w.tcp(ENDS.back(), 200, 101, SYN | ACK, &[]);
    let flow = w.tcp(ENDS, 101, 201, ACK, b"abc").flow;
    w.table.raise(flow, 5);
    w.table.set_app(flow, App::Ssh);
    (w, flow)
}

#[test]
fn a_forged_syn_ends_no_flow() {
    for (ends, seq, ack, flags) in [
        (ENDS, 7000, 0, SYN),
        (ENDS.back(), 7000, 0, SYN),
        (ENDS.back(), 7000, 101, SYN | ACK),
        (ENDS, 7000, 201, SYN | ACK),
    ] {
        let (mut w, _) = open();
        let forged = w.tcp(ends, seq, ack, flags, b"payload");
        assert_eq!((forged.view.is_new, forged.view.active, forged.view.app), (0, 5, App::Ssh as u64));
        assert!(!forged.has(bit::STREAM));
        // A challenge (RFC 5961, 4.2), and the connection goes on.
        w.tcp(ENDS.back(), 201, 104, ACK, &[]);
        let next = w.tcp(ENDS, 104, 201, ACK, b"def");
        assert_eq!((next.view.is_new, next.view.active, next.stream()), (0, 5, (3, 6, 6)));
        assert!(next.is_from_client());
        assert_eq!(w.tcp(ENDS.back(), 201, 107, ACK, b"yes").stream(), (0, 3, 3));
        assert_eq!((w.counts().ended, w.counts().created), (0, 1));
    }
}

#[test]
fn a_syn_begins_another_flow_when_it_is_answered() {
    // An answer to something else.
    let (mut w, _) = open();
    w.tcp(ENDS, 7000, 0, SYN, &[]);
    w.tcp(ENDS, 7000, 0, SYN, &[]);
    assert_eq!(w.tcp(ENDS.back(), 8000, 7002, SYN | ACK, &[]).view.is_new, 0);
    let (mut w, flow) = open();
    w.tcp(ENDS, 7000, 0, SYN, &[]);
    let answer = w.tcp(ENDS.back(), 8000, 7001, SYN | ACK, &[]);
    assert_eq!((answer.flow, answer.view.is_new, answer.view.active, answer.view.app), (flow, 1, 0, 0));
    assert_eq!((answer.is_from_client(), answer.view.isn, answer.view.client_known), (false, 8000, 1));
    let data = w.tcp(ENDS, 7001, 8001, ACK, b"abc");
    assert_eq!((data.stream(), data.view.isn, data.view.established), ((0, 3, 3), 7000, 1));
    assert_eq!((data.view.midstream, data.view.packets, w.counts().ended), (0, 2, 1));
    // Early data, acknowledged with the SYN.
    let mut w = open().0;
    w.tcp(ENDS, 7000, 0, SYN, b"early");
    assert_eq!(w.tcp(ENDS.back(), 8000, 7006, SYN | ACK, &[]).view.is_new, 1);
    // The SYN was not seen: the acknowledgement of the answer.
    let mut w = open().0;
    assert_eq!(w.tcp(ENDS.back(), 8000, 7001, SYN | ACK, &[]).view.is_new, 0);
    assert_eq!(w.tcp(ENDS, 104, 8001, ACK, &[]).view.is_new, 0);
    let data = w.tcp(ENDS, 7001, 8001, ACK, b"abc");
    assert_eq!((data.view.is_new, data.is_from_client(), data.view.established), (1, true, 1));
    assert_eq!(w.tcp(ENDS.back(), 8001, 7004, ACK, b"x").stream(), (0, 1, 1));
    // Only one end is seen: it goes on with its SYN.
    let mut w = Watch::new();
    w.tcp(ENDS, 101, 201, ACK, b"abc");
    w.tcp(ENDS, 7000, 0, SYN, &[]);
    assert_eq!(w.tcp(ENDS, 104, 201, ACK, b"d").stream(), (3, 4, 4));
    let data = w.tcp(ENDS, 7001, 8001, ACK, b"abc");
    assert_eq!((data.view.is_new, data.view.isn, data.stream()), (1, 7000, (0, 3, 3)));
    // A closed flow ends at once, and a candidate does not wait for ever.
    let mut w = open().0;
    w.tcp(ENDS, 104, 201, RST, &[]);
    assert_eq!(w.tcp(ENDS, 7000, 0, SYN, &[]).view.is_new, 1);
    let mut w = open().0;
    w.tcp(ENDS, 7000, 0, SYN, &[]);
    w.wait(61 * SECOND);
    assert_eq!(w.tcp(ENDS.back(), 8000, 7001, SYN | ACK, &[]).view.is_new, 0);
}

#[test]
fn customers_do_not_mix() {
    let mut w = Watch::new();
    let inside = udp(ENDS, b"abc");
    let plain = w.see(&frame(ENDS, 17, &[], None, &inside)).unwrap().flow;
    let mut seen = vec![plain];
    for vlans in [&[7_u16][..], &[8], &[7, 8], &[8, 7], &[7, 9]] {
        let said = w.see(&frame(ENDS, 17, vlans, None, &inside)).unwrap();
        assert_eq!(said.view.is_new, 1, "{vlans:?}");
        seen.push(said.flow);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6);
    // A priority is no VLAN, neither in a tag of its own nor inside a VLAN's tag. A third tag does
    // not tell flows apart.
    assert_eq!(w.see(&frame(ENDS, 17, &[0xe000], None, &inside)).unwrap().flow, plain);
    assert_eq!(w.see(&frame(ENDS, 17, &[0xe007], None, &inside)).unwrap().view.packets, 2);
    assert_eq!(w.see(&frame(ENDS, 17, &[7, 8, 9], None, &inside)).unwrap().view.packets, 2);
    // The same numbers as IPv6 addresses, and as another protocol.
    let mapped = |proto: u8| {
        let mut bytes = vec![2; 12];
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, inside.len() as u8, proto, 64]);
        for host in ENDS.hosts {
            bytes.extend([0; 10]);
            bytes.extend([0xff, 0xff]);
            bytes.extend(host.to_be_bytes());
        }
        bytes.extend(&inside);
        bytes
    };
    assert_eq!(w.see(&mapped(17)).unwrap().view.is_new, 1);
    assert_eq!(w.see(&frame(ENDS, 6, &[], None, &tcp(ENDS, 1, 1, 0, &[]))).unwrap().view.is_new, 1);
}

#[test]
fn tunnels_do_not_mix() {
    let mut w = Watch::new();
    let vxlan = Ends::v4([555, 4789]);
    let over = |vni: u8| udp(vxlan, &[8, 0, 0, 0, 0, 0, vni, 0, 1, 2, 3]);
    let one = w.see(&frame(vxlan, 17, &[], None, &over(1))).unwrap();
    let two = w.see(&frame(vxlan, 17, &[], None, &over(2))).unwrap();
    assert!(one.view.is_new == 1 && two.view.is_new == 1 && one.flow != two.flow);
    assert_eq!(w.see(&frame(vxlan, 17, &[], None, &over(1))).unwrap().flow, one.flow);
    let keyed = |checksum: bool, key: u8| {
        let mut bytes = vec![if checksum { 0xa0 } else { 0x20 }, 0, 8, 0];
        bytes.extend(if checksum { &[0xab; 4][..] } else { &[] });
        bytes.extend([0, 0, 0, key, 9]);
        bytes
    };
    let plain = w.see(&frame(ENDS, 47, &[], None, &[0, 0, 8, 0, 9])).unwrap();
    let zero = w.see(&frame(ENDS, 47, &[], None, &keyed(false, 0))).unwrap();
    let one = w.see(&frame(ENDS, 47, &[], None, &keyed(false, 1))).unwrap();
    assert!([plain.view, zero.view, one.view].iter().all(|view| view.is_new == 1));
    assert_eq!(w.see(&frame(ENDS.back(), 47, &[], None, &keyed(true, 1))).unwrap().flow, one.flow);
}

#[test]
fn echoes_by_identifier_others_by_addresses() {
    let mut w = Watch::new();
    let icmp = |kind: u8, id: u8| [kind, 0, 0, 0, 0, id, 0, 1, 0xaa, 0xbb];
    let v6 = Ends::v6([0, 0]);
    let one = w.see(&frame(ENDS, 1, &[], None, &icmp(8, 1))).unwrap();
    assert_eq!(w.see(&frame(ENDS, 1, &[], None, &icmp(8, 2))).unwrap().view.is_new, 1);
    assert_eq!(w.see(&frame(ENDS, 1, &[], None, &icmp(8, 0))).unwrap().view.is_new, 1);
    let answer = w.see(&frame(ENDS.back(), 1, &[], None, &icmp(0, 1))).unwrap();
    assert_eq!((answer.flow, answer.view.established, answer.stream()), (one.flow, 1, (0, 2, 2)));
    let error = w.see(&frame(ENDS, 1, &[], None, &icmp(3, 0))).unwrap();
    assert_eq!(error.view.is_new, 1);
    assert_eq!(w.see(&frame(ENDS, 1, &[], None, &icmp(11, 7))).unwrap().flow, error.flow);
    let one = w.see(&frame(v6, 58, &[], None, &icmp(128, 1))).unwrap();
    assert_eq!(w.see(&frame(v6, 58, &[], None, &icmp(128, 2))).unwrap().view.is_new, 1);
    assert_eq!(w.see(&frame(v6.back(), 58, &[], None, &icmp(129, 1))).unwrap().flow, one.flow);
    // An unknown protocol: its bytes behind IP are the payload.
    let said = w.see(&frame(ENDS, 200, &[], None, &[1, 2, 3])).unwrap();
    assert_eq!((said.stream(), said.payload), ((0, 3, 3), vec![1, 2, 3]));
    assert_eq!(w.see(&frame(ENDS.back(), 200, &[], None, &[1])).unwrap().view.established, 1);
    // A packet without IP has no flow.
    assert!(w.see(&[0; 60]).is_none());
    assert_eq!((w.counts().non_ip, w.counts().packets), (1, 12));
}

/// A flow continues after exactly this idle time, and ends one nanosecond later.
#[test]
fn idle_flows_end() {
    type Case = (fn(&mut Watch), i64);
    let cases: [Case; 9] = [
        (
            |w| {
                // In mid-stream, both ends alive.
                w.tcp(ENDS, 1, 0, ACK, b"");
                w.tcp(ENDS.back(), 1, 0, ACK, b"");
            },
            3600,
        ),
        (|w| drop(w.tcp(ENDS, 1, 0, SYN, &[])), 60),
        (
            |w| {
                w.tcp(ENDS, 1, 0, SYN, &[]);
                w.tcp(ENDS.back(), 1, 2, SYN | ACK, &[]);
                w.tcp(ENDS, 2, 2, ACK, &[]);
            },
            3600,
        ),
        (|w| drop(w.tcp(ENDS, 1, 0, ACK, b"x")), 3600),
        (|w| drop(w.tcp(ENDS, 1, 0, FIN | ACK, b"x")), 120),
        (
            |w| {
                w.tcp(ENDS, 1, 0, FIN | ACK, b"x");
                w.tcp(ENDS.back(), 1, 0, FIN | ACK, b"x");
            },
            10,
        ),
        (
            |w| {
                w.tcp(ENDS, 1, 0, ACK, b"x");
                w.tcp(ENDS.back(), 1, 0, RST, b"");
            },
            10,
        ),
        (|w| drop(w.udp(ENDS, b"x")), 30),
        (
            |w| {
                w.udp(ENDS, b"x");
                w.udp(ENDS.back(), b"x");
            },
            180,
        ),
    ];
    for (i, (begin, seconds)) in cases.into_iter().enumerate() {
        for over in [0, 1] {
            let mut w = Watch::new();
            begin(&mut w);
            w.wait(seconds * SECOND + over);
            let bytes = if i < 7 { tcp(ENDS, 2, 0, ACK, &[]) } else { udp(ENDS, &[]) };
            let said = w.see(&frame(ENDS, if i < 7 { 6 } else { 17 }, &[], None, &bytes)).unwrap();
            assert_eq!(said.view.is_new, over as u64, "case {i}");
            assert_eq!(w.counts().expired, over as u64);
        }
    }
}

#[test]
fn timeouts_can_be_set() {
    let timeouts = Timeouts { udp: 7 * SECOND, udp_established: 5 * SECOND, ..Timeouts::default() };
    let mut w = Watch::limited(&Limits { flows: 10, fragments: 8, timeouts });
    w.udp(ENDS, b"x");
    assert_eq!(w.wait(6 * SECOND).udp(ENDS.back(), b"x").view.established, 1);
    assert_eq!(w.wait(5 * SECOND).udp(ENDS, b"x").view.is_new, 0);
    assert_eq!(w.wait(5 * SECOND + 1).udp(ENDS, b"x").view.is_new, 1);
    assert_eq!(w.wait(7 * SECOND).udp(ENDS, b"x").view.is_new, 0);
    assert_eq!(w.wait(7 * SECOND + 1).udp(ENDS, b"x").view.is_new, 1);
}

#[test]
fn a_syn_can_begin_another_flow() {
    let mut w = Watch::new();
    let first = w.tcp(ENDS, 100, 0, SYN, &[]);
    w.table.raise(first.flow, 5);
    w.table.set_app(first.flow, App::Ssh);
    let again = w.tcp(ENDS, 100, 0, SYN, &[]);
    assert_eq!((again.view.is_new, again.view.active, again.view.app), (0, 5, App::Ssh as u64));
    assert_eq!(w.table.app(first.flow), App::Ssh);
    let other = w.tcp(ENDS, 101, 0, SYN, &[]);
    assert_eq!((other.view.is_new, other.view.active, other.view.app, other.view.packets), (1, 0, 0, 1));
    w.tcp(ENDS.back(), 500, 102, SYN | ACK, &[]);
    assert_eq!(w.tcp(ENDS.back(), 501, 102, SYN | ACK, &[]).view.is_new, 1);
    assert_eq!(w.counts().ended, 2);
    // The client closed the flow, and the server now calls the client's port.
    let mut w = Watch::new();
    w.tcp(ENDS, 100, 0, SYN, &[]);
    w.tcp(ENDS, 101, 0, RST, &[]);
    let back = w.tcp(ENDS.back(), 900, 0, SYN, &[]);
    assert_eq!((back.view.is_new, back.is_from_client()), (1, true));
    // A place that was taken again is not reported; a free place is.
    let mut told = Vec::new();
    w.table.drain_ended(|id| told.push(id));
    assert_eq!(told, []);
}

#[test]
fn ends_are_told_once() {
    let mut w = Watch::limited(&Limits { flows: 4, ..Limits::default() });
    let ids: Vec<FlowId> = (0..3).map(|i| w.udp(client(i), b"x").flow).collect();
    w.wait(100 * SECOND);
    for _ in 0..64 {
        w.udp(client(9), b"x");
    }
    assert_eq!((w.counts().expired, w.counts().active), (3, 1));
    let mut told = Vec::new();
    w.table.drain_ended(|id| told.push(id));
    told.sort();
    assert_eq!(told, ids);
    w.table.drain_ended(|_| unreachable!());
    for i in 20..23 {
        assert!(ids.contains(&w.udp(client(i), b"x").flow));
    }
    assert_eq!(w.counts().evicted_young, 0);
    w.table.drain_ended(|_| unreachable!());
}

#[test]
fn the_idlest_makes_room() {
    let mut w = Watch::limited(&Limits { flows: 100, ..Limits::default() });
    for i in 0..100 {
        w.wait(2 * SECOND / 10).udp(client(i), b"x");
    }
    // All flows but the tenth get another packet.
    w.wait(3 * SECOND);
    for i in (0..100).filter(|&i| i != 10) {
        w.udp(client(i), b"x");
    }
    w.udp(client(1000), b"x");
    assert_eq!(w.counts().evicted_young, 1);
    assert_eq!(w.udp(client(11), b"x").view.is_new, 0);
    assert_eq!(w.udp(client(10), b"x").view.is_new, 1);
}

#[test]
fn time_may_go_back() {
    let mut w = Watch::new();
    w.udp(ENDS, b"x");
    let start = w.now;
    let back = w.wait(-5 * SECOND).udp(ENDS, b"x");
    assert_eq!((back.view.age, back.view.idle, back.view.is_new), (0, 0, 0));
    w.now = start + SECOND;
    let on = w.udp(ENDS, b"x");
    // The earlier packet did not move the flow's last time back.
    assert_eq!((on.view.age, on.view.idle), (SECOND as u64, SECOND as u64));
    let hour = w.wait(-3600 * SECOND).udp(ENDS, b"x");
    w.now = start + 2 * SECOND;
    let on = w.udp(ENDS, b"x");
    assert_eq!((hour.view.is_new, on.view.is_new, on.view.packets), (0, 0, 5));
    for time in [i64::MAX, i64::MIN, 0, i64::MAX, start] {
        w.now = time;
        w.udp(ENDS, b"x");
        w.udp(client(7), b"x");
    }
    w.counts();
}

#[test]
fn batches_and_single_packets_agree() {
    let frames: Vec<Vec<u8>> =
        (0..500).map(|i| frame(client(i % 7), 17, &[], None, &udp(client(i % 7), b"abc"))).collect();
    let run = |size: usize| {
        let mut table = Watch::new().table;
        let mut said = Vec::new();
        for batch in frames.chunks(size) {
            let packets: Vec<Packet> =
                batch.iter().map(|f| Packet::new(f, f.len() as u32, Link::Ethernet).at(5)).collect();
            let mut heads: Vec<_> = packets.iter().map(dissect).collect();
            table.prepare(&packets, &heads);
            for (i, packet) in packets.iter().enumerate() {
                said.push(observed(&mut table, i, packet, &mut heads[i]).unwrap());
            }
        }
        said
    };
    let one = run(1);
    assert!(one.iter().all(|said| said.has(bit::FLOW | bit::STREAM)));
    assert_eq!(one, run(256));
    assert_eq!(one, run(7));
}
