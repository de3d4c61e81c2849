//! The edge cases of every extraction, on hand-made heads: the functions must be total whatever a
//! head claims.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::{Link, bit};
use crate::fields::{BytesSource, Proto, Tags};
use crate::hir::{Bytes, Slice, TagPart, TcpOption};
use proptest::prelude::{any, prop, prop_assert, prop_oneof, proptest};

fn packet(frame: &[u8]) -> Packet<'_> {
    Packet::new(frame, frame.len() as u32, Link::Ethernet)
}

fn outer(stack: Stack) -> Head {
    Head { outer: stack, ..Head::default() }
}

fn whole(source: BytesSource) -> Bytes {
    Bytes { layer: Layer::Outer, source, slice: None }
}

#[test]
fn slices_are_wireshark_s() {
    let text = b"abcdef".as_slice();
    let cases: &[(Slice, Option<&[u8]>)] = &[
        (Slice::OffsetLength(0, 2), Some(b"ab")),
        (Slice::OffsetLength(4, 2), Some(b"ef")),
        (Slice::OffsetLength(5, 2), None),
        (Slice::OffsetLength(-2, 2), Some(b"ef")),
        (Slice::OffsetLength(-2, 3), None),
        (Slice::OffsetLength(-7, 1), None),
        (Slice::OffsetLength(1, u64::MAX), None),
        (Slice::OffsetLength(i64::MIN, 1), None),
        (Slice::FirstLast(1, 2), Some(b"bc")),
        (Slice::FirstLast(5, 5), Some(b"f")),
        (Slice::FirstLast(2, 6), None),
        (Slice::FirstLast(-3, -2), Some(b"de")),
        (Slice::FirstLast(0, -1), Some(text)),
        (Slice::FirstLast(3, 1), None),
        (Slice::FirstLast(0, i64::MAX), None),
        (Slice::From(4), Some(b"ef")),
        (Slice::From(-1), Some(b"f")),
        (Slice::From(7), None),
        (Slice::To(3), Some(b"abc")),
        (Slice::To(7), None),
        (Slice::At(0), Some(b"a")),
        (Slice::At(-6), Some(b"a")),
        (Slice::At(6), None),
        (Slice::At(-7), None),
    ];
    for (part, expected) in cases {
        assert_eq!(slice(text, *part), *expected, "{part:?}");
    }
    let nothing = Bytes { slice: Some(Slice::From(6)), ..whole(BytesSource::Frame) };
    assert_eq!(bytes(&packet(text), &Head::default(), &nothing), None, "empty is absent");
}

