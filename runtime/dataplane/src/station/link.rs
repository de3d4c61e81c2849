//! Sends copies unchanged to an interface by a packet socket (packet(7)) that only sends. An
//! interface that carries bare IP packets (tun, WireGuard, PPP) gets the IP packets in the copies,
//! without link header, tags and padding. Invariants: the socket has no protocol, so it receives
//! nothing. An interface that is down, or comes back under another index, is found again by its
//! name with the same socket, which needs no privilege. A copy longer than the interface's MTU is
//! cut and counted; a copy that the interface cannot carry is `unfit`. (Rejected: a transmit ring;
//! a cut copy is only a shorter buffer, and no other thread shares the ring with a station's
//! thread.)

use super::counts::{Amount, Cause};
use super::health::{Health, Permit};
use super::queue::{CopyRef, Sink, SinkStatus};
use super::{privilege, send};
use crate::error::Error;
use crate::sys::interface::{Carries, Interfaces};
use crate::sys::socket;
use mrule_compiler::abi::Link;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often the MTU is read.
const LOOK: Duration = Duration::from_secs(1);

/// Length of an Ethernet header; shorter frames cannot be sent.
const HEADER: usize = 14;

/// EtherTypes.
const IP4: u16 = 0x0800;
const IP6: u16 = 0x86dd;
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

pub(super) struct Interface {
    socket: OwnedFd,
    interfaces: Interfaces,
    name: String,
    index: u32,
    carries: Carries,
    /// The longest frame, without a VLAN tag, or the longest packet, in bytes.
    most: usize,
    looked: Instant,
    /// The interface's counter of packets not sent, when it was last read.
    not_sent: Option<u64>,
    /// That copies are unfit was reported.
    told: bool,
    health: Health,
}

impl Interface {
    pub fn open(station: &str, name: &str, status: &SinkStatus) -> Result<Interface, Error> {
        let socket = net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(|e| privilege(station, &e.into()))?;
        let _less = sockopt::set_socket_send_buffer_size(&socket, 1 << 20);
        let interfaces = Interfaces::new().map_err(|e| privilege(station, &e))?;
        let mut link = Interface {
            socket,
            interfaces,
            name: name.to_owned(),
            index: 0,
            carries: Carries::Ethernet,
            most: 0,
            looked: Instant::now(),
            not_sent: None,
            told: false,
            health: Health::default(),
        };
        if let Err(error) = link.bind() {
            link.failed(&error, status);
        }
        link.count(status);
        Ok(link)
    }

    fn bind(&mut self) -> io::Result<()> {
        self.look()?;
        socket::bind_link(self.socket.as_fd(), self.index, 0)?;
        // An interface that is down reports it immediately.
        Ok(sockopt::socket_error(&self.socket)??)
    }

    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        let state = self.interfaces.get(&self.name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Errno::NODEV.into(),
            _ => error,
        })?;
        self.carries = Carries::of(state.hardware);
        self.index = state.index;
        let header = if self.carries == Carries::Ethernet { HEADER } else { 0 };
        self.most = state.mtu as usize + header;
        // The kernel accepts packets for an interface without a carrier, and silently drops them.
        if state.up && !state.running { Err(Errno::NOLINK.into()) } else { Ok(()) }
    }

    /// Adds the packets that the interface did not send since the last time.
    fn count(&mut self, status: &SinkStatus) {
        let now = Interfaces::not_sent(&self.name).ok();
        if let (Some(before), Some(now)) = (self.not_sent, now) {
            // The counter of a new interface began at 0.
            status.link_drops(now.checked_sub(before).unwrap_or(now));
        }
        self.not_sent = now.or(self.not_sent);
    }

    /// The part of a copy that this interface can carry, with its protocol. `None`: it can carry
    /// nothing of it.
    fn carried<'a>(&self, link: Link, bytes: &'a [u8]) -> Option<(u16, &'a [u8])> {
        match self.carries {
            Carries::Ethernet => (link == Link::Ethernet && bytes.len() >= HEADER).then_some((0, bytes)),
            Carries::Ip => ip_packet(link, bytes),
            Carries::Other(_) => None,
        }
    }

    /// Counts a copy that cannot be carried, and reports the reason once.
    fn unfit(&mut self, bytes: usize, status: &SinkStatus) {
        status.dropped(Cause::Unfit, Amount::one(bytes));
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let name = &self.name;
        status.note(match self.carries {
            Carries::Ethernet => {
                format!("`{name}` carries Ethernet frames; copies that are none are not sent, and count as unfit")
            }
            Carries::Ip => format!(
                "`{name}` carries IP packets only; copies are sent without their Ethernet header, and those that are \
                 not IP are not sent, and count as unfit"
            ),
            Carries::Other(hardware) => format!(
                "`{name}` has hardware type {hardware}, which carries neither Ethernet frames nor IP packets: no copy \
                 is sent, and all count as unfit"
            ),
        });
    }

    fn failed(&mut self, error: &io::Error, status: &SinkStatus) {
        let reason = match Errno::from_io_error(error) {
            Some(Errno::NODEV | Errno::NXIO) => format!("there is no interface `{}`", self.name),
            Some(Errno::NOLINK) => {
                format!("the interface `{}` has no carrier: its cable, or its other end, is down", self.name)
            }
            Some(Errno::NETDOWN) => format!("the interface `{}` is down", self.name),
            _ => format!("the interface `{}` does not take copies: {error}", self.name),
        };
        self.health.failed(reason, false, status);
    }

    /// How many bytes of a copy fit.
    fn room(&self, bytes: &[u8]) -> usize {
        let ethernet = self.carries == Carries::Ethernet;
        let tagged = ethernet && matches!(bytes.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8]));
        self.most + if tagged { 4 } else { 0 }
    }

    fn reopen(&mut self, status: &SinkStatus) {
        match self.bind() {
            Ok(()) => self.health.reopened(),
            Err(error) => self.failed(&error, status),
        }
    }
}

