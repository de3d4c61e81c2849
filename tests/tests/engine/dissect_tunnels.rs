//! What the dissector finds in tunnels: the outer packet stays what it is, the first packet inside
//! is described by its own stack, and tunnels inside that are named but not entered.

use mrule_compiler::abi::bit::*;
use mrule_compiler::abi::{Head, Link, Packet, Stack};
use mrule_compiler::dissect::{Family, Unparsed, dissect, unparsed};
use mrule_tests::packets::*;

fn read(frame: &[u8]) -> Head {
    dissect(&Packet::new(frame, frame.len() as u32, Link::Ethernet))
}

const IP4: u64 = IP | IP_VERSION | IP_IHL | IP_LEN | IP_HDR | NET;
const V6: u64 = IP6 | IP_VERSION | IP6_HDR | NET;
const OUTER: u64 = ETH | ETH_TYPE | IP4;
const UDP_DATA: u64 = UDP | UDP_PORTS | PORTS | UDP_HDR | UDP_PAYLOAD | PAYLOAD;
const TCP_ALL: u64 = TCP | TCP_PORTS | PORTS | TCP_SEQ | TCP_FLAGS | TCP_HDR | TCP_LEN;
const TCP_DATA: u64 = TCP_ALL | TCP_PAYLOAD | PAYLOAD;

/// TCP with 5 bytes of data, over IPv4.
fn packet() -> Vec<u8> {
    ipv4(6, &tcp(PSH_ACK, 0, b"hello"))
}

/// What is found of `packet()` at `l3`, with `bits` of what carries it.
fn packet_at(l3: u32, bits: u64) -> Stack {
    Stack {
        bits: bits | IP4 | TCP_DATA,
        l3,
        l4: l3 + 20,
        payload: l3 + 40,
        payload_end: l3 + 45,
        headers_end: l3 + 40,
        l3_end: l3 + 45,
        proto: 6,
        tcp_len: 5,
        ..Stack::default()
    }
}

/// GRE with these flags and options.
fn gre(flags: u16, kind: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    [&flags.to_be_bytes(), kind.to_be_bytes().as_slice(), options, payload].concat()
}

/// VXLAN and GENEVE differ in the first four bytes.
fn vni(first: [u8; 4], payload: &[u8]) -> Vec<u8> {
    [first.as_slice(), &[0, 0, 77, 0], payload].concat()
}

#[test]
fn gre_carries_ip() {
    let head = read(&ethernet(0x0800, &ipv4(47, &gre(0, 0x0800, &[], &packet()))));
    let outer = Stack {
        bits: OUTER | GRE,
        l3: 14,
        headers_end: 34,
        l3_end: 83,
        proto: 47,
        tunnel: 34,
        ..Stack::default()
    };
    assert_eq!(head, Head { outer, inner: packet_at(38, 0) });
    // Checksum, key and sequence number: 12 more bytes.
    let head =
        read(&ethernet(0x0800, &ipv4(47, &gre(0xb000, 0x86dd, &[9; 12], &ipv6(6, &tcp(SYN, 0, b""))))));
    assert_eq!((head.outer.bits, head.inner.bits, head.inner.l3), (OUTER | GRE, V6 | TCP_ALL, 50));
}

#[test]
fn gre_carries_ethernet_and_mpls() {
    let bridged = ethernet(0x8100, &vlan(7, 0x0800, &packet()));
    let head = read(&ethernet(0x0800, &ipv4(47, &gre(0, 0x6558, &[], &bridged))));
    let bits = ETH | ETH_TYPE | mrule_compiler::abi::bit::VLAN | VLAN_ETYPE;
    assert_eq!(head.inner, Stack { l2: 38, vlan: 52, vlans: 1, ..packet_at(56, bits) });
    let head = read(&ethernet(0x0800, &ipv4(47, &gre(0, 0x8847, &[], &label(16, true, &packet())))));
    assert_eq!(head.inner, Stack { mpls: 38, labels: 1, ..packet_at(42, MPLS) });
}

