//! The packets of the benchmark, all in one piece of memory in the order of the trace.

use super::floor::Flow;
use mrule_compiler::abi::{Link, Packet};
use mrule_dataplane::capture::Reader;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// At least so many packets are made when no capture is given.
const ENOUGH: usize = 320_000;

pub struct Trace {
    bytes: Vec<u8>,
    /// Offset, captured length, length on the wire.
    packets: Vec<(usize, usize, u32)>,
}

impl Trace {
    /// The Ethernet packets of captures, or of those that ship, remixed.
    pub fn load(captures: &[String]) -> Result<Trace, String> {
        let mut trace = Trace { bytes: Vec::new(), packets: Vec::new() };
        if !captures.is_empty() {
            captures.iter().try_for_each(|c| trace.read(Path::new(c)))?;
            return Ok(trace);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap");
        let names = ["web", "dns", "tls", "ssh", "bulk", "ipv6", "vlan", "qinq", "ping", "fragments", "scan"];
        for name in names {
            let path: PathBuf = folder.join(name).with_extension("pcap");
            trace.read(&path)?;
        }
        let original = trace.packets.clone();
        let mut round = 0u32;
        while !original.is_empty() && trace.packets.len() < ENOUGH {
            round += 1;
            for &(at, len, wire) in &original {
                let start = trace.bytes.len();
                trace.bytes.extend_from_within(at..at + len);
                // Plain IPv4: another source and destination in 10.0.0.0/8 for each repetition.
                if let Some(frame) = trace.bytes.get_mut(start..)
                    && frame.len() >= 34
                    && frame[12..14] == [0x08, 0x00]
                {
                    let [_, b, c, _] = round.wrapping_mul(0x9e37_79b9).to_be_bytes();
                    for at in [26, 30] {
                        let last = frame[at + 3];
                        frame[at..at + 3].copy_from_slice(&[10, b, c ^ last]);
                    }
                }
                trace.packets.push((start, len, wire));
            }
        }
        Ok(trace)
    }

    fn read(&mut self, path: &Path) -> Result<(), String> {
        let mut reader = Reader::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        while let Some(batch) = reader.next_batch() {
            for packet in batch.packets {
                if packet.link() == Link::Ethernet {
                    self.packets.push((self.bytes.len(), packet.frame().len(), packet.len));
                    self.bytes.extend_from_slice(packet.frame());
                }
            }
        }
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn packets(&self) -> Vec<Packet<'_>> {
        let one = |&(at, len, wire): &(usize, usize, u32)| {
            Packet::new(&self.bytes[at..at + len], wire, Link::Ethernet)
        };
        self.packets.iter().map(one).collect()
    }

    /// Different pairs of a /24 and a port: half of them from the trace's own TCP packets, as far
    /// as it has them, the rest beside them.
    pub fn pairs(&self, count: usize) -> Vec<(u32, u16)> {
        let mut pairs = Vec::new();
        let mut seen = HashSet::new();
        for &(at, len, _) in &self.packets {
            if let Some(flow) = Flow::tcp(&self.bytes[at..at + len])
                && flow.is_v4
                && pairs.len() < count / 2
                && seen.insert((flow.src >> 8, flow.dstport))
            {
                pairs.push((flow.src >> 8, flow.dstport));
            }
        }
        let mut state = 0x2545_f491_4f6c_dd1du64;
        while pairs.len() < count {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let pair = (
                10 << 16 | (state >> 40) as u32 & 0xffff,
                [22, 53, 80, 443, 8080, 3306][(state % 6) as usize],
            );
            if seen.insert(pair) {
                pairs.push(pair);
            }
        }
        pairs
    }
}
