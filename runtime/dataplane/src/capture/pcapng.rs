//! pcapng files: blocks in sections. A section has its own byte order and its own interfaces,
//! numbered from 0. This reader numbers interfaces through the file; a section that describes the
//! same interface at the same place again shares its number. Packets come in enhanced, simple and
//! (obsolete) packet blocks. Blocks of other kinds are skipped without holding them, whatever their
//! length. Invariant: a block is read only when it is whole and its two lengths are equal. A simple
//! packet block has no time and gets the epoch. Format: draft-ietf-opsawg-pcapng.

use super::interface::{Clock, Interface};
use super::order::Order;
use super::window::Window;
use super::{LinkType, MAX_PACKET, Next, Record, Step};
use crate::error::{Break, BreakReason};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// The longest block that is held in memory, in bytes: a packet and its options.
const MAX_BLOCK: usize = 16 << 20;
/// Upper limit of interfaces that are kept.
const MAX_INTERFACES: usize = 1 << 16;
/// Bytes of a name or description that are kept.
const MAX_NAME: usize = 1024;

pub(super) struct Pcapng {
    order: Order,
    /// For each interface of the section: its number in the file, and its snapshot length.
    section: Vec<(u32, u32)>,
    /// The interfaces of the previous section.
    previous: Vec<(u32, u32)>,
    skipping: Option<Skipping>,
}

/// A block that is being skipped while its bytes arrive.
#[derive(Debug, Clone, Copy)]
struct Skipping {
    /// Stream offset of the block's first byte.
    offset: u64,
    length: u32,
    /// Bytes that are still to be skipped, without the block's last four.
    left: u64,
}

/// The properties of a kind of block that the reader needs.
struct Kind {
    what: &'static str,
    /// The lower limit of its length.
    least: u32,
    held: bool,
}

fn kind(number: u32) -> Kind {
    let (what, least, held) = match number {
        SECTION => ("a section header block", 28, true),
        INTERFACE => ("an interface description block", 20, true),
        OBSOLETE_PACKET => ("a packet block", 32, true),
        SIMPLE_PACKET => ("a simple packet block", 16, true),
        ENHANCED_PACKET => ("an enhanced packet block", 32, true),
        _ => ("a block", 12, false),
    };
    Kind { what, least, held }
}

impl Pcapng {
    /// The format by the first four bytes of a file. Returns `None` if they are not pcapng's.
    pub(super) fn recognise(magic: [u8; 4]) -> Option<Pcapng> {
        let pcapng =
            Pcapng { order: Order::Little, section: Vec::new(), previous: Vec::new(), skipping: None };
        (u32::from_le_bytes(magic) == SECTION).then_some(pcapng)
    }

    /// Takes one step: over one block that is no packet, or to a whole packet block at the front of
    /// the window.
    pub(super) fn prepare(&mut self, window: &mut Window, interfaces: &mut Vec<Interface>) -> Step {
        let offset = self.skipping.map_or(window.offset(), |skipping| skipping.offset);
        self.step(window, interfaces).unwrap_or_else(|reason| Step::Broken(Break { offset, reason }))
    }

