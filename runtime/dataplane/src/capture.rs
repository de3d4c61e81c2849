//! Reads captures: pcap and pcapng, plain or compressed, from a file or a pipe, as batches of
//! packets that are slices of one buffer. Invariants: no content of a file causes a panic or an
//! endless loop, or makes memory grow beyond a few times the longest block that really came. All
//! packets before the first damage are delivered, and the damage is reported with its byte offset
//! ([`Break`]).
//!
//! Why not a library: `pcap-parser` 0.17 does not report where and why it stopped, and asks for the
//! whole of a block with a wrong length. It reads `if_tsoffset` as little-endian in big-endian
//! sections, and refuses each power-of-two `if_tsresol`. `pcap-file` 3.0-rc refuses packets longer
//! than the snapshot length, which real captures have, and converts lifetimes with `unsafe`. What
//! our checks would leave to a library is four numbers per record. The tests compare this reader
//! with pcap-parser and tshark.
//!
//! A capture may have interfaces with unsupported link types: their packets are counted
//! ([`Reader::unsupported`]) and skipped. In a pcap file, which has one link type, this is an
//! error. Several files form one stream ([`Reader::open_all`]); each file has its own interfaces.
//! After a broken file, the next one is read. A pipe may have no data for now
//! ([`Reader::is_idle`]).

mod input;
mod interface;
mod order;
mod pcap;
mod pcapng;
mod source;
mod timeline;
mod window;

pub use crate::link_type::LinkType;
pub use interface::Interface;

use crate::error::{Break, BreakReason, Error};
use input::Input;
use mrule_compiler::abi::Packet;
use source::{Prepared, Source};
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use timeline::Timeline;

/// The longest captured packet that is accepted, in bytes: twice the size of the kernel's largest
/// aggregates.
pub const MAX_PACKET: usize = 1 << 20;

/// Upper limit of packets in a batch.
pub const BATCH: usize = 256;

/// A capture that is being read: one file, or several files as one stream.
pub struct Reader {
    source: Source,
    /// The files that are still to be read.
    rest: VecDeque<PathBuf>,
    stop: Arc<AtomicBool>,
    interfaces: Vec<Interface>,
    timeline: Timeline,
    idle: bool,
    /// How much of the window the last batch delivered, and what is wrong behind that.
    delivered: (usize, Option<BreakReason>),
    broken: Vec<Broken>,
    unsupported: BTreeMap<LinkType, u64>,
    clamped_timestamps: u64,
    /// Bytes of the completed files.
    read_before: u64,
    length: Option<u64>,
}

/// A file that could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The path of the file; `-` is standard input.
    pub path: PathBuf,
    /// Where reading stopped, and why.
    pub at: Break,
}

/// The kind of a file that begins with these bytes, if it is a capture or may be a compressed
/// capture.
pub(crate) fn format(head: &[u8]) -> Option<&'static str> {
    let magic = *head.first_chunk::<4>()?;
    match () {
        () if pcap::Pcap::recognise(magic).is_some() => Some("a pcap capture"),
        () if pcapng::Pcapng::recognise(magic).is_some() => Some("a pcapng capture"),
        () if head.starts_with(input::GZIP) => Some("gzip-compressed"),
        () if head.starts_with(input::ZSTD) => Some("zstd-compressed"),
        () => None,
    }
}

/// What lies at the front of the window.
enum Step {
    /// A whole packet record.
    Packets,
    /// Another block or record, which was skipped.
    Again,
    /// Nothing: the end of the file.
    End,
    /// An unreadable record.
    Broken(Break),
}

/// What a slice of whole records begins with.
enum Next<'a> {
    /// A packet, and the length of its record in bytes.
    Record(Record<'a>, usize),
    /// No whole packet record.
    Stop,
    /// A whole record with impossible contents.
    Broken(BreakReason),
}

