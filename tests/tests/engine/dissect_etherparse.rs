//! Every field that etherparse can tell, against it: on packets that its builder makes of random
//! values, and on the real captures that ship. It knows no MPLS, PPPoE, SNAP, SCTP or tunnels; what
//! is inside a tunnel is given to it by itself. (tshark, which knows them all, is asked in
//! `tshark_fields.rs`, where it is installed.)

use etherparse::{
    EtherType, IpFragOffset, Ipv6ExtensionSlice, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LinkSlice,
    PacketBuilder, TcpOptionElement, TransportSlice, VlanId,
};
use mrule_compiler::abi::{Head, Link, Packet, bit};
use mrule_compiler::dissect::dissect;
use mrule_compiler::fields::{FIELDS, Field, Layer, Source};
use mrule_tests::capture;
use mrule_tests::reader::{Value, value};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type FieldValues = BTreeMap<&'static str, Value>;

fn one(number: impl Into<u128>) -> Value {
    Value::Numbers(vec![number.into()])
}

fn address(bytes: &[u8]) -> Value {
    one(bytes.iter().fold(0u128, |sum, &byte| sum << 8 | u128::from(byte)))
}

fn payload(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Absent } else { Value::Bytes(bytes.to_vec()) }
}

/// All that etherparse says of a packet, by the names of our fields.
fn told(packet: &LaxSlicedPacket) -> FieldValues {
    let mut told = FieldValues::new();
    if let Some(LinkSlice::Ethernet2(eth)) = &packet.link {
        told.insert("eth", Value::Present);
        told.insert("eth.dst", address(&eth.destination()));
        told.insert("eth.src", address(&eth.source()));
        if eth.ether_type().0 >= 0x600 {
            told.insert("eth.type", one(eth.ether_type().0));
        }
    }
    tags(packet, &mut told);
    match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => ipv4(ip, &mut told),
        Some(LaxNetSlice::Ipv6(ip)) => ipv6(ip, &mut told),
        Some(LaxNetSlice::Arp(arp)) => {
            told.insert("arp", Value::Present);
            told.insert("arp.hw.type", one(arp.hw_addr_type().0));
            told.insert("arp.proto.type", one(arp.proto_addr_type().0));
            told.insert("arp.opcode", one(arp.operation().0));
            if arp.hw_addr_type().0 == 1 && (arp.hw_addr_size(), arp.proto_addr_size()) == (6, 4) {
                told.insert("arp.src.hw_mac", address(arp.sender_hw_addr()));
                told.insert("arp.src.proto_ipv4", address(arp.sender_protocol_addr()));
                told.insert("arp.dst.hw_mac", address(arp.target_hw_addr()));
                told.insert("arp.dst.proto_ipv4", address(arp.target_protocol_addr()));
            }
        }
        None => {}
    }
    transport(packet, &mut told);
    told
}

fn tags(packet: &LaxSlicedPacket, told: &mut FieldValues) {
    let tags: Vec<_> = packet
        .link_exts
        .iter()
        .filter_map(|ext| match ext {
            LaxLinkExtSlice::Vlan(tag) => Some(tag),
            LaxLinkExtSlice::Macsec(_) => None,
        })
        .collect();
    // It stops after three.
    if tags.is_empty() || tags.len() == LaxSlicedPacket::LINK_EXTS_CAP {
        return;
    }
    let numbers = |f: &dyn Fn(usize) -> u16| Value::Numbers((0..tags.len()).map(|i| f(i).into()).collect());
    told.insert("vlan", Value::Present);
    told.insert("vlan.id", numbers(&|i| tags[i].vlan_identifier().value()));
    told.insert("vlan.priority", numbers(&|i| tags[i].priority_code_point().value().into()));
    told.insert("vlan.dei", numbers(&|i| tags[i].drop_eligible_indicator().into()));
    told.insert("vlan.etype", numbers(&|i| tags[i].ether_type().0));
}

