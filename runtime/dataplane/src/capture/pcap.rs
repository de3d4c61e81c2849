//! Classic pcap files: a header of 24 bytes, then records. Supported are micro- and nanoseconds,
//! both byte orders, and the "modified" records of 24 bytes that old Linux systems wrote.
//! Invariant: no length in the file is used before its bytes are there. Common errors of real
//! captures are accepted: a packet longer than the snapshot length, and a captured length above the
//! original length (the packet then has its captured length). Format: draft-ietf-opsawg-pcap.

use super::interface::{Clock, Interface};
use super::order::Order;
use super::window::Window;
use super::{LinkType, MAX_PACKET, Next, Record, Step};
use crate::error::{Break, BreakReason};

pub(super) const HEADER: usize = 24;
const RECORD: &str = "a packet record";

pub(super) struct Pcap {
    order: Order,
    nanoseconds_per_tick: i64,
    record_header: usize,
}

impl Pcap {
    /// The format by the first four bytes. Returns `None` if they are no pcap magic number.
    pub(super) fn recognise(magic: [u8; 4]) -> Option<Pcap> {
        let little = u32::from_le_bytes(magic);
        let big = u32::from_be_bytes(magic);
        let make = |order, nanoseconds_per_tick, record_header| {
            Some(Pcap { order, nanoseconds_per_tick, record_header })
        };
        for (order, magic) in [(Order::Little, little), (Order::Big, big)] {
            match magic {
                0xa1b2_c3d4 => return make(order, 1_000, 16),
                0xa1b2_3c4d => return make(order, 1, 16),
                0xa1b2_cd34 => return make(order, 1_000, 24),
                _ => {}
            }
        }
        None
    }

    /// Reads the file header, which describes one interface.
    pub(super) fn header(&self, bytes: &[u8]) -> Result<Interface, BreakReason> {
        let (major, minor) = (self.order.u16(bytes, 4), self.order.u16(bytes, 6));
        if major != 2 {
            return Err(BreakReason::Version { what: "pcap", major, minor });
        }
        // The upper half says whether frames end with a checksum, and has reserved bits.
        let link_type = LinkType(self.order.u32(bytes, 20) as u16);
        let clock = if self.nanoseconds_per_tick == 1 { Clock::NANOSECONDS } else { Clock::MICROSECONDS };
        Ok(Interface::new(link_type, clock))
    }

    /// Brings a whole record to the front of the window.
    pub(super) fn prepare(&self, window: &mut Window) -> Step {
        let offset = window.offset();
        let broken = |reason| Step::Broken(Break { offset, reason });
        if !window.want(self.record_header) {
            return match window.bytes().len() as u64 {
                0 => Step::End,
                left => broken(BreakReason::Cut { what: RECORD, needs: self.record_header as u64, left }),
            };
        }
        let length = self.order.u32(window.bytes(), 8);
        if length as usize > MAX_PACKET {
            return broken(BreakReason::PacketTooLong { length, most: MAX_PACKET });
        }
        let needs = self.record_header + length as usize;
        if window.want(needs) {
            return Step::Packets;
        }
        broken(BreakReason::Cut { what: RECORD, needs: needs as u64, left: window.bytes().len() as u64 })
    }

    /// The record that `bytes` begin with, if it is whole.
    #[inline]
    pub(super) fn next<'a>(&self, bytes: &'a [u8]) -> Next<'a> {
        let Some((header, rest)) = bytes.split_at_checked(self.record_header) else { return Next::Stop };
        let captured = self.order.u32(header, 8) as usize;
        let Some(frame) = rest.get(..captured).filter(|frame| frame.len() <= MAX_PACKET) else {
            return Next::Stop;
        };
        let seconds = i64::from(self.order.u32(header, 0));
        let fraction = i64::from(self.order.u32(header, 4));
        // At most 2^32 * (10^9 + 1000), which is far below 2^63.
        let time = seconds * 1_000_000_000 + fraction * self.nanoseconds_per_tick;
        let length = self.order.u32(header, 12);
        Next::Record(
            Record { interface: 0, time, clamped: false, frame, length },
            self.record_header + captured,
        )
    }

    /// Whether `bytes` may begin with a record that is not whole yet.
    pub(super) fn is_unfinished(&self, bytes: &[u8]) -> bool {
        bytes.len() < self.record_header || self.order.u32(bytes, 8) as usize <= MAX_PACKET
    }
}
