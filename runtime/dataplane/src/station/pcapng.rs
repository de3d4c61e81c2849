//! Writes the copies of a replay, one file for each station. Invariants: the file is written in
//! place and only whole blocks go to the system, so that a killed process leaves a readable file; a
//! station's interfaces have the same numbers as in the source. (Rejected: a temporary file and a
//! rename, which would lose everything with the process. Rejected: only the used interfaces, which
//! would change their numbers.)

use super::blocks::{self, About, Names};
use crate::capture::Interface;
use crate::error::Error;
use crate::privilege::private;
use mrule_compiler::abi::{Packet, Verdict};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes that are gathered before they are written.
const WRITE: usize = 256 << 10;

/// A pcapng file that is being written.
pub struct PcapngFile {
    path: PathBuf,
    file: File,
    names: Names,
    /// Whole blocks, not yet written.
    buffer: Vec<u8>,
    /// The number of interfaces that the file describes so far.
    described: usize,
    /// The number of bytes written.
    written: u64,
}

impl PcapngFile {
    /// Creates the file, or empties an existing file that mirrorc made.
    ///
    /// # Errors
    /// [`Error::Create`], [`Error::Write`].
    pub fn create(path: &Path, names: Names) -> Result<PcapngFile, Error> {
        let path = path.to_owned();
        let file = private::output(&path, false, |head| blocks::maker(head).is_some());
        let file = file.map_err(|source| Error::Create { path: path.clone(), source })?;
        let buffer = Vec::with_capacity(WRITE + (64 << 10));
        let mut made = PcapngFile { path, file, names, buffer, described: 0, written: 0 };
        blocks::section_header(&mut made.buffer, None);
        // Write the header now: a full disk is reported before any work is done.
        made.write_out()?;
        Ok(made)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the part of `packet` that the verdict selects. `interfaces` are the interfaces of
    /// its source so far.
    ///
    /// # Errors
    /// [`Error::Write`]. Afterwards, the file ends with the last whole block.
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

    /// Writes what waits: the file is then complete up to the last packet.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() { Ok(()) } else { self.write_out() }
    }

    /// Describes the interfaces that no packet has used, and writes the rest. Returns the length of
    /// the file in bytes.
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
        blocks::interface(&mut self.buffer, interface);
    }

    fn packet(&mut self, packet: &Packet, verdict: &Verdict) {
        let copy = packet.frame().get(verdict.start as usize..verdict.end as usize).unwrap_or(&[]);
        let about =
            About { interface: packet.interface, time: packet.stamp, len: packet.len, verdict: *verdict };
        blocks::packet(&mut self.buffer, &self.names, &about, copy);
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

    /// Cuts off a block that was written in part. If that fails too (a pipe), the reader of the
    /// file will notice.
    fn give_up(&mut self) {
        self.buffer.clear();
        let end = SeekFrom::Start(self.written);
        let _: io::Result<u64> = self.file.set_len(self.written).and_then(|()| self.file.seek(end));
    }
}