fn ipv4(ip: &etherparse::LaxIpv4Slice, told: &mut FieldValues) {
    let header = ip.header();
    let flags = u8::from(header.dont_fragment()) << 1 | u8::from(header.more_fragments());
    let (dscp, ecn) = (header.dcp().value(), header.ecn().value());
    told.insert("ip", Value::Present);
    told.insert("ip.version", one(header.version()));
    told.insert("ip.hdr_len", one(header.ihl() * 4));
    told.insert("ip.dsfield", one(dscp << 2 | ecn));
    told.insert("ip.dsfield.dscp", one(dscp));
    told.insert("ip.dsfield.ecn", one(ecn));
    told.insert("ip.len", one(header.total_len()));
    told.insert("ip.id", one(header.identification()));
    if header.slice()[6] & 0x80 == 0 {
        told.insert("ip.flags", one(flags));
    }
    told.insert("ip.flags.df", one(u8::from(header.dont_fragment())));
    told.insert("ip.flags.mf", one(u8::from(header.more_fragments())));
    told.insert("ip.frag_offset", one(header.fragments_offset().value()));
    told.insert("ip.ttl", one(header.ttl()));
    told.insert("ip.proto", one(header.protocol().0));
    told.insert("ip.checksum", one(header.header_checksum()));
    told.insert("ip.src", address(&header.source()));
    told.insert("ip.dst", address(&header.destination()));
    told.insert("net.proto", one(ip.payload().ip_number.0));
    told.insert("ah", if ip.extensions().auth.is_some() { Value::Present } else { Value::Absent });
}

fn ipv6(ip: &etherparse::LaxIpv6Slice, told: &mut FieldValues) {
    let header = ip.header();
    told.insert("ipv6", Value::Present);
    told.insert("ipv6.version", one(header.version()));
    told.insert("ip.version", one(header.version()));
    told.insert("ipv6.tclass", one(header.traffic_class()));
    told.insert("ipv6.tclass.dscp", one(header.dscp().value()));
    told.insert("ipv6.tclass.ecn", one(header.ecn().value()));
    told.insert("ipv6.flow", one(header.flow_label().value()));
    told.insert("ipv6.plen", one(header.payload_length()));
    told.insert("ipv6.nxt", one(header.next_header().0));
    told.insert("ipv6.hlim", one(header.hop_limit()));
    told.insert("ipv6.src", address(&header.source()));
    told.insert("ipv6.dst", address(&header.destination()));
    told.insert("net.proto", one(ip.payload().ip_number.0));
    for name in ["ipv6.hopopts", "ipv6.routing", "ipv6.fraghdr", "ipv6.dstopts", "ah"] {
        told.insert(name, Value::Absent);
    }
    for extension in ip.extensions().clone() {
        let name = match extension {
            Ipv6ExtensionSlice::HopByHop(_) => "ipv6.hopopts",
            Ipv6ExtensionSlice::Routing(_) => "ipv6.routing",
            Ipv6ExtensionSlice::Fragment(_) => "ipv6.fraghdr",
            Ipv6ExtensionSlice::DestinationOptions(_) => "ipv6.dstopts",
            Ipv6ExtensionSlice::Authentication(_) => "ah",
        };
        told.insert(name, Value::Present);
    }
}