/// A packet as it stands in its file.
struct Record<'a> {
    interface: u32,
    time: i64,
    clamped: bool,
    frame: &'a [u8],
    length: u32,
}

/// Packets, in the order of the file, and the interfaces that they refer to.
pub struct Packets<'a> {
    /// The packets, at most [`BATCH`]. The list is empty when all packets were of unsupported
    /// interfaces, or when there are none for now.
    pub packets: Vec<Packet<'a>>,
    /// The interfaces seen so far; [`Packet::interface`] is an index into them.
    pub interfaces: &'a [Interface],
}

impl Reader {
    /// Opens a capture; `-` is standard input. An empty or cut file opens and then gives a
    /// [`Break`].
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Directory`], [`Error::NotACapture`], [`Error::UnsupportedLink`].
    pub fn open(path: &Path) -> Result<Reader, Error> {
        Reader::open_all(std::slice::from_ref(&path.to_owned()), &Arc::default())
    }

    /// Opens captures that are read one after the other as one stream; `-` is standard input. Once
    /// `stop` is set, the reader waits for no more data. Regular files are checked now, so that an
    /// error of the last file is reported before the first packet. A later error of a file is a
    /// [`Break`] of that file.
    ///
    /// # Errors
    /// As for [`open`](Self::open), for any of the files; [`Error::Open`] when there are none.
    pub fn open_all(paths: &[PathBuf], stop: &Arc<AtomicBool>) -> Result<Reader, Error> {
        let mut rest: VecDeque<PathBuf> = paths.iter().cloned().collect();
        let first = rest.pop_front().unwrap_or_default();
        let mut length = Some(0_u64);
        for path in &rest {
            let regular = std::fs::metadata(path).ok().filter(|about| about.is_file() || about.is_dir());
            match regular {
                Some(about) => {
                    let input = Input::open(path, stop)?;
                    Source::start(input, path, &mut Vec::new(), stop)?;
                    length = length.map(|length| length + about.len());
                }
                None if path.as_os_str() == "-" => length = None,
                // A named pipe must not be opened twice; a missing file is reported.
                None => {
                    let there = std::fs::metadata(path);
                    there.map_err(|source| Error::Open { path: path.clone(), source })?;
                    length = None;
                }
            }
        }
        let mut reader = Reader::start(Input::open(&first, stop)?, &first, rest, stop)?;
        reader.length = reader.source.length.zip(length).map(|(first, others)| first + others);
        Ok(reader)
    }

    /// Reads a capture from any stream. A read that fails with `WouldBlock` means that there is no
    /// data for now.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn new(stream: impl Read + Send + 'static) -> Result<Reader, Error> {
        let (path, stop) = (PathBuf::from("-"), Arc::default());
        let input = Input::new(stream, None, &stop);
        let input = input.map_err(|source| Error::Open { path: path.clone(), source })?;
        Reader::start(input, &path, VecDeque::new(), &stop)
    }

    fn start(
        input: Input,
        path: &Path,
        rest: VecDeque<PathBuf>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Reader, Error> {
        let mut interfaces = Vec::new();
        let source = Source::start(input, path, &mut interfaces, stop)?;
        Ok(Reader {
            source,
            rest,
            stop: stop.clone(),
            interfaces,
            timeline: Timeline::default(),
            idle: false,
            delivered: (0, None),
            broken: Vec::new(),
            unsupported: BTreeMap::new(),
            clamped_timestamps: 0,
            read_before: 0,
            length: None,
        })
    }

    /// The next packets; `None` at the end of the last file (see [`broken`](Self::broken)). The
    /// list of packets is empty when all were of unsupported interfaces, or when there is no data
    /// for now ([`is_idle`](Self::is_idle)).
    pub fn next_batch(&mut self) -> Option<Packets<'_>> {
        let prepared = self.prepare();
        self.idle = prepared == Prepared::Idle;
        if prepared == Prepared::Ended {
            return None;
        }
        let mut packets = Vec::with_capacity(if self.idle { 0 } else { BATCH });
        let mut at = 0;
        let mut broken = None;
        // From here on the window is only read, so that the packets can borrow from it.
        let (source, interfaces) = (&self.source, self.interfaces.as_slice());
        while packets.len() < BATCH && !self.idle {
            let (record, size) = match source.record(at, interfaces) {
                Next::Record(record, size) => (record, size),
                Next::Stop => break,
                Next::Broken(reason) => {
                    broken = Some(reason);
                    break;
                }
            };
            let moment = (record.interface, record.time);
            let mut ahead = Vec::new();
            if self.timeline.jumps(moment) {
                // At the front, the packets in the window must be enough: the reader has waited for
                // more.
                if at > 0 && source.lacks(at, interfaces, &self.timeline) {
                    break;
                }
                ahead = source.ahead(at + size, interfaces).0;
            }
            at += size;
            let Some(interface) = interfaces.get(record.interface as usize) else { continue };
            let Some(link) = interface.link else {
                *self.unsupported.entry(interface.link_type).or_default() += 1;
                continue;
            };
            self.clamped_timestamps += u64::from(record.clamped);
            let decided = self.timeline.take(moment, &ahead);
            let packet = Packet::new(record.frame, record.length, link);
            let packet = packet.on(record.interface, &interface.label);
            packets.push(packet.at(record.time).decided_at(decided));
        }
        self.delivered = (at, broken);
        Some(Packets { packets, interfaces })
    }

    /// Brings a whole packet record to the front of the window. At the end of a file, it goes on
    /// with the next one.
    fn prepare(&mut self) -> Prepared {
        let (at, broken) = std::mem::take(&mut self.delivered);
        self.source.pass(at, broken);
        loop {
            let prepared = self.source.prepare(&mut self.interfaces, &self.timeline);
            if prepared != Prepared::Ended {
                return prepared;
            }
            if let Some(at) = self.source.take_break() {
                self.broken.push(Broken { path: self.source.path.clone(), at });
            }
            let Some(path) = self.rest.pop_front() else { return Prepared::Ended };
            let next = Input::open(&path, &self.stop)
                .and_then(|input| Source::start(input, &path, &mut self.interfaces, &self.stop));
            match next {
                Ok(next) => {
                    self.read_before += self.source.read_so_far();
                    self.source = next;
                }
                // The file existed when the first file was opened, or it is a pipe.
                Err(error) => {
                    let at = Break { offset: 0, reason: BreakReason::Read(error.to_string()) };
                    self.broken.push(Broken { path, at });
                }
            }
        }
    }

    /// Whether the last batch had no packets because there is no data for now.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// Where and why the first broken file stopped being readable. It is known when
    /// [`next_batch`](Self::next_batch) has returned `None`.
    pub fn broken(&self) -> Option<&Break> {
        self.broken.first().map(|broken| &broken.at)
    }

    /// The broken files, in the order in which they were read.
    pub fn all_broken(&self) -> &[Broken] {
        &self.broken
    }

    /// The interfaces seen so far.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The number of packets skipped because their link type is not supported, by link type.
    pub fn unsupported(&self) -> &BTreeMap<LinkType, u64> {
        &self.unsupported
    }

    /// The number of packets with a time outside of 1970..2262, which was clamped to the nearest
    /// end.
    pub fn clamped_timestamps(&self) -> u64 {
        self.clamped_timestamps
    }

    /// The number of packets that are decided at another time than their own, because their time
    /// does not fit the packets around them.
    pub fn outlying_times(&self) -> u64 {
        self.timeline.outlying()
    }

    /// The number of bytes read from the files, before decompression.
    pub fn read_so_far(&self) -> u64 {
        self.read_before + self.source.read_so_far()
    }

    /// The length of the files in bytes, before decompression. `None`: one of them is a pipe.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}
