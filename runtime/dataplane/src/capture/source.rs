//! One file of a capture: its format, and what lies at the front of what was read of it. The
//! invariant: the end of the file, a break in it and "nothing for now" are three outcomes, and only
//! the first two are final. (Rejected: a trait for formats; there are two, and a match says which.)

use super::input::{self, Input};
use super::timeline::{AHEAD, Moment, Timeline};
use super::window::Window;
use super::{Interface, Next, Step, pcap, pcapng};
use crate::error::{Break, BreakReason, Error};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many bytes after a packet are looked at for packets that confirm its time.
const AHEAD_BYTES: usize = 256 << 10;

/// A file being read.
pub(super) struct Source {
    pub path: PathBuf,
    window: Window,
    format: Format,
    /// The number of its first interface among those of all files.
    base: u32,
    ended: bool,
    broken: Option<Break>,
    read_so_far: Arc<AtomicU64>,
    /// The file's length in bytes, before decompression; none for pipes.
    pub length: Option<u64>,
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
    /// Too short to tell.
    None,
}

/// What can be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepared {
    /// There is a whole packet at the front.
    Packet,
    /// Nothing for now.
    Idle,
    /// Nothing any more.
    Ended,
}

impl Source {
    /// Begins to read, waiting for the file header of a pipe until `stop` is set. The interface of
    /// a pcap file is added to `interfaces`.
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

    /// Waits until there are so many bytes or there is an end; ends it without a break, and gives
    /// false, when `stop` is set before.
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

    /// How many bytes of the file were read, before decompression.
    pub fn read_so_far(&self) -> u64 {
        self.read_so_far.load(Ordering::Relaxed)
    }

    /// Where and why the file stopped being readable, if it did; told once.
    pub fn take_break(&mut self) -> Option<Break> {
        self.broken.take()
    }

    /// Passes over what was delivered; a record that makes no sense behind it ends the file.
    pub fn pass(&mut self, delivered: usize, broken: Option<BreakReason>) {
        self.window.consume(delivered);
        if let Some(reason) = broken {
            self.broken = Some(Break { offset: self.window.offset(), reason });
            self.ended = true;
        }
    }

    /// Brings a whole packet record to the front of the window, and those after it that its time is
    /// held against.
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

    /// Whether the packet at `at` jumps, and more must be read to know whether that is true.
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

    /// The interfaces and times of the packets from `at` on, and whether there may be more to know.
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

    /// Ends reading. Where the stream itself failed, that is what is told, not what is missing
    /// because of it.
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
