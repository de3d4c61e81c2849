//! One file of a capture: its format, and what lies at the front of the data read so far.
//! Invariant: the end of the file, a break in it and "no data for now" are three outcomes, and only
//! the first two are final. (Rejected: a trait for formats; there are two, and a match tells them
//! apart.)

use super::input::{self, Input};
use super::timeline::{AHEAD, Moment, Timeline};
use super::window::Window;
use super::{Interface, Next, Step, pcap, pcapng};
use crate::error::{Break, BreakReason, Error};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Number of bytes after a packet that are searched for packets that confirm its time.
const AHEAD_BYTES: usize = 256 << 10;

/// A file that is being read.
pub(super) struct Source {
    pub path: PathBuf,
    window: Window,
    format: Format,
    /// The number of the file's first interface among those of all files.
    base: u32,
    ended: bool,
    broken: Option<Break>,
    read_so_far: Arc<AtomicU64>,
    /// The length of the file in bytes, before decompression. `None`: a pipe.
    pub length: Option<u64>,
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
    /// The file is too short to tell.
    None,
}

/// What can be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepared {
    /// A whole packet is at the front.
    Packet,
    /// There is no data for now.
    Idle,
    /// There are no more packets.
    Ended,
}

impl Source {
    /// Begins to read. Waits for the file header of a pipe until `stop` is set. Adds the interface
    /// of a pcap file to `interfaces`.
    ///
    /// # Errors
    /// [`Error::NotACapture`], [`Error::UnsupportedLink`].
    pub fn start(
        input: Input,
        path: &Path,
        interfaces: &mut Vec<Interface>,
        stop: &AtomicBool,
    ) -> Result<Source, Error> {
        let Input { stream, read_so_far, length } = input;
        let mut source = Source {
            path: path.to_owned(),
            window: Window::new(stream),
            format: Format::None,
            base: interfaces.len() as u32,
            ended: false,
            broken: None,
            read_so_far,
            length,
        };
        if !source.wait_for(4, stop) {
            return Ok(source);
        }
        let Some(&magic) = source.window.bytes().first_chunk::<4>() else {
            let left = source.window.bytes().len() as u64;
            let reason = match left {
                0 => BreakReason::Empty,
                left => BreakReason::Cut { what: "the file header", needs: pcap::HEADER as u64, left },
            };
            source.end(Some(Break { offset: 0, reason }));
            return Ok(source);
        };
        if let Some(pcap) = pcap::Pcap::recognise(magic) {
            source.start_pcap(pcap, interfaces, stop)?;
        } else if let Some(pcapng) = pcapng::Pcapng::recognise(magic) {
            source.format = Format::Pcapng(pcapng);
        } else {
            source.wait_for(8, stop);
            let found = input::describe(source.window.bytes());
            return Err(Error::NotACapture { path: path.to_owned(), found });
        }
        Ok(source)
    }

    /// Waits until there are `bytes` bytes or an end. If `stop` is set before, it ends the file
    /// without a break and returns false.
    fn wait_for(&mut self, bytes: usize, stop: &AtomicBool) -> bool {
        while !self.window.want(bytes) && self.window.is_idle() {
            if stop.load(Ordering::Relaxed) {
                self.ended = true;
                return false;
            }
        }
        true
    }

    fn start_pcap(
        &mut self,
        pcap: pcap::Pcap,
        interfaces: &mut Vec<Interface>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        if !self.wait_for(pcap::HEADER, stop) {
            return Ok(());
        }
        if self.window.bytes().len() < pcap::HEADER {
            let left = self.window.bytes().len() as u64;
            let reason = BreakReason::Cut { what: "the file header", needs: pcap::HEADER as u64, left };
            self.end(Some(Break { offset: 0, reason }));
            return Ok(());
        }
        match pcap.header(self.window.bytes()) {
            Ok(interface) if interface.link.is_none() => {
                let link_type = interface.link_type;
                return Err(Error::UnsupportedLink { path: self.path.clone(), link_type });
            }
            Ok(interface) => {
                interfaces.push(interface);
                self.window.consume(pcap::HEADER);
                self.format = Format::Pcap(pcap);
            }
            Err(reason) => self.end(Some(Break { offset: 0, reason })),
        }
        Ok(())
    }