    fn step(&mut self, window: &mut Window, interfaces: &mut Vec<Interface>) -> Result<Step, BreakReason> {
        if let Some(skipping) = self.skipping {
            return self.skip(window, skipping);
        }
        if !window.want(12) {
            return match window.bytes().len() as u64 {
                0 => Ok(Step::End),
                left => Err(BreakReason::Cut { what: "a block", needs: 12, left }),
            };
        }
        if self.order.u32(window.bytes(), 0) == SECTION {
            let mark = Order::Little.u32(window.bytes(), 8);
            self.order = match mark {
                BYTE_ORDER => Order::Little,
                _ if mark.swap_bytes() == BYTE_ORDER => Order::Big,
                _ => return Err(BreakReason::ByteOrder { mark }),
            };
        }
        let number = self.order.u32(window.bytes(), 0);
        let length = self.order.u32(window.bytes(), 4);
        let Kind { what, least, held } = kind(number);
        if length < least || !length.is_multiple_of(4) {
            return Err(BreakReason::BlockLength { what, length, least });
        }
        if !held {
            let left = u64::from(length - 4);
            return self.skip(window, Skipping { offset: window.offset(), length, left });
        }
        if length as usize > MAX_BLOCK {
            return Err(BreakReason::BlockTooLong { what, length, most: MAX_BLOCK });
        }
        if !window.want(length as usize) {
            let left = window.bytes().len() as u64;
            return Err(BreakReason::Cut { what, needs: u64::from(length), left });
        }
        let block = window.bytes().get(..length as usize).unwrap_or(&[]);
        let tail = self.order.u32(block, length as usize - 4);
        if tail != length {
            return Err(BreakReason::BlockEnd { head: length, tail });
        }
        match number {
            SECTION => self.section_header(block)?,
            INTERFACE => self.interface(block, interfaces)?,
            _ => return Ok(Step::Packets),
        }
        window.consume(length as usize);
        Ok(Step::Again)
    }

    /// Skips a block without holding it, and checks that its end has the same length. It continues
    /// where it stopped when the stream had no data.
    fn skip(&mut self, window: &mut Window, mut skipping: Skipping) -> Result<Step, BreakReason> {
        let length = skipping.length;
        skipping.left -= window.skip(skipping.left);
        self.skipping = Some(skipping);
        if skipping.left > 0 || !window.want(4) {
            let missing = skipping.left + 4 - window.bytes().len() as u64;
            let left = u64::from(length) - missing;
            return Err(BreakReason::Cut { what: "a block", needs: u64::from(length), left });
        }
        let tail = self.order.u32(window.bytes(), 0);
        if tail != length {
            return Err(BreakReason::BlockEnd { head: length, tail });
        }
        window.consume(4);
        self.skipping = None;
        Ok(Step::Again)
    }

    fn section_header(&mut self, block: &[u8]) -> Result<(), BreakReason> {
        let (major, minor) = (self.order.u16(block, 12), self.order.u16(block, 14));
        if major != 1 {
            return Err(BreakReason::Version { what: "pcapng", major, minor });
        }
        self.previous = std::mem::take(&mut self.section);
        Ok(())
    }

    fn interface(&mut self, block: &[u8], interfaces: &mut Vec<Interface>) -> Result<(), BreakReason> {
        let order = self.order;
        let link_type = LinkType(order.u16(block, 8));
        let snapshot = order.u32(block, 12);
        let (mut resolution, mut offset) = (6, 0);
        let mut interface = Interface::new(link_type, Clock::MICROSECONDS);
        let options = block.get(16..block.len() - 4).unwrap_or(&[]);
        for (code, value) in (Options { order, rest: options }) {
            match (code, value) {
                (2, name) => interface.name = text(name),
                (3, description) => interface.description = text(description),
                (9, [exponent, ..]) => resolution = *exponent,
                (14, seconds) if seconds.len() >= 8 => offset = order.u64(seconds, 0) as i64,
                _ => {}
            }
        }
        let told = [&interface.name, &interface.description].into_iter().find(|t| !t.is_empty());
        interface.label = told.map_or("unknown", |t| t).to_owned();
        interface.clock = Clock::new(resolution, offset);
        let known = self.previous.get(self.section.len()).map(|&(number, _)| number);
        let known = known.filter(|&number| interfaces.get(number as usize) == Some(&interface));
        let number = match known {
            Some(number) => number,
            None => {
                if interfaces.len() >= MAX_INTERFACES {
                    return Err(BreakReason::TooManyInterfaces { most: MAX_INTERFACES });
                }
                interfaces.push(interface);
                interfaces.len() as u32 - 1
            }
        };
        if self.section.len() >= MAX_INTERFACES {
            return Err(BreakReason::TooManyInterfaces { most: MAX_INTERFACES });
        }
        self.section.push((number, snapshot));
        Ok(())
    }

