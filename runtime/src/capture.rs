//! Reads captures: pcap and pcapng, plain or compressed, from a file or a pipe, as batches of packets that are slices into
//! one buffer. The invariants: nothing in a file panics, loops, or makes memory grow past a few times the longest block
//! that really came; every packet before the first damage is delivered, and the damage is told with its byte offset
//! ([`Break`]).
//!
//! Why an own reader: `pcap-parser` 0.17 tells neither where nor why it stopped, asks for the whole of a block whose
//! length lies, reads `if_tsoffset` as little-endian in big-endian sections, and refuses every power-of-two
//! `if_tsresol`; `pcap-file` 3.0-rc refuses packets longer than the snapshot length, which real captures have, and turns
//! lifetimes with `unsafe`. What remains after checks of our own is four numbers a record. The tests compare this reader
//! with pcap-parser and with tshark.
//!
//! A capture with several interfaces may have some whose link type is not supported: their packets are counted
//! ([`Reader::unsupported`]) and passed over, the others are delivered. A pcap file has one link type: there it is an error.

mod input;
mod interface;
mod link;
mod order;
mod pcap;
mod pcapng;
mod window;

pub use interface::Interface;
pub use link::LinkType;

use crate::error::{Break, BreakReason, Error};
use input::Input;
use mrule_compiler::abi::Packet;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use window::Window;

/// The longest captured packet that is believed, in bytes: twice what the kernel's largest aggregates have.
pub const MAX_PACKET: usize = 1 << 20;

/// The most packets in a batch.
pub const BATCH: usize = 256;

/// A capture being read.
pub struct Reader {
    window: Window,
    format: Format,
    interfaces: Vec<Interface>,
    /// Bytes at the front of the window that were delivered with the last batch.
    delivered: usize,
    ended: bool,
    broken: Option<Break>,
    unsupported: BTreeMap<LinkType, u64>,
    moved_times: u64,
    read_so_far: Arc<AtomicU64>,
    length: Option<u64>,
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
    /// Too short to tell.
    None,
}

/// What lies at the front of the window.
enum Step {
    /// A whole packet record.
    Packets,
    /// Something else, now passed.
    Again,
    /// Nothing.
    End,
    /// Nothing readable.
    Broken(Break),
}

/// What a slice of whole records begins with.
enum Next<'a> {
    /// A packet, and how many bytes its record has.
    Record(Record<'a>, usize),
    /// No whole packet record.
    Stop,
    /// A whole record that makes no sense.
    Broken(BreakReason),
}

/// A packet as its file has it.
struct Record<'a> {
    interface: u32,
    time: i64,
    moved: bool,
    frame: &'a [u8],
    length: u32,
}

/// Packets, in the order of the file, and the interfaces that they name.
pub struct Packets<'a> {
    /// The packets, at most [`BATCH`]; may be none, when all were of unsupported interfaces.
    pub packets: Vec<Packet<'a>>,
    /// The interfaces seen so far; [`Packet::interface`] counts in them.
    pub interfaces: &'a [Interface],
}

