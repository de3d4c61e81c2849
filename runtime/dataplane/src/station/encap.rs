//! The headers of tunnels between the IP header and a copy. Invariants: all numbers are in network
//! order. A header's length is known before it is written, and does not depend on the length of the
//! copy. Values for which a protocol has no place are left out, never put into a field with another
//! meaning. UDP and its checksum come from `etherparse`, which has none of the tunnels. (Rejected:
//! kernel tunnel devices, one for each station; they need CAP_NET_ADMIN and device names.)
//!
//! - VXLAN: RFC 7348. UDP source port: 49152 to 65535, from the flow's hash (section 5).
//! - GENEVE: RFC 8926, with options of mirrorc's own (`geneve.rs`).
//! - GRE: RFC 2784, the key of RFC 2890, Ethernet as 0x6558 (RFC 1701).
//! - ERSPAN type II: draft-foschiano-erspan-03, section 4.2, in GRE with a sequence number.
//! - TZSP: as Wireshark reads it; tag 41 is the original length (65535 for longer packets), tag 40
//!   the packet's number (its low 32 bits).

use super::geneve;
use super::queue::CopyRef;
use etherparse::UdpHeader;
use mrule_compiler::abi::Link;
use mrule_compiler::hir::Encap;
use std::net::IpAddr;

/// The protocol type of Ethernet frames in GRE and GENEVE.
const ETHERNET: u16 = 0x6558;

/// IP protocol numbers.
const UDP: u8 = 17;
const GRE: u8 = 47;

const UDP_LEN: usize = UdpHeader::LEN;

/// Writes the headers of one station.
#[derive(Debug)]
pub(super) struct Writer {
    encap: Encap,
    /// ERSPAN: the next packet's sequence number.
    sequence: u32,
}

impl Writer {
    pub fn new(encap: Encap) -> Writer {
        Writer { encap, sequence: 0 }
    }

    /// The IP protocol that carries the tunnel.
    pub fn protocol(&self) -> u8 {
        match self.encap {
            Encap::Vxlan { .. } | Encap::Geneve { .. } | Encap::Tzsp { .. } => UDP,
            Encap::Gre { .. } | Encap::Erspan2 { .. } => GRE,
        }
    }

    /// The maximum length of the headers behind the IP header, in bytes.
    pub fn most(&self) -> usize {
        match self.encap {
            Encap::Vxlan { .. } => UDP_LEN + 8,
            Encap::Geneve { .. } => UDP_LEN + geneve::LONGEST,
            Encap::Gre { key } => 4 + if key.is_some() { 4 } else { 0 },
            Encap::Erspan2 { .. } => 8 + 8,
            Encap::Tzsp { .. } => UDP_LEN + 4 + 4 + 6 + 1,
        }
    }

    /// Whether the tunnel can carry a copy that begins with these bytes.
    pub fn carries(&self, link: Link, bytes: &[u8]) -> bool {
        match self.encap {
            Encap::Gre { .. } | Encap::Geneve { .. } => ethertype(link, bytes).is_some(),
            _ => link == Link::Ethernet,
        }
    }

    /// Replaces `out` by what follows the IP header: headers and the copy's first `take` bytes.
    /// `ends` are the source and destination addresses of the IP header.
    pub fn write(&mut self, copy: &CopyRef<'_>, take: usize, ends: (IpAddr, IpAddr), out: &mut Vec<u8>) {
        out.clear();
        let bytes = copy.bytes.get(..take).unwrap_or(copy.bytes);
        let kind = ethertype(copy.held.link, bytes).unwrap_or(ETHERNET);
        match self.encap {
            Encap::Vxlan { vni, .. } => {
                out.extend_from_slice(&[0; UDP_LEN]);
                out.extend_from_slice(&[0x08, 0, 0, 0]);
                out.extend_from_slice(&(vni << 8).to_be_bytes());
            }
            Encap::Geneve { vni, .. } => {
                out.extend_from_slice(&[0; UDP_LEN]);
                geneve::header(copy, kind, vni, out);
            }
            Encap::Gre { key } => {
                out.extend_from_slice(&[if key.is_some() { 0x20 } else { 0 }, 0]);
                out.extend_from_slice(&kind.to_be_bytes());
                out.extend(key.map(u32::to_be_bytes).iter().flatten());
            }
            Encap::Erspan2 { session } => {
                out.extend_from_slice(&[0x10, 0, 0x88, 0xbe]);
                out.extend_from_slice(&self.sequence.to_be_bytes());
                self.sequence = self.sequence.wrapping_add(1);
                erspan2(copy, bytes, session, out);
            }
            Encap::Tzsp { .. } => {
                out.extend_from_slice(&[0; UDP_LEN]);
                out.extend_from_slice(&[1, 0, 0, 1]);
                out.extend_from_slice(&[41, 2]);
                out.extend_from_slice(&u16::try_from(copy.held.len).unwrap_or(u16::MAX).to_be_bytes());
                out.extend_from_slice(&[40, 4]);
                out.extend_from_slice(&(copy.held.number as u32).to_be_bytes());
                out.push(1);
            }
        }
        out.extend_from_slice(bytes);
        if let Encap::Vxlan { port, .. } | Encap::Geneve { port, .. } | Encap::Tzsp { port } = self.encap {
            udp(copy.held.flow_hash, port, ends, out);
        }
    }
}

/// Fills in the UDP header in front: over IPv4 without a checksum, as RFC 7348 (section 5) asks;
/// over IPv6 with one.
fn udp(flow_hash: u64, port: u16, ends: (IpAddr, IpAddr), out: &mut [u8]) {
    let source_port = 49_152 | (flow_hash ^ flow_hash >> 32) as u16 & 0x3fff;
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX);
    let mut header = UdpHeader { source_port, destination_port: port, length, checksum: 0 };
    let Some((front, payload)) = out.split_first_chunk_mut::<UDP_LEN>() else { return };
    if let (IpAddr::V6(from), IpAddr::V6(to)) = ends {
        header.checksum =
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload).unwrap_or_default();
    }
    *front = header.to_bytes();
}

fn erspan2(copy: &CopyRef<'_>, bytes: &[u8], session: u16, out: &mut Vec<u8>) {
    let tag = match bytes.get(12..16) {
        Some(&[0x81, 0x00, high, low] | &[0x88, 0xa8, high, low]) => Some(u16::from_be_bytes([high, low])),
        _ => None,
    };
    // Encapsulation type 3: the tag stays in the frame.
    let (vlan, class, kept) = tag.map_or((0, 0, 0), |tci| (tci & 0xfff, tci >> 13, 3));
    let truncated = u16::from((bytes.len() as u64) < u64::from(copy.held.len));
    out.extend_from_slice(&(1 << 12 | vlan).to_be_bytes());
    out.extend_from_slice(&(class << 13 | kept << 11 | truncated << 10 | session & 0x3ff).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
}

/// The EtherType of a frame, for tunnels that can carry it. `None`: they cannot.
fn ethertype(link: Link, bytes: &[u8]) -> Option<u16> {
    match link {
        Link::Ethernet => Some(ETHERNET),
        Link::RawIp => match bytes.first()? >> 4 {
            4 => Some(0x0800),
            6 => Some(0x86dd),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
