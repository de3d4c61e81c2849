//! Captures made byte by byte, so that a test knows their exact contents, and a plain owned form of
//! what the reader returns. This code was written without the reader's code: it computes each
//! length itself.

pub mod copies;
pub mod programs;

use mrule_dataplane::Break;
use mrule_dataplane::capture::Reader;
use std::io::Read;

/// A byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

pub const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub fn u16(self, n: u16) -> [u8; 2] {
        if self == Order::Big { n.to_be_bytes() } else { n.to_le_bytes() }
    }
    pub fn u32(self, n: u32) -> [u8; 4] {
        if self == Order::Big { n.to_be_bytes() } else { n.to_le_bytes() }
    }
    pub fn u64(self, n: u64) -> [u8; 8] {
        if self == Order::Big { n.to_be_bytes() } else { n.to_le_bytes() }
    }
}

/// A classic pcap under construction.
#[derive(Clone)]
pub struct Pcap {
    pub order: Order,
    pub modified: bool,
    pub bytes: Vec<u8>,
}

pub const MICRO: u32 = 0xa1b2_c3d4;
pub const NANO: u32 = 0xa1b2_3c4d;
pub const MODIFIED: u32 = 0xa1b2_cd34;

impl Pcap {
    pub fn new(order: Order, magic: u32, link_type: u32) -> Pcap {
        let mut bytes = Vec::new();
        bytes.extend(order.u32(magic));
        bytes.extend(order.u16(2));
        bytes.extend(order.u16(4));
        bytes.extend([0; 8]);
        bytes.extend(order.u32(262_144));
        bytes.extend(order.u32(link_type));
        Pcap { order, modified: magic == MODIFIED, bytes }
    }

    pub fn packet(mut self, seconds: u32, fraction: u32, frame: &[u8], length: u32) -> Pcap {
        for n in [seconds, fraction, frame.len() as u32, length] {
            self.bytes.extend(self.order.u32(n));
        }
        if self.modified {
            self.bytes.extend([0xee; 8]);
        }
        self.bytes.extend(frame);
        self
    }
}

/// A pcapng under construction.
#[derive(Clone)]
pub struct Ng {
    pub order: Order,
    pub bytes: Vec<u8>,
}

impl Ng {
    /// A file that begins with a section.
    pub fn new(order: Order) -> Ng {
        Ng { order, bytes: Vec::new() }.section(order)
    }

    pub fn section(mut self, order: Order) -> Ng {
        self.order = order;
        let mut body = Vec::new();
        body.extend(order.u32(0x1a2b_3c4d));
        body.extend(order.u16(1));
        body.extend(order.u16(0));
        body.extend(order.u64(u64::MAX));
        self.block(0x0a0d_0d0a, &body)
    }

    pub fn interface(self, link_type: u16, snapshot: u32, options: &[(u16, &[u8])]) -> Ng {
        let order = self.order;
        let mut body = Vec::new();
        body.extend(order.u16(link_type));
        body.extend(order.u16(0));
        body.extend(order.u32(snapshot));
        body.extend(options_of(order, options));
        self.block(1, &body)
    }

    pub fn enhanced(self, interface: u32, ticks: u64, frame: &[u8], length: u32) -> Ng {
        self.enhanced_with(interface, ticks, frame, length, &[])
    }

    pub fn enhanced_with(
        self,
        interface: u32,
        ticks: u64,
        frame: &[u8],
        length: u32,
        options: &[(u16, &[u8])],
    ) -> Ng {
        let order = self.order;
        let mut body = Vec::new();
        for n in [interface, (ticks >> 32) as u32, ticks as u32, frame.len() as u32, length] {
            body.extend(order.u32(n));
        }
        body.extend(frame);
        pad(&mut body);
        body.extend(options_of(order, options));
        self.block(6, &body)
    }

    pub fn simple(self, frame: &[u8], length: u32) -> Ng {
        let mut body = self.order.u32(length).to_vec();
        body.extend(frame);
        self.block(3, &body)
    }

    pub fn obsolete(self, interface: u16, ticks: u64, frame: &[u8], length: u32) -> Ng {
        let order = self.order;
        let mut body = order.u16(interface).to_vec();
        body.extend(order.u16(0xffff));
        for n in [(ticks >> 32) as u32, ticks as u32, frame.len() as u32, length] {
            body.extend(order.u32(n));
        }
        body.extend(frame);
        self.block(2, &body)
    }

