//! Where a capture's bytes come from: a file or standard input, decompressed when its first bytes say that it is gzip or
//! zstd (names lie, and standard input has none). The invariant: `read_so_far` counts bytes of the file itself, so that it
//! compares with the file's length. (Rejected: compressed input by file extension.)

use crate::error::Error;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A byte stream, opened.
pub(super) struct Input {
    pub(super) stream: Box<dyn Read + Send>,
    pub(super) read_so_far: Arc<AtomicU64>,
    /// The file's length, if it is a regular file.
    pub(super) length: Option<u64>,
}

/// What tells a compressed file, and a capture that we cannot read, from a capture that we can.
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const MAGIC: usize = 6;

impl Input {
    /// Opens `path`; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Input, Error> {
        let fail = |source| Error::Open { path: path.to_owned(), source };
        if path.as_os_str() == "-" {
            return Input::new(io::stdin(), None).map_err(fail);
        }
        let file = File::open(path).map_err(fail)?;
        let about = file.metadata().map_err(fail)?;
        if about.is_dir() {
            return Err(Error::Directory { path: path.to_owned() });
        }
        Input::new(file, about.is_file().then_some(about.len())).map_err(fail)
    }

    /// From any stream of `length` bytes.
    pub(super) fn new(stream: impl Read + Send + 'static, length: Option<u64>) -> io::Result<Input> {
        let read_so_far = Arc::new(AtomicU64::new(0));
        let mut raw = Counted { stream, count: read_so_far.clone() };
        let head = head(&mut raw)?;
        let gzip = head.starts_with(GZIP);
        let zstd = head.starts_with(ZSTD);
        let raw = Cursor::new(head).chain(raw);
        let stream: Box<dyn Read + Send> = match () {
            () if gzip => Box::new(Named { name: "gzip", stream: flate2::read::MultiGzDecoder::new(raw) }),
            () if zstd => Box::new(Named { name: "zstd", stream: zstd::stream::read::Decoder::new(raw)? }),
            () => Box::new(raw),
        };
        Ok(Input { stream, read_so_far, length })
    }
}

/// The first bytes, fewer only if there are no more.
fn head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(MAGIC);
    stream.take(MAGIC as u64).read_to_end(&mut head)?;
    Ok(head)
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

/// Says in its failures what was being decompressed.
struct Named<R> {
    name: &'static str,
    stream: R,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
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
