//! What the dissector finds, on packets built by hand: every presence bit and slot, by the whole
//! `Stack`, so that a bit or slot set by mistake fails too. Lengths that lie and headers that are
//! cut are in `dissect_odd.rs`.

use mrule_compiler::abi::bit::*;
use mrule_compiler::abi::{Head, Link, Packet, Stack};
use mrule_compiler::dissect::{dissect, dissect_into};
use mrule_tests::packets::*;

fn read(link: Link, frame: &[u8]) -> Head {
    dissect(&Packet::new(frame, frame.len() as u32, link))
}

/// The outer packet of an Ethernet frame that has no tunnel.
fn outer(frame: &[u8]) -> Stack {
    let head = read(Link::Ethernet, frame);
    assert_eq!(head.inner, Stack::default(), "no tunnel");
    head.outer
}

const ETHERNET: u64 = ETH | ETH_TYPE;
const IP4: u64 = IP | IP_VERSION | IP_IHL | IP_LEN | IP_HDR | NET;
const V6: u64 = IP6 | IP_VERSION | IP6_HDR | NET;
const TCP_ALL: u64 = TCP | TCP_PORTS | PORTS | TCP_SEQ | TCP_FLAGS | TCP_HDR | TCP_LEN;
const TCP_DATA: u64 = TCP_ALL | TCP_PAYLOAD | PAYLOAD;
const UDP_ALL: u64 = UDP | UDP_PORTS | PORTS | UDP_HDR;
const UDP_DATA: u64 = UDP_ALL | UDP_PAYLOAD | PAYLOAD;

/// The outer packet of UDP of 4 data bytes over IPv4 whose header begins at `l3`, at the end of the
/// frame.
fn udp_at(l3: u32, bits: u64) -> Stack {
    Stack {
        bits: bits | IP4 | UDP_DATA,
        l3,
        l4: l3 + 20,
        payload: l3 + 28,
        payload_end: l3 + 32,
        headers_end: l3 + 28,
        l3_end: l3 + 32,
        proto: 17,
        ..Stack::default()
    }
}

fn udp4() -> Vec<u8> {
    ipv4(17, &udp(1000, 2000, b"data"))
}

#[test]
fn tcp_over_ipv4() {
    let frame = ethernet(0x0800, &ipv4(6, &tcp(PSH_ACK, 3, b"hello")));
    let expected = Stack {
        bits: ETHERNET | IP4 | TCP_DATA,
        l3: 14,
        l4: 34,
        payload: 66,
        payload_end: 71,
        headers_end: 66,
        l3_end: 71,
        proto: 6,
        tcp_len: 5,
        ..Stack::default()
    };
    assert_eq!(outer(&frame), expected);
    // Padding is no payload.
    assert_eq!(outer(&[frame.as_slice(), &[0; 9]].concat()), expected);
}

#[test]
fn tcp_without_data() {
    let frame = ethernet(0x0800, &ipv4(6, &tcp(SYN, 0, b"")));
    let expected = Stack {
        bits: ETHERNET | IP4 | TCP_ALL,
        l3: 14,
        l4: 34,
        headers_end: 54,
        l3_end: 54,
        proto: 6,
        ..Stack::default()
    };
    assert_eq!(outer(&frame), expected);
    assert_eq!(outer(&[frame.as_slice(), &[0; 6]].concat()), expected);
}

#[test]
fn a_reset_has_a_payload_but_no_tcp_payload() {
    let stack = outer(&ethernet(0x0800, &ipv4(6, &tcp(RST, 0, b"why"))));
    assert_eq!(stack.bits, ETHERNET | IP4 | TCP_ALL | PAYLOAD);
    assert_eq!((stack.payload, stack.payload_end, stack.tcp_len), (54, 57, 3));
}

#[test]
fn udp_over_both() {
    assert_eq!(outer(&ethernet(0x0800, &udp4())), udp_at(14, ETHERNET));
    let expected = Stack {
        bits: ETHERNET | V6 | UDP_DATA,
        l3: 14,
        l4: 54,
        payload: 62,
        payload_end: 66,
        headers_end: 62,
        l3_end: 66,
        proto: 17,
        ..Stack::default()
    };
    assert_eq!(outer(&ethernet(0x86dd, &ipv6(17, &udp(1000, 2000, b"data")))), expected);
    let empty = outer(&ethernet(0x0800, &ipv4(17, &udp(1000, 2000, b""))));
    assert_eq!((empty.bits, empty.headers_end), (ETHERNET | IP4 | UDP_ALL, 42));
}

