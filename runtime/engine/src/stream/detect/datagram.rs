//! Recognisers of datagram protocols. Invariant: they look only at the first datagram of each
//! direction, up to [`super::PREFIX`] bytes. (Rejected: one rule for all of them, such as a port.
//! Rejected: DNS by its flags alone; one in a hundred random datagrams has them.)

use super::{Answer, More, No, Prefix, Yes, at, begins, begins_any, word};

/// A long header of QUIC version 1 or 2, with its connection ids (RFC 9000, section 17.2).
pub(super) fn quic(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| byte & 0xc0 == 0xc0)
        .and(|| match bytes.get(1..) {
            None | Some([]) => More,
            Some(rest) => begins_any(rest, &[&[0, 0, 0, 1], &[0x6b, 0x33, 0x43, 0xcf]]),
        })
        .and(|| at(bytes, 5, |length| length <= 20))
        .and(|| at(bytes, 6 + usize::from(bytes[5]), |length| length <= 20))
}

pub(super) fn dns(prefix: Prefix) -> Answer {
    dns_message(prefix.bytes, usize::MAX, prefix.closed)
}

/// A message with one question (mDNS: also several, or an answer without a question). It has
/// `length` bytes where that is known.
pub(super) fn dns_message(bytes: &[u8], length: usize, closed: bool) -> Answer {
    let numbers = [4, 6, 8, 10].map(|place| word(bytes, place));
    let [Some(questions), Some(answers), Some(authorities), Some(additional)] = numbers else { return More };
    let Some(flags) = word(bytes, 2) else { return More };
    let response = flags & 0x8000 != 0;
    let opcode = flags >> 11 & 15;
    // The operation code must be in use.
    if !matches!(opcode, 0 | 2 | 4 | 5) {
        return No;
    }
    // What receivers pass over, if all else is plain: the reserved bit, a response code in a query,
    // control characters in labels.
    let mut odd = flags & 0x40 != 0 || (!response && flags & 15 != 0);
    let update = opcode == 5;
    let sound = if response {
        questions <= 8 && flags & 15 <= 11 && answers + authorities + additional <= 512
    } else {
        // mDNS puts known answers into queries.
        (1..=16).contains(&questions) && answers <= 64 && (authorities <= 16 || update) && additional <= 16
    };
    if !sound || (response && questions == 0 && (answers == 0 || flags & 0x400 == 0)) {
        return No;
    }
    let mut at = 12;
    for label in 0.. {
        let Some(&size) = bytes.get(at) else {
            return longer(closed, label).and(|| Answer::of(!odd));
        };
        match size {
            0 => {
                at += 1;
                break;
            }
            1..0x40 => {
                let end = at + 1 + usize::from(size);
                let Some(text) = bytes.get(at + 1..end.min(bytes.len())) else {
                    return longer(closed, label).and(|| Answer::of(!odd));
                };
                if end > at.max(12) + 64 || end > 12 + 255 || end > length {
                    return No;
                }
                odd |= !text.iter().all(|&byte| (0x20..0x7f).contains(&byte) || byte >= 0x80);
                // NetBIOS names look like this; other names do not.
                if size == 32 && text.len() == 32 && text.iter().all(|byte| (b'A'..=b'P').contains(byte)) {
                    return No;
                }
                at = end;
            }
            _ => return No,
        }
    }
    let (Some(kind), Some(class)) = (word(bytes, at), word(bytes, at + 2)) else {
        return longer(closed, 0).and(|| Answer::of(!odd));
    };
    let known = matches!(kind, 1..=110 | 249..=260 | 32768 | 32769 | 65280..=65534);
    let plain = opcode == 0 && questions == 1 && answers + authorities <= 64 && class == 1 && kind <= 110;
    Answer::of(known && matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255) && (plain || !odd))
}

/// For bytes that end within a name: the labels before the end were sound.
fn longer(closed: bool, labels: usize) -> Answer {
    match closed {
        true => Answer::of(labels >= 2),
        false => More,
    }
}

