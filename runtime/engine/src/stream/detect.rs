//! Recognises the application of a flow by the first bytes of both directions only; ports play no
//! role. There is one table of recognisers, each a total function of what both ends have sent so
//! far. Invariants: an answer of yes or no stands whatever bytes follow, so it does not matter how
//! the bytes are cut into packets; at most [`PREFIX`] bytes of a direction are looked at.
//! (Rejected: a score for each protocol; the reason for a flow's application could not be
//! explained. Rejected: to follow STARTTLS and upgrades; a flow keeps the application that it began
//! with.)

use mrule_compiler::fields::App;

mod binary;
mod datagram;
mod text;

/// Number of bytes of a datagram that are looked at (DHCP's magic cookie is at offset 236).
pub(super) const PREFIX: usize = 256;

/// Number of bytes of a direction that are looked at for protocols over TCP.
pub(super) const TCP_PREFIX: usize = 64;

const TCP: u8 = 6;
const UDP: u8 = super::deliver::UDP;

/// The first bytes of a direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix<'a> {
    pub(super) bytes: &'a [u8],
    /// There will be no more bytes: the limit is reached, or this is a datagram, or a gap follows.
    pub(super) closed: bool,
}

/// Whether the bytes are of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// More bytes are needed to decide.
    More,
}
use Answer::{More, No, Yes};

impl Answer {
    /// Yes or no.
    fn of(yes: bool) -> Answer {
        if yes { Yes } else { No }
    }

    /// Yes if both are yes; otherwise the first answer that is not yes.
    fn and(self, then: impl FnOnce() -> Answer) -> Answer {
        if self == Yes { then() } else { self }
    }

    /// Yes if at least one of both is yes.
    fn or(self, other: impl FnOnce() -> Answer) -> Answer {
        match self {
            Yes => Yes,
            No => other(),
            More => {
                if other() == Yes {
                    Yes
                } else {
                    More
                }
            }
        }
    }
}

/// A function that looks at one direction's bytes.
type Side = fn(Prefix) -> Answer;

/// How a recogniser looks at both directions.
enum By {
    /// What the client says first, and what the server answers. One yes is enough, and each no
    /// rules the protocol out.
    Either(Side, Side),
    /// Looks at both directions together.
    Both(fn(Prefix, Prefix) -> Answer),
}

/// The recognisers of protocols over TCP.
const OVER_TCP: &[(App, By)] = &[
    (App::Http, By::Both(text::http)),
    (App::Http2, By::Either(binary::http2_preface, binary::http2_settings)),
    (App::Tls, By::Either(binary::tls, binary::tls)),
    (App::Ssh, By::Either(text::ssh, text::ssh)),
    (App::Smtp, By::Both(text::smtp)),
    (App::Ftp, By::Both(text::ftp)),
    (App::Imap, By::Either(text::imap_client, text::imap_server)),
    (App::Pop3, By::Both(text::pop3)),
    (App::Rdp, By::Either(binary::rdp_request, binary::rdp_confirm)),
    (App::Smb, By::Either(binary::smb, binary::smb)),
    (App::Mqtt, By::Either(binary::mqtt, never)),
    (App::Postgres, By::Either(binary::postgres, maybe)),
    (App::Mysql, By::Either(binary::mysql_client, binary::mysql)),
    (App::Redis, By::Either(text::redis, text::redis_reply)),
    (App::Dns, By::Either(binary::dns, binary::dns)),
    (App::Sip, By::Either(text::sip, text::sip)),
    (App::Bittorrent, By::Either(binary::bittorrent, binary::bittorrent)),
    (App::Stun, By::Either(datagram::stun, datagram::stun)),
    (App::Rtsp, By::Either(text::rtsp, text::rtsp)),
    (App::Ldap, By::Either(binary::ldap, binary::ldap)),
    (App::Git, By::Either(text::git, maybe)),
];

/// The recognisers of protocols over UDP.
const OVER_UDP: &[(App, By)] = &[
    (App::Quic, By::Either(datagram::quic, datagram::quic)),
    (App::Dns, By::Either(datagram::dns, datagram::dns)),
    (App::Dhcp, By::Either(datagram::dhcp, datagram::dhcp)),
    (App::Ntp, By::Either(datagram::ntp, datagram::ntp)),
    (App::Stun, By::Either(datagram::stun, datagram::stun)),
    (App::Snmp, By::Either(datagram::snmp, datagram::snmp)),
    (App::Sip, By::Either(text::sip, text::sip)),
    (App::Bittorrent, By::Either(datagram::bittorrent, datagram::bittorrent)),
];

/// The application, as far as it is known.
pub(super) fn recognise(proto: u8, client: Prefix, server: Prefix) -> App {
    let table = match proto {
        TCP => OVER_TCP,
        UDP => OVER_UDP,
        _ => &[],
    };
    let mut open = false;
    for (app, by) in table {
        match by.ask(client, server) {
            Yes => return *app,
            No => {}
            More => open = true,
        }
    }
    // A server that speaks before its client answers a request that was not seen yet.
    open |= client.bytes.is_empty();
    if open && !(client.closed && server.closed) { App::Undecided } else { App::Other }
}