#[test]
fn sources_end_where_their_headers_say() {
    // Ethernet, IPv4 with one option word, TCP with one option word, three bytes of payload, two of
    // padding.
    let mut frame = vec![0u8; 14 + 24 + 24 + 3 + 2];
    frame[14] = 0x46;
    frame[38 + 12] = 0x60;
    let all =
        bit::ETH | bit::IP | bit::IP_HDR | bit::TCP_PORTS | bit::TCP_HDR | bit::TCP_PAYLOAD | bit::PAYLOAD;
    let stack = Stack {
        bits: all,
        l3: 14,
        l4: 38,
        payload: 62,
        payload_end: 65,
        l3_end: 65,
        headers_end: 60,
        ..Stack::default()
    };
    let length = |frame: &[u8], bits: u64, source| {
        let head = outer(Stack { bits, ..stack });
        bytes(&packet(frame), &head, &whole(source)).map(<[u8]>::len)
    };
    use BytesSource::{From, Header};
    for (source, expected) in [
        (BytesSource::Frame, 67),
        (Header(Proto::Eth), 14),
        (From(Proto::Eth), 67),
        (Header(Proto::Ip), 24),
        (From(Proto::Ip), 51),
        (Header(Proto::Tcp), 24),
        (From(Proto::Tcp), 27),
        (BytesSource::TcpPayload, 3),
        (BytesSource::Payload, 3),
    ] {
        assert_eq!(length(&frame, all, source), Some(expected), "{source:?}");
        if source != BytesSource::Frame {
            assert_eq!(length(&frame, 0, source), None, "{source:?} without its bit");
        }
    }
    assert_eq!(length(&frame[..60], all, Header(Proto::Tcp)), Some(22), "cut while capturing");
    assert_eq!(length(&frame[..60], all, BytesSource::TcpPayload), None);
    assert_eq!(length(&frame, bit::ICMP_HDR, Header(Proto::Icmp)), Some(27), "the whole message");
    assert_eq!(length(&frame, bit::UDP_PORTS, Header(Proto::Udp)), Some(8));
    assert_eq!(length(&frame, bit::IP6, Header(Proto::Ip6)), Some(40));
    let (ip6, fragment) = (bit::IP6 | bit::IP6_HDR, bit::FRAGMENT);
    assert_eq!(length(&frame, ip6 | bit::TCP, Header(Proto::Ip6)), Some(24), "to the transport header");
    assert_eq!(length(&frame, ip6 | fragment, Header(Proto::Ip6)), Some(40));
    assert_eq!(length(&frame, ip6, Header(Proto::Ip6)), Some(46), "with its extension headers");
    assert_eq!(length(&frame[..48], bit::TCP_PORTS, Header(Proto::Tcp)), Some(10), "cut before its length");
    frame[38 + 12] = 0x40;
    assert_eq!(length(&frame, bit::TCP_PORTS, Header(Proto::Tcp)), Some(27), "it lies: to the packet's end");
    frame[14] = 0x44;
    assert_eq!(length(&frame, bit::IP, Header(Proto::Ip)), Some(16), "it lies: so many bytes");
    frame[14] = 0x40;
    assert_eq!(length(&frame, bit::IP, Header(Proto::Ip)), None, "it lies: none");
    assert_eq!(length(&[], u64::MAX, BytesSource::Frame), None);
    let named = packet(&frame).on(0, "eth0");
    let name = whole(BytesSource::InterfaceName);
    assert_eq!(bytes(&named, &Head::default(), &name), Some(b"eth0".as_slice()));
    assert_eq!(bytes(&packet(&frame), &Head::default(), &name), None, "unknown");
    let inner = Bytes { layer: Layer::Inner, ..whole(From(Proto::Eth)) };
    let head = Head { outer: stack, inner: Stack { bits: bit::ETH, l2: 50, ..Stack::default() } };
    assert_eq!(bytes(&packet(&frame), &head, &inner).map(<[u8]>::len), Some(15), "to the outer packet's end");
}

fn options(list: &[u8]) -> Vec<u8> {
    let mut tcp = vec![0; 20];
    tcp[12] = ((20 + list.len()).div_ceil(4) as u8) << 4;
    tcp.extend(list);
    tcp
}

fn option(tcp: &[u8], kind: u8, at: u8, width: u8) -> Option<u64> {
    let head = outer(Stack { bits: bit::TCP_HDR, ..Stack::default() });
    tcp_option(&packet(tcp), &head, TcpOption { layer: Layer::Outer, kind, at, width })
}

#[test]
fn tcp_options_are_walked_within_their_header() {
    let usual = options(&[2, 4, 5, 0xb4, 1, 3, 3, 7, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]);
    assert_eq!(option(&usual, 2, 2, 2), Some(1460));
    assert_eq!(option(&usual, 3, 2, 1), Some(7));
    assert_eq!(option(&usual, 8, 6, 4), Some(2));
    assert_eq!(option(&usual, 8, 0, 0), Some(0));
    assert_eq!(option(&usual, 8, 7, 4), None, "past the option");
    assert_eq!(option(&usual, 4, 0, 0), None);
    assert_eq!(option(&options(&[2, 4, 0, 1, 2, 4, 0, 2]), 2, 2, 2), Some(1), "the first counts");
    assert_eq!(
        option(&options(&[2, 3, 9, 1, 2, 4, 0, 2]), 2, 2, 2),
        None,
        "the first counts, though too short"
    );
    assert_eq!(option(&options(&[9, 0, 0, 0, 2, 4, 0, 2]), 2, 2, 2), None, "length 0");
    assert_eq!(option(&options(&[9, 1, 0, 0, 2, 4, 0, 2]), 2, 2, 2), None, "length 1");
    assert_eq!(option(&options(&[0, 2, 4, 0, 2, 0, 0, 0]), 2, 2, 2), None, "behind the end of the list");
    assert_eq!(option(&options(&[1, 1, 2, 4]), 2, 0, 0), None, "reaches past the header");
    assert_eq!(option(&options(&[1, 1, 1, 2]), 2, 0, 0), None, "no room for its length");
    let cut = &usual[..24];
    assert_eq!(option(cut, 2, 2, 2), Some(1460));
    assert_eq!(option(cut, 3, 2, 1), None, "not captured");
    assert_eq!(option(&usual[..22], 2, 0, 0), Some(0), "captured as far as needed");
    let mut lying = usual.clone();
    lying[12] = 0x40;
    assert_eq!(option(&lying, 2, 2, 2), None, "data offset 4");
    let tcp = packet(&usual);
    let any = TcpOption { layer: Layer::Outer, kind: 2, at: 0, width: 0 };
    assert_eq!(tcp_option(&tcp, &Head::default(), any), None, "no TCP");
    let far = outer(Stack { bits: bit::TCP_HDR, l4: u32::MAX, ..Stack::default() });
    assert_eq!(tcp_option(&tcp, &far, any), None);
}

