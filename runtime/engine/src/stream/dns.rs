//! DNS: the header and the questions of each message (RFC 1035). A message is a datagram, or
//! follows a length of two bytes over TCP. Invariants: a pointer in a name leads only backwards and
//! a name has at most 255 bytes, so reading ends. If a question cannot be read, the message still
//! reports its header and the questions before. (Rejected: a library for DNS; it also reads
//! records, which no program asks for, and refuses messages because of them.)

use super::out::{Out, ParserState};
use super::pool::MessageBuffer;
use mrule_compiler::fields::Facet;

/// The longest name in its sent form, in bytes (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;
/// Length of a message's header, in bytes.
const HEAD: usize = 12;

/// The reader of one direction over TCP.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The length of the message, as far as it has come.
    length: [u8; 2],
    have: u8,
}

impl Reader {
    pub(super) fn take(&mut self, part: &mut MessageBuffer, mut bytes: &[u8], out: &mut Out) -> ParserState {
        while let Some(&byte) = bytes.first() {
            if self.have < 2 {
                if let Some(place) = self.length.get_mut(usize::from(self.have)) {
                    *place = byte;
                }
                self.have += 1;
                bytes = bytes.get(1..).unwrap_or(&[]);
                if self.have == 2 && usize::from(u16::from_be_bytes(self.length)) < HEAD {
                    out.counts.messages.malformed += 1;
                    return ParserState::Done;
                }
                continue;
            }
            let length = usize::from(u16::from_be_bytes(self.length));
            let left = length - part.len();
            let Some((last, rest)) = bytes.split_at_checked(left) else {
                return if out.keep(part, bytes) { ParserState::Continue } else { ParserState::Done };
            };
            bytes = rest;
            self.have = 0;
            if part.is_empty() {
                datagram(last, out);
            } else {
                let whole = out.whole(part, last);
                datagram(&whole, out);
                *out.scratch = whole;
            }
        }
        ParserState::Continue
    }
}

/// Reads one message.
pub(super) fn datagram(message: &[u8], out: &mut Out) {
    let Some(&[_, _, flags, more, high, low]) = message.first_chunk() else {
        out.counts.messages.malformed += 1;
        return;
    };
    let response = flags & 0x80 != 0;
    out.num(Facet::DnsResponse, response.into());
    if response {
        out.num(Facet::DnsRcode, u64::from(more & 0xf));
    }
    let mut at = HEAD;
    let mut text = Vec::new();
    for _ in 0..u16::from_be_bytes([high, low]) {
        text.clear();
        let read = name(message, at, &mut text);
        let Some((end, &[high, low, _, _])) =
            read.and_then(|end| Some((end, message.get(end..)?.first_chunk::<4>()?)))
        else {
            out.counts.messages.malformed += 1;
            return;
        };
        at = end + 4;
        out.text(Facet::DnsName, &text);
        out.num(Facet::DnsType, u16::from_be_bytes([high, low]).into());
    }
    out.counts.messages.dns += 1;
}

/// Appends the name at `at` to `text`, as Wireshark shows it (the root as `<Root>`). Unlike
/// Wireshark, which writes U+FFFD for bytes that are no text, it keeps each byte. Returns the
/// offset behind the name.
pub(super) fn name(message: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    let mut end = None;
    let mut length = 0;
    // The place where the last pointer led. The next pointer must lead further back.
    let mut lowest = at;
    loop {
        let size = *message.get(at)?;
        match size {
            0 => {
                if text.is_empty() {
                    text.extend_from_slice(b"<Root>");
                }
                return Some(end.unwrap_or(at + 1));
            }
            1..0x40 => {
                let label = message.get(at + 1..)?.get(..usize::from(size))?;
                length += label.len() + 1;
                if length > MAX_NAME {
                    return None;
                }
                if !text.is_empty() {
                    text.push(b'.');
                }
                text.extend_from_slice(label);
                at += 1 + label.len();
            }
            0xc0.. => {
                let low = *message.get(at + 1)?;
                end = end.or(Some(at + 2));
                at = usize::from(u16::from_be_bytes([size & 0x3f, low]));
                if at >= lowest {
                    return None;
                }
                lowest = at;
            }
            _ => return None,
        }
    }
}