fn transport(packet: &LaxSlicedPacket, told: &mut FieldValues) {
    let Some(transport) = &packet.transport else { return };
    for name in ["tcp", "udp", "icmp", "icmpv6", "sctp", "tcp.payload", "udp.payload"] {
        told.insert(name, Value::Absent);
    }
    match transport {
        TransportSlice::Tcp(tcp) => {
            told.insert("tcp", Value::Present);
            told.insert("tcp.srcport", one(tcp.source_port()));
            told.insert("tcp.dstport", one(tcp.destination_port()));
            told.insert("tcp.seq_raw", one(tcp.sequence_number()));
            told.insert("tcp.ack_raw", one(tcp.acknowledgment_number()));
            told.insert("tcp.hdr_len", one(tcp.data_offset() * 4));
            let flags = [
                ("tcp.flags.ae", tcp.ns()),
                ("tcp.flags.cwr", tcp.cwr()),
                ("tcp.flags.ece", tcp.ece()),
                ("tcp.flags.urg", tcp.urg()),
                ("tcp.flags.ack", tcp.ack()),
                ("tcp.flags.push", tcp.psh()),
                ("tcp.flags.reset", tcp.rst()),
                ("tcp.flags.syn", tcp.syn()),
                ("tcp.flags.fin", tcp.fin()),
            ];
            for (name, set) in flags {
                told.insert(name, one(u8::from(set)));
            }
            told.insert("tcp.window_size_value", one(tcp.window_size()));
            told.insert("tcp.checksum", one(tcp.checksum()));
            told.insert("tcp.urgent_pointer", one(tcp.urgent_pointer()));
            let text = if tcp.rst() { Value::Absent } else { payload(tcp.payload()) };
            told.insert("tcp.payload", text);
            told.insert("l4.payload", payload(tcp.payload()));
            ports(tcp.source_port(), tcp.destination_port(), told);
        }
        TransportSlice::Udp(udp) => {
            told.insert("udp", Value::Present);
            told.insert("udp.srcport", one(udp.source_port()));
            told.insert("udp.dstport", one(udp.destination_port()));
            told.insert("udp.length", one(udp.length()));
            told.insert("udp.checksum", one(udp.checksum()));
            ports(udp.source_port(), udp.destination_port(), told);
            // It ends the payload where the length says, Wireshark and we where the datagram ends.
            if usize::from(udp.length()) >= udp.payload().len() + 8 {
                told.insert("udp.payload", payload(udp.payload()));
            } else {
                told.remove("udp.payload");
            }
        }
        TransportSlice::Icmpv4(icmp) => {
            told.insert("icmp", Value::Present);
            told.insert("icmp.type", one(icmp.type_u8()));
            told.insert("icmp.code", one(icmp.code_u8()));
        }
        TransportSlice::Icmpv6(icmp) => {
            told.insert("icmpv6", Value::Present);
            told.insert("icmpv6.type", one(icmp.type_u8()));
            told.insert("icmpv6.code", one(icmp.code_u8()));
        }
        TransportSlice::Igmp(_) => {}
    }
}

fn ports(source: u16, destination: u16, told: &mut FieldValues) {
    told.insert("l4.srcport", one(source));
    told.insert("l4.dstport", one(destination));
}

/// Compares what etherparse tells with what the rows of the table read; gives back which fields
/// were compared.
fn compare(told: &FieldValues, layer: Layer, packet: &Packet, head: &Head) -> BTreeSet<&'static str> {
    let row = |name: &&str| FIELDS.iter().find(|f: &&Field| f.name == *name).unwrap();
    for (name, theirs) in told {
        let ours = value(row(name), layer, packet, head).unwrap();
        assert_eq!(&ours, theirs, "{layer:?} {name} of {:x?}", packet.frame());
    }
    told.keys().copied().collect()
}

/// The outermost packet, as etherparse reads it.
fn outermost(link: Link, frame: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    let kind = |at: usize| Some(EtherType(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?)));
    let packet = match link {
        Link::Ethernet => LaxSlicedPacket::from_ethernet(frame).ok()?,
        Link::RawIp => LaxSlicedPacket::from_ip(frame).ok()?,
        Link::LinuxSll => LaxSlicedPacket::from_ether_type(kind(14)?, frame.get(16..)?),
        Link::LinuxSll2 => LaxSlicedPacket::from_ether_type(kind(0)?, frame.get(20..)?),
        Link::Null => LaxSlicedPacket::from_ip(frame.get(4..)?).ok()?,
    };
    // Where it gives up, what it says is not all there is.
    packet.stop_err.is_none().then_some(packet)
}

