//! AF_PACKET sockets with the options that mirroring needs. A socket is deaf from its first moment until [`Socket::listen`]:
//! a packet socket hears all interfaces until it is bound, and what it heard then must not be taken for traffic of its
//! own. The invariant: a deaf socket counts nothing and delivers nothing, also one that was made deaf again to be drained.
//! (Rejected: opening with protocol 0, for which `afpacket` has no call.)

#![expect(unsafe_code, reason = "socket options that no crate has")]

use afpacket::sync::RawPacketStream;
use libc::{c_int, c_void, socklen_t};
use mrule_compiler::bpf::Insn;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What frames a socket hears of, as seen from its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// What enters by the interface.
    #[default]
    Entering,
    /// What enters and what the host itself sends.
    Both,
}

/// An AF_PACKET socket (packet(7)), bound to one interface.
#[derive(Debug)]
pub struct Socket {
    stream: RawPacketStream,
}

/// What the kernel counted for a socket since it was asked last (PACKET_STATISTICS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelCounts {
    /// Frames that came, dropped ones among them.
    pub packets: u64,
    /// Frames for which the ring had no room.
    pub drops: u64,
    /// How often the ring was full.
    pub freezes: u64,
}

/// Accepts nothing: `ret #0`.
const DEAF: [(u16, u8, u8, u32); 1] = [(0x06, 0, 0, 0)];
/// Accepts everything: `ret #-1`.
const ALL: [(u16, u8, u8, u32); 1] = [(0x06, 0, 0, u32::MAX)];
/// Accepts what is not outgoing: `ld #type; jeq #PACKET_OUTGOING, drop; ret #-1; drop: ret #0` (socket-filter,
/// SKF_AD_PKTTYPE). PACKET_IGNORE_OUTGOING says the same, but not to fanout groups of kernels before 5.15.
const ENTERING: [(u16, u8, u8, u32); 4] =
    [(0x20, 0, 0, 0xffff_f004), (0x15, 1, 0, 4), (0x06, 0, 0, u32::MAX), (0x06, 0, 0, 0)];

impl Socket {
    /// A deaf socket.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_RAW.
    pub fn open() -> io::Result<Socket> {
        let mut stream = RawPacketStream::new()?;
        stream.set_bpf_filter(DEAF.to_vec())?;
        let socket = Socket { stream };
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        Ok(socket)
    }

    /// Binds to an interface for receiving.
    ///
    /// # Errors
    /// No such interface, or it is down (`ENETDOWN` comes later, by polling, where it is allowed to be down).
    pub fn bind(&mut self, name: &str) -> io::Result<()> {
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.stream.bind(name)
    }

