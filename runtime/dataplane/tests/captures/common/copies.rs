//! Reads station files back by an independent reader (pcap-parser), with their interfaces and
//! comments.

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, OptionCode, PcapBlockOwned, PcapError, create_reader};
use std::path::Path;

/// A copy as it stands in a station's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub interface: u32,
    pub time: u64,
    pub frame: Vec<u8>,
    pub length: u32,
    pub comment: String,
}

/// An interface as a station's file describes it: link type, name, resolution.
pub type Described = (i32, Option<String>, u8);

/// The contents of a station's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StationFile {
    pub sections: usize,
    pub interfaces: Vec<Described>,
    pub copies: Vec<Copy>,
}

/// Reads a station's file. Any error in it fails the test.
pub fn station_file(path: &Path) -> StationFile {
    let bytes = std::fs::read(path).unwrap();
    let mut reader = create_reader(4 << 20, &bytes[..]).unwrap();
    let mut file = StationFile::default();
    loop {
        match reader.next() {
            Ok((size, block)) => {
                match block {
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => file.sections += 1,
                    PcapBlockOwned::NG(Block::InterfaceDescription(about)) => {
                        let name = about.if_name().map(|name| name.unwrap().to_owned());
                        file.interfaces.push((about.linktype.0, name, about.if_tsresol));
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        assert!(
                            (packet.if_id as usize) < file.interfaces.len(),
                            "described before it is used"
                        );
                        let comments: Vec<&str> = packet
                            .options
                            .iter()
                            .filter(|option| option.code == OptionCode::Comment)
                            .map(|option| option.as_str().unwrap())
                            .collect();
                        assert_eq!(comments.len(), 1);
                        file.copies.push(Copy {
                            interface: packet.if_id,
                            time: u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low),
                            frame: packet.packet_data().to_vec(),
                            length: packet.orig_len(),
                            comment: comments[0].to_owned(),
                        });
                    }
                    _ => panic!("a block that we do not write"),
                }
                reader.consume(size);
            }
            Err(PcapError::Eof) => return file,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}
