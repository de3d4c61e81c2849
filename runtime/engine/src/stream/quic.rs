//! QUIC: the version of each datagram with a long header, and the ClientHello of the client's first
//! Initial packets (RFC 9000, 9001, 9369). Their keys are made of bytes that they carry, so anybody
//! can open them. The hello's parts may come in any order and in several packets. Invariants: one
//! hello is read of a flow. At most [`MAX_KEYS`] keys are made, [`MAX_PACKETS`] packets opened and
//! [`MAX_FRAMES`] frames kept for it, in the pool. (Rejected: the server's packets; they have a
//! ServerHello, and all that it tells programs is a version. Rejected: to keep opened packets;
//! padding is most of them.)

use super::out::{MAX_MESSAGE, Out, ParserState};
use super::pool::MessageBuffer;
use super::tls;
use keys::{Keys, Version};
use mrule_compiler::fields::Facet;

mod keys;
mod sha256;

/// Keys are made anew after a Retry, which gives the client another connection id.
const MAX_KEYS: u8 = 3;
const MAX_PACKETS: u8 = 16;
const MAX_FRAMES: usize = 256;

/// The longest connection id (RFC 9000, 17.2).
const MAX_ID: usize = 20;

/// The reader of one direction.
#[derive(Debug)]
pub(super) struct Reader {
    /// Versions are asked for.
    versions: bool,
    /// The hello is asked for and was not read yet.
    hello: bool,
    made: u8,
    opened: u8,
}

impl Reader {
    pub(super) fn new(versions: bool, hello: bool) -> Reader {
        Reader { versions, hello, made: 0, opened: 0 }
    }

    /// Reads a datagram. The hello's frames are kept in `part` until it is complete, behind the
    /// keys.
    pub(super) fn take(
        &mut self,
        part: &mut MessageBuffer,
        datagram: &[u8],
        from_client: bool,
        out: &mut Out,
    ) -> ParserState {
        if self.hello && !from_client {
            self.hello = false;
            part.clear(out.pool);
        }
        let (mut rest, mut version) = (datagram, None);
        while let Some(packet) = Packet::read(rest) {
            rest = packet.rest;
            if self.versions && version != Some(packet.version) {
                version = Some(packet.version);
                out.num(Facet::QuicVersion, packet.version.into());
            }
            if self.hello && self.initial(part, &packet, out).is_none() {
                self.hello = false;
                part.clear(out.pool);
            }
        }
        if self.versions || self.hello { ParserState::Continue } else { ParserState::Done }
    }

    /// Reads a packet for the hello. Returns `None` when the hello was read, or will not be.
    fn initial(&mut self, part: &mut MessageBuffer, packet: &Packet, out: &mut Out) -> Option<()> {
        let Some((version, number)) = packet.initial else { return Some(()) };
        if self.opened == MAX_PACKETS {
            out.counts.messages.malformed += 1;
            return None;
        }
        self.opened += 1;
        let mut kept = Vec::new();
        part.copy(&mut kept);
        let mut buffer = std::mem::take(out.scratch);
        let mut keys = Keys::of_bytes(&kept);
        let mut frames = keys.and_then(|keys| keys.open(packet.bytes, number, &mut buffer));
        if frames.is_none() {
            if self.made == MAX_KEYS {
                *out.scratch = buffer;
                // A packet that is not the client's, among those that are, says nothing.
                return if part.is_empty() { None } else { Some(()) };
            }
            self.made += 1;
            let new = Keys::new(version, packet.destination);
            frames = new.open(packet.bytes, number, &mut buffer);
            if frames.is_some() {
                // After a Retry the client says all again.
                part.clear(out.pool);
                kept.clear();
                keys = Some(new);
            }
        }
        let going = match (frames, keys) {
            (Some(frames), Some(keys)) => {
                let frames = buffer.get(frames..).unwrap_or(&[]);
                self.frames(part, &keys, &kept, frames, out)
            }
            _ => Some(()),
        };
        *out.scratch = buffer;
        going
    }

    /// Reads the frames of an opened packet.
    fn frames(
        &mut self,
        part: &mut MessageBuffer,
        keys: &Keys,
        kept: &[u8],
        opened: &[u8],
        out: &mut Out,
    ) -> Option<()> {
        let mut frames = kept_frames(kept.get(Keys::BYTES..).unwrap_or(&[]));
        let before = frames.len();
        crypto_frames(opened, &mut frames);
        if frames.len() == before {
            return Some(());
        }
        let too_far = frames.iter().any(|(offset, data)| offset + data.len() > MAX_MESSAGE);
        if frames.len() > MAX_FRAMES || too_far {
            out.counts.messages.too_large += 1;
            return None;
        }
        let hello = in_order(&frames);
        if let Some(&[kind, a, b, c]) = hello.first_chunk() {
            let length = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != tls::CLIENT_HELLO || length > MAX_MESSAGE {
                out.counts.messages.malformed += 1;
                return None;
            }
            if let Some(hello) = hello.get(..length) {
                match tls::hello(hello, out) {
                    true => out.counts.messages.tls += 1,
                    false => out.counts.messages.malformed += 1,
                }
                return None;
            }
        }
        if part.is_empty() && !out.keep(part, &keys.bytes()) {
            return None;
        }
        for (offset, data) in frames.get(before..)? {
            let head = [(*offset as u16).to_be_bytes(), (data.len() as u16).to_be_bytes()].concat();
            if !out.keep(part, &head) || !out.keep(part, data) {
                return None;
            }
        }
        Some(())
    }
}

