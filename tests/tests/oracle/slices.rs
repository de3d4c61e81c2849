//! Where the bytes of a protocol begin and end for slices, against tshark: on the captures that
//! ship, and on those in the folder that `MRULE_CAPTURES` names. (Rejected: display filters with
//! slices, one run of tshark each.)

use mrule_compiler::abi::{Link, Packet, bit};
use mrule_compiler::dissect::dissect;
use mrule_compiler::fields::{BytesSource, Layer, Proto};
use mrule_compiler::helpers;
use mrule_compiler::hir::Bytes;
use mrule_tests::{capture, tshark};
use std::path::PathBuf;

const PROTOCOLS: &[(Proto, &str, u64)] = &[
    (Proto::Eth, "eth", bit::ETH),
    (Proto::Ip, "ip", bit::IP),
    (Proto::Ip6, "ipv6", bit::IP6),
    (Proto::Tcp, "tcp", bit::TCP),
    (Proto::Udp, "udp", bit::UDP),
    (Proto::Icmp, "icmp", bit::ICMP),
    (Proto::Icmp6, "icmpv6", bit::ICMP6),
];

/// IPv4 of another version has no header here; tshark believes its length all the same.
fn is_ours(name: &str, packet: &Packet, theirs: Option<(usize, usize)>) -> bool {
    let version = theirs.and_then(|(at, _)| packet.frame().get(at)).map_or(0, |byte| byte >> 4);
    name != "ip" || version == 4
}

#[test]
fn slices_of_protocols_are_those_of_tshark() {
    if !tshark::is_installed() {
        eprintln!("skipped: no tshark");
        return;
    }
    let shipped = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/pcap"));
    let folders = [Some(shipped), std::env::var_os("MRULE_CAPTURES").map(PathBuf::from)];
    let mut captures: Vec<PathBuf> = folders
        .into_iter()
        .flatten()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng"))
        .collect();
    captures.sort();
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in captures {
        let packets = capture::read(&path);
        for (n, (packet, told)) in packets.iter().zip(tshark::dissect(&path)).enumerate() {
            let Some(link) = packet.link else { continue };
            let packet = Packet::new(&packet.bytes, packet.len, link);
            let head = dissect(&packet);
            // Linux's number for IPv6 on a loopback, which tshark does not know.
            if link == Link::Null && head.outer.bits & bit::IP6 != 0 && !told[0].has("ipv6") {
                continue;
            }
            for (layer, told) in [Layer::Outer, Layer::Inner].into_iter().zip(&told) {
                for &(proto, name, bit) in PROTOCOLS {
                    let source = BytesSource::Header(proto);
                    let ours = helpers::bytes(&packet, &head, &Bytes { layer, source, slice: None });
                    let start = packet.frame().as_ptr() as usize;
                    let ours = ours.map(|bytes| (bytes.as_ptr() as usize - start, bytes.len()));
                    let theirs =
                        told.protocols.iter().find(|p| p.0 == name).map(|&(_, at, length)| (at, length));
                    compared += usize::from(ours.is_some());
                    // Which protocols there are is compared elsewhere; a length of 0 is no bytes
                    // here.
                    let known = helpers::stack(&head, layer).bits & bit != 0;
                    let theirs = theirs.filter(|&(_, length)| length > 0);
                    let differ =
                        ours != theirs && known && (ours.is_some() || is_ours(name, &packet, theirs));
                    if differ && !told.broken {
                        wrong.push(format!(
                            "{} {}: {layer:?} {name}: {ours:?}, tshark {theirs:?}",
                            path.display(),
                            n + 1
                        ));
                    }
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    assert!(wrong.is_empty(), "{} differences of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}
