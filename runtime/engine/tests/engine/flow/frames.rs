//! Frames made byte by byte, and a table that observes them one at a time.

use mrule_compiler::abi::{FlowView, Head, Link, Packet, bit};
use mrule_compiler::dissect::dissect;
use mrule_engine::flow::{FlowCounts, FlowId, FlowTable, Limits};

pub const SECOND: i64 = 1_000_000_000;
pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// The two ends of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub v6: bool,
    pub hosts: [u32; 2],
    pub ports: [u16; 2],
}

impl Ends {
    pub fn v4(ports: [u16; 2]) -> Ends {
        Ends { v6: false, hosts: [0x0a00_0001, 0x0a00_0002], ports }
    }

    pub fn v6(ports: [u16; 2]) -> Ends {
        Ends { v6: true, ..Ends::v4(ports) }
    }

    pub fn back(self) -> Ends {
        let ([a, b], [c, d]) = (self.hosts, self.ports);
        Ends { hosts: [b, a], ports: [d, c], ..self }
    }
}

/// A TCP segment, without an IP header.
pub fn tcp(ends: Ends, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ends.ports[0].to_be_bytes());
    bytes.extend(ends.ports[1].to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

pub fn udp(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ends.ports[0].to_be_bytes());
    bytes.extend(ends.ports[1].to_be_bytes());
    bytes.extend((payload.len() as u16 + 8).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// The part of a datagram that a frame holds.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub id: u32,
    pub offset: u16,
    pub more: bool,
}

/// An Ethernet frame around `inside`, with these VLAN ids.
pub fn frame(ends: Ends, proto: u8, vlans: &[u16], piece: Option<Piece>, inside: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    for vlan in vlans {
        bytes.extend([0x81, 0]);
        bytes.extend(vlan.to_be_bytes());
    }
    if ends.v6 {
        ipv6(&mut bytes, ends, proto, piece, inside)
    } else {
        ipv4(&mut bytes, ends, proto, piece, inside)
    }
    bytes
}

fn ipv4(bytes: &mut Vec<u8>, ends: Ends, proto: u8, piece: Option<Piece>, inside: &[u8]) {
    bytes.extend([8, 0, 0x45, 0]);
    bytes.extend((inside.len() as u16 + 20).to_be_bytes());
    let piece = piece.unwrap_or(Piece { id: 0, offset: 0, more: false });
    bytes.extend((piece.id as u16).to_be_bytes());
    bytes.extend((piece.offset / 8 + if piece.more { 0x2000 } else { 0 }).to_be_bytes());
    bytes.extend([64, proto, 0, 0]);
    bytes.extend(ends.hosts[0].to_be_bytes());
    bytes.extend(ends.hosts[1].to_be_bytes());
    bytes.extend(inside);
}

fn ipv6(bytes: &mut Vec<u8>, ends: Ends, proto: u8, piece: Option<Piece>, inside: &[u8]) {
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    // A destination options header in front of the fragment header, which the table must skip.
    let more = if piece.is_some() { 16 } else { 0 };
    bytes.extend((inside.len() as u16 + more).to_be_bytes());
    bytes.extend([if piece.is_some() { 60 } else { proto }, 64]);
    for host in ends.hosts {
        bytes.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(host.to_be_bytes());
    }
    if let Some(piece) = piece {
        bytes.extend([44, 0, 1, 4, 0, 0, 0, 0, proto, 0]);
        bytes.extend((piece.offset | u16::from(piece.more)).to_be_bytes());
        bytes.extend(piece.id.to_be_bytes());
    }
    bytes.extend(inside);
}

/// What a table reports about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub bits: u64,
    pub view: FlowView,
    pub flow: FlowId,
    pub start: i64,
    pub payload: Vec<u8>,
    pub length: u32,
    pub end: usize,
}

impl Said {
    pub fn has(&self, bits: u64) -> bool {
        self.bits & bits == bits
    }

    pub fn is_from_client(&self) -> bool {
        assert_ne!(self.has(bit::FROM_CLIENT), self.has(bit::FROM_SERVER));
        self.has(bit::FROM_CLIENT)
    }