    /// Binds to an interface for sending only: protocol 0 takes the socket off the interface's list of listeners.
    ///
    /// # Errors
    /// No such interface.
    pub fn bind_to_send(&self, index: u32) -> io::Result<()> {
        // SAFETY: an all-zero `sockaddr_ll` is a valid one: it has numbers only.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = index as c_int;
        // SAFETY: the address is a live `sockaddr_ll` and the length is its own.
        let result = unsafe {
            libc::bind(
                self.stream.as_raw_fd(),
                (&raw const address).cast(),
                mem::size_of::<libc::sockaddr_ll>() as socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sees also frames for other hosts, as long as the socket lives.
    ///
    /// # Errors
    /// The kernel's.
    pub fn promiscuous(&mut self, name: &str) -> io::Result<()> {
        self.stream.set_promisc(name, true)
    }

    /// Begins to hear.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen(&mut self, direction: Direction) -> io::Result<()> {
        self.stream.set_bpf_filter(match direction {
            Direction::Entering => ENTERING.to_vec(),
            Direction::Both => ALL.to_vec(),
        })
    }

    /// Begins to hear what a filter keeps, or hears what another one keeps from now on.
    ///
    /// # Errors
    /// The kernel's: `ENOMEM` where it has no room for one so long (`net.core.optmem_max`).
    pub fn listen_to(&self, filter: &[Insn]) -> io::Result<()> {
        attach(self, filter)
    }

    /// Another descriptor of the same socket, by which its filter can be changed while its ring is read elsewhere.
    ///
    /// # Errors
    /// No more descriptors are to be had.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(self, 0)?)
    }

    /// Hears nothing more; what was received stays.
    ///
    /// # Errors
    /// The kernel's.
    pub fn deafen(&mut self) -> io::Result<()> {
        self.stream.set_bpf_filter(DEAF.to_vec())
    }

    /// Does not hear what the host itself sends (PACKET_IGNORE_OUTGOING; Linux 4.20): cheaper than the filter, which says it
    /// in any case.
    ///
    /// # Errors
    /// Kernels that do not know it.
    pub fn ignore_outgoing(&self) -> io::Result<()> {
        self.set(libc::PACKET_IGNORE_OUTGOING, &1_i32)
    }

    /// Frames are preceded by a `virtio_net_hdr` (PACKET_VNET_HDR), received and sent ones: it tells of checksums
    /// that are not finished and of super-frames that are not cut.
    ///
    /// # Errors
    /// The kernel's.
    pub fn with_offloads(&self) -> io::Result<()> {
        self.set(libc::PACKET_VNET_HDR, &1_i32)
    }

    /// Sends past the queueing discipline (PACKET_QDISC_BYPASS).
    ///
    /// # Errors
    /// The kernel's.
    pub fn bypass_queues(&self) -> io::Result<()> {
        self.set(libc::PACKET_QDISC_BYPASS, &1_i32)
    }

    /// Joins the sockets of one interface among which the kernel spreads frames by a symmetric hash of the flow
    /// (PACKET_FANOUT_HASH): the n-th socket of each group gets both directions of the same flows. Gives the group; none begins
    /// a new one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn join(&self, group: Option<u16>, direction: Direction) -> io::Result<u16> {
        let ignore = match direction {
            Direction::Entering => libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING,
            Direction::Both => 0,
        };
        let unique = if group.is_none() { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
        let join = |flags: u32| {
            let kind = libc::PACKET_FANOUT_HASH | flags;
            self.set(libc::PACKET_FANOUT, &(u32::from(group.unwrap_or(0)) | kind << 16))
        };
        if join(unique | ignore).is_err() {
            join(unique)?;
        }
        let mut value = 0_u32;
        self.get(libc::PACKET_FANOUT, &mut value)?;
        Ok(value as u16)
    }

    /// What the kernel counted since the last call.
    ///
    /// # Errors
    /// The kernel's.
    pub fn counts(&self) -> io::Result<KernelCounts> {
        let mut stats = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        self.get(libc::PACKET_STATISTICS, &mut stats)?;
        Ok(KernelCounts {
            packets: stats.tp_packets.into(),
            drops: stats.tp_drops.into(),
            freezes: stats.tp_freeze_q_cnt.into(),
        })
    }

    /// Takes the pending error (SO_ERROR), such as `ENETDOWN` after an interface went down.
    pub fn take_error(&self) -> Option<io::Error> {
        match rustix::net::sockopt::socket_error(self) {
            Ok(Ok(())) => None,
            Ok(Err(errno)) | Err(errno) => Some(errno.into()),
        }
    }

    pub(super) fn set<T: Copy>(&self, option: c_int, value: &T) -> io::Result<()> {
        // SAFETY: the pointer and the length are those of one live value, which the kernel only reads.
        let result = unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const *value).cast::<c_void>(),
                mem::size_of::<T>() as socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Reads an option whose value is made of numbers only.
    fn get<T: Copy>(&self, option: c_int, value: &mut T) -> io::Result<()> {
        let mut length = mem::size_of::<T>() as socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, the size of the value, and callers pass types of which every bit
        // pattern is a value (`u32`, `tpacket_stats_v3`).
        let result = unsafe {
            libc::getsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw mut *value).cast::<c_void>(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Puts a filter in the place of the one that a socket has.
///
/// # Errors
/// The kernel's.
pub fn attach(socket: impl AsFd, filter: &[Insn]) -> io::Result<()> {
    super::socket::attach(socket.as_fd(), filter)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the stream lives, which the borrow outlives not.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}