#[test]
fn tcp_over_ipv6() {
    let stack = outer(&ethernet(0x86dd, &ipv6(6, &tcp(PSH_ACK, 0, b"hello"))));
    assert_eq!(stack.bits, ETHERNET | V6 | TCP_DATA);
    assert_eq!((stack.l4, stack.headers_end, stack.payload_end, stack.tcp_len), (54, 74, 79, 5));
}

#[test]
fn icmp_and_sctp() {
    let message = [8, 0, 0, 0, 0, 1, 0, 2, b'd', b'a', b't', b'a'];
    let stack = outer(&ethernet(0x0800, &ipv4(1, &message)));
    assert_eq!(stack.bits, ETHERNET | IP4 | ICMP | ICMP_HDR | PAYLOAD);
    assert_eq!((stack.l4, stack.headers_end, stack.payload, stack.payload_end), (34, 42, 42, 46));
    let stack = outer(&ethernet(0x86dd, &ipv6(58, &message)));
    assert_eq!(stack.bits, ETHERNET | V6 | ICMP6 | ICMP6_HDR | PAYLOAD);
    assert_eq!((stack.l4, stack.headers_end, stack.payload, stack.payload_end), (54, 62, 62, 66));
    let association = [&[0x03, 0xe8, 0x07, 0xd0], [0; 8].as_slice(), b"chunk"].concat();
    let stack = outer(&ethernet(0x0800, &ipv4(132, &association)));
    assert_eq!(stack.bits, ETHERNET | IP4 | SCTP | SCTP_PORTS | PORTS | PAYLOAD);
    assert_eq!((stack.l4, stack.headers_end, stack.payload, stack.payload_end), (34, 46, 46, 51));
}

#[test]
fn the_packet_that_icmp_quotes_is_not_looked_at() {
    let error = [&[3, 3, 0, 0, 0, 0, 0, 0], udp4().as_slice()].concat();
    let stack = outer(&ethernet(0x0800, &ipv4(1, &error)));
    assert_eq!(stack.bits, ETHERNET | IP4 | ICMP | ICMP_HDR | PAYLOAD);
    assert_eq!(stack.headers_end, 42);
}

#[test]
fn arp_messages() {
    let request = [&[0, 1, 8, 0, 6, 4, 0, 1], [7; 20].as_slice()].concat();
    let frame = ethernet(0x0806, &[request.as_slice(), &[0; 18]].concat());
    let expected = Stack {
        bits: ETHERNET | ARP | ARP_HDR | ARP_ADDR,
        l3: 14,
        headers_end: 42,
        l3_end: 42,
        ..Stack::default()
    };
    assert_eq!(outer(&frame), expected);
    // Of InfiniBand: no MAC addresses.
    let stack = outer(&ethernet(0x0806, &[&[0, 32, 8, 0, 20, 4, 0, 1], [7; 48].as_slice()].concat()));
    assert_eq!((stack.bits, stack.headers_end), (ETHERNET | ARP | ARP_HDR, 70));
    let reverse = outer(&ethernet(0x8035, &request));
    assert_eq!(reverse.bits, ETHERNET | ARP | ARP_HDR | ARP_ADDR);
}

#[test]
fn vlan_tags() {
    for outermost in [0x8100, 0x88a8, 0x9100] {
        let frame = ethernet(outermost, &vlan(7, 0x0800, &udp4()));
        let expected = Stack {
            vlan: 14,
            vlans: 1,
            ..udp_at(18, ETHERNET | mrule_compiler::abi::bit::VLAN | VLAN_ETYPE)
        };
        assert_eq!(outer(&frame), expected);
        let frame = ethernet(outermost, &vlan(7, 0x8100, &vlan(8, 0x0800, &udp4())));
        assert_eq!(outer(&frame), Stack { vlans: 2, ..moved(expected, 4) });
    }
}