    /// The offset, the end and the length of the stream.
    pub fn stream(&self) -> (u64, u64, u64) {
        assert!(self.has(bit::STREAM));
        (self.view.offset, self.view.end, self.view.len)
    }
}

/// A table and a clock.
pub struct Watch {
    pub table: FlowTable,
    pub now: i64,
}

impl Watch {
    pub fn new() -> Watch {
        Watch::limited(&Limits { flows: 1000, fragments: 100, ..Limits::default() })
    }

    pub fn limited(limits: &Limits) -> Watch {
        Watch { table: FlowTable::new(limits), now: 1_700_000_000 * SECOND }
    }

    pub fn see(&mut self, frame: &[u8]) -> Option<Said> {
        self.see_cut(frame, frame.len())
    }

    /// Observes a frame of which only the first bytes were captured.
    pub fn see_cut(&mut self, frame: &[u8], captured: usize) -> Option<Said> {
        let packet =
            Packet::new(&frame[..captured.min(frame.len())], frame.len() as u32, Link::Ethernet).at(self.now);
        let mut heads = [dissect(&packet)];
        self.table.prepare(&[packet], &heads);
        observed(&mut self.table, 0, &packet, &mut heads[0])
    }

    pub fn tcp(&mut self, ends: Ends, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Said {
        self.see(&frame(ends, 6, &[], None, &tcp(ends, seq, ack, flags, payload))).unwrap()
    }

    pub fn udp(&mut self, ends: Ends, payload: &[u8]) -> Said {
        self.see(&frame(ends, 17, &[], None, &udp(ends, payload))).unwrap()
    }

    pub fn wait(&mut self, time: i64) -> &mut Watch {
        self.now += time;
        self
    }

    pub fn counts(&self) -> FlowCounts {
        adding_up(self.table.counts())
    }
}

pub fn adding_up(c: FlowCounts) -> FlowCounts {
    assert_eq!(c.created, c.active + c.ended + c.expired + c.evicted_young + c.evicted_established);
    c
}

/// Shows a packet of the prepared batch to a table, and checks the properties that always hold.
pub fn observed(table: &mut FlowTable, i: usize, packet: &Packet, head: &mut Head) -> Option<Said> {
    const OURS: u64 = bit::FLOW | bit::FROM_CLIENT | bit::FROM_SERVER | bit::STREAM | bit::ISN;
    let mut view = FlowView::default();
    let before = head.outer.bits;
    let observed = table.observe(i, packet, head, &mut view);
    let bits = head.outer.bits & OURS;
    assert_eq!(head.outer.bits & !OURS, before);
    let Some(observed) = observed else {
        assert_eq!(bits, 0);
        return None;
    };
    let segment = table.segment(&observed, packet, head, &view);
    assert_eq!(bits & bit::FLOW, bit::FLOW);
    assert_eq!(segment.is_new, view.is_new == 1);
    assert_eq!(segment.from_client, bits & bit::FROM_CLIENT != 0);
    assert!(u32::from(segment.proto) == head.outer.proto || head.outer.bits & bit::FRAGMENT != 0);
    assert!(segment.payload.len() <= segment.length as usize);
    assert_eq!(view.packets, view.client_packets + view.server_packets);
    assert_eq!(view.bytes, view.client_bytes + view.server_bytes);
    if bits & bit::STREAM != 0 {
        assert_eq!(view.offset, segment.start.max(0) as u64);
        assert_eq!(view.end, (segment.start + i64::from(segment.length)).max(0) as u64);
        assert_eq!(view.lead + view.end - view.offset, u64::from(segment.length));
        assert_eq!(segment.midstream, view.midstream == 1);
    } else {
        assert_eq!((segment.length, view.offset, view.end, view.lead), (0, 0, 0, 0));
    }
    let (flow, start, length, end) = (segment.flow, segment.start, segment.length, segment.end);
    Some(Said { bits, view, flow, start, payload: segment.payload.to_vec(), length, end })
}