#[test]
fn real_captures() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/pcap"));
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (mut packets, mut inside, mut fields) = (0, 0, BTreeSet::new());
    // Crafted captures lie, and there both have opinions of their own.
    let honest = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy();
        !name.starts_with("odd") && (name.ends_with(".pcap") || name.ends_with(".pcapng"))
    };
    for captured in paths.filter(|path| honest(path)).flat_map(|path| capture::read(&path)) {
        let Some(link) = captured.link else { continue };
        let packet = Packet::new(&captured.bytes, captured.len, link);
        let head = dissect(&packet);
        if let Some(theirs) = outermost(link, packet.frame()) {
            fields.extend(compare(&told(&theirs), Layer::Outer, &packet, &head));
            packets += 1;
        }
        let (outer, inner) = (&head.outer, &head.inner);
        let behind = |at: u32| &packet.frame()[at as usize..outer.l3_end as usize];
        let theirs = if inner.bits & bit::ETH != 0 {
            outermost(Link::Ethernet, behind(inner.l2))
        } else if inner.bits & bit::NET != 0 && inner.bits & bit::MPLS == 0 {
            outermost(Link::RawIp, behind(inner.l3))
        } else {
            None
        };
        if let Some(theirs) = theirs {
            compare(&told(&theirs), Layer::Inner, &packet, &head);
            inside += 1;
        }
    }
    println!("{packets} packets, {inside} of them in tunnels, {} fields", fields.len());
    assert!(packets > 5000 && inside > 500, "{packets} packets, {inside} in tunnels");
    let loads = FIELDS.iter().filter(|f| matches!(f.source, Source::Load(_) | Source::Ipv6 { .. }));
    let unseen: Vec<_> = loads.map(|f| f.name).filter(|name| !fields.contains(name)).collect();
    let not_told = ["ip.flags.rb", "sctp.srcport", "sctp.dstport", "tcp.flags", "tcp.flags.res"];
    let tunnels = ["gre.proto", "vxlan.vni", "geneve.vni"];
    let expected: BTreeSet<_> = not_told.into_iter().chain(tunnels).collect();
    assert_eq!(unseen.into_iter().collect::<BTreeSet<_>>(), expected, "fields of headers never compared");
}

#[derive(Debug, Clone)]
struct Recipe {
    macs: ([u8; 6], [u8; 6]),
    tags: Vec<u16>,
    v4: bool,
    addresses: ([u8; 16], [u8; 16]),
    ttl: u8,
    ip: etherparse::Ipv4Header,
    class: (u8, u32),
    protocol: u8,
    ports: (u16, u16),
    tcp: etherparse::TcpHeader,
    options: Vec<TcpOptionElement>,
    control: (u8, u8),
    data: Vec<u8>,
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let tags = prop::collection::vec(0u16..4096, 0..3);
    let option = prop_oneof![
        Just(TcpOptionElement::Noop),
        any::<u16>().prop_map(TcpOptionElement::MaximumSegmentSize),
        any::<u8>().prop_map(TcpOptionElement::WindowScale),
        Just(TcpOptionElement::SelectiveAcknowledgementPermitted),
        any::<(u32, u32)>().prop_map(|(a, b)| TcpOptionElement::Timestamp(a, b)),
    ];
    let ip = any::<(u8, u16, bool)>().prop_map(|(class, id, whole)| etherparse::Ipv4Header {
        dscp: (class >> 2).try_into().unwrap(),
        ecn: (class & 3).try_into().unwrap(),
        identification: id,
        dont_fragment: whole,
        fragment_offset: IpFragOffset::ZERO,
        ..Default::default()
    });
    let tcp = any::<([u32; 2], [u16; 2], [bool; 9])>().prop_map(|([seq, ack], [window, urgent], f)| {
        let mut header = etherparse::TcpHeader::new(0, 0, seq, window);
        (header.acknowledgment_number, header.urgent_pointer) = (ack, urgent);
        [
            header.ns, header.fin, header.syn, header.rst, header.psh, header.ack, header.urg, header.ece,
            header.cwr,
        ] = f;
        header
    });
    let link = (any::<([u8; 6], [u8; 6])>(), tags);
    let net = (any::<(bool, ([u8; 16], [u8; 16]), u8)>(), ip, (any::<u8>(), 0u32..1 << 20));
    let protocol = prop::sample::select(vec![6u8, 17, 1, 58, 200]);
    let transport = (any::<(u16, u16)>(), tcp, prop::collection::vec(option, 0..5), any::<(u8, u8)>());
    let data = prop::collection::vec(any::<u8>(), 0..60);
    (link, net, protocol, transport, data).prop_map(|(link, net, protocol, transport, data)| Recipe {
        macs: link.0,
        tags: link.1,
        v4: net.0.0,
        addresses: net.0.1,
        ttl: net.0.2,
        ip: net.1,
        class: net.2,
        protocol,
        ports: transport.0,
        tcp: transport.1,
        options: transport.2,
        control: transport.3,
        data,
    })
}