/// The stack with everything behind the link headers some bytes further.
fn moved(stack: Stack, by: u32) -> Stack {
    Stack {
        l3: stack.l3 + by,
        l4: stack.l4 + by,
        payload: stack.payload + by,
        payload_end: stack.payload_end + by,
        headers_end: stack.headers_end + by,
        l3_end: stack.l3_end + by,
        ..stack
    }
}

#[test]
fn tags_without_a_known_type_end_the_headers() {
    let stack = outer(&ethernet(0x8100, &vlan(7, 0x1234, b"something")));
    let bits = ETHERNET | mrule_compiler::abi::bit::VLAN;
    let expected = Stack {
        bits: bits | VLAN_ETYPE | UNPARSED,
        vlan: 14,
        vlans: 1,
        headers_end: 18,
        l3_end: 27,
        proto: 0x1234,
        ..Stack::default()
    };
    assert_eq!(stack, expected);
    // Behind the tag stands an 802.3 length, and 3 bytes of padding.
    let stack = outer(&ethernet(0x8100, &vlan(7, 6, b"\x42\x42\x03bpdpad")));
    assert_eq!(stack, Stack { bits, l3_end: 24, proto: 0, ..expected });
}

#[test]
fn deep_stacks_end() {
    let nested = |count: usize| {
        let packet =
            (0..count).fold((0x0800, udp4()), |(kind, inner), i| (0x8100, vlan(i as u16, kind, &inner)));
        outer(&ethernet(packet.0, &packet.1))
    };
    assert_eq!(nested(40).l3, 14 + 160);
    let deep = nested(80);
    assert_eq!(deep.bits, ETHERNET | mrule_compiler::abi::bit::VLAN | VLAN_ETYPE | UNPARSED, "no IP");
    assert!(deep.vlans >= 64);
    let labels = (0..80).fold(udp4(), |inner, i| label(16, i == 0, &inner));
    assert_eq!(outer(&ethernet(0x8847, &labels)).bits, ETHERNET | MPLS | UNPARSED);
    let options = (0..80).fold((17, udp(1, 2, b"")), |(next, inner), _| (60, extension(next, 0, &inner)));
    let options = outer(&ethernet(0x86dd, &ipv6(options.0, &options.1)));
    assert_eq!(options.bits, ETHERNET | V6 | EXT_DSTOPTS | UNPARSED);
}

#[test]
fn mpls_and_pppoe() {
    let two = label(16, false, &label(17, true, &udp4()));
    let expected = Stack { mpls: 14, labels: 2, ..udp_at(22, ETHERNET | MPLS) };
    assert_eq!(outer(&ethernet(0x8847, &two)), expected);
    let v6 = outer(&ethernet(0x8848, &label(17, true, &ipv6(6, &tcp(SYN, 0, b"")))));
    assert_eq!((v6.bits, v6.l3), (ETHERNET | MPLS | V6 | TCP_ALL, 18));
    let wire = outer(&ethernet(0x8847, &label(17, true, &[0; 30])));
    assert_eq!((wire.bits, wire.labels, wire.headers_end), (ETHERNET | MPLS | UNPARSED, 1, 36));
    let channel = outer(&ethernet(0x8847, &label(13, true, &udp4())));
    assert_eq!(
        channel.bits,
        ETHERNET | MPLS | UNPARSED,
        "a management channel is not IP, whatever its first byte"
    );

    assert_eq!(outer(&ethernet(0x8864, &pppoe(0x0021, &udp4()))), udp_at(22, ETHERNET | PPPOE));
    let v6 = outer(&ethernet(0x8864, &pppoe(0x0057, &ipv6(6, &tcp(SYN, 0, b"")))));
    assert_eq!((v6.bits, v6.l3), (ETHERNET | PPPOE | V6 | TCP_ALL, 22));
    let control = outer(&ethernet(0x8864, &[pppoe(0xc021, b"LCP").as_slice(), &[0; 20]].concat()));
    assert_eq!((control.bits, control.headers_end, control.l3_end), (ETHERNET | PPPOE, 22, 25));
    let compressed = [&[0x11, 0, 0, 7, 0, 33, 0x21], udp4().as_slice()].concat();
    assert_eq!(outer(&ethernet(0x8864, &compressed)), udp_at(21, ETHERNET | PPPOE));
    let all = vlan(7, 0x8864, &pppoe(0x0281, &label(16, true, &udp4())));
    let stack = outer(&ethernet(0x88a8, &all));
    let bits = ETHERNET | mrule_compiler::abi::bit::VLAN | VLAN_ETYPE | PPPOE | MPLS;
    assert_eq!(stack, Stack { vlan: 14, vlans: 1, mpls: 26, labels: 1, ..udp_at(30, bits) });
}

