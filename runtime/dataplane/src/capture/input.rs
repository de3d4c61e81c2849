//! The source of a capture's bytes: a file or standard input, decompressed when its first bytes are
//! those of gzip or zstd (names may be wrong, and standard input has none). Invariants:
//! `read_so_far` counts bytes of the file itself, so that it is comparable to the file's length.
//! Files that are not regular (a pipe, a socket) are polled, and a read that would wait longer than
//! [`PATIENCE`] ends with `WouldBlock`; the decoders pass this on and can continue later.
//! (Rejected: detection by file extension. Rejected: a reading thread, which no signal can end
//! while it waits.)

use crate::error::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a read of a pipe waits before it reports that there is no data for now.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// An open byte stream.
pub(super) struct Input {
    pub(super) stream: Box<dyn Read + Send>,
    pub(super) read_so_far: Arc<AtomicU64>,
    /// The length of the file, if it is a regular file.
    pub(super) length: Option<u64>,
}

/// The first bytes of compressed files.
pub(super) const GZIP: &[u8] = &[0x1f, 0x8b];
pub(super) const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const MAGIC: usize = 6;
/// log2 of the longest distance that zstd data may refer back, in bytes, as `zstd --ultra -22` and
/// `--long` write it. It limits a decoder's memory, whatever a frame asks for (RFC 8878, section
/// 3.1.1.1.2).
const ZSTD_WINDOW: u32 = 27;

impl Input {
    /// Opens `path`; `-` is standard input. Once `stop` is set, the wait for the first bytes ends
    /// as if there were none.
    pub(super) fn open(path: &Path, stop: &AtomicBool) -> Result<Input, Error> {
        let fail = |source| Error::Open { path: path.to_owned(), source };
        let file = match path.as_os_str() == "-" {
            true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
            // A named pipe opens immediately, also without a writer.
            false => File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path),
        };
        let file = file.map_err(fail)?;
        let about = file.metadata().map_err(fail)?;
        if about.is_dir() {
            return Err(Error::Directory { path: path.to_owned() });
        }
        let made = match about.is_file() {
            true => Input::new(file, Some(about.len()), stop),
            false => Input::new(Polled(file), None, stop),
        };
        made.map_err(fail)
    }

    /// Reads any stream of `length` bytes.
    pub(super) fn new(
        stream: impl Read + Send + 'static,
        length: Option<u64>,
        stop: &AtomicBool,
    ) -> io::Result<Input> {
        let read_so_far = Arc::new(AtomicU64::new(0));
        let mut raw = Counted { stream, count: read_so_far.clone() };
        let head = head(&mut raw, stop)?;
        let gzip = head.starts_with(GZIP);
        let zstd = head.starts_with(ZSTD);
        let raw = Cursor::new(head).chain(raw);
        let stream: Box<dyn Read + Send> = match () {
            () if gzip => Box::new(Named { name: "gzip", stream: flate2::read::MultiGzDecoder::new(raw) }),
            () if zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(raw)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(Named { name: "zstd", stream: decoder })
            }
            () => Box::new(raw),
        };
        Ok(Input { stream, read_so_far, length })
    }
}

/// The first bytes; fewer than `MAGIC` only at the end of the stream.
fn head(stream: &mut impl Read, stop: &AtomicBool) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(MAGIC);
    while head.len() < MAGIC && !stop.load(Ordering::Relaxed) {
        let room = (MAGIC - head.len()) as u64;
        match stream.take(room).read_to_end(&mut head) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// A file whose reads wait at most [`PATIENCE`] for data.
struct Polled(File);

impl Read for Polled {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = Timespec { tv_sec: 0, tv_nsec: PATIENCE.as_nanos() as i64 };
        let ready = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&most));
        match ready {
            // A signal arrived: return, so that the caller can check for it.
            Ok(0) | Err(rustix::io::Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.0.read(out),
        }
    }
}

struct Counted<R> {
    stream: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(out)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Adds the name of the compression to errors.
struct Named<R> {
    name: &'static str,
    stream: R,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => error,
            io::ErrorKind::UnexpectedEof => io::Error::other(format!("the {} data is cut short", self.name)),
            kind => io::Error::new(kind, format!("the {} data is damaged: {error}", self.name)),
        })
    }
}

/// What a stream that is no capture looks like, for the message.
pub(super) fn describe(head: &[u8]) -> String {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\xfd7zXZ", "it is xz-compressed; decompress it first, `xz -dc FILE | ... --read -`"),
        (b"BZh", "it is bzip2-compressed; decompress it first, `bzip2 -dc FILE | ... --read -`"),
        (b"\x04\x22\x4d\x18", "it is lz4-compressed; decompress it first, `lz4 -dc FILE | ... --read -`"),
        (b"PK\x03\x04", "it is a zip archive; unpack it first"),
        (GZIP, "it is compressed twice; decompress it first"),
        (ZSTD, "it is compressed twice; decompress it first"),
        (b"snoop\0", "it is a snoop capture; convert it with `editcap FILE FILE.pcapng`"),
        (b"GMBU", "it is a Network Monitor capture; convert it with `editcap FILE FILE.pcapng`"),
        (b"RTSS", "it is a Network Monitor capture; convert it with `editcap FILE FILE.pcapng`"),
        (b"TRSNIFF", "it is a Sniffer capture; convert it with `editcap FILE FILE.pcapng`"),
    ];
    match KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, text)) => (*text).to_owned(),
        None => {
            let bytes: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("it begins with {}", bytes.join(" "))
        }
    }
}
