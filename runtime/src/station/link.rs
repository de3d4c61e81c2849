//! Copies on an interface, as they are: a packet socket (packet(7)) that only sends. The invariants: it is bound to the
//! interface's index and takes no protocol, so it receives nothing; an interface that is down, or gone and back under
//! another index, is found again by its name, with the same socket, which takes no privilege; what is longer than the
//! interface's MTU is cut, and counted.
//! (Rejected: a transmit ring; a cut copy is just a shorter buffer, and a station's thread has nothing to share it with.)

use super::counts::{Amount, Cause};
use super::health::{Health, Permit};
use super::lane::{Sink, Taken, Tally};
use super::{privilege, send};
use crate::error::Error;
use crate::sys::socket;
use mrule_compiler::abi::Link;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, netdevice, sockopt};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often the MTU is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// An Ethernet header; shorter frames cannot be sent.
const HEADER: usize = 14;

pub(super) struct Interface {
    socket: OwnedFd,
    name: String,
    /// The longest frame, without a VLAN tag.
    most: usize,
    looked: Instant,
    health: Health,
}

impl Interface {
    pub fn open(station: &str, name: &str, tally: &Tally) -> Result<Interface, Error> {
        let socket = net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(|e| privilege(station, &e.into()))?;
        let _less = sockopt::set_socket_send_buffer_size(&socket, 1 << 20);
        let mut link = Interface {
            socket,
            name: name.to_owned(),
            most: 0,
            looked: Instant::now(),
            health: Health::default(),
        };
        if let Err(error) = link.bind() {
            link.failed(&error, tally);
        }
        Ok(link)
    }

    fn bind(&mut self) -> io::Result<()> {
        let index = netdevice::name_to_index(&self.socket, &self.name)?;
        socket::bind_link(self.socket.as_fd(), index)?;
        self.look()?;
        // An interface that is down says so at once.
        Ok(sockopt::socket_error(&self.socket)??)
    }

    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        self.most = socket::link_mtu(self.socket.as_fd(), &self.name)? as usize + HEADER;
        Ok(())
    }

    fn failed(&mut self, error: &io::Error, tally: &Tally) {
        let reason = match Errno::from_io_error(error) {
            Some(Errno::NODEV | Errno::NXIO) => format!("there is no interface `{}`", self.name),
            Some(Errno::NETDOWN) => format!("the interface `{}` is down", self.name),
            _ => format!("the interface `{}` does not take copies: {error}", self.name),
        };
        self.health.failed(reason, false, tally);
    }

    /// How much of a copy fits.
    fn room(&self, bytes: &[u8]) -> usize {
        let tagged = matches!(bytes.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8]));
        self.most + if tagged { 4 } else { 0 }
    }

    fn reopen(&mut self, tally: &Tally) {
        match self.bind() {
            Ok(()) => self.health.reopened(),
            Err(error) => self.failed(&error, tally),
        }
    }
}

impl Sink for Interface {
    fn send(&mut self, copy: Taken<'_>, tally: &Tally) {
        let one = Amount::one(copy.bytes.len());
        if copy.held.link != Link::Ethernet || copy.bytes.len() < HEADER {
            return tally.dropped(Cause::Unfit, one);
        }
        let mut permit = self.health.permit();
        if permit == Permit::Reopen {
            self.reopen(tally);
            permit = self.health.permit();
        }
        if permit != Permit::Send {
            return tally.dropped(Cause::Unreachable, one);
        }
        let take = copy.bytes.len().min(self.room(copy.bytes));
        match send::patiently(self.socket.as_fd(), copy.bytes.get(..take).unwrap_or(copy.bytes)) {
            Ok(()) => {
                tally.sent(Amount::one(take));
                if take < copy.bytes.len() {
                    tally.cut(copy.bytes.len() - take);
                }
                self.health.worked(tally);
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOBUFS | Errno::AGAIN | Errno::NOMEM) => tally.dropped(Cause::Busy, one),
                Some(Errno::MSGSIZE | Errno::INVAL) => {
                    // The MTU has just changed; the next copy fits.
                    let _gone_is_told_by_the_next_copy = self.look();
                    tally.dropped(Cause::Unfit, one);
                }
                _ => {
                    self.failed(&error, tally);
                    tally.dropped(Cause::Unreachable, one);
                }
            },
        }
    }

    fn tick(&mut self, now: Instant, tally: &Tally) {
        if now.duration_since(self.looked) >= LOOK {
            let _gone_is_told_by_the_next_copy = self.look();
        }
        if self.health.tick(now, tally) {
            self.reopen(tally);
        }
    }
}
