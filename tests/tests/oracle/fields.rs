//! Every field of the table against tshark, frame by frame: on the captures that ship, on their
//! frames cut at every length, and on the captures in the folder that `MRULE_CAPTURES` names. Each
//! difference is either one of `MEANT`, with its reason, or a failure. (Rejected: a list of frames
//! to skip, which would hide what else is wrong with them.)

use mrule_compiler::abi::{Head, Link, Packet, bit};
use mrule_compiler::dissect::dissect;
use mrule_compiler::fields::{FIELDS, Field, Layer, Source};
use mrule_tests::capture::{self, Captured};
use mrule_tests::reader::{Value, value};
use mrule_tests::tshark;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A field of one frame, as both see it.
struct Seen<'a> {
    field: &'a Field,
    layer: Layer,
    packet: Packet<'a>,
    head: &'a Head,
    told: &'a [tshark::Layer; 2],
    ours: Value,
    theirs: Value,
}

impl Seen<'_> {
    /// tshark's protocols and fields of the layer.
    fn here(&self) -> &tshark::Layer {
        &self.told[usize::from(self.layer == Layer::Inner)]
    }

    fn name(&self) -> &str {
        self.field.name
    }

    /// We see nothing, tshark something.
    fn missed(&self) -> bool {
        self.ours == Value::Absent
    }

    /// We see something, tshark nothing.
    fn added(&self) -> bool {
        self.theirs == Value::Absent
    }

    /// The number that tshark shows for another field of the outer packet.
    fn shown(&self, name: &str) -> Option<u128> {
        self.told[0].fields.get(name).map(|shown| number(&shown[0].show))
    }
}

