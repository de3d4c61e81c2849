//! Sends copies to a host in packets of a tunnel, by a raw IP socket for the tunnel's protocol that
//! is connected to the host. The kernel makes the IP header, looks up the route and the neighbour,
//! chooses the source address, knows the path's MTU, and sets DF or fragments. This module makes
//! everything behind the IP header, so that each flow can have its own UDP source port. Invariants:
//! without `fragment`, a packet is never longer than the path's MTU: the copy is cut and counted.
//! The socket receives nothing. Later reports of the network (ICMP) are read and counted, and so
//! are copies that were sent while the next hop had not answered. (Rejected: UDP sockets, which
//! have one source port each. Rejected: IP_HDRINCL, with which fragments, and for IPv6 the whole
//! header, are left to the program. Rejected: ARP in mirrorc.)

use super::counts::{Amount, Cause};
use super::encap::Writer;
use super::health::{Health, Permit};
use super::queue::{CopyRef, Sink, SinkStatus};
use super::{privilege, send};
use crate::error::Error;
use crate::sys::interface::{ETHERNET, Interfaces};
use crate::sys::neighbour::Neighbours;
use crate::sys::socket;
use mrule_compiler::hir::Encap;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, Protocol, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often the path's MTU is read.
const LOOK: Duration = Duration::from_secs(1);

/// How long a next hop may be silent before this is reported; most answer within a millisecond.
const SILENCE: Duration = Duration::from_secs(1);

/// A part of a copy that is shorter than an Ethernet header is not worth a packet.
const LEAST: usize = 14;

/// The longest IP packet, in bytes.
const MAX_PACKET: usize = 65_535;

pub(super) struct Tunnel {
    socket: OwnedFd,
    host: IpAddr,
    fragment: bool,
    writer: Writer,
    /// The socket has had a route, and so a source address.
    connected: bool,
    /// The source address that the kernel uses.
    local: IpAddr,
    /// The longest packet, with its IP header, in bytes.
    mtu: usize,
    looked: Instant,
    neighbours: Option<(Neighbours, Interfaces)>,
    /// The next hop that has not answered, and since when this is known.
    silent: Option<(IpAddr, Instant)>,
    /// That it has not answered was reported.
    told: bool,
    health: Health,
    packet: Vec<u8>,
}

impl Tunnel {
    pub fn open(
        station: &str,
        host: IpAddr,
        encap: Encap,
        fragment: bool,
        status: &SinkStatus,
    ) -> Result<Tunnel, Error> {
        let writer = Writer::new(encap);
        let socket = make(host, writer.protocol(), fragment).map_err(|e| privilege(station, &e))?;
        let mut tunnel = Tunnel {
            socket,
            host,
            fragment,
            writer,
            connected: false,
            local: host,
            mtu: 0,
            looked: Instant::now(),
            // Without these handles nothing is known about the next hop.
            neighbours: Neighbours::new().ok().zip(Interfaces::new().ok()),
            silent: None,
            told: false,
            health: Health::default(),
            packet: Vec::new(),
        };
        if let Err(error) = tunnel.connect() {
            tunnel.failed(&error, false, status);
        }
        Ok(tunnel)
    }

    /// Looks up the route again.
    fn connect(&mut self) -> io::Result<()> {
        let host = SocketAddr::new(self.host, 0);
        match net::connect(&self.socket, &host) {
            Ok(()) => {}
            Err(error) if !std::mem::take(&mut self.connected) => return Err(error.into()),
            // The socket keeps a source address that may be gone.
            Err(_) => self.renew(&host)?,
        }
        self.connected = true;
        let name = net::getsockname(&self.socket)?;
        let local = SocketAddr::try_from(name).map_err(|_| io::Error::from(Errno::AFNOSUPPORT))?;
        self.local = local.ip();
        self.look();
        Ok(())
    }

    /// Forgets the source address by a new socket. Without the privilege for one, it disconnects
    /// the old socket, to which the kernel then no longer reports ICMP messages.
    fn renew(&mut self, host: &SocketAddr) -> io::Result<()> {
        match make(self.host, self.writer.protocol(), self.fragment) {
            Ok(socket) => self.socket = socket,
            Err(_no_privilege) => net::connect_unspec(&self.socket)?,
        }
        Ok(net::connect(&self.socket, host)?)
    }

    /// Reads the path's MTU from the kernel.
    fn look(&mut self) {
        self.looked = Instant::now();
        if self.host.is_ipv6() && self.connected {
            // Otherwise an IPv6 socket keeps its old route, whatever the path's MTU is now.
            let _told_by_the_next_copy = net::connect(&self.socket, &SocketAddr::new(self.host, 0));
        }
        self.listen();
        let mtu = match self.host {
            IpAddr::V4(_) => sockopt::ip_mtu(&self.socket),
            IpAddr::V6(_) => sockopt::ipv6_mtu(&self.socket),
        };
        self.mtu = mtu.map_or(0, |mtu| mtu as usize);
    }

    /// Checks whether the next hop answers.
    fn listen(&mut self) {
        let silent = self.neighbours.as_ref().and_then(|(neighbours, interfaces)| {
            let mac = |index| {
                let state = interfaces.name(index).and_then(|name| interfaces.get(&name));
                state.is_ok_and(|state| state.hardware == ETHERNET)
            };
            neighbours.silent(self.host, mac)
        });
        self.told &= silent.is_some();
        let since = self.silent.map_or_else(Instant::now, |(_, since)| since);
        self.silent = silent.map(|hop| (hop, since));
    }