impl Reader {
    /// Opens a capture; `-` is standard input. An empty or cut file opens: that is a [`Break`].
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Directory`], [`Error::NotACapture`], [`Error::UnsupportedLink`].
    pub fn open(path: &Path) -> Result<Reader, Error> {
        Reader::start(Input::open(path)?, path)
    }

    /// Reads a capture from any stream.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn new(stream: impl Read + Send + 'static) -> Result<Reader, Error> {
        let path = PathBuf::from("-");
        let input = Input::new(stream, None).map_err(|source| Error::Open { path: path.clone(), source })?;
        Reader::start(input, &path)
    }

    fn start(input: Input, path: &Path) -> Result<Reader, Error> {
        let Input { stream, read_so_far, length } = input;
        let mut reader = Reader {
            window: Window::new(stream),
            format: Format::None,
            interfaces: Vec::new(),
            delivered: 0,
            ended: false,
            broken: None,
            unsupported: BTreeMap::new(),
            moved_times: 0,
            read_so_far,
            length,
        };
        reader.window.want(4);
        let Some(&magic) = reader.window.bytes().first_chunk::<4>() else {
            let left = reader.window.bytes().len() as u64;
            let reason = match left {
                0 => BreakReason::Empty,
                left => BreakReason::Cut { what: "the file header", needs: pcap::HEADER as u64, left },
            };
            reader.end(Some(Break { offset: 0, reason }));
            return Ok(reader);
        };
        if let Some(pcap) = pcap::Pcap::recognise(magic) {
            reader.start_pcap(pcap, path)?;
        } else if let Some(pcapng) = pcapng::Pcapng::recognise(magic) {
            reader.format = Format::Pcapng(pcapng);
        } else {
            reader.window.want(8);
            let found = input::describe(reader.window.bytes());
            return Err(Error::NotACapture { path: path.to_owned(), found });
        }
        Ok(reader)
    }

    fn start_pcap(&mut self, pcap: pcap::Pcap, path: &Path) -> Result<(), Error> {
        if !self.window.want(pcap::HEADER) {
            let left = self.window.bytes().len() as u64;
            let reason = BreakReason::Cut { what: "the file header", needs: pcap::HEADER as u64, left };
            self.end(Some(Break { offset: 0, reason }));
            return Ok(());
        }
        match pcap.header(self.window.bytes()) {
            Ok(interface) if interface.link.is_none() => {
                let link_type = interface.link_type;
                return Err(Error::UnsupportedLink { path: path.to_owned(), link_type });
            }
            Ok(interface) => {
                self.interfaces.push(interface);
                self.window.consume(pcap::HEADER);
                self.format = Format::Pcap(pcap);
            }
            Err(reason) => self.end(Some(Break { offset: 0, reason })),
        }
        Ok(())
    }

    /// The next packets; none at the end, or where the capture breaks ([`broken`](Self::broken)).
    pub fn next_batch(&mut self) -> Option<Packets<'_>> {
        if !self.prepare() {
            return None;
        }
        // From here on the window is only looked at, so that the packets can borrow from it.
        let (bytes, interfaces) = (self.window.bytes(), self.interfaces.as_slice());
        let mut packets = Vec::with_capacity(BATCH);
        let mut at = 0;
        while packets.len() < BATCH {
            let rest = bytes.get(at..).unwrap_or(&[]);
            let next = match &self.format {
                Format::Pcap(pcap) => pcap.next(rest),
                Format::Pcapng(pcapng) => pcapng.next(rest, interfaces),
                Format::None => Next::Stop,
            };
            let (record, size) = match next {
                Next::Record(record, size) => (record, size),
                Next::Stop => break,
                Next::Broken(reason) => {
                    self.broken = Some(Break { offset: self.window.offset() + at as u64, reason });
                    self.ended = true;
                    break;
                }
            };
            at += size;
            let Some(interface) = interfaces.get(record.interface as usize) else { continue };
            let Some(link) = interface.link else {
                *self.unsupported.entry(interface.link_type).or_default() += 1;
                continue;
            };
            self.moved_times += u64::from(record.moved);
            let packet = Packet::new(record.frame, record.length, link);
            packets.push(packet.on(record.interface, &interface.label).at(record.time));
        }
        self.delivered = at;
        Some(Packets { packets, interfaces })
    }

    /// Brings a whole packet record to the front of the window.
    fn prepare(&mut self) -> bool {
        self.window.consume(std::mem::take(&mut self.delivered));
        while !self.ended {
            let step = match &mut self.format {
                Format::Pcap(pcap) => pcap.prepare(&mut self.window),
                Format::Pcapng(pcapng) => pcapng.prepare(&mut self.window, &mut self.interfaces),
                Format::None => Step::End,
            };
            match step {
                Step::Packets => return true,
                Step::Again => {}
                Step::End => self.end(None),
                Step::Broken(broken) => self.end(Some(broken)),
            }
        }
        false
    }

    /// Ends reading. Where the stream itself failed, that is what is told, not what is missing because of it.
    fn end(&mut self, broken: Option<Break>) {
        self.ended = true;
        self.broken = match self.window.failure() {
            Some(failure) => {
                let offset = self.window.offset() + self.window.bytes().len() as u64;
                Some(Break { offset, reason: BreakReason::Read(failure.to_owned()) })
            }
            None => broken,
        };
    }

    /// Where and why the capture stopped being readable, if it did; known once [`next_batch`](Self::next_batch) gave none.
    pub fn broken(&self) -> Option<&Break> {
        self.broken.as_ref()
    }

    /// The interfaces seen so far.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// How many packets were passed over because their link type is not supported, by link type.
    pub fn unsupported(&self) -> &BTreeMap<LinkType, u64> {
        &self.unsupported
    }

    /// How many packets had a time outside of 1970..2262, which was moved to the nearest end.
    pub fn moved_times(&self) -> u64 {
        self.moved_times
    }

    /// How many bytes of the file were read, before decompression.
    pub fn read_so_far(&self) -> u64 {
        self.read_so_far.load(Ordering::Relaxed)
    }

    /// The length of the file in bytes, before decompression; none for pipes.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}