impl Sink for Interface {
    fn send(&mut self, copy: CopyRef<'_>, status: &SinkStatus) {
        let one = Amount::one(copy.bytes.len());
        let mut permit = self.health.permit();
        if permit == Permit::Reopen {
            self.reopen(status);
            permit = self.health.permit();
        }
        if permit != Permit::Send {
            return status.dropped(Cause::Unreachable, one);
        }
        let Some((protocol, packet)) = self.carried(copy.held.link, copy.bytes) else {
            return self.unfit(copy.bytes.len(), status);
        };
        let cut = packet.len().saturating_sub(self.room(packet));
        let packet = packet.get(..packet.len() - cut).unwrap_or(packet);
        let (fd, index) = (self.socket.as_fd(), self.index);
        let sent = match self.carries {
            Carries::Ip => send::patiently_by(|| socket::send_by_link(fd, index, protocol, packet)),
            _ => send::patiently(fd, packet),
        };
        match sent {
            Ok(()) => {
                // Its Ethernet header, tags and padding do not count as cut when they are left out.
                status.sent(Amount::one(copy.bytes.len() - cut));
                if cut > 0 {
                    status.cut(cut);
                }
                self.health.worked(status);
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOBUFS | Errno::AGAIN | Errno::NOMEM) => status.dropped(Cause::Busy, one),
                Some(Errno::MSGSIZE | Errno::INVAL) => {
                    // The MTU has just changed; the next copy fits.
                    let _gone_is_told_by_the_next_copy = self.look();
                    status.dropped(Cause::Unfit, one);
                }
                _ => {
                    self.failed(&error, status);
                    status.dropped(Cause::Unreachable, one);
                }
            },
        }
    }

    fn tick(&mut self, now: Instant, status: &SinkStatus) {
        if now.duration_since(self.looked) >= LOOK {
            if let Err(error) = self.look() {
                self.failed(&error, status);
            }
            self.count(status);
        }
        if self.health.tick(now, status) {
            self.reopen(status);
        }
    }

    fn finish(&mut self, status: &SinkStatus) {
        self.count(status);
    }
}

/// The IP packet in a copy, by its declared length, and its EtherType.
fn ip_packet(link: Link, bytes: &[u8]) -> Option<(u16, &[u8])> {
    let half = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let at = match link {
        Link::RawIp => 0,
        Link::Ethernet => {
            let mut at = 12;
            while TAGS.contains(&half(at)?) {
                at += 4;
            }
            // The declared EtherType must match the IP version, checked below.
            matches!(half(at)?, IP4 | IP6).then_some(at + 2)?
        }
        _ => return None,
    };
    let packet = bytes.get(at..)?;
    let (kind, length) = match packet.first()? >> 4 {
        4 => (IP4, usize::from(half(at + 2)?)),
        6 => (IP6, usize::from(half(at + 4)?) + 40),
        _ => return None,
    };
    let header = if kind == IP4 { 20 } else { 40 };
    let says = if at >= 2 { half(at - 2)? == kind } else { true };
    // A cut copy is shorter than its declared length; a padded copy is longer.
    (says && packet.len() >= header && length >= header)
        .then(|| (kind, packet.get(..length).unwrap_or(packet)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn the_ip_packet_of_a_copy_is_found_behind_tags_and_without_padding() {
        let mut ip = vec![0x45, 0, 0, 28];
        ip.resize(28, 7);
        let frame =
            |tags: &[u8], kind: &[u8], more: usize| [&[2; 12], tags, kind, &ip, &vec![0; more]].concat();
        for tags in [&[][..], &[0x81, 0, 0, 10], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 10]] {
            let found = frame(tags, &[8, 0], 18);
            assert_eq!(ip_packet(Link::Ethernet, &found), Some((IP4, ip.as_slice())), "{tags:?}");
            assert_eq!(ip_packet(Link::Ethernet, &frame(tags, &[8, 6], 18)), None, "no IP");
            assert_eq!(ip_packet(Link::Ethernet, &frame(tags, &[0x86, 0xdd], 18)), None, "not what it says");
        }
        assert_eq!(ip_packet(Link::RawIp, &ip), Some((IP4, ip.as_slice())));
        assert_eq!(ip_packet(Link::RawIp, &ip[..24]), Some((IP4, &ip[..24])), "cut");
        let mut six = vec![0x60, 0, 0, 0, 0, 2, 59, 64];
        six.resize(50, 1);
        assert_eq!(ip_packet(Link::RawIp, &six), Some((IP6, &six[..42])));
        for wrong in [&[][..], &[0x45], &[0x45, 0, 0, 10, 0, 0], &[0x20; 40]] {
            assert_eq!(ip_packet(Link::RawIp, wrong), None, "{wrong:?}");
            assert_eq!(ip_packet(Link::Ethernet, wrong), None, "{wrong:?}");
        }
    }
}
