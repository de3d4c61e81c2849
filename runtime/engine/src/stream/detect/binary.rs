//! Recognisers of binary protocols over TCP. Invariant: each needs at least four bytes' worth of
//! values that only its protocol has. (Rejected: one magic byte, such as the first byte of TLS; a
//! twentieth of all random streams would match something.)

use super::datagram;
use super::{Answer, More, No, Prefix, Yes, at, begins, begins_any, word};

pub(super) fn http2_preface(prefix: Prefix) -> Answer {
    begins(prefix.bytes, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
}

/// A SETTINGS frame on stream 0 (RFC 9113, section 6.5).
pub(super) fn http2_settings(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    begins(bytes, &[0, 0]).and(|| at(bytes, 2, |length| length.is_multiple_of(6) && length <= 120)).and(
        || match bytes.get(3..) {
            None | Some([]) => More,
            Some(rest) => begins(rest, &[4, 0, 0, 0, 0, 0]),
        },
    )
}

/// A record that begins with a ClientHello, a ServerHello or an alert.
pub(super) fn tls(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    let start = at(bytes, 0, |byte| matches!(byte, 21 | 22))
        .and(|| at(bytes, 1, |byte| byte == 3))
        .and(|| at(bytes, 2, |byte| byte <= 4));
    start.and(|| {
        let Some(length) = word(bytes, 3) else { return More };
        if bytes.first() == Some(&21) {
            return Answer::of(length == 2)
                .and(|| at(bytes, 5, |byte| matches!(byte, 1 | 2)))
                .and(|| at(bytes, 6, |byte| byte <= 120));
        }
        let hello =
            Answer::of((1..=0x4000).contains(&length)).and(|| at(bytes, 5, |byte| matches!(byte, 1 | 2)));
        if length < 6 {
            // The record is cut on purpose: the rest of the hello is in the next record.
            return hello;
        }
        hello
            .and(|| at(bytes, 6, |byte| byte == 0))
            .and(|| at(bytes, 9, |byte| byte == 3))
            .and(|| if length < 6 { Yes } else { at(bytes, 10, |byte| byte <= 4) })
    })
}

/// TPKT and X.224: matching lengths, and a request or confirm of class 0.
fn x224(bytes: &[u8], code: u8) -> Answer {
    begins(bytes, &[3, 0]).and(|| {
        let Some(length) = word(bytes, 2) else { return More };
        Answer::of((11..600).contains(&length))
            .and(|| at(bytes, 4, |byte| usize::from(byte) + 5 == length))
            .and(|| at(bytes, 5, |byte| byte == code))
    })
}

/// What RDP sends behind the X.224 header.
fn rdp(bytes: &[u8], code: u8, behind: &[&[u8]]) -> Answer {
    x224(bytes, code).and(|| match word(bytes, 2) {
        Some(11) if bytes.len() >= 11 => Yes,
        _ => match bytes.get(11..) {
            None | Some([]) => More,
            Some(rest) => begins_any(rest, behind),
        },
    })
}

pub(super) fn rdp_request(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    x224(bytes, 0xe0)
        .and(|| if bytes.len() < 11 { More } else { Answer::of(bytes.get(6..8) == Some(&[0, 0])) })
        .and(|| {
            let flags = |flags: u8| [1, flags, 8, 0];
            let some: Vec<[u8; 4]> = [0, 1, 2, 3, 8, 9, 10, 11].map(flags).to_vec();
            let mut behind: Vec<&[u8]> = vec![b"Cookie: ", b"tsv://"];
            behind.extend(some.iter().map(|bytes| &bytes[..]));
            rdp(bytes, 0xe0, &behind)
        })
}

pub(super) fn rdp_confirm(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    x224(bytes, 0xd0).and(|| match bytes.get(11..) {
        None | Some([]) => More,
        Some(rest) => at(rest, 0, |byte| matches!(byte, 2 | 3))
            .and(|| if rest.len() < 4 { More } else { Answer::of(rest.get(2..4) == Some(&[8, 0])) }),
    })
}

/// A NetBIOS message that contains SMB 1, 2 or 3.
pub(super) fn smb(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| byte == 0).and(|| match bytes.get(4..) {
        None | Some([]) => More,
        Some(rest) => begins_any(rest, &[b"\xffSMB", b"\xfeSMB", b"\xfdSMB", b"\xfcSMB"]),
    })
}