#[test]
fn gre_of_other_kinds_is_not_parsed() {
    for (flags, kind) in [(1, 0x0800), (0x4000, 0x0800), (0x1000, 0x88be), (0, 0x1234), (0, 0x0004)] {
        let head = read(&ethernet(0x0800, &ipv4(47, &gre(flags, kind, &[0; 4], &packet()))));
        assert_eq!(head.outer.bits, OUTER | GRE | UNPARSED, "{flags:#x} {kind:#x}");
        assert_eq!(head.inner, Stack::default(), "{flags:#x} {kind:#x}");
        assert_eq!(unparsed(&head), Some(Unparsed { family: Family::Ip, kind: 47 }));
    }
}

#[test]
fn the_last_type_is_told() {
    let carried = |inside: &[u8]| {
        let vxlan = vni([8, 0, 0, 0], inside);
        read(&ethernet(0x0800, &ipv4(17, &udp(5555, 4789, &vxlan))))
    };
    let of = |family, kind| Some(Unparsed { family, kind });
    let head = carried(&ethernet(0x88b5, b"something"));
    assert_eq!((unparsed(&head), head.inner.headers_end), (of(Family::EtherType, 0x88b5), 64));
    assert_eq!(unparsed(&carried(&ethernet(0x0800, &ipv4(253, b"something")))), of(Family::Ip, 253));
    assert_eq!(unparsed(&carried(&ethernet(0x88cc, b"a leaf"))), None);
    assert_eq!(unparsed(&read(&ethernet(0x8864, &pppoe(0x00fd, b"x")))), of(Family::Ppp, 0xfd));
    assert_eq!(unparsed(&read(&ethernet(5, &[4, 4, 3, 1, 2]))), of(Family::Llc, 4));
}

/// Its length fields are 0: no field can hold the length of such a frame.
#[test]
fn a_super_frame_of_vxlan_over_ipv4() {
    let carried = vni([8, 0, 0, 0], &ethernet(0x0800, &packet()));
    let mut frame = ethernet(0x0800, &ipv4(17, &udp(5555, 4789, &carried)));
    for at in [16, 17, 38, 39, 66, 67] {
        frame[at] = 0;
    }
    let head = dissect(&Packet::new(&frame, 70_000, Link::Ethernet));
    assert_eq!((head.outer.bits, head.inner.bits), (OUTER | UDP_DATA | VXLAN, OUTER | TCP_DATA));
    let short = dissect(&Packet::new(&frame, 1_000, Link::Ethernet));
    assert_eq!((short.outer.bits, short.inner), (OUTER | UDP_DATA & !UDP_PAYLOAD, Stack::default()));
}

#[test]
fn ip_in_ip() {
    let head = read(&ethernet(0x0800, &ipv4(4, &packet())));
    let outer = Stack { bits: OUTER, l3: 14, headers_end: 34, l3_end: 79, proto: 4, ..Stack::default() };
    assert_eq!(head, Head { outer, inner: packet_at(34, 0) });
    let head = read(&ethernet(0x0800, &ipv4(41, &ipv6(6, &tcp(SYN, 0, b"")))));
    assert_eq!((head.outer.proto, head.inner.bits, head.inner.l4), (41, V6 | TCP_ALL, 74));
    let head = read(&ethernet(0x86dd, &ipv6(60, &extension(4, 0, &packet()))));
    assert_eq!((head.outer.proto, head.outer.headers_end), (4, 62));
    assert_eq!(head.inner, packet_at(62, 0));
}