    pub fn block(mut self, kind: u32, body: &[u8]) -> Ng {
        let mut body = body.to_vec();
        pad(&mut body);
        let length = self.order.u32(body.len() as u32 + 12);
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.extend(length);
        self
    }
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn options_of(order: Order, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (code, value) in options {
        body.extend(order.u16(*code));
        body.extend(order.u16(value.len() as u16));
        body.extend(*value);
        pad(&mut body);
    }
    if !options.is_empty() {
        body.extend([0; 4]);
    }
    body
}

/// A packet as the reader delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub interface: u32,
    pub name: String,
    pub time: i64,
    pub frame: Vec<u8>,
    pub length: u32,
    pub link: mrule_compiler::abi::Link,
}

/// All results of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub packets: Vec<Got>,
    pub broken: Option<Break>,
    pub unsupported: Vec<(u16, u64)>,
    pub interfaces: usize,
    pub clamped_timestamps: u64,
}

/// Reads a whole capture.
pub fn read(stream: impl Read + Send + 'static) -> Result<Outcome, mrule_dataplane::Error> {
    let mut reader = Reader::new(stream)?;
    let mut packets = Vec::new();
    while let Some(batch) = reader.next_batch() {
        assert!(batch.packets.len() <= mrule_dataplane::capture::BATCH);
        for packet in &batch.packets {
            packets.push(Got {
                interface: packet.interface,
                name: packet.interface_name().to_owned(),
                time: packet.stamp,
                frame: packet.frame().to_vec(),
                length: packet.len,
                link: packet.link(),
            });
            assert!((packet.interface as usize) < batch.interfaces.len());
        }
    }
    assert!(reader.next_batch().is_none(), "an ended capture stays ended");
    Ok(Outcome {
        packets,
        broken: reader.broken().cloned(),
        unsupported: reader.unsupported().iter().map(|(link, n)| (link.0, *n)).collect(),
        interfaces: reader.interfaces().len(),
        clamped_timestamps: reader.clamped_timestamps(),
    })
}

/// Reads a whole capture from memory.
pub fn read_bytes(bytes: &[u8]) -> Result<Outcome, mrule_dataplane::Error> {
    read(std::io::Cursor::new(bytes.to_vec()))
}

/// A frame of some length whose bytes identify it.
pub fn frame(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|i| seed.wrapping_mul(31).wrapping_add(i as u8)).collect()
}

/// A small sound capture of each kind, with a name.
pub fn samples() -> Vec<(String, Vec<u8>)> {
    let mut samples = Vec::new();
    for order in ORDERS {
        for (name, magic) in [("micro", MICRO), ("nano", NANO), ("modified", MODIFIED)] {
            let pcap = Pcap::new(order, magic, 1)
                .packet(1_700_000_000, 1, &frame(1, 60), 60)
                .packet(1_700_000_000, 999_999, &frame(2, 0), 0)
                .packet(1_700_000_001, 0, &frame(3, 33), 1500);
            samples.push((format!("pcap {name} {order:?}"), pcap.bytes));
        }
        let ng = Ng::new(order)
            .interface(1, 0, &[(2, b"eth0"), (9, &[9])])
            .enhanced(0, 1_700_000_000_000_000_001, &frame(4, 61), 61)
            .block(0x0000_0bad, &frame(9, 20))
            .interface(113, 96, &[(3, b"cooked"), (9, &[0x94]), (14, &order.u64(1_600_000_000))])
            .obsolete(1, 100 << 20, &frame(5, 42), 99)
            .simple(&frame(6, 44), 44)
            .enhanced_with(1, 101 << 20, &frame(7, 3), 3, &[(1, b"a comment"), (2, &[0; 4])]);
        samples.push((format!("pcapng {order:?}"), ng.bytes.clone()));
        let other = if order == Order::Big { Order::Little } else { Order::Big };
        let two = ng.section(other).interface(101, 0, &[]).enhanced(0, 5, &frame(8, 20), 20);
        samples.push((format!("pcapng {order:?}, then {other:?}"), two.bytes));
    }
    samples
}
