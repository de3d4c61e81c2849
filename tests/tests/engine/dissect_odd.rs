//! What the dissector finds in packets whose lengths lie and whose headers are cut: fields before
//! the lie or the cut stay, the later ones go, and `headers` ends where something can still be
//! believed.

use mrule_compiler::abi::bit::*;
use mrule_compiler::abi::{Link, Packet, Stack};
use mrule_compiler::dissect::dissect;
use mrule_tests::packets::*;

const ETHERNET: u64 = ETH | ETH_TYPE;
const IP4: u64 = IP | IP_VERSION | IP_IHL | IP_LEN | IP_HDR | NET;
const V6: u64 = IP6 | IP_VERSION | IP6_HDR | NET;
const PORTS_OF_TCP: u64 = TCP | TCP_PORTS | PORTS;
const TCP_ALL: u64 = PORTS_OF_TCP | TCP_SEQ | TCP_FLAGS | TCP_HDR | TCP_LEN;
const TCP_DATA: u64 = TCP_ALL | TCP_PAYLOAD | PAYLOAD;
const UDP_ALL: u64 = UDP | UDP_PORTS | PORTS | UDP_HDR;
const UDP_DATA: u64 = UDP_ALL | UDP_PAYLOAD | PAYLOAD;

fn outer(frame: &[u8]) -> Stack {
    cut(frame, frame.len())
}

/// The outer packet of a frame of which only `captured` bytes were captured.
fn cut(frame: &[u8], captured: usize) -> Stack {
    dissect(&Packet::new(&frame[..captured], frame.len() as u32, Link::Ethernet)).outer
}

/// TCP with 5 bytes of data over IPv4: 59 bytes.
fn web() -> Vec<u8> {
    ethernet(0x0800, &ipv4(6, &tcp(PSH_ACK, 0, b"hello")))
}

fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[test]
fn ipv4_total_length() {
    let total = |length: u16| outer(&with(web(), 16, &length.to_be_bytes()));
    let whole = outer(&web());
    assert_eq!(whole.bits, ETHERNET | IP4 | TCP_DATA);
    assert_eq!(total(0), whole, "segmentation offload: to the end of the frame");
    assert_eq!(total(60000), whole, "longer than the frame: no more than there is");
    for less in [1, 19] {
        let stack = total(less);
        assert_eq!(stack.bits, ETHERNET | IP | IP_VERSION | IP_IHL | IP_LEN, "{less}");
        assert_eq!((stack.headers_end, stack.l3_end), (14, 59));
    }
    let nothing = total(20);
    assert_eq!((nothing.bits, nothing.headers_end, nothing.l3_end), (ETHERNET | IP4, 34, 34));
    let two = total(42);
    assert_eq!((two.bits, two.tcp_len, two.payload_end), (ETHERNET | IP4 | TCP_DATA, 2, 56));
    let half = total(30);
    assert_eq!((half.bits, half.headers_end), (ETHERNET | IP4 | PORTS_OF_TCP, 34));
    let flags = total(36);
    assert_eq!(
        flags.bits,
        ETHERNET | IP4 | PORTS_OF_TCP | TCP_SEQ | TCP_FLAGS,
        "no length: it would be below 0"
    );
}

#[test]
fn ipv4_header_length_and_version() {
    let first = |byte: u8| outer(&with(web(), 14, &[byte]));
    let short = first(0x44);
    assert_eq!((short.bits, short.headers_end), (ETHERNET | IP | IP_VERSION | IP_IHL, 14));
    for version in [0x05, 0x55, 0xf5] {
        let stack = first(version);
        assert_eq!((stack.bits, stack.headers_end), (ETHERNET | IP | IP_VERSION, 14));
    }
    // Options up to the end of the frame: 56 bytes of header, of which 45 are there.
    let long = with(first_with_total(0x4e, 200), 6, &[0, 0]);
    let stack = outer(&long);
    assert_eq!((stack.bits, stack.headers_end), (ETHERNET | IP4, 14));
    let cut_off = cut(&[long.as_slice(), &[0; 155]].concat(), 59);
    assert_eq!((cut_off.bits, cut_off.headers_end), (ETHERNET | IP4, 70), "past the captured end");
    // IPv6 by the type of IPv4 is read, as in Wireshark.
    let frame = ethernet(0x0800, &ipv6(6, &tcp(SYN, 0, b"")));
    assert_eq!(outer(&frame).bits, ETHERNET | IP | V6 | TCP_ALL);
    let frame = ethernet(0x86dd, &ipv4(6, &tcp(SYN, 0, b"")));
    assert_eq!(outer(&frame).bits, ETHERNET | IP6 | IP_VERSION);
}