/// BOOTP's header, and DHCP's magic cookie where the bytes reach it.
pub(super) fn dhcp(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| matches!(byte, 1 | 2))
        .and(|| at(bytes, 1, |byte| (1..=37).contains(&byte)))
        .and(|| at(bytes, 2, |byte| byte <= 16))
        .and(|| at(bytes, 3, |byte| byte <= 16))
        .and(|| at(bytes, 10, |byte| byte & 0x7f == 0))
        .and(|| at(bytes, 11, |byte| byte == 0))
        .and(|| match bytes.get(236..) {
            Some(rest) if !rest.is_empty() => begins(rest, &[0x63, 0x82, 0x53, 0x63]),
            // The capture cut the datagram. The padding of an Ethernet address must be zeros.
            _ if prefix.closed => match (bytes.get(1..3), bytes.get(34..44)) {
                (Some([1, 6]), Some(padding)) => Answer::of(padding.iter().all(|&byte| byte == 0)),
                _ => No,
            },
            _ => More,
        })
}

/// A client, server or peer. Small numbers must stand where random bytes would have large numbers.
pub(super) fn ntp(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| matches!(byte >> 3 & 7, 1..=4) && matches!(byte & 7, 1..=5))
        .and(|| at(bytes, 1, |stratum| stratum <= 16))
        .and(|| at(bytes, 2, |poll| poll <= 17))
        .and(|| at(bytes, 3, |precision| precision == 0 || precision >= 0xe0))
        .and(|| at(bytes, 4, |delay| delay == 0))
        .and(|| at(bytes, 8, |dispersion| dispersion == 0))
        .and(|| if bytes.len() < 48 { More } else { Yes })
}

/// STUN by its magic cookie (RFC 8489).
pub(super) fn stun(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| byte & 0xfe == 0 || byte & 0xfe == 0x10)
        .and(|| at(bytes, 3, |length| length.is_multiple_of(4)))
        .and(|| match bytes.get(4..) {
            None | Some([]) => More,
            Some(rest) => begins(rest, &[0x21, 0x12, 0xa4, 0x42]),
        })
}

/// The bytes behind a BER length at `place`.
pub(super) fn behind_length(bytes: &[u8], place: usize) -> Option<&[u8]> {
    match *bytes.get(place)? {
        0x81..=0x84 => bytes.get(place + 1 + usize::from(bytes[place] & 0x7f)..),
        _ => bytes.get(place + 1..),
    }
}

/// Versions 1 and 2: a community and an operation. Version 3: its header.
pub(super) fn snmp(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    at(bytes, 0, |byte| byte == 0x30).and(|| {
        let Some(rest) = behind_length(bytes, 1) else { return More };
        begins_any(rest, &[&[2, 1, 0, 4], &[2, 1, 1, 4], &[2, 1, 3, 0x30]]).and(|| {
            if rest[2] == 3 {
                return match behind_length(rest, 4) {
                    None | Some([]) => More,
                    Some(inside) => at(inside, 0, |byte| byte == 2).and(|| at(inside, 1, |byte| byte <= 4)),
                };
            }
            let Some(&size) = rest.get(4) else { return More };
            let Some(community) = rest.get(5..) else { return More };
            let (community, behind) = community.split_at(community.len().min(usize::from(size)));
            Answer::of(size < 0x80 && community.iter().all(|&byte| (0x20..0x7f).contains(&byte)))
                .and(|| at(behind, 0, |byte| matches!(byte, 0xa0..=0xa8)))
        })
    })
}

/// The distributed hash table, a tracker, or the first packet of the transport protocol.
pub(super) fn bittorrent(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    let table: &[&[u8]] = &[b"d1:ad2:id20:", b"d1:rd2:id20:", b"d1:eli", b"d2:ip6:", b"d2:ip18:"];
    begins_any(bytes, table).or(|| begins(bytes, &[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0])).or(
        || {
            // A SYN of the transport protocol: its version, no time difference, sequence number 1,
            // and no payload.
            let head = begins_any(bytes, &[&[0x41, 0], &[0x41, 2]]);
            head.and(|| if bytes.len() < 20 { More } else { Answer::of(bytes.get(8..12) == Some(&[0; 4])) })
                .and(|| Answer::of(bytes.get(16..18) == Some(&[0, 1])))
                .and(|| match (bytes.len(), prefix.closed) {
                    (20, true) | (21..40, true) => Yes,
                    (_, false) => More,
                    _ => No,
                })
        },
    )
}
