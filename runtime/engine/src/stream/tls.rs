//! TLS: the ClientHellos and ServerHellos at the start of a direction, over any number of records
//! and segments. Reading ends at the first record or message of another kind: what follows is
//! encrypted, or says nothing that programs ask for. A hello behind a ChangeCipherSpec (a second
//! hello, after a HelloRetryRequest) must fill its record, so that encrypted bytes are not taken
//! for a hello. Invariant: a hello is parsed once, when it is complete. (Rejected: to keep records
//! as they come; their headers would stand between the parts of a message.)

use super::out::{Out, ParserState};
use super::pool::MessageBuffer;
use mrule_compiler::fields::Facet;
use tls_parser::{TlsExtension, parse_tls_extension, parse_tls_handshake_client_hello};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
pub(super) const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// The reader of one direction.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The record's header as far as it has come.
    head: [u8; 5],
    have: u8,
    /// Bytes of the record that are still to come.
    left: u16,
    /// The first bytes of the message: type and length.
    message: [u8; 4],
    /// A ChangeCipherSpec was seen.
    changed: bool,
}

impl Reader {
    pub(super) fn take(&mut self, part: &mut MessageBuffer, mut bytes: &[u8], out: &mut Out) -> ParserState {
        while let Some(&byte) = bytes.first() {
            if self.left == 0 {
                if let Some(place) = self.head.get_mut(usize::from(self.have)) {
                    *place = byte;
                }
                self.have += 1;
                bytes = bytes.get(1..).unwrap_or(&[]);
                if self.have < 5 {
                    continue;
                }
                self.have = 0;
                let [kind, major, _, high, low] = self.head;
                self.left = u16::from_be_bytes([high, low]);
                if major != 3 {
                    out.counts.messages.malformed += 1;
                    return ParserState::Done;
                }
                match kind {
                    // A message continues only in another record of the type handshake.
                    HANDSHAKE => {}
                    CHANGE_CIPHER_SPEC if part.is_empty() => self.changed = true,
                    ALERT if part.is_empty() => {}
                    _ => return ParserState::Done,
                }
                continue;
            }
            let now = bytes.len().min(usize::from(self.left));
            let (mut now, rest) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
            bytes = rest;
            self.left -= now.len() as u16;
            if self.head[0] != HANDSHAKE {
                continue;
            }
            while !now.is_empty() {
                let at = part.len();
                // Type and length first.
                if at < 4 {
                    for (place, &byte) in self.message.iter_mut().skip(at).zip(now) {
                        *place = byte;
                    }
                    if at + now.len() < 4 {
                        if !out.keep(part, now) {
                            return ParserState::Done;
                        }
                        break;
                    }
                }
                let [kind, a, b, c] = self.message;
                let length = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
                if !matches!(kind, CLIENT_HELLO | SERVER_HELLO) {
                    return ParserState::Done;
                }
                if self.changed && length != usize::from(u16::from_be_bytes([self.head[3], self.head[4]])) {
                    return ParserState::Done;
                }
                if length > super::out::MAX_MESSAGE {
                    out.counts.messages.too_large += 1;
                    return ParserState::Done;
                }
                if at + now.len() < length {
                    if !out.keep(part, now) {
                        return ParserState::Done;
                    }
                    break;
                }
                let (last, next) = now.split_at_checked(length - at).unwrap_or((now, &[]));
                now = next;
                let read = if at == 0 {
                    hello(last, out)
                } else {
                    let whole = out.whole(part, last);
                    let read = hello(&whole, out);
                    *out.scratch = whole;
                    read
                };
                if !read {
                    out.counts.messages.malformed += 1;
                    return ParserState::Done;
                }
                out.counts.messages.tls += 1;
            }
        }
        ParserState::Continue
    }
}

/// Whether the bytes begin with the header of a record.
pub(super) fn is_record(bytes: &[u8]) -> bool {
    let Some(&[kind, 3, minor, high, low]) = bytes.first_chunk() else { return false };
    let length = u16::from_be_bytes([high, low]);
    (20..=23).contains(&kind) && minor <= 4 && (1..=0x4100).contains(&length)
}

/// Reads a hello with its type and length. Returns false when the bytes are no hello.
pub(super) fn hello(message: &[u8], out: &mut Out) -> bool {
    let body = message.get(4..).unwrap_or(&[]);
    let (version, extensions) = if message.first() == Some(&CLIENT_HELLO) {
        match parse_tls_handshake_client_hello(body) {
            Ok((_, hello)) => (hello.version.0, hello.ext),
            Err(_) => return false,
        }
    } else {
        match tls_parser::parse_tls_handshake_server_hello(body) {
            Ok((_, hello)) => (hello.version.0, hello.ext),
            Err(_) => return false,
        }
    };
    out.num(Facet::TlsVersion, version.into());
    // Reads extensions separately, so that a malformed one does not hide those behind it.
    let mut rest = extensions.unwrap_or(&[]);
    while let Some(&[_, _, high, low]) = rest.first_chunk() {
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        let Some((extension, behind)) = rest.split_at_checked(length) else { break };
        rest = behind;
        // Server names and protocols. The other extensions need not be read.
        if !matches!(extension, [0, 0 | 16, ..]) {
            continue;
        }
        match parse_tls_extension(extension) {
            Ok((_, TlsExtension::SNI(names))) => {
                names.iter().for_each(|(_, name)| out.text(Facet::TlsServerName, name));
            }
            Ok((_, TlsExtension::ALPN(names))) => {
                names.iter().for_each(|name| out.text(Facet::TlsAlpn, name));
            }
            _ => {}
        }
    }
    true
}