/// The frame that etherparse's builder makes; `None` when the options do not fit.
fn build(r: &Recipe) -> Option<Vec<u8>> {
    let short = |bytes: [u8; 16]| -> [u8; 4] { bytes[..4].try_into().unwrap() };
    let ip = if r.v4 {
        let (source, destination) = (short(r.addresses.0), short(r.addresses.1));
        let header = etherparse::Ipv4Header { source, destination, time_to_live: r.ttl, ..r.ip.clone() };
        etherparse::IpHeaders::Ipv4(header, Default::default())
    } else {
        let header = etherparse::Ipv6Header {
            traffic_class: r.class.0,
            flow_label: r.class.1.try_into().unwrap(),
            hop_limit: r.ttl,
            source: r.addresses.0,
            destination: r.addresses.1,
            ..Default::default()
        };
        etherparse::IpHeaders::Ipv6(header, Default::default())
    };
    let link = PacketBuilder::ethernet2(r.macs.0, r.macs.1);
    let id = |i: usize| VlanId::try_new(r.tags[i]).unwrap();
    let net = match r.tags.len() {
        0 => link.ip(ip),
        1 => link.single_vlan(id(0)).ip(ip),
        _ => link.double_vlan(id(0), id(1)).ip(ip),
    };
    let mut frame = Vec::new();
    let written = match r.protocol {
        6 => {
            let mut header = r.tcp.clone();
            (header.source_port, header.destination_port) = r.ports;
            header.set_options(&r.options).ok()?;
            net.tcp_header(header).write(&mut frame, &r.data)
        }
        17 => net.udp(r.ports.0, r.ports.1).write(&mut frame, &r.data),
        1 => net.icmpv4_raw(r.control.0, r.control.1, [0; 4]).write(&mut frame, &r.data),
        58 => net.icmpv6_raw(r.control.0, r.control.1, [0; 4]).write(&mut frame, &r.data),
        other => net.write(&mut frame, other.into(), &r.data),
    };
    written.is_ok().then_some(frame)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn built_packets(recipe in recipe(), padding in 0usize..20) {
        let Some(mut frame) = build(&recipe) else { return Ok(()) };
        let end = frame.len();
        frame.resize(end + padding, 0);
        let packet = Packet::new(&frame, frame.len() as u32, Link::Ethernet);
        let head = dissect(&packet);
        // etherparse gives up at ICMP timestamps of any length but 20, which are sound for us.
        if recipe.protocol == 1 && matches!(recipe.control.0, 13 | 14) {
            return Ok(());
        }
        let theirs = outermost(Link::Ethernet, &frame).expect("a sound packet");
        let seen = compare(&told(&theirs), Layer::Outer, &packet, &head);
        // What went in, too.
        let source = if recipe.v4 { "ip.src" } else { "ipv6.src" };
        prop_assert!(seen.contains(source));
        prop_assert_eq!(head.outer.l3_end as usize, end);
        prop_assert_eq!(head.outer.vlans as usize, recipe.tags.len());
        let tunnel = matches!(recipe.ports.1, 4789 | 6081);
        if head.inner.bits == 0 && !tunnel && recipe.protocol != 200 {
            prop_assert_eq!(head.outer.headers_end as usize, end - recipe.data.len());
        }
    }
}