pub(super) fn mqtt(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| byte == 0x10).and(|| {
        // The length has up to four bytes. All of them but the last have the high bit set.
        let rest = bytes.get(1..).unwrap_or(&[]);
        let size = rest.iter().take(3).take_while(|byte| **byte >= 0x80).count() + 1;
        match rest.get(size..) {
            None | Some([]) => More,
            Some(rest) => begins_any(
                rest,
                &[b"\0\x04MQTT\x03", b"\0\x04MQTT\x04", b"\0\x04MQTT\x05", b"\0\x06MQIsdp\x03"],
            ),
        }
    })
}

/// A start of a session, a request for encryption, or a cancel request.
pub(super) fn postgres(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| byte == 0).and(|| at(bytes, 1, |byte| byte == 0)).and(|| {
        let Some(length) = word(bytes, 2) else { return More };
        let Some(rest) = bytes.get(4..).filter(|rest| !rest.is_empty()) else { return More };
        match length {
            8 => begins_any(rest, &[&[4, 0xd2, 0x16, 0x2f], &[4, 0xd2, 0x16, 0x30]]),
            16 if rest.first() == Some(&4) => begins(rest, &[4, 0xd2, 0x16, 0x2e]),
            9..=10000 => begins_any(rest, &[&[0, 3, 0, 0], &[0, 3, 0, 2]])
                .and(|| at(rest, 4, |byte| byte.is_ascii_alphabetic() || byte == b'_'))
                .and(|| at(rest, 5, |byte| byte.is_ascii_alphabetic() || byte == b'_')),
            _ => No,
        }
    })
}

/// The client's answer, in its second packet, to a greeting that was not seen yet. It does not
/// decide by itself.
pub(super) fn mysql_client(prefix: Prefix) -> Answer {
    at(prefix.bytes, 3, |number| number == 1).and(|| More)
}

/// A server's greeting of protocol 10, with its version.
pub(super) fn mysql(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |length| length >= 30)
        .and(|| at(bytes, 1, |byte| byte <= 1))
        .and(|| if bytes.len() < 3 { More } else { begins(bytes.get(2..).unwrap_or(&[]), &[0, 0, 10]) })
        .and(|| at(bytes, 5, |byte| byte.is_ascii_digit()))
        .and(|| at(bytes, 6, |byte| byte.is_ascii_digit() || byte == b'.'))
        .and(|| at(bytes, 7, |byte| byte.is_ascii_digit() || byte == b'.'))
}

pub(super) fn bittorrent(prefix: Prefix) -> Answer {
    begins(prefix.bytes, b"\x13BitTorrent protocol")
}

/// A message behind its length.
pub(super) fn dns(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    let Some(length) = word(bytes, 0) else { return More };
    let message = bytes.get(2..).unwrap_or(&[]);
    let closed = prefix.closed || message.len() >= length;
    // A query has no response code. This rules out most text before the counts come.
    let query = |flags: usize| flags & 0x8000 != 0 || flags & 15 == 0;
    let possible = length >= 17 && word(message, 2).is_none_or(query);
    Answer::of(possible).and(|| match message.get(..length.min(message.len())) {
        None | Some([]) => More,
        Some(message) => datagram::dns_message(message, length, closed),
    })
}

/// A BER message: its number, and an operation with the bytes that it begins with.
pub(super) fn ldap(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| byte == 0x30).and(|| {
        let Some(rest) = datagram::behind_length(bytes, 1) else { return More };
        at(rest, 0, |byte| byte == 2).and(|| at(rest, 1, |byte| matches!(byte, 1..=4))).and(|| {
            let Some(operation) = rest.get(2 + usize::from(rest[1])..) else { return More };
            let Some(&code) = operation.first() else { return More };
            let starts: &[u8] = match code {
                // Bind: its version. Search: the base. Extended: its name.
                0x60 => &[2, 1, 3],
                0x63 | 0x64 => &[4],
                0x77 => &[0x80],
                // Responses: a result.
                0x61 | 0x65 | 0x78 => &[10, 1],
                _ => return No,
            };
            match datagram::behind_length(operation, 1) {
                None | Some([]) => More,
                Some(inside) => begins(inside, starts),
            }
        })
    })
}
