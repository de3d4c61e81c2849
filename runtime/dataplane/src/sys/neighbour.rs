//! Whether a host's next hop answers, by the kernel's neighbour table, read over rtnetlink(7)
//! without privileges. Invariant: an unknown state counts as answering, because nothing speaks
//! against it. (Rejected: the counters of /proc/net/stat/arp_cache, which are for the whole
//! system.)

use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::fd::OwnedFd;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::IpAddr;

/// Queries the neighbour table.
#[derive(Debug)]
pub(crate) struct Neighbours {
    socket: OwnedFd,
}

impl Neighbours {
    /// Queries the network namespace of the calling thread.
    pub fn new() -> io::Result<Neighbours> {
        let family = net::AddressFamily::NETLINK;
        Ok(Neighbours { socket: net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)? })
    }

    /// The next hop to this host, if the kernel does not know its link-layer address: the next hop
    /// has not answered, or was not asked yet. `mac`: whether the interface with this index has
    /// such addresses.
    pub fn silent(&self, host: IpAddr, mac: impl Fn(u32) -> bool) -> Option<IpAddr> {
        let (index, hop) = self.next_hop(host)?;
        if !mac(index) {
            return None;
        }
        let mut message = NeighbourMessage::default();
        message.header.family = family(hop);
        message.header.ifindex = index;
        message.attributes.push(NeighbourAttribute::Destination(match hop {
            IpAddr::V4(hop) => NeighbourAddress::Inet(hop),
            IpAddr::V6(hop) => NeighbourAddress::Inet6(hop),
        }));
        let state = match self.ask(RouteNetlinkMessage::GetNeighbour(message)) {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(message))) => message.header.state,
            // There is no entry: the kernel has not asked yet.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => NeighbourState::None,
            _ => return None,
        };
        let unknown =
            matches!(state, NeighbourState::None | NeighbourState::Incomplete | NeighbourState::Failed);
        unknown.then_some(hop)
    }

    /// The index of the interface by which packets to this host leave, and the next hop there.
    fn next_hop(&self, host: IpAddr) -> Option<(u32, IpAddr)> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(host);
        message.header.destination_prefix_length = if host.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Destination(host.into()));
        let Ok(Some(RouteNetlinkMessage::NewRoute(route))) = self.ask(RouteNetlinkMessage::GetRoute(message))
        else {
            return None;
        };
        if route.header.kind != RouteType::Unicast {
            return None;
        }
        let (mut index, mut hop) = (None, host);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Oif(oif) => index = Some(*oif),
                RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => hop = IpAddr::V4(*gateway),
                RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => hop = IpAddr::V6(*gateway),
                _ => {}
            }
        }
        Some((index?, hop))
    }

    /// The kernel's answer, which is available when the question was sent.
    fn ask(&self, question: RouteNetlinkMessage) -> io::Result<Option<RouteNetlinkMessage>> {
        let mut message = NetlinkMessage::from(question);
        message.header.flags = NLM_F_REQUEST;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        net::send(&self.socket, &bytes, SendFlags::DONTWAIT)?;
        let mut answer = vec![0_u8; 8192];
        let (_, length) = net::recv(&self.socket, answer.as_mut_slice(), RecvFlags::DONTWAIT)?;
        let answer = answer.get(..length).unwrap_or(&[]);
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).map_err(io::Error::other)?;
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
            NetlinkPayload::Error(error) => Err(error.to_io()),
            _ => Ok(None),
        }
    }
}

fn family(host: IpAddr) -> AddressFamily {
    if host.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
