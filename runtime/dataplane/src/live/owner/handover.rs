//! The API's TCP listener, handed from the mirrorc that is taken over to the next one. The
//! invariants: who has the address is asked before anything is given up; the listener itself is
//! handed over, so a port that needs a privilege stays bound, and clients wait in its queue instead
//! of being refused. (Rejected: only to bind again when the old process has ended; the privilege is
//! gone by then. SO_REUSEPORT; two that were started by mistake would share the clients, unseen.)
//! unix(7), cmsg(3).

use super::peer::{Holder, reach};
use super::{PATIENCE, SLICE, line};
use crate::error::{Error, Owner};
use rustix::io::Errno;
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What an owner has of an address that somebody else wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It listens there, and hands the listener over.
    Same,
    /// It listens at another address of this port, which is free when it has ended.
    Other(SocketAddr),
    /// It does not listen there.
    Nothing,
    /// It is of a version that does not say.
    Unknown,
}

/// The word of a request that names the address.
pub(super) const LISTEN: &str = "listen=";

/// The request that asks for it.
pub(super) const LISTENS: &str = "listens ";

/// The owner's answer to [`LISTENS`].
pub(super) fn told(own: Option<SocketAddr>, wanted: &str) -> String {
    match (own, wanted.parse()) {
        (Some(own), Ok(wanted)) if own == wanted => "same\n".to_owned(),
        (Some(own), Ok(wanted)) if overlap(own, wanted) => format!("other {own}\n"),
        _ => "none\n".to_owned(),
    }
}

/// Whether who listens at one address keeps others from the other one.
fn overlap(own: SocketAddr, wanted: SocketAddr) -> bool {
    let plain = |address: SocketAddr| match address.ip() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        ip => ip,
    };
    let (a, b) = (plain(own), plain(wanted));
    own.port() == wanted.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// Asks the owners of these interfaces whether an address that is in use is theirs. Nothing is
/// taken over by that.
///
/// # Errors
/// [`Error::Ports`]: it is nobody's of them, or could not be bound when they have ended;
/// [`Error::Owned`]: one refuses.
pub(super) fn ask(interfaces: &[(String, u32)], wanted: SocketAddr) -> Result<Held, Error> {
    let mut found = Held::Nothing;
    for (name, index) in interfaces {
        let failed = |source| Error::Interface { doing: format!("asking the owner of `{name}`"), source };
        let Holder::Owner(mut stream, owner) = reach(*index).map_err(failed)? else { continue };
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        // One that refuses us may have hung up before; its answer is there all the same.
        let _hung_up = stream.write_all(format!("{LISTENS}{wanted}\n").as_bytes());
        let answer = line(&mut stream, PATIENCE, &AtomicBool::new(false));
        let refused = |why: String| Error::Owned { name: name.clone(), owner, why };
        let answer = answer.map_err(|error| refused(format!("it does not answer: {error}")))?;
        let other = answer.strip_prefix("other ").and_then(|own| own.parse().ok());
        found = match (answer.as_str(), other) {
            ("same", _) => return Ok(Held::Same),
            (_, Some(own)) => Held::Other(own),
            ("", _) => Held::Unknown,
            (why, _) if why.starts_with("no ") => {
                return Err(refused(why.trim_start_matches("no ").to_owned()));
            }
            _ => found,
        };
    }
    let why = match found {
        Held::Nothing => {
            "a process listens there that is not the mirrorc to be replaced: end that process, or \
                          name another address (`ss -ltnp` shows who listens where)"
                .to_owned()
        }
        _ if TcpListener::bind(wanted).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) => {
            let at = match found {
                Held::Other(own) => format!("the mirrorc to be replaced listens at {own}"),
                _ => "the mirrorc to be replaced cannot hand the address over".to_owned(),
            };
            format!(
                "{at}, and once privileges are given up this port cannot be bound again: name the same \
                 address, or end the old mirrorc before the new one starts"
            )
        }
        _ => return Ok(found),
    };
    Err(Error::Ports(format!("cannot listen at `{wanted}`: {why}; nothing was taken over")))
}