#[test]
fn any_tag_counts() {
    let frame = [0, 0, 0x20, 5, 0x81, 0, 0x00, 9, 0x00, 0x40, 0xff];
    let stack = Stack { bits: bit::VLAN, vlan: 2, vlans: 2, ..Stack::default() };
    let all = |stack: Stack, part: TagPart| {
        let mut seen = Vec::new();
        tags_any(&packet(&frame), &outer(stack), &part, |value| {
            seen.push(value);
            false
        });
        seen
    };
    let part = |tags, at, width, shift, mask| TagPart { layer: Layer::Outer, tags, at, width, shift, mask };
    assert_eq!(all(stack, part(Tags::Vlan, 0, 2, 0, 0xfff)), [5, 9]);
    assert_eq!(all(stack, part(Tags::Vlan, 0, 2, 13, 7)), [1, 0]);
    assert_eq!(all(stack, part(Tags::Vlan, 2, 2, 0, 0xffff)), [0x8100], "0x0040 is a length");
    let types = |value: u16| {
        let [high, low] = value.to_be_bytes();
        let tag = [0, 0, high, low];
        let head = outer(Stack { vlan: 0, vlans: 1, ..stack });
        tags_any(&packet(&tag), &head, &part(Tags::Vlan, 2, 2, 0, 0xffff), |_| true)
    };
    assert!(!types(0) && !types(1500) && types(1501) && types(0x0800));
    assert_eq!(all(Stack { vlans: 9, ..stack }, part(Tags::Vlan, 0, 2, 0, 0xfff)), [5, 9], "cut");
    assert!(all(Stack { bits: 0, ..stack }, part(Tags::Vlan, 0, 2, 0, 0xfff)).is_empty());
    assert!(all(Stack { vlan: u32::MAX, ..stack }, part(Tags::Vlan, 0, 2, 0, 0xfff)).is_empty());
    let mpls = Stack { bits: bit::MPLS, mpls: 6, labels: 1, ..Stack::default() };
    assert_eq!(all(mpls, part(Tags::Mpls, 0, 4, 12, 0xfffff)), [0x90]);
    assert_eq!(all(mpls, part(Tags::Mpls, 0, 4, 0, 0xff)), [0x40]);
    let holds =
        |value| tags_any(&packet(&frame), &outer(stack), &part(Tags::Vlan, 0, 2, 0, 0xfff), |v| v == value);
    assert!(holds(9) && !holds(7));
}

/// An IPv4 packet without a link header: protocol, addresses, ports.
fn ipv4(proto: u8, ends: [([u8; 4], u16); 2]) -> (Vec<u8>, Stack) {
    let mut frame = vec![0x45, 0, 0, 24, 0, 0, 0, 0, 64, proto, 0, 0];
    frame.extend(ends[0].0);
    frame.extend(ends[1].0);
    frame.extend(ends[0].1.to_be_bytes());
    frame.extend(ends[1].1.to_be_bytes());
    let bits = bit::NET | bit::IP_HDR | bit::PORTS;
    (frame, Stack { bits, l4: 20, proto: u32::from(proto), ..Stack::default() })
}

fn flow(made: &(Vec<u8>, Stack)) -> Option<u64> {
    flow_hash(&packet(&made.0), &outer(made.1))
}

