//! Packets for random tests: real ones of the captures that ship and built ones, some of them
//! damaged: flipped bits, cuts, lying lengths, tags put in, other link types. The invariant: any
//! bytes may come out; nothing here knows what is a sound packet. (Rejected: random bytes alone,
//! which rarely get past Ethernet.)

use crate::capture;
use crate::choices::Choices;
use crate::packet_text::{BuiltPacket, build};
use mrule_compiler::abi::Link;
use std::path::Path;
use std::sync::OnceLock;

/// The most packets of one capture.
const FROM_ONE: usize = 300;

/// Built packets with what is rare in captures.
const BUILT: &[&str] = &[
    "eth/ip/tcp(flags=S,opt=020405b40402080a010203040000000001030307)",
    "eth/ip(src=192.0.2.1,dst=10.0.0.5)/tcp(dport=8080)/\"GET /index.php HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\"",
    "eth/vlan(10,prio=5,dei=1)/vlan(20)/ip/udp/\"hello\" | on=lan0",
    "eth/mpls(16,exp=3)/mpls(17,ttl=1)/ip6/sctp/count(40)",
    "eth/pppoe/ip6/hopopts/dstopts/tcp/\"payload\" | on=wan0",
    "eth/ip(opt=94040000,tos=0xb8,df=1)/icmp/count(56)",
    "eth/ip(mf=1,id=7)/udp/count(64)",
    "eth/ip(proto=17,off=9,id=7)/count(64)",
    "eth/ip6/frag(mf=1)/udp/count(64)",
    "eth/ip6/frag(off=9,nxt=6)/count(64)",
    "eth/ip/ah/tcp/\"x\"",
    "eth/ip/esp/count(30)",
    "eth/ip/gre(key=7,seq=1)/eth/vlan(30)/ip(src=198.51.100.1)/tcp(dport=443)/hex(160301)",
    "eth/ip/udp/vxlan(77)/eth/vlan(40)/ip6/udp/\"inner\"",
    "eth/ip6/udp/geneve(4242,opt=0102030100000000)/eth/ip/tcp(flags=R)/\"reset\"",
    "eth/ip/ip6/icmp6(type=135)/count(24)",
    "eth/arp(op=2) | pad=18",
    "eth/llc/ip/tcp",
    "eth(type=40)/zeros(40) | pad=6",
    "sll/ip/udp/\"cooked\"",
    "sll2/vlan(10)/ip6/tcp/\"cooked\"",
    "null(le=0)/ip/tcp/\"loop\"",
    "ip6/udp/\"raw\"",
    "eth/ip/tcp/count(1400)",
];

/// Names of interfaces; the empty one is unknown.
pub const INTERFACES: &[&str] = &["", "lan0", "wan0", "eth1"];

/// All packets to start from: of every capture in `pcap/`, and the built ones.
pub fn pool() -> &'static [BuiltPacket] {
    static POOL: OnceLock<Vec<BuiltPacket>> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut pool: Vec<BuiltPacket> = BUILT.iter().map(|text| build(text).expect("a packet")).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("the captures")
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng"))
            .collect();
        files.sort();
        for file in files {
            let mut all = Vec::new();
            for capture::Captured { link, len, bytes } in capture::read(&file) {
                all.extend(link.map(|link| BuiltPacket { link, bytes, len, interface: String::new() }));
            }
            let step = all.len().div_ceil(FROM_ONE).max(1);
            pool.extend(all.into_iter().step_by(step));
        }
        pool
    })
}

/// Some packets, a few of them of one conversation, one in three damaged.
pub fn packets(choices: &mut Choices, count: usize) -> Vec<BuiltPacket> {
    let pool = pool();
    let start = choices.below(pool.len());
    (0..count)
        .map(|i| {
            let at = if choices.chance(50) { start + i } else { choices.below(pool.len()) };
            let mut packet = pool[at % pool.len()].clone();
            if choices.chance(35) {
                for _ in 0..=choices.below(3) {
                    damage(choices, &mut packet);
                }
            }
            if choices.chance(10) {
                packet.interface = choices.word_of(INTERFACES).to_owned();
            }
            packet
        })
        .collect()
}

/// Damages a packet in one way.
pub fn damage(choices: &mut Choices, packet: &mut BuiltPacket) {
    let bytes = &mut packet.bytes;
    // Headers are where damage tells most.
    let place = |choices: &mut Choices, len: usize| {
        let near = if choices.chance(80) { len.min(100) } else { len };
        choices.below(near)
    };
    match choices.below(10) {
        0 => {
            let at = place(choices, bytes.len());
            bytes.truncate(at);
        }
        1 | 2 => {
            let at = place(choices, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << choices.below(8);
            }
        }
        3 | 4 => {
            let at = place(choices, bytes.len());
            let special = [0, 0xff, 1, 4, 0x40, 0x45, 0x60, 0x7f, 0x80, 0x81, 0x88, 0x2c, 0x11, 0x06];
            if let (Some(byte), Some(value)) = (bytes.get_mut(at), choices.pick(&special)) {
                *byte = *value;
            }
        }
        5 => {
            // A length, a type or a port.
            let at = place(choices, bytes.len());
            let special = [
                0u16, 1, 7, 8, 19, 20, 39, 40, 1500, 1501, 1536, 2152, 4500, 4789, 6081, 0x0800, 0x8100,
                0x86dd, 0x8864, 0x8926, 0x88be, 0x894f, 0xffff,
            ];
            if let (Some(pair), Some(value)) = (bytes.get_mut(at..at + 2), choices.pick(&special)) {
                pair.copy_from_slice(&value.to_be_bytes());
            }
        }
        6 => {
            // A tag, where Ethernet has its type.
            let tag = [[0x81, 0, 0, 10], [0x88, 0xa8, 0xe0, 20], [0x91, 0, 0x10, 30], [0x88, 0x47, 0, 1]];
            if let (true, Some(tag)) = (bytes.len() >= 12, choices.pick(&tag)) {
                bytes.splice(12..12, *tag);
            }
        }
        7 => {
            let extra = choices.below(40);
            bytes.extend((0..extra).map(|i| i as u8));
        }
        8 => {
            packet.len = match choices.below(4) {
                0 => bytes.len() as u32 + choices.bits(11) as u32,
                1 => choices.bits(32) as u32,
                2 => 70_000,
                _ => 0,
            };
        }
        _ => {
            let links = [Link::Ethernet, Link::RawIp, Link::LinuxSll, Link::LinuxSll2, Link::Null];
            packet.link = choices.pick(&links).copied().unwrap_or(Link::Ethernet);
        }
    }
    packet.len = packet.len.max(packet.bytes.len() as u32);
}

/// Packets as engines see them.
pub fn views(packets: &[BuiltPacket]) -> Vec<mrule_compiler::abi::Packet<'_>> {
    packets.iter().map(BuiltPacket::packet).collect()
}