#[test]
fn lengths_instead_of_types() {
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], udp4().as_slice()].concat();
    let frame = ethernet(snap.len() as u16, &[snap.as_slice(), &[0; 4]].concat());
    assert_eq!(outer(&frame), udp_at(22, ETH));
    let bridged = [&[0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0], udp4().as_slice()].concat();
    assert_eq!(outer(&ethernet(bridged.len() as u16, &bridged)), udp_at(22, ETH));
    let plain = [&[6, 6, 3], udp4().as_slice()].concat();
    assert_eq!(outer(&ethernet(plain.len() as u16, &plain)), udp_at(17, ETH));
    let spanning = ethernet(5, b"\x42\x42\x03xx and padding");
    assert_eq!(outer(&spanning), Stack { bits: ETH, headers_end: 14, l3_end: 19, ..Stack::default() });
    for neither in [1501, 1535] {
        let stack = outer(&ethernet(neither, &udp4()));
        let proto = neither.into();
        let bits = ETH | UNPARSED;
        assert_eq!(stack, Stack { bits, headers_end: 14, l3_end: 46, proto, ..Stack::default() });
    }
    assert_eq!(outer(&ethernet(0, &udp4())).bits, ETHERNET | UNPARSED, "0 is a type");
}

#[test]
fn other_links() {
    let none = |link, frame: &[u8]| {
        let head = read(link, frame);
        assert_eq!(head.inner, Stack::default());
        head.outer
    };
    assert_eq!(none(Link::RawIp, &udp4()), udp_at(0, 0));
    assert_eq!(none(Link::RawIp, &ipv6(6, &tcp(SYN, 0, b""))).bits, V6 | TCP_ALL);
    assert_eq!(none(Link::RawIp, &[0x50; 40]).bits, 0);

    let v1 = |protocol: u16, payload: &[u8]| [&[0; 14], protocol.to_be_bytes().as_slice(), payload].concat();
    let v2 = |protocol: u16, payload: &[u8]| [protocol.to_be_bytes().as_slice(), &[0; 18], payload].concat();
    let tagged = vlan(7, 0x0800, &udp4());
    let bits = mrule_compiler::abi::bit::VLAN | VLAN_ETYPE;
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], udp4().as_slice()].concat();
    assert_eq!(none(Link::LinuxSll, &v1(0x0800, &udp4())), udp_at(16, 0));
    assert_eq!(none(Link::LinuxSll, &v1(4, &snap)), udp_at(24, 0));
    let expected = Stack { vlan: 16, vlans: 1, ..udp_at(20, bits) };
    assert_eq!(none(Link::LinuxSll, &v1(0x8100, &tagged)), expected);
    let novell = none(Link::LinuxSll, &v1(1, &udp4()));
    assert_eq!(novell, Stack { headers_end: 16, l3_end: 48, ..Stack::default() });
    assert_eq!(none(Link::LinuxSll2, &v2(0x0800, &udp4())), udp_at(20, 0));
    let expected = Stack { vlan: 20, vlans: 1, ..udp_at(24, bits) };
    assert_eq!(none(Link::LinuxSll2, &v2(0x8100, &tagged)), expected);

    let loopback = |family: [u8; 4], payload: &[u8]| [&family, payload].concat();
    for family in [[0, 0, 0, 2], [2, 0, 0, 0]] {
        assert_eq!(none(Link::Null, &loopback(family, &udp4())), udp_at(4, 0));
    }
    for family in [10, 24, 28, 30] {
        let packet = ipv6(6, &tcp(SYN, 0, b""));
        assert_eq!(none(Link::Null, &loopback([family, 0, 0, 0], &packet)).bits, V6 | TCP_ALL);
        assert_eq!(none(Link::Null, &loopback([0, 0, 0, family], &packet)).bits, V6 | TCP_ALL);
    }
    assert_eq!(none(Link::Null, &loopback([7, 0, 0, 0], &udp4())).bits, 0);
}