/// That at most one process owns these interfaces. One of two would have ended when the other one
/// refuses.
///
/// # Errors
/// [`Error::Owned`]: several do.
pub(super) fn is_one(interfaces: &[(String, u32)]) -> Result<(), Error> {
    let mut first: Option<(&str, Owner)> = None;
    for (name, index) in interfaces {
        let failed = |source| Error::Interface { doing: format!("asking who owns `{name}`"), source };
        let Holder::Owner(_, owner) = reach(*index).map_err(failed)? else { continue };
        match first {
            Some((other, before)) if before != owner => {
                let why = format!(
                    "`{other}` is bridged by {before}; one mirrorc can be replaced, not several, and nothing \
                     was taken over: end all of them but one first"
                );
                return Err(Error::Owned { name: name.clone(), owner, why });
            }
            _ => first = first.or(Some((name, owner))),
        }
    }
    Ok(())
}

/// Says that the interfaces are given up, and hands over the listener.
pub(super) fn give(stream: &UnixStream, listener: Option<&TcpListener>) -> io::Result<()> {
    let (mut space, given) =
        ([MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))], listener.map(|l| [l.as_fd()]));
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if let Some(given) = &given {
        beside.push(SendAncillaryMessage::ScmRights(given));
    }
    sendmsg(stream, &[IoSlice::new(b"yes\n")], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// An owner's answer without its end, and the listener at the address that comes with it.
pub(super) fn take(
    stream: &UnixStream,
    wanted: Option<SocketAddr>,
) -> io::Result<(String, Option<TcpListener>)> {
    stream.set_read_timeout(Some(SLICE))?;
    let (begun, mut text, mut listener) = (Instant::now(), Vec::new(), None);
    while !text.contains(&b'\n') && text.len() < super::LINE {
        // For the whole answer: one that gives a byte now and then is not waited for.
        if begun.elapsed() >= PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
        let (mut bytes, mut space) = ([0; 512], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received =
            match recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR | Errno::AGAIN) => continue,
                // It hung up and has not read what we asked.
                Err(Errno::CONNRESET) => break,
                received => received?,
            };
        for message in beside.drain() {
            let RecvAncillaryMessage::ScmRights(given) = message else { continue };
            for given in given {
                let given = TcpListener::from(given);
                let is_it = given.local_addr().ok().is_some_and(|own| Some(own) == wanted)
                    && socket_acceptconn(&given).unwrap_or(false);
                listener = listener.or(is_it.then_some(given));
            }
        }
        if received.bytes == 0 {
            break;
        }
        text.extend_from_slice(bytes.get(..received.bytes).unwrap_or_default());
    }
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    text.truncate(end);
    Ok((String::from_utf8_lossy(&text).into_owned(), listener))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn addresses_that_exclude_each_other_are_known() {
        let own = |text: &str| Some(text.parse().unwrap());
        for (listens, wanted, says) in [
            (own("10.0.0.1:443"), "10.0.0.1:443", "same\n"),
            (own("0.0.0.0:443"), "10.0.0.1:443", "other 0.0.0.0:443\n"),
            (own("[::]:443"), "10.0.0.1:443", "other [::]:443\n"),
            (own("10.0.0.2:443"), "10.0.0.1:443", "none\n"),
            (own("10.0.0.1:444"), "10.0.0.1:443", "none\n"),
            (own("10.0.0.1:443"), "nonsense", "none\n"),
            (None, "10.0.0.1:443", "none\n"),
        ] {
            assert_eq!(told(listens, wanted), says, "{listens:?} {wanted}");
        }
    }

    #[test]
    fn a_listener_is_handed_over_with_the_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for (wanted, given) in [(Some(address), true), (None, false), (own_port_other(address), false)] {
            let (old, new) = UnixStream::pair().unwrap();
            give(&old, Some(&listener)).unwrap();
            let (answer, handed) = take(&new, wanted).unwrap();
            assert_eq!((answer.as_str(), handed.is_some()), ("yes", given));
        }
        let (old, new) = UnixStream::pair().unwrap();
        give(&old, None).unwrap();
        drop(old);
        assert!(take(&new, Some(address)).unwrap().1.is_none());
    }

    fn own_port_other(address: SocketAddr) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.ip(), address.port().wrapping_add(1)))
    }
}