#[test]
fn vxlan() {
    let carried = vni([8, 0, 0, 0], &ethernet(0x0800, &packet()));
    let head = read(&ethernet(0x0800, &ipv4(17, &udp(5555, 4789, &carried))));
    let outer = Stack {
        bits: OUTER | UDP_DATA | VXLAN,
        l3: 14,
        l4: 34,
        payload: 42,
        payload_end: 109,
        headers_end: 42,
        l3_end: 109,
        proto: 17,
        tunnel: 42,
        ..Stack::default()
    };
    assert_eq!(head, Head { outer, inner: Stack { l2: 50, ..packet_at(64, ETH | ETH_TYPE) } });
    // As in Wireshark, either port decides, and the flag of the network identifier does not. Other
    // ports are other protocols, and a name server's answer is no tunnel.
    let read = |from, to, flags| {
        let carried = vni([flags, 0, 0, 0], &ethernet(0x0800, &packet()));
        read(&ethernet(0x0800, &ipv4(17, &udp(from, to, &carried))))
    };
    for (from, to, flags) in [(5555, 4789, 0), (4789, 5555, 8)] {
        assert_eq!(read(from, to, flags).outer.bits, OUTER | UDP_DATA | VXLAN);
    }
    for (from, to) in [(5555, 4788), (53, 4789)] {
        let head = read(from, to, 8);
        assert_eq!((head.outer.bits, head.inner), (OUTER | UDP_DATA, Stack::default()));
    }
}

#[test]
fn geneve() {
    let bridged = vni([2, 0, 0x65, 0x58], &[[9; 8].as_slice(), &ethernet(0x0800, &packet())].concat());
    let head = read(&ethernet(0x0800, &ipv4(17, &udp(5555, 6081, &bridged))));
    assert_eq!((head.outer.bits, head.outer.tunnel), (OUTER | UDP_DATA | GENEVE, 42));
    assert_eq!(head.inner, Stack { l2: 58, ..packet_at(72, ETH | ETH_TYPE) });
    let plain = vni([0, 0, 0x08, 0x00], &packet());
    let head = read(&ethernet(0x0800, &ipv4(17, &udp(5555, 6081, &plain))));
    assert_eq!(head.inner, packet_at(50, 0));
    let other = vni([0x40, 0, 0x08, 0x00], &packet());
    let head = read(&ethernet(0x0800, &ipv4(17, &udp(5555, 6081, &other))));
    assert_eq!((head.outer.bits, head.inner), (OUTER | UDP_DATA | UNPARSED, Stack::default()));
}

#[test]
fn the_udp_length_ends_what_a_tunnel_carries() {
    let carried = vni([8, 0, 0, 0], &ethernet(0x0800, &packet()));
    let mut datagram = udp(5555, 4789, &carried);
    datagram[4..6].copy_from_slice(&(8u16 + 8 + 14 + 20).to_be_bytes());
    let head = read(&ethernet(0x0800, &ipv4(17, &datagram)));
    assert_eq!((head.outer.payload_end, head.inner.l3_end), (109, 84));
    assert_eq!(head.inner.bits, ETH | ETH_TYPE | IP4, "no TCP");
}

#[test]
fn tunnels_in_tunnels_are_named_but_not_entered() {
    let twice = gre(0, 0x0800, &[], &ipv4(47, &gre(0, 0x0800, &[], &packet())));
    let head = read(&ethernet(0x0800, &ipv4(47, &twice)));
    assert_eq!((head.outer.bits, head.outer.tunnel), (OUTER | GRE, 34));
    assert_eq!((head.inner.bits, head.inner.tunnel), (IP4 | GRE, 58));
    let inside = ethernet(0x0800, &ipv4(17, &udp(1, 4789, &vni([8, 0, 0, 0], &ethernet(0x0800, &packet())))));
    let head = read(&ethernet(0x0800, &ipv4(47, &gre(0, 0x6558, &[], &inside))));
    assert_eq!((head.inner.bits, head.inner.tunnel), (OUTER | UDP_DATA | VXLAN, 80));
    let thrice = read(&ethernet(0x0800, &ipv4(4, &ipv4(4, &packet()))));
    assert_eq!((thrice.inner.bits, thrice.inner.proto), (IP4, 4));
}

#[test]
fn a_tunnel_in_fragments() {
    let head = read(&ethernet(0x0800, &fragment4(4, 0x2000, &packet())));
    assert_eq!(head.inner.bits, IP4 | TCP_DATA & !TCP_LEN, "nobody knows where its segment ends");
    let head = read(&ethernet(0x0800, &fragment4(4, 0x2001, &packet())));
    assert_eq!((head.outer.bits, head.inner), (OUTER | FRAGMENT, Stack::default()));
}
