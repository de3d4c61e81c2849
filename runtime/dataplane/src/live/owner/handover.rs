//! Hands the API's TCP listener from the mirrorc that is replaced to the next one. Invariants: the
//! owner of the address is asked before anything is given up. The listener itself is handed over,
//! so a port that needs a privilege stays bound, and clients wait in its queue instead of being
//! refused. (Rejected: to bind again after the old process has ended; the privilege is gone by
//! then. Rejected: SO_REUSEPORT; two processes that were started by mistake would share the clients
//! unnoticed.) See unix(7), cmsg(3).

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

/// What an owner has of an address that another process wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerStatus {
    /// It listens there, and hands the listener over.
    Same,
    /// It listens at another address with this port, which is free after its end.
    Other(SocketAddr),
    /// It does not listen there.
    Nothing,
    /// Its version does not answer this question.
    Unknown,
}

/// The word of a request before the address.
pub(super) const LISTEN: &str = "listen=";

/// The request that asks whether the owner listens at an address.
pub(super) const LISTENS: &str = "listens ";

/// The owner's answer to [`LISTENS`].
pub(super) fn told(own: Option<SocketAddr>, wanted: &str) -> String {
    match (own, wanted.parse()) {
        (Some(own), Ok(wanted)) if own == wanted => "same\n".to_owned(),
        (Some(own), Ok(wanted)) if overlap(own, wanted) => format!("other {own}\n"),
        _ => "none\n".to_owned(),
    }
}

/// Whether a listener at one address keeps others from the other address.
fn overlap(own: SocketAddr, wanted: SocketAddr) -> bool {
    let plain = |address: SocketAddr| match address.ip() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        ip => ip,
    };
    let (a, b) = (plain(own), plain(wanted));
    own.port() == wanted.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// Asks the owners of these interfaces whether an address in use is theirs. This takes nothing
/// over.
///
/// # Errors
/// [`Error::AddressTaken`]: none of them has it, or it could not be bound after their end;
/// [`Error::Owned`]: an owner refuses.
pub(super) fn ask(interfaces: &[(String, u32)], wanted: SocketAddr) -> Result<ListenerStatus, Error> {
    let mut found = ListenerStatus::Nothing;
    for (name, index) in interfaces {
        let failed = |source| Error::Interface { doing: format!("asking the owner of `{name}`"), source };
        let Holder::Owner(mut stream, owner) = reach(*index).map_err(failed)? else { continue };
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        // An owner that refuses the request may have hung up already; its answer can still be read.
        let _hung_up = stream.write_all(format!("{LISTENS}{wanted}\n").as_bytes());
        let answer = line(&mut stream, PATIENCE, &AtomicBool::new(false));
        let refused = |why: String| Error::Owned { name: name.clone(), owner, why };
        let answer = answer.map_err(|error| refused(format!("it does not answer: {error}")))?;
        let other = answer.strip_prefix("other ").and_then(|own| own.parse().ok());
        found = match (answer.as_str(), other) {
            ("same", _) => return Ok(ListenerStatus::Same),
            (_, Some(own)) => ListenerStatus::Other(own),
            ("", _) => ListenerStatus::Unknown,
            (why, _) if why.starts_with("no ") => {
                return Err(refused(why.trim_start_matches("no ").to_owned()));
            }
            _ => found,
        };
    }
    let why = match found {
        ListenerStatus::Nothing => {
            "a process listens there that is not the mirrorc to be replaced: end that process, or \
                          name another address (`ss -ltnp` shows who listens where)"
                .to_owned()
        }
        _ if TcpListener::bind(wanted).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) => {
            let at = match found {
                ListenerStatus::Other(own) => format!("the mirrorc to be replaced listens at {own}"),
                _ => "the mirrorc to be replaced cannot hand the address over".to_owned(),
            };
            format!(
                "{at}, and once privileges are given up this port cannot be bound again: name the same \
                 address, or end the old mirrorc before the new one starts"
            )
        }
        _ => return Ok(found),
    };
    Err(Error::AddressTaken { address: wanted, why })
}

/// Checks that at most one process owns these interfaces. With two owners, one would have ended
/// when the other refuses.
///
/// # Errors
/// [`Error::Owned`]: several processes own them.
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

/// Reports that the interfaces are given up, and hands over the listener.
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

/// An owner's answer without its end, and the listener for the address that comes with it.
pub(super) fn take(
    stream: &UnixStream,
    wanted: Option<SocketAddr>,
) -> io::Result<(String, Option<TcpListener>)> {
    stream.set_read_timeout(Some(SLICE))?;
    let (begun, mut text, mut listener) = (Instant::now(), Vec::new(), None);
    while !text.contains(&b'\n') && text.len() < super::LINE {
        // The limit is for the whole answer: an owner that sends single bytes slowly gets no more
        // time.
        if begun.elapsed() >= PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
        let (mut bytes, mut space) = ([0; 512], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received =
            match recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR | Errno::AGAIN) => continue,
                // It hung up and has not read the request.
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
