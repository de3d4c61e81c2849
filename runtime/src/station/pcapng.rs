//! Writes one station's copies as a pcapng file. What a copy keeps: original length, time, interface, link type. What it
//! tells in its comment option: `rule=NAME`, the limit that cut it (` limit=NAME`), and, where the copy does not begin at
//! the frame's first byte, ` bytes=M..N`: pcapng has no place for an offset, so the captured bytes are those of the
//! slice, and a reader must not dissect them from the link layer.
//!
//! The invariants: the file is written in place and only whole blocks are handed to the system, so that a killed process
//! leaves a file that can be read; a station's interfaces have the numbers that they have in the source. Times are
//! always nanoseconds. (Rejected: a temporary file and a rename, which would lose everything with the process; interfaces
//! only where used, which would change their numbers.) Format: draft-ietf-opsawg-pcapng.

use crate::capture::Interface;
use crate::error::Error;
use mrule_compiler::abi::{NO_LIMIT, Packet, Verdict};
use mrule_compiler::hir::Program;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is gathered before it is written, in bytes.
const WRITE: usize = 256 << 10;

const COMMENT: u16 = 1;
const APPLICATION: &str = concat!("mirrorc ", env!("CARGO_PKG_VERSION"));

/// The names of a program's rules and limits, as comments have them.
#[derive(Debug, Clone)]
pub struct Names {
    rules: Arc<[Box<str>]>,
    limits: Arc<[Box<str>]>,
}

impl Names {
    /// The names of this program.
    pub fn new(program: &Program) -> Names {
        let rules = program.rules.iter().map(|rule| format!("rule={}", rule.name).into()).collect();
        let limits = program.limits.iter().map(|limit| format!(" limit={}", limit.name).into()).collect();
        Names { rules, limits }
    }
}

/// A pcapng file being written.
pub struct PcapngFile {
    path: PathBuf,
    file: File,
    names: Names,
    /// Whole blocks, not yet written.
    buffer: Vec<u8>,
    /// How many interfaces the file describes so far.
    described: usize,
    /// How many bytes were written.
    written: u64,
}

impl PcapngFile {
    /// Creates the file, or empties one that is there.
    ///
    /// # Errors
    /// [`Error::Create`], [`Error::Write`].
    pub fn create(path: &Path, names: Names) -> Result<PcapngFile, Error> {
        let path = path.to_owned();
        let file = File::create(&path).map_err(|source| Error::Create { path: path.clone(), source })?;
        let buffer = Vec::with_capacity(WRITE + (64 << 10));
        let mut made = PcapngFile { path, file, names, buffer, described: 0, written: 0 };
        section_header(&mut made.buffer);
        // At once: a full disk is told before work is done for nothing.
        made.write_out()?;
        Ok(made)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the part of `packet` that the verdict says. `interfaces` are those of its source so far.
    ///
    /// # Errors
    /// [`Error::Write`]; after it, the file ends with the last block that was written whole.
    pub fn write(
        &mut self,
        packet: &Packet,
        interfaces: &[Interface],
        verdict: &Verdict,
    ) -> Result<(), Error> {
        while self.described <= packet.interface as usize {
            let Some(interface) = interfaces.get(self.described) else { break };
            self.describe(interface);
        }
        self.packet(packet, verdict);
        if self.buffer.len() >= WRITE { self.write_out() } else { Ok(()) }
    }

    /// Describes the interfaces that no packet has named, writes what is left, and says how long the file is, in bytes.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish(mut self, interfaces: &[Interface]) -> Result<u64, Error> {
        for interface in interfaces.get(self.described..).unwrap_or(&[]) {
            self.describe(interface);
        }
        self.write_out()?;
        Ok(self.written)
    }

    fn describe(&mut self, interface: &Interface) {
        self.described += 1;
        block(&mut self.buffer, 1, |body| {
            body.extend_from_slice(&interface.link_type.0.to_le_bytes());
            body.extend_from_slice(&[0; 2]);
            // No snapshot length: it is another for each packet.
            body.extend_from_slice(&0_u32.to_le_bytes());
            for (code, text) in [(2, &interface.name), (3, &interface.description)] {
                if !text.is_empty() {
                    option(body, code, text.as_bytes());
                }
            }
            option(body, 9, &[9]);
            end_of_options(body);
        });
    }

    fn packet(&mut self, packet: &Packet, verdict: &Verdict) {
        let copy = packet.frame().get(verdict.start as usize..verdict.end as usize).unwrap_or(&[]);
        let time = packet.time.max(0) as u64;
        let slice = if verdict.start > 0 {
            format!(" bytes={}..{}", verdict.start, verdict.end)
        } else {
            String::new()
        };
        let rule = self.names.rules.get(verdict.rule as usize).map_or("", |name| name);
        let limit = match verdict.limit {
            NO_LIMIT => "",
            limit => self.names.limits.get(limit as usize).map_or("", |name| name),
        };
        block(&mut self.buffer, 6, |body| {
            let mut head = [0; 20];
            let words = [packet.interface, (time >> 32) as u32, time as u32, copy.len() as u32, packet.len];
            for (bytes, word) in head.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            body.extend_from_slice(&head);
            body.extend_from_slice(copy);
            pad(body, copy.len());
            // A name is as long as a line of a rule file lets it be; a comment is not.
            let most = usize::from(u16::MAX) - slice.len();
            let rule = rule.get(..most.min(rule.len())).unwrap_or("");
            let limit = limit.get(..(most - rule.len()).min(limit.len())).unwrap_or("");
            let length = rule.len() + limit.len() + slice.len();
            body.extend_from_slice(&COMMENT.to_le_bytes());
            body.extend_from_slice(&(length as u16).to_le_bytes());
            for text in [rule, limit, &slice] {
                body.extend_from_slice(text.as_bytes());
            }
            pad(body, length);
            end_of_options(body);
        });
    }

    fn write_out(&mut self) -> Result<(), Error> {
        let written = self.file.write_all(&self.buffer);
        if let Err(source) = written {
            self.give_up();
            return Err(Error::Write { path: self.path.clone(), source });
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Takes back a block that was written in part. Where that fails too (a pipe), the reader of the file will see.
    fn give_up(&mut self) {
        self.buffer.clear();
        let end = SeekFrom::Start(self.written);
        let _: io::Result<u64> = self.file.set_len(self.written).and_then(|()| self.file.seek(end));
    }
}

/// The section header of our files: little-endian, of unknown length.
fn section_header(out: &mut Vec<u8>) {
    block(out, 0x0a0d_0d0a, |body| {
        body.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        body.extend_from_slice(&1_u16.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        option(body, 4, APPLICATION.as_bytes());
        end_of_options(body);
    });
}

/// Appends a block; `fill` appends its body, padded.
#[inline]
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out.extend_from_slice(&length);
    if let Some(head) = out.get_mut(start + 4..start + 8) {
        head.copy_from_slice(&length);
    }
}

/// Appends an option; the value is shorter than 64 KiB.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

fn pad(out: &mut Vec<u8>, length: usize) {
    let zeros = [0; 3];
    out.extend_from_slice(zeros.get(..length.wrapping_neg() % 4).unwrap_or(&[]));
}