#[test]
fn hashes_never_change() {
    assert_eq!(packet_hash(&packet(b"")), 0x2d06_8005_38d3_94c2, "XXH3-64 of nothing, seed 0");
    let long: Vec<u8> = (0..200).collect();
    assert_eq!(packet_hash(&packet(&long)), 0x0a36_b0bc_93ca_b48f, "the reference implementation, seed 200");
    assert_eq!(packet_hash(&packet(&long)), packet_hash(&Packet::new(&long[..128], 200, Link::RawIp)));
    assert_ne!(packet_hash(&packet(&long[..128])), packet_hash(&packet(&long)));
    let (a, b) = (([10, 0, 0, 1], 40000), ([192, 0, 2, 1], 80));
    let there = flow(&ipv4(6, [a, b]));
    assert_eq!(there, Some(FLOW));
    assert_eq!(flow(&ipv4(6, [b, a])), there, "both directions");
    assert_ne!(flow(&ipv4(17, [a, b])), there, "protocol");
    assert_ne!(flow(&ipv4(6, [(a.0, 40001), b])), there, "port");
    assert_ne!(flow(&ipv4(6, [(a.0, 80), (b.0, 40000)])), there, "ports stay with their addresses");
    assert_eq!(flow(&ipv4(6, [a, (a.0, 80)])), flow(&ipv4(6, [(a.0, 80), a])), "one address");
    let (frame, stack) = ipv4(6, [a, b]);
    let fragment = (frame.clone(), Stack { bits: stack.bits & !bit::PORTS, l4: 0, ..stack });
    assert_eq!(flow(&fragment), flow(&ipv4(6, [(a.0, 0), (b.0, 0)])), "addresses and protocol only");
    assert_eq!(flow(&(frame.clone(), Stack { bits: bit::PORTS, ..stack })), None, "no IP");
    assert_eq!(flow(&(frame[..19].to_vec(), stack)), None, "a head that lies");
}

/// XXH3-64 of the 37 bytes for 10.0.0.1:40000, 192.0.2.1:80 and TCP, computed by the reference
/// implementation.
const FLOW: u64 = 0x70d2_850a_2404_555c;

proptest! {
    #[test]
    fn no_head_makes_a_helper_fail(
        frame in prop::collection::vec(any::<u8>(), 0..80),
        bits in any::<u64>(),
        slots in prop::array::uniform12(prop_oneof![0u32..100, any::<u32>()]),
        kind in any::<u8>(),
        at in 0u8..12,
    ) {
        let [l2, l3, l4, payload, payload_end, l3_end, proto, vlan, vlans, mpls, labels, tunnel] = slots;
        let stack = Stack {
            bits, l2, l3, l4, payload, payload_end, l3_end, proto, vlan, vlans, mpls, labels, tunnel,
            ..Stack::default()
        };
        let head = Head { outer: stack, inner: stack };
        let packet = packet(&frame);
        for field in crate::fields::FIELDS {
            match field.source {
                crate::fields::Source::Load(field) => prop_assert!(load(&packet, &head, &field).is_none_or(|v| v <= field.mask)),
                crate::fields::Source::Bytes(source) => {
                    for layer in [Layer::Outer, Layer::Inner] {
                        let found = bytes(&packet, &head, &Bytes { layer, source, slice: None });
                        prop_assert!(found.is_none_or(|b| !b.is_empty() && b.len() <= frame.len()));
                    }
                }
                crate::fields::Source::Tag { tags, at, width, shift, mask } => {
                    let part = TagPart { layer: Layer::Outer, tags, at, width, shift, mask };
                    tags_any(&packet, &head, &part, |value| {
                        assert!(value <= mask);
                        false
                    });
                }
                crate::fields::Source::Protocol { header: Some(proto), .. } => {
                    for source in [BytesSource::Header(proto), BytesSource::From(proto)] {
                        let found = bytes(&packet, &head, &whole(source));
                        prop_assert!(found.is_none_or(|b| b.len() <= frame.len()));
                    }
                }
                _ => {}
            }
        }
        for width in [0, 1, 2, 4] {
            let value = tcp_option(&packet, &head, TcpOption { layer: Layer::Inner, kind, at, width });
            prop_assert!(value.is_none_or(|v| v < 1 << (8 * width)));
        }
        prop_assert!(flow_hash(&packet, &head).is_none() || bits & bit::NET != 0);
    }
}