/// Data of CRYPTO frames, with their offset.
type Frames<'a> = Vec<(usize, &'a [u8])>;

/// The frames that were kept: offset and length in two bytes each, then the data.
fn kept_frames(mut bytes: &[u8]) -> Frames<'_> {
    let mut frames = Frames::new();
    while let Some((&[a, b, c, d], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([c, d]));
        let Some((data, rest)) = rest.split_at_checked(length) else { break };
        frames.push((usize::from(u16::from_be_bytes([a, b])), data));
        bytes = rest;
    }
    frames
}

/// Adds the CRYPTO frames of a packet. Initial packets have few other kinds (RFC 9000, 12.4).
fn crypto_frames<'a>(mut bytes: &'a [u8], frames: &mut Frames<'a>) -> Option<()> {
    while frames.len() <= MAX_FRAMES {
        match number(&mut bytes)? {
            // PADDING, PING
            0 | 1 => {}
            // ACK
            kind @ (2 | 3) => {
                number(&mut bytes)?;
                number(&mut bytes)?;
                let ranges = number(&mut bytes)?;
                number(&mut bytes)?;
                for _ in 0..ranges {
                    number(&mut bytes)?;
                    number(&mut bytes)?;
                }
                for _ in 0..if kind == 3 { 3 } else { 0 } {
                    number(&mut bytes)?;
                }
            }
            // CRYPTO
            6 => {
                let (offset, length) = (number(&mut bytes)?, number(&mut bytes)?);
                let (data, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
                bytes = rest;
                frames.push((usize::try_from(offset).ok()?, data));
            }
            _ => return None,
        }
    }
    Some(())
}

/// The bytes from offset 0 up to the first that is missing. Of bytes that came several times, the
/// frame with the least offset counts.
fn in_order(frames: &Frames) -> Vec<u8> {
    let mut frames = frames.clone();
    frames.sort_by_key(|(offset, _)| *offset);
    let mut bytes: Vec<u8> = Vec::new();
    for (offset, data) in frames {
        let Some(known) = bytes.len().checked_sub(offset) else { break };
        bytes.extend_from_slice(data.get(known..).unwrap_or(&[]));
    }
    bytes
}

/// A number of variable length (RFC 9000, 16).
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let (number, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    *bytes = rest;
    let start = u64::from(first & 0x3f);
    Some(number.iter().skip(1).fold(start, |number, &byte| number << 8 | u64::from(byte)))
}

/// A packet with a long header.
#[derive(Debug)]
struct Packet<'a> {
    version: u32,
    destination: &'a [u8],
    bytes: &'a [u8],
    /// Of an Initial packet: its version, and the offset of its number.
    initial: Option<(Version, usize)>,
    /// The packets behind it in the datagram.
    rest: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The first packet of a datagram's rest; `None` if it has no long header.
    fn read(bytes: &'a [u8]) -> Option<Packet<'a>> {
        let (&[first, a, b, c, d], mut rest) = bytes.split_first_chunk()?;
        if first & 0x80 == 0 {
            return None;
        }
        let mut id = || {
            let (&length, behind) = rest.split_first()?;
            let (id, behind) = behind.split_at_checked(usize::from(length))?;
            rest = behind;
            Some(id)
        };
        let (destination, source) = (id()?, id()?);
        let version = u32::from_be_bytes([a, b, c, d]);
        let alone = Packet { version, destination, bytes, initial: None, rest: &[] };
        let Some(known) = Version::of(version) else { return Some(alone) };
        if destination.len() > MAX_ID || source.len() > MAX_ID {
            return None;
        }
        // Version 2 has other numbers for the kinds of packets (RFC 9369, 3.2).
        let kind = match known {
            Version::V1 => first >> 4 & 3,
            Version::V2 => (first >> 4).wrapping_sub(1) & 3,
        };
        const INITIAL: u8 = 0;
        const RETRY: u8 = 3;
        if kind == RETRY {
            return Some(alone);
        }
        if kind == INITIAL {
            let Some(token) = number(&mut rest).and_then(|token| usize::try_from(token).ok()) else {
                return Some(alone);
            };
            let Some(behind) = rest.get(token..) else { return Some(alone) };
            rest = behind;
        }
        let length = number(&mut rest).and_then(|length| usize::try_from(length).ok());
        let start = bytes.len() - rest.len();
        // Of a packet that was cut, only the version is read.
        let Some((packet, behind)) =
            length.and_then(|length| bytes.split_at_checked(start.checked_add(length)?))
        else {
            return Some(alone);
        };
        let initial = (kind == INITIAL).then_some((known, start));
        Some(Packet { bytes: packet, initial, rest: behind, ..alone })
    }
}