type Reason = (&'static str, fn(&Seen) -> bool);

/// The differences from tshark 4.0 that are meant.
const MEANT: &[Reason] = &[
    ("a header that is cut has no fields but those that say so; in tshark, those before the cut", |s| {
        let tags = |ours: &[u128], theirs: &[u128]| s.here().broken && theirs.starts_with(ours);
        match (&s.ours, &s.theirs) {
            (Value::Absent, _) if s.name() == "tcp.checksum" => {
                !s.here().fields.contains_key("tcp.urgent_pointer")
            }
            (Value::Absent, _) => s.here().broken,
            (Value::Numbers(ours), Value::Numbers(theirs)) => tags(ours, theirs),
            _ => false,
        }
    }),
    ("tshark shows the three reserved bits of TCP as one flag", |s| {
        s.name() == "tcp.flags.res" && s.theirs == Value::Numbers(vec![1]) && !s.missed()
    }),
    ("tshark shows no type behind an 802.1ad tag", |s| {
        s.name() == "vlan.etype" && s.here().has("ieee8021ad")
    }),
    ("ip.len is the header's, 0 in a super-frame; tshark shows the frame's", |s| {
        s.name() == "ip.len" && s.ours == Value::Numbers(vec![0])
    }),
    ("the checksum of UDP with an impossible length", |s| {
        s.name() == "udp.checksum" && s.added() && s.shown("udp.length").is_some_and(|length| length < 8)
    }),
    ("ip.dst of a header whose options are cut", |s| s.name() == "ip.dst" && s.added() && s.here().broken),
    ("ARP's addresses are those of Ethernet and IPv4 only", |s| {
        s.missed() && ["arp.src.", "arp.dst."].iter().any(|start| s.name().starts_with(start))
    }),
    ("UDP-Lite is not UDP", |s| s.missed() && s.name().starts_with("udp.") && s.here().has("udplite")),
    ("Linux's number for IPv6 on a loopback", |s| {
        s.added()
            && s.packet.link() == Link::Null
            && matches!(s.packet.frame(), [0, 0, 0, 10, ..] | [10, 0, 0, 0, ..])
    }),
    (
        "tunnels are VXLAN and GENEVE by destination port, with flag I or of version 0, and GRE of version 0",
        |s| {
            let carrier = if s.layer == Layer::Outer { ["vxlan", "geneve"].as_slice() } else { &[] };
            let not_ours = ["vxlan", "geneve", "gre", "gtp"].iter().any(|name| s.told[0].has(name));
            let known = s.head.outer.bits & (bit::VXLAN | bit::GENEVE) != 0;
            let unread = s.head.inner.bits == 0 && !known && not_ours;
            s.missed()
                && unread
                && (s.layer == Layer::Inner || carrier.iter().any(|c| s.name().starts_with(c)))
        },
    ),
];

#[test]
fn fields_are_those_of_tshark() {
    let shipped = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/pcap"));
    let folders = [Some(shipped), std::env::var_os("MRULE_CAPTURES").map(PathBuf::from)];
    let mut captures: Vec<PathBuf> = folders
        .into_iter()
        .flatten()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng"))
        .collect();
    captures.sort();
    assert!(captures.len() > 10, "the captures that ship are missing");
    compare(&captures);
}

#[test]
fn fields_of_cut_frames_are_those_of_tshark() {
    let folder = tempfile::tempdir().unwrap();
    let mut captures = Vec::new();
    for name in ["qinq", "mpls", "pppoe", "options", "ipv6", "ping", "vxlan", "gre", "cooked2"] {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/pcap")).join(name).with_extension("pcap");
        let packets = capture::read(&path);
        // The first few frames of each set of presence bits.
        let mut kinds = BTreeMap::<[u64; 2], u32>::new();
        let mut cut = Vec::new();
        for packet in packets.iter().filter(|p| p.bytes.len() <= 160) {
            let head = dissect(&Packet::new(&packet.bytes, packet.len, packet.link.unwrap()));
            let seen = kinds.entry([head.outer.bits, head.inner.bits]).or_default();
            *seen += 1;
            if *seen <= 1 && kinds.len() <= 8 {
                cut.extend(
                    (0..packet.bytes.len())
                        .map(|n| Captured { bytes: packet.bytes[..n].to_vec(), ..packet.clone() }),
                );
            }
        }
        let path = folder.path().join(name).with_extension("pcap");
        capture::write(&path, &cut);
        captures.push(path);
    }
    compare(&captures);
}

/// Compares all frames of some captures.
fn compare(captures: &[PathBuf]) {
    if !tshark::is_installed() {
        eprintln!("SKIPPED: tshark is not installed, so no field was compared with it");
        return;
    }
    let (mut compared, mut meant, mut differences) = (0, BTreeMap::<&str, u32>::new(), Vec::new());
    for path in captures {
        let name = path.file_name().unwrap().to_string_lossy();
        let told = tshark::dissect(path);
        let packets = capture::read(path);
        assert_eq!(told.len(), packets.len(), "{name}: frames");
        for (number, (captured, told)) in packets.iter().zip(&told).enumerate() {
            let Some(link) = captured.link else { continue };
            let packet = Packet::new(&captured.bytes, captured.len, link);
            let head = &dissect(&packet);
            for layer in [Layer::Outer, Layer::Inner] {
                for field in FIELDS.iter().filter(|f| f.wireshark && (layer == Layer::Outer || f.has_inner()))
                {
                    let Some(ours) = value(field, layer, &packet, head) else { continue };
                    let theirs = theirs(field, &told[usize::from(layer == Layer::Inner)]);
                    compared += 1;
                    if ours == theirs {
                        continue;
                    }
                    let seen = Seen { field, layer, packet, head, told, ours, theirs };
                    match MEANT.iter().find(|(_, applies)| applies(&seen)) {
                        Some((reason, _)) => *meant.entry(reason).or_default() += 1,
                        None => differences.push(format!(
                            "{name} frame {}: {layer:?} {}: {:x?}, tshark {:x?}",
                            number + 1,
                            field.name,
                            seen.ours,
                            seen.theirs
                        )),
                    }
                }
            }
            if let Some(theirs) = headers_end(&told[0]) {
                // No header is longer than the packet that it is in.
                let theirs = theirs.min(packet.len as usize);
                let (ours, end) = (head.outer.headers_end as usize, head.outer.l3_end as usize);
                if ours != theirs && !(ours == end && ours < theirs) {
                    let frame = number + 1;
                    differences.push(format!("{name} frame {frame}: Outer headers: {ours}, tshark {theirs}"));
                }
            }
        }
    }
    println!("{compared} values of {} captures compared", captures.len());
    meant.iter().for_each(|(reason, count)| println!("{count} meant: {reason}"));
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Where the headers of a packet with a sound TCP or UDP header end.
fn headers_end(told: &tshark::Layer) -> Option<usize> {
    let (name, at, _) = told.protocols.iter().find(|p| matches!(p.0.as_str(), "tcp" | "udp"))?;
    match name.as_str() {
        "tcp" => {
            told.fields.get("tcp.window_size_value")?;
            Some(at + number(&told.fields.get("tcp.hdr_len")?[0].show) as usize)
        }
        _ => told.fields.get("udp.checksum").map(|_| at + 8),
    }
}

/// What tshark says of a field. It knows 802.1ad's tags by a name of their own.
fn theirs(field: &Field, told: &tshark::Layer) -> Value {
    let outer = field.name.strip_prefix("vlan").map(|rest| format!("ieee8021ad{rest}"));
    if matches!(field.source, Source::Protocol { .. }) {
        let has = told.has(field.name) || outer.is_some_and(|name| told.has(&name));
        return if has { Value::Present } else { Value::Absent };
    }
    let names = [Some(field.name), outer.as_deref()];
    let mut shown: Vec<_> =
        names.into_iter().flatten().filter_map(|n| told.fields.get(n)).flatten().collect();
    shown.sort_by_key(|s| s.at);
    match (shown.as_slice(), field.source) {
        ([], _) => Value::Absent,
        ([first, ..], Source::Bytes(_)) => Value::Bytes(hex(&first.value)),
        (all, Source::Tag { .. }) => Value::Numbers(all.iter().map(|s| number(&s.show)).collect()),
        ([first, ..], _) => Value::Numbers(vec![number(&first.show)]),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn number(show: &str) -> u128 {
    if let Some(digits) = show.strip_prefix("0x") {
        return u128::from_str_radix(digits, 16).unwrap();
    }
    if let Ok(number) = show.parse() {
        return number;
    }
    if let Ok(address) = show.parse::<std::net::IpAddr>() {
        return match address {
            std::net::IpAddr::V4(address) => u128::from(u32::from(address)),
            std::net::IpAddr::V6(address) => u128::from(address),
        };
    }
    let mac: String = show.split(':').collect();
    u128::from_str_radix(&mac, 16).unwrap_or_else(|_| panic!("what is {show:?}?"))
}