    /// The packet block that `bytes` begin with, if it is whole.
    #[inline]
    pub(super) fn next<'a>(&self, bytes: &'a [u8], interfaces: &[Interface]) -> Next<'a> {
        let order = self.order;
        let number = order.u32(bytes, 0);
        let length = order.u32(bytes, 4) as usize;
        if !matches!(number, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET) {
            return Next::Stop;
        }
        // `step` finds the words for any error in the frame of the block.
        let least = if number == SIMPLE_PACKET { 16 } else { 32 };
        if length < least || length > MAX_BLOCK || !length.is_multiple_of(4) || length > bytes.len() {
            return Next::Stop;
        }
        if order.u32(bytes, length - 4) as usize != length {
            return Next::Stop;
        }
        let block = bytes.get(..length - 4).unwrap_or(&[]);
        match self.packet(number, block, interfaces) {
            Ok(record) => Next::Record(record, length),
            Err(reason) => Next::Broken(reason),
        }
    }

    /// Whether `bytes` may begin with a packet block that is not whole yet.
    pub(super) fn is_unfinished(&self, bytes: &[u8]) -> bool {
        let number = self.order.u32(bytes, 0);
        let length = self.order.u32(bytes, 4) as usize;
        let packet = matches!(number, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET);
        let sound = length <= MAX_BLOCK && length.is_multiple_of(4) && length > bytes.len();
        bytes.len() < 12 || packet && sound
    }

    /// Reads a packet block without its last four bytes.
    #[inline]
    fn packet<'a>(
        &self,
        number: u32,
        block: &'a [u8],
        interfaces: &[Interface],
    ) -> Result<Record<'a>, BreakReason> {
        let order = self.order;
        let local = match number {
            ENHANCED_PACKET => order.u32(block, 8),
            OBSOLETE_PACKET => u32::from(order.u16(block, 8)),
            _ => 0,
        };
        let found = self.section.get(local as usize);
        let Some((&(interface, snapshot), about)) =
            found.and_then(|found| Some((found, interfaces.get(found.0 as usize)?)))
        else {
            return Err(BreakReason::NoInterface { interface: local, described: self.section.len() });
        };
        if number == SIMPLE_PACKET {
            let room = block.get(12..).unwrap_or(&[]);
            let length = order.u32(block, 8);
            let most = if snapshot == 0 { length } else { length.min(snapshot) } as usize;
            let frame = room.get(..most).unwrap_or(room);
            let frame = checked(frame, frame.len() as u32, room)?;
            return Ok(Record { interface, time: 0, clamped: false, frame, length });
        }
        let (captured, length) = (order.u32(block, 20), order.u32(block, 24));
        let room = block.get(28..).unwrap_or(&[]);
        let frame = checked(room.get(..captured as usize).unwrap_or(&[]), captured, room)?;
        let ticks = (u64::from(order.u32(block, 12)) << 32) | u64::from(order.u32(block, 16));
        let (time, clamped) = about.clock.nanoseconds(ticks);
        Ok(Record { interface, time, clamped, frame, length })
    }
}

/// The frame, if it has the length that the block claims, and no more than any packet has.
fn checked<'a>(frame: &'a [u8], captured: u32, room: &[u8]) -> Result<&'a [u8], BreakReason> {
    if frame.len() != captured as usize {
        return Err(BreakReason::PacketOutside { captured, room: room.len() as u32 });
    }
    if frame.len() > MAX_PACKET {
        return Err(BreakReason::PacketTooLong { length: captured, most: MAX_PACKET });
    }
    Ok(frame)
}

/// The options of a block: code and value, up to their end or to the first that does not fit.
struct Options<'a> {
    order: Order,
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16(self.rest, 0);
        let length = usize::from(self.order.u16(self.rest, 2));
        if code == 0 {
            return None;
        }
        let value = self.rest.get(4..4 + length)?;
        self.rest = self.rest.get(4 + length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((code, value))
    }
}

/// The text of an option. Bytes that are not UTF-8 are replaced, and text above the limit is cut.
fn text(value: &[u8]) -> String {
    let value = value.get(..MAX_NAME).unwrap_or(value);
    let value = value.split(|&byte| byte == 0).next().unwrap_or(value);
    String::from_utf8_lossy(value).into_owned()
}
