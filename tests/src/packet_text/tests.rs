//! What is built is what etherparse reads, and mistakes in a packet's text are refused.

use super::*;
use etherparse::{LinkExtSlice, NetSlice, SlicedPacket, TransportSlice};

fn built(text: &str) -> BuiltPacket {
    build(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn etherparse_reads_tagged_tcp() {
    let built = built(
        "eth(dst=aa:bb:cc:00:00:01)/vlan(100,tpid=0x88a8)/vlan(7,prio=5,dei=1)/ip(src=192.0.2.1,ttl=9,id=77,df=1)\
         /tcp(sport=1,dport=443,seq=9,flags=SA,opt=020405b4)/\"a/b\\\"\\x00\"",
    );
    let read = SlicedPacket::from_ethernet(&built.bytes).expect("a packet");
    let tags: Vec<_> = read
        .link_exts
        .iter()
        .map(|ext| match ext {
            LinkExtSlice::Vlan(v) => (v.vlan_identifier().value(), v.priority_code_point().value()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tags, [(100, 0), (7, 5)]);
    let Some(NetSlice::Ipv4(ip)) = read.net else { panic!("no IPv4") };
    let header = ip.header().to_header();
    assert_eq!(header.source, [192, 0, 2, 1]);
    assert_eq!((header.time_to_live, header.identification, header.dont_fragment), (9, 77, true));
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let Some(TransportSlice::Tcp(tcp)) = read.transport else { panic!("no TCP") };
    assert_eq!((tcp.source_port(), tcp.destination_port(), tcp.sequence_number()), (1, 443, 9));
    assert_eq!((tcp.syn(), tcp.ack(), tcp.fin(), tcp.data_offset()), (true, true, false, 6));
    assert_eq!(tcp.payload(), b"a/b\"\0");
}

#[test]
fn etherparse_reads_ipv6_with_extensions() {
    let built = built(
        "ip6(src=2001:db8::7,hlim=3,flow=0x12345,tc=0xb8)/hopopts/dstopts(words=2)/udp(sport=9)/\"hello\"",
    );
    assert_eq!((built.link, built.len), (Link::RawIp, built.bytes.len() as u32));
    let read = SlicedPacket::from_ip(&built.bytes).expect("a packet");
    let Some(NetSlice::Ipv6(ip)) = read.net else { panic!("no IPv6") };
    let header = ip.header().to_header();
    assert_eq!((header.hop_limit, header.flow_label.value(), header.traffic_class), (3, 0x12345, 0xb8));
    assert_eq!(header.payload_length, 8 + 16 + 8 + 5);
    let Some(TransportSlice::Udp(udp)) = read.transport else { panic!("no UDP") };
    assert_eq!((udp.source_port(), udp.destination_port(), udp.length()), (9, 53, 13));
    assert_eq!(udp.payload(), b"hello");
}

#[test]
fn changes_behind_the_bar() {
    let plain = built("eth/arp(op=2,spa=10.0.0.9)");
    assert_eq!(plain.bytes.len(), 42);
    let changed = built("eth/arp(op=2,spa=10.0.0.9) | pad=18 cut=50 20=00:07 on=lan0");
    assert_eq!((changed.bytes.len(), changed.len, changed.interface.as_str()), (50, 60, "lan0"));
    assert_eq!(changed.bytes[..20], plain.bytes[..20]);
    assert_eq!(changed.bytes[20..22], [0, 7]);
    assert_eq!(built("hex(00 01:02) | link=null len=9").packet().len, 9);
}

#[test]
fn what_is_not_understood_is_refused() {
    for (text, part) in [
        ("eth/ipv4", "no such layer"),
        ("eth/ip(source=10.0.0.1)", "no argument `source"),
        ("eth/ip(src=10.0.0.300)", "is no src"),
        ("eth/vlan(1,2)", "no argument `2`"),
        ("eth/tcp(flags=Q)", "no flag"),
        ("eth/tcp(sport=65536)", "too large"),
        ("eth/\"open", "not closed"),
        ("eth/ip(ttl=4", "not closed"),
        ("eth | cut=15", "only 14"),
        ("eth | 13=0000", "nothing at 13"),
        ("eth | pad", "no value"),
        ("eth//tcp", "empty layer"),
        ("hex(0)", "half a byte"),
    ] {
        let refused = build(text).expect_err(text);
        assert!(refused.contains(part), "{text}: {refused}");
    }
}