fn first_with_total(first: u8, total: u16) -> Vec<u8> {
    with(with(web(), 14, &[first]), 16, &total.to_be_bytes())
}

#[test]
fn tcp_data_offset() {
    let offset = |words: u8, flags: u8| outer(&with(web(), 46, &[words << 4, flags]));
    for lie in 0..5 {
        let stack = offset(lie, PSH_ACK);
        assert_eq!(stack.bits, ETHERNET | IP4 | PORTS_OF_TCP | TCP_SEQ | TCP_LEN, "{lie}");
        assert_eq!(stack.headers_end, 34, "no header end can be believed: through L3");
        assert_eq!(stack.tcp_len, 25 - 4 * u32::from(lie), "as Wireshark reckons");
    }
    assert_eq!(offset(6, PSH_ACK).bits, ETHERNET | IP4 | TCP_DATA);
    let past = offset(7, PSH_ACK);
    assert_eq!(past.bits, ETHERNET | IP4 | TCP_ALL & !TCP_LEN);
    assert_eq!((past.headers_end, past.payload), (59, 0), "all of the segment is header");
    assert_eq!(offset(6, RST).bits, ETHERNET | IP4 | TCP_ALL | PAYLOAD);
}

#[test]
fn udp_length() {
    let frame = ethernet(0x0800, &ipv4(17, &udp(1000, 2000, b"0123456789")));
    let length = |length: u16| outer(&with(frame.clone(), 38, &length.to_be_bytes()));
    let whole = outer(&frame);
    assert_eq!(whole.bits, ETHERNET | IP4 | UDP_DATA);
    // The payload goes on to the end of the datagram, as in Wireshark.
    for lie in [9, 17, 19, 60000] {
        assert_eq!(length(lie), whole, "{lie}");
    }
    for none in [0, 7, 8] {
        assert_eq!(length(none), Stack { bits: whole.bits & !UDP_PAYLOAD, ..whole }, "{none}");
    }
    let frame = ethernet(0x86dd, &ipv6(17, &udp(1000, 2000, b"0123456789")));
    let jumbo = outer(&with(frame.clone(), 58, &[0, 0]));
    assert_eq!(jumbo.bits, ETHERNET | V6 | UDP_DATA, "0 in a jumbogram");
    assert_eq!(outer(&with(frame, 58, &[0, 7])).bits, ETHERNET | V6 | UDP_ALL | PAYLOAD);
}

#[test]
fn ipv6_payload_length() {
    let frame = ethernet(0x86dd, &ipv6(6, &tcp(PSH_ACK, 0, b"hello")));
    let length = |length: u16| outer(&with(frame.clone(), 18, &length.to_be_bytes()));
    let whole = outer(&frame);
    assert_eq!(length(60000), whole);
    assert_eq!(length(22).payload_end, 76);
    assert_eq!(length(10).bits, ETHERNET | V6 | PORTS_OF_TCP);
    let nothing = length(0);
    assert_eq!((nothing.bits, nothing.headers_end, nothing.l3_end), (ETHERNET | V6, 54, 54));
    // More than the field can say: a super-frame.
    let huge = with(ethernet(0x86dd, &ipv6(6, &tcp(PSH_ACK, 0, &[0; 66000]))), 18, &[0, 0]);
    let stack = outer(&huge);
    assert_eq!((stack.bits, stack.tcp_len), (ETHERNET | V6 | TCP_DATA, 66000));
}

#[test]
fn jumbograms() {
    let segment = tcp(PSH_ACK, 0, &[0; 70]);
    let jumbo = |length: u32| {
        let options = [&[6, 0, 0xc2, 4], length.to_be_bytes().as_slice(), &segment].concat();
        outer(&with(ethernet(0x86dd, &ipv6(0, &options)), 18, &[0, 0]))
    };
    let stack = jumbo(98);
    assert_eq!((stack.bits, stack.tcp_len), (ETHERNET | V6 | EXT_HOPOPTS | TCP_DATA, 70));
    assert_eq!(jumbo(70000), stack, "longer than the frame");
    assert_eq!(jumbo(90).tcp_len, 62);
}

#[test]
fn extension_headers_that_are_cut_or_lie() {
    let frame = ethernet(0x86dd, &ipv6(0, &extension(6, 1, &tcp(SYN, 0, b""))));
    let bits = ETHERNET | V6 | EXT_HOPOPTS;
    let short = cut(&frame, 60);
    assert_eq!((short.bits, short.proto, short.headers_end), (bits, 6, 70));
    let unseen = cut(&frame, 55);
    assert_eq!((unseen.bits, unseen.proto, unseen.headers_end), (ETHERNET | V6, 0, 62));
    let long = outer(&with(frame, 55, &[200]));
    assert_eq!((long.bits, long.proto, long.headers_end), (bits, 6, 54), "longer than the packet");
    let fragment = ethernet(0x86dd, &ipv6(44, &fragment6(6, 0, false, &tcp(SYN, 0, b""))));
    assert_eq!(cut(&fragment, 61).bits, ETHERNET | V6);
}