/// Whether it is the name of a protocol.
pub(super) fn is_named(app: App) -> bool {
    !matches!(app, App::Undecided | App::Other)
}

/// Like [`recognise`] where it is not known which of the two ends is the client; the first is
/// likely. Also tells which of them content shows to be the client. One end's bytes alone are never
/// [`App::Other`]: they may be the middle of an answer.
pub(super) fn recognise_either(proto: u8, [a, b]: [Prefix; 2]) -> (App, Option<usize>) {
    let (likely, swapped) = (recognise(proto, a, b), recognise(proto, b, a));
    let app = match (likely, swapped) {
        (app, _) if is_named(app) => app,
        (_, app) if is_named(app) => app,
        (App::Other, App::Other) if !a.bytes.is_empty() && !b.bytes.is_empty() => App::Other,
        _ => App::Undecided,
    };
    let shown = match (is_client(app, a), is_client(app, b)) {
        (Some(true), _) | (None, Some(false)) => Some(0),
        (Some(false), _) | (None, Some(true)) => Some(1),
        (None, None) => None,
    };
    (app, shown)
}

/// Whether the end with these bytes is the client. `None`: clients and servers begin alike.
fn is_client(app: App, prefix: Prefix) -> Option<bool> {
    let (_, by) = OVER_TCP.iter().find(|(of, _)| *of == app)?;
    let empty = Prefix { bytes: &[], closed: false };
    let [client, server] = match by {
        By::Either(a, b) => [side(*a, prefix), side(*b, prefix)],
        By::Both(ask) => [ask(prefix, empty), ask(empty, prefix)],
    };
    match (client == Yes, server == Yes) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (true, true) => match app {
            App::Tls => prefix.bytes.get(5).filter(|_| prefix.bytes[0] == 22).map(|kind| *kind == 1),
            App::Dns => prefix.bytes.get(4).map(|flags| flags & 0x80 == 0),
            App::Rtsp | App::Sip => {
                Some(!prefix.bytes.starts_with(b"RTSP/") && !prefix.bytes.starts_with(b"SIP/"))
            }
            _ => None,
        },
        (false, false) => match app {
            // Servers begin with a number, or with a plus sign.
            App::Smtp | App::Ftp | App::Pop3 => prefix.bytes.first().map(u8::is_ascii_alphabetic),
            _ => None,
        },
    }
}

/// Whether the bytes, the first of a segment, begin with a message of this protocol over TCP.
pub(super) fn begins_message(app: App, bytes: &[u8]) -> bool {
    let bytes = bytes.get(..TCP_PREFIX).unwrap_or(bytes);
    let prefix = Prefix { bytes, closed: true };
    let is = |ask: Side| side(ask, prefix) == Yes;
    match app {
        App::Http => is(text::http_request) || is(text::http_response),
        App::Tls => is(binary::tls),
        App::Dns => is(binary::dns),
        _ => false,
    }
}

impl By {
    fn ask(&self, client: Prefix, server: Prefix) -> Answer {
        match self {
            By::Either(a, b) => match (side(*a, client), side(*b, server)) {
                (Yes, _) | (_, Yes) => Yes,
                (No, _) | (_, No) => No,
                (More, More) => More,
            },
            By::Both(ask) => ask(client, server),
        }
    }
}

/// The answer for one side's bytes.
fn side(ask: Side, prefix: Prefix) -> Answer {
    if prefix.bytes.is_empty() {
        return More;
    }
    match ask(prefix) {
        More if prefix.closed => No,
        answer => answer,
    }
}

/// For an end that never speaks first.
fn never(_: Prefix) -> Answer {
    No
}

/// For an end whose bytes are not known.
fn maybe(_: Prefix) -> Answer {
    More
}

/// Whether the bytes begin with `with`.
fn begins(bytes: &[u8], with: &[u8]) -> Answer {
    match bytes.get(..with.len()) {
        Some(start) => Answer::of(start == with),
        None if with.starts_with(bytes) => More,
        None => No,
    }
}

/// Whether the bytes begin with one of `with`.
fn begins_any(bytes: &[u8], with: &[&[u8]]) -> Answer {
    with.iter().fold(No, |answer, with| answer.or(|| begins(bytes, with)))
}

/// Whether the byte at `place` satisfies a condition.
fn at(bytes: &[u8], place: usize, holds: impl Fn(u8) -> bool) -> Answer {
    bytes.get(place).map_or(More, |&byte| Answer::of(holds(byte)))
}

/// Two bytes as a number, big-endian.
fn word(bytes: &[u8], place: usize) -> Option<usize> {
    let bytes = bytes.get(place..)?.first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*bytes)))
}