    /// The number of bytes read from the file, before decompression.
    pub fn read_so_far(&self) -> u64 {
        self.read_so_far.load(Ordering::Relaxed)
    }

    /// Where and why the file stopped being readable; returned once.
    pub fn take_break(&mut self) -> Option<Break> {
        self.broken.take()
    }

    /// Skips what was delivered. An impossible record behind it ends the file.
    pub fn pass(&mut self, delivered: usize, broken: Option<BreakReason>) {
        self.window.consume(delivered);
        if let Some(reason) = broken {
            self.broken = Some(Break { offset: self.window.offset(), reason });
            self.ended = true;
        }
    }

    /// Brings a whole packet record to the front of the window, and with it the following packets
    /// that its time is compared with.
    pub fn prepare(&mut self, interfaces: &mut Vec<Interface>, timeline: &Timeline) -> Prepared {
        while !self.ended {
            self.window.forget_idle();
            let step = match &mut self.format {
                Format::Pcap(pcap) => pcap.prepare(&mut self.window),
                Format::Pcapng(pcapng) => pcapng.prepare(&mut self.window, interfaces),
                Format::None => Step::End,
            };
            match step {
                Step::Packets => {
                    while self.lacks(0, interfaces, timeline)
                        && self.window.want(self.window.bytes().len() + 1)
                    {}
                    return Prepared::Packet;
                }
                Step::Again => {}
                Step::End | Step::Broken(_) if self.window.is_idle() => return Prepared::Idle,
                Step::End => self.end(None),
                Step::Broken(broken) => self.end(Some(broken)),
            }
        }
        Prepared::Ended
    }

    /// What lies `at` bytes behind the front.
    #[inline]
    pub fn record(&self, at: usize, interfaces: &[Interface]) -> Next<'_> {
        let rest = self.window.bytes().get(at..).unwrap_or(&[]);
        match &self.format {
            Format::Pcap(pcap) => match pcap.next(rest) {
                Next::Record(mut record, size) => {
                    record.interface = self.base;
                    Next::Record(record, size)
                }
                other => other,
            },
            Format::Pcapng(pcapng) => pcapng.next(rest, interfaces),
            Format::None => Next::Stop,
        }
    }

    /// Whether the time of the packet at `at` jumps, and more packets must be read to confirm it.
    pub fn lacks(&self, at: usize, interfaces: &[Interface], timeline: &Timeline) -> bool {
        if self.window.has_ended() {
            return false;
        }
        match self.record(at, interfaces) {
            Next::Record(record, size) if timeline.jumps((record.interface, record.time)) => {
                self.ahead(at + size, interfaces).1
            }
            _ => false,
        }
    }

    /// The interfaces and times of the packets from `at` on, and whether reading more may help.
    pub fn ahead(&self, mut at: usize, interfaces: &[Interface]) -> (Vec<Moment>, bool) {
        let (mut moments, end) = (Vec::with_capacity(AHEAD), at + AHEAD_BYTES);
        while moments.len() < AHEAD && at < end {
            match self.record(at, interfaces) {
                Next::Record(record, size) => {
                    moments.push((record.interface, record.time));
                    at += size;
                }
                Next::Broken(_) => return (moments, false),
                Next::Stop => {
                    let rest = self.window.bytes().get(at..).unwrap_or(&[]);
                    let unfinished = match &self.format {
                        Format::Pcap(pcap) => pcap.is_unfinished(rest),
                        Format::Pcapng(pcapng) => pcapng.is_unfinished(rest),
                        Format::None => false,
                    };
                    return (moments, unfinished);
                }
            }
        }
        (moments, false)
    }

    /// Ends reading. Where the stream itself failed, that failure is reported, and not the missing
    /// bytes that it caused.
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
}