#[test]
fn extension_headers() {
    let chain = extension(43, 0, &extension(60, 1, &extension(6, 0, &tcp(PSH_ACK, 0, b"hello"))));
    let stack = outer(&ethernet(0x86dd, &ipv6(0, &chain)));
    let expected = Stack {
        bits: ETHERNET | V6 | EXT_HOPOPTS | EXT_ROUTING | EXT_DSTOPTS | TCP_DATA,
        l3: 14,
        l4: 86,
        payload: 106,
        payload_end: 111,
        headers_end: 106,
        l3_end: 111,
        proto: 6,
        tcp_len: 5,
        ..Stack::default()
    };
    assert_eq!(stack, expected);
    for skipped in [135, 139, 140] {
        let stack = outer(&ethernet(0x86dd, &ipv6(skipped, &extension(17, 0, &udp(1, 2, b"")))));
        assert_eq!((stack.bits, stack.proto), (ETHERNET | V6 | UDP_ALL, 17));
    }
    let none = outer(&ethernet(0x86dd, &ipv6(59, b"whatever")));
    assert_eq!((none.bits, none.proto, none.headers_end), (ETHERNET | V6, 59, 54));
    let sealed = outer(&ethernet(0x86dd, &ipv6(60, &extension(50, 0, &[1; 20]))));
    assert_eq!((sealed.bits, sealed.proto, sealed.headers_end), (ETHERNET | V6 | EXT_DSTOPTS | ESP, 50, 62));
    // 4 * (4 + 2) bytes.
    let signed = [&[17, 4], [0; 22].as_slice(), &udp(1000, 2000, b"data")].concat();
    let stack = outer(&ethernet(0x0800, &ipv4(51, &signed)));
    assert_eq!((stack.bits, stack.l4, stack.proto), (ETHERNET | IP4 | AH | UDP_DATA, 58, 17));
    let stack = outer(&ethernet(0x86dd, &ipv6(51, &signed)));
    assert_eq!((stack.bits, stack.l4, stack.proto), (ETHERNET | V6 | AH | UDP_DATA, 78, 17));
}

#[test]
fn fragments() {
    const MORE: u16 = 0x2000;
    let segment = tcp(PSH_ACK, 0, b"hello");
    let first = outer(&ethernet(0x0800, &fragment4(6, MORE, &segment)));
    assert_eq!(first.bits, ETHERNET | IP4 | TCP_DATA & !TCP_LEN);
    assert_eq!((first.tcp_len, first.payload, first.headers_end), (0, 54, 54));
    for fragment in [MORE | 3, 3] {
        let later = outer(&ethernet(0x0800, &fragment4(6, fragment, &segment)));
        assert_eq!(later.bits, ETHERNET | IP4 | FRAGMENT);
        assert_eq!((later.l4, later.headers_end, later.l3_end, later.proto), (0, 34, 59, 6));
    }
    let six = |offset, more| outer(&ethernet(0x86dd, &ipv6(44, &fragment6(6, offset, more, &segment))));
    assert_eq!(six(0, true).bits, ETHERNET | V6 | EXT_FRAGMENT | TCP_DATA & !TCP_LEN);
    let atomic = six(0, false);
    assert_eq!((atomic.bits, atomic.tcp_len), (ETHERNET | V6 | EXT_FRAGMENT | TCP_DATA, 5));
    let later = six(3, true);
    assert_eq!(later.bits, ETHERNET | V6 | EXT_FRAGMENT | FRAGMENT);
    assert_eq!((later.l4, later.headers_end, later.proto), (0, 62, 6));
}

#[test]
fn every_byte_of_the_head_is_overwritten() {
    let frame = ethernet(0x0806, b"");
    let packet = Packet::new(&frame, 14, Link::Ethernet);
    let dirty = Stack { bits: u64::MAX, l2: 1, l3: 2, l4: 3, tunnel: 4, ..Stack::default() };
    let mut head = Head { outer: dirty, inner: dirty };
    dissect_into(&packet, &mut head);
    assert_eq!(head, dissect(&packet));
}
