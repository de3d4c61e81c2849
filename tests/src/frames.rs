//! Frames of captures, owned and all in memory, as the product's own reader gives them: number `i`
//! in a capture is index `i - 1` here, as long as all its link types are supported (asserted).
//! Other tests hold the reader itself against others.

use mrule_compiler::abi::{Link, Packet};
use mrule_dataplane::capture::Reader;
use std::path::{Path, PathBuf};

/// A captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The captured bytes.
    pub bytes: Vec<u8>,
    /// Length on the wire.
    pub len: u32,
    /// How it begins.
    pub link: Link,
    /// Which interface it came from.
    pub interface: u32,
    /// That interface's name.
    pub interface_name: String,
    /// Nanoseconds since 1970.
    pub time: i64,
}

impl Frame {
    /// As an engine takes it.
    pub fn packet(&self) -> Packet<'_> {
        Packet::new(&self.bytes, self.len, self.link).on(self.interface, &self.interface_name).at(self.time)
    }
}

/// All frames of a capture; an empty file has none.
pub fn read(path: &Path) -> Vec<Frame> {
    frames(Reader::open(path).unwrap_or_else(|e| panic!("{e}")))
}

/// All frames of a capture in memory, as a tool printed it.
pub fn parse(capture: Vec<u8>) -> Vec<Frame> {
    frames(Reader::new(std::io::Cursor::new(capture)).expect("a capture"))
}

fn frames(mut reader: Reader) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(batch) = reader.next_batch() {
        frames.extend(batch.packets.iter().map(|p| Frame {
            bytes: p.frame().to_vec(),
            len: p.len,
            link: p.link(),
            interface: p.interface,
            interface_name: p.interface_name().to_owned(),
            time: p.stamp,
        }));
    }
    assert!(reader.broken().is_none(), "{:?}", reader.broken());
    assert!(reader.unsupported().is_empty(), "{:?}", reader.unsupported());
    frames
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap")
}

/// Whether a capture is one that ships: what is known of those (that no checksum is 0, say) may
/// differ in any other.
pub fn ships(capture: &Path) -> bool {
    capture.starts_with(shipped())
}

/// The captures that ship, by name; and those in the directory that `MRULE_CAPTURES` names, if it
/// does.
pub fn captures() -> Vec<PathBuf> {
    let fresh = std::env::var_os("MRULE_CAPTURES").map(PathBuf::from);
    let mut paths = Vec::new();
    for folder in std::iter::once(shipped()).chain(fresh) {
        let found = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let found = found.map(|entry| entry.expect("an entry").path());
        paths.extend(found.filter(|p| p.extension().is_some_and(|e| e == "pcap" || e == "pcapng")));
    }
    paths.sort();
    assert!(paths.len() > 30, "captures ship with the tests");
    paths
}