#[test]
fn tcp_cut_by_the_capture() {
    let frame = ethernet(0x0800, &ipv4(6, &tcp(PSH_ACK, 3, b"hello")));
    let at = |captured: usize| {
        let stack = cut(&frame, captured);
        (stack.bits & !(ETHERNET | IP4), stack.headers_end)
    };
    let sound = TCP_ALL & !TCP_HDR;
    assert_eq!(at(34), (0, 54), "at least 20 bytes of header, on the wire");
    assert_eq!(at(37), (0, 54));
    assert_eq!(at(38), (PORTS_OF_TCP, 54));
    assert_eq!(at(46), (PORTS_OF_TCP, 54));
    assert_eq!(at(47), (PORTS_OF_TCP, 66), "the data offset is there");
    assert_eq!(at(49), (PORTS_OF_TCP, 66));
    assert_eq!(at(50), (sound, 66));
    assert_eq!(at(54), (TCP_ALL, 66), "the options are cut");
    assert_eq!(at(66), (TCP_ALL, 66));
    assert_eq!(at(67), (TCP_DATA, 66));
    let stack = cut(&frame, 50);
    assert_eq!(stack.tcp_len, 5, "lengths are those of the wire");
    assert_eq!(cut(&frame, 68).payload_end, 68);
}

#[test]
fn the_rest_cut_by_the_capture() {
    let at = |frame: &[u8], captured: usize| {
        let stack = cut(frame, captured);
        (stack.bits, stack.headers_end)
    };
    let datagram = ethernet(0x0800, &ipv4(17, &udp(1000, 2000, b"data")));
    assert_eq!(at(&datagram, 0), (0, 14));
    assert_eq!(at(&datagram, 13), (0, 14));
    assert_eq!(at(&datagram, 14), (ETHERNET, 14));
    assert_eq!(at(&datagram, 15), (ETHERNET | IP | IP_VERSION | IP_IHL, 34));
    assert_eq!(at(&datagram, 18), (ETHERNET | IP | IP_VERSION | IP_IHL | IP_LEN, 34));
    assert_eq!(at(&datagram, 34), (ETHERNET | IP4, 42));
    assert_eq!(at(&datagram, 38), (ETHERNET | IP4 | UDP | UDP_PORTS | PORTS, 42));
    assert_eq!(at(&datagram, 42), (ETHERNET | IP4 | UDP_ALL, 42));
    let tagged = ethernet(0x8100, &vlan(7, 0x0800, &ipv4(17, &udp(1, 2, b""))));
    assert_eq!(at(&tagged, 17), (ETHERNET, 18));
    let six = ethernet(0x86dd, &ipv6(58, &[128, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(at(&six, 14), (ETHERNET, 14));
    assert_eq!(at(&six, 53), (ETHERNET | IP6 | IP_VERSION, 54));
    assert_eq!(at(&six, 55), (ETHERNET | V6, 62));
    assert_eq!(at(&six, 56), (ETHERNET | V6 | ICMP6 | ICMP6_HDR, 62));
    let ping = ethernet(0x0800, &ipv4(1, &[8, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(at(&ping, 39), (ETHERNET | IP4, 42));
    assert_eq!(at(&ping, 40), (ETHERNET | IP4 | ICMP | ICMP_HDR, 42));
    let association = ethernet(0x0800, &ipv4(132, &[0; 20]));
    assert_eq!(at(&association, 45), (ETHERNET | IP4, 46));
    let request = ethernet(0x0806, &[&[0, 1, 8, 0, 6, 4, 0, 1], [7; 20].as_slice()].concat());
    assert_eq!(at(&request, 21), (ETHERNET | ARP, 22));
    assert_eq!(at(&request, 41), (ETHERNET | ARP | ARP_HDR, 42));
}

#[test]
fn runts() {
    // On the wire no longer than this: headers are what there is.
    for length in 0..14 {
        let stack = outer(&web()[..length]);
        assert_eq!((stack.bits, stack.headers_end as usize), (0, length));
    }
    let stack = outer(&web()[..30]);
    assert_eq!((stack.bits, stack.headers_end), (ETHERNET | IP | IP_VERSION | IP_IHL | IP_LEN, 14));
    let tag = outer(&ethernet(0x8100, &[0]));
    assert_eq!((tag.bits, tag.headers_end), (ETHERNET, 14));
}
