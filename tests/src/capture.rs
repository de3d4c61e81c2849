//! Packets of capture files, for tests: pcap and pcapng by `pcap-parser`, all in memory.
//! (Rejected: the runtime's own reader, which is under test itself.)

use mrule_compiler::abi::Link;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use std::path::Path;

/// A captured packet.
#[derive(Debug, Clone)]
pub struct Captured {
    /// How it begins; `None` for a link type that is not read.
    pub link: Option<Link>,
    /// Its length on the wire.
    pub len: u32,
    /// Its captured bytes.
    pub bytes: Vec<u8>,
}

/// The `Link` of a LINKTYPE number of a capture file.
pub fn link(linktype: i32) -> Option<Link> {
    match linktype {
        1 => Some(Link::Ethernet),
        12 | 14 | 101 | 228 | 229 => Some(Link::RawIp),
        113 => Some(Link::LinuxSll),
        276 => Some(Link::LinuxSll2),
        0 | 108 => Some(Link::Null),
        _ => None,
    }
}

/// All packets of a capture file.
pub fn read(path: &Path) -> Vec<Captured> {
    let file = std::fs::File::open(path).expect("a capture");
    let mut reader = create_reader(1 << 20, file).expect("a capture file");
    let (mut packets, mut links) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => links = vec![link(header.network.0)],
                    PcapBlockOwned::Legacy(block) => packets.push(Captured {
                        link: links[0],
                        len: block.origlen,
                        bytes: block.data.to_vec(),
                    }),
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        links.push(link(interface.linktype.0));
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(block)) => packets.push(Captured {
                        link: links[block.if_id as usize],
                        len: block.origlen,
                        bytes: block.data[..block.caplen as usize].to_vec(),
                    }),
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return packets,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("the rest of a block"),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// Writes packets of one link type as a pcap file, a microsecond apart.
pub fn write(path: &Path, packets: &[Captured]) {
    let linktype: u32 = match packets.first().and_then(|p| p.link) {
        None | Some(Link::Ethernet) => 1,
        Some(Link::RawIp) => 101,
        Some(Link::LinuxSll) => 113,
        Some(Link::LinuxSll2) => 276,
        Some(Link::Null) => 0,
    };
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 1 << 18, linktype] {
        file.extend(u32::to_le_bytes(word));
    }
    for (at, packet) in (0..).zip(packets) {
        for word in [at / 1_000_000, at % 1_000_000, packet.bytes.len() as u32, packet.len] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(&packet.bytes);
    }
    std::fs::write(path, file).expect("a capture");
}