    fn failed(&mut self, error: &io::Error, late: bool, status: &SinkStatus) {
        self.health.failed(format!("{} cannot be reached: {}", self.host, said(error)), late, status);
    }

    fn ip_header(&self) -> usize {
        if self.host.is_ipv4() { 20 } else { 40 }
    }

    /// How many bytes of a copy fit.
    fn room(&self) -> usize {
        let most = if self.fragment || self.mtu == 0 { MAX_PACKET } else { self.mtu };
        most.saturating_sub(self.ip_header() + self.writer.most())
    }

    fn transmit(&mut self, copy: &CopyRef<'_>, take: usize) -> io::Result<()> {
        self.writer.write(copy, take, (self.local, self.host), &mut self.packet);
        send::patiently(self.socket.as_fd(), &self.packet)
    }
}

fn make(host: IpAddr, protocol: u8, fragment: bool) -> io::Result<OwnedFd> {
    let (family, ipv6) = match host {
        IpAddr::V4(_) => (AddressFamily::INET, false),
        IpAddr::V6(_) => (AddressFamily::INET6, true),
    };
    let protocol = NonZeroU32::new(u32::from(protocol)).map(Protocol::from_raw);
    let made = net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    socket::refuse_all(made.as_fd())?;
    socket::tell_errors(made.as_fd(), ipv6)?;
    if ipv6 {
        use sockopt::Ipv6PathMtuDiscovery as Discovery;
        let discovery = if fragment { Discovery::WANT } else { Discovery::DO };
        sockopt::set_ipv6_mtu_discover(&made, discovery)?;
    } else {
        use sockopt::Ipv4PathMtuDiscovery as Discovery;
        let discovery = if fragment { Discovery::DONT } else { Discovery::DO };
        sockopt::set_ip_mtu_discover(&made, discovery)?;
    }
    // Room for a burst of one batch with headers, as far as the system allows.
    let _less = sockopt::set_socket_send_buffer_size(&made, 1 << 20);
    Ok(made)
}

/// What an error means here, in words.
fn said(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NETUNREACH) => "there is no route to it".to_owned(),
        Some(Errno::HOSTUNREACH) => "it or its router does not answer".to_owned(),
        Some(Errno::CONNREFUSED) => "it refuses the port".to_owned(),
        Some(Errno::NOPROTOOPT) => "it refuses the protocol".to_owned(),
        Some(Errno::NETDOWN) => "the interface is down".to_owned(),
        Some(Errno::PERM | Errno::ACCESS) => {
            "a firewall of this machine or an administrator forbids it".to_owned()
        }
        _ => error.to_string(),
    }
}

impl Sink for Tunnel {
    fn send(&mut self, copy: CopyRef<'_>, status: &SinkStatus) {
        let length = copy.bytes.len();
        if !self.writer.carries(copy.held.link, copy.bytes) {
            return status.dropped(Cause::Unfit, Amount::one(length));
        }
        let mut permit = self.health.permit();
        if permit == Permit::Reopen {
            match self.connect() {
                Ok(()) => self.health.reopened(),
                Err(error) => self.failed(&error, false, status),
            }
            permit = self.health.permit();
        }
        if permit != Permit::Send {
            return status.dropped(Cause::Unreachable, Amount::one(length));
        }
        // A second attempt for the case that the path has become narrower.
        for _ in 0..2 {
            let take = length.min(self.room());
            if take < length.min(LEAST) {
                break;
            }
            let Err(error) = self.transmit(&copy, take) else {
                status.sent(Amount::one(take));
                if take < length {
                    status.cut(length - take);
                }
                if self.silent.is_some() {
                    status.unanswered();
                }
                return self.health.worked(status);
            };
            match Errno::from_io_error(&error) {
                Some(Errno::MSGSIZE) => self.look(),
                Some(Errno::NOBUFS | Errno::AGAIN | Errno::NOMEM) => {
                    return status.dropped(Cause::Busy, Amount::one(length));
                }
                _ => {
                    // The error may be of an earlier packet. This packet was not sent in either
                    // case.
                    let late = matches!(
                        Errno::from_io_error(&error),
                        Some(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NOPROTOOPT)
                    );
                    if late {
                        status.network_error();
                    }
                    self.failed(&error, late, status);
                    return status.dropped(Cause::Unreachable, Amount::one(length));
                }
            }
        }
        status.dropped(Cause::Unfit, Amount::one(length));
    }

    fn tick(&mut self, now: Instant, status: &SinkStatus) {
        if let Ok(Err(error)) = sockopt::socket_error(&self.socket) {
            match error {
                // The route has become narrower; the station is not down.
                Errno::MSGSIZE => self.look(),
                _ => {
                    status.network_error();
                    self.failed(&error.into(), true, status);
                }
            }
        }
        if self.silent.is_some() {
            self.listen();
        }
        if let Some((hop, since)) = self.silent
            && now.duration_since(since) >= SILENCE
            && !std::mem::replace(&mut self.told, true)
        {
            status.note(format!(
                "{hop}, the next hop to {}, has not told its link-layer address; most copies sent meanwhile are lost, \
                 and all count as sent and unanswered",
                self.host
            ));
        }
        if now.duration_since(self.looked) >= LOOK {
            self.look();
        }
        if self.health.tick(now, status) {
            match self.connect() {
                Ok(()) => self.health.reopened(),
                Err(error) => self.failed(&error, false, status),
            }
        }
    }

    fn overhead(&self) -> usize {
        self.ip_header() + self.writer.most()
    }
}
