//! AF_PACKET sockets with the options that mirroring needs. A socket is opened with protocol 0, so
//! the kernel gives it nothing before [`Socket::bind`]; a filter that accepts nothing is attached
//! before that, so it receives and counts nothing before [`Socket::listen`]. The invariant:
//! PACKET_STATISTICS of a socket counts exactly the frames of its own interface between `listen`
//! and `deafen`. (Rejected: the crate `afpacket`, which opens with ETH_P_ALL: a socket then
//! receives, and counts, the frames of all interfaces until it has its filter.)

#![expect(unsafe_code, reason = "socket options that no crate has")]

use super::socket;
use libc::{c_int, c_void, socklen_t};
use mrule_compiler::bpf::Insn;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
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
    fd: OwnedFd,
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
const DEAF: [Insn; 1] = [insn(0x06, 0, 0, 0)];
/// Accepts everything: `ret #-1`.
const ALL: [Insn; 1] = [insn(0x06, 0, 0, u32::MAX)];
/// Accepts what is not outgoing: `ld #type; jeq #PACKET_OUTGOING, drop; ret #-1; drop: ret #0`
/// (socket-filter, SKF_AD_PKTTYPE). PACKET_IGNORE_OUTGOING says the same, but not to fanout groups
/// of kernels before 5.15.
const ENTERING: [Insn; 4] =
    [insn(0x20, 0, 0, 0xffff_f004), insn(0x15, 1, 0, 4), insn(0x06, 0, 0, u32::MAX), insn(0x06, 0, 0, 0)];

const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

impl Socket {
    /// A deaf socket.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_RAW.
    pub fn open() -> io::Result<Socket> {
        let fd =
            rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        attach(&fd, &DEAF)?;
        Ok(Socket { fd })
    }

    /// Binds to the interface of this index for receiving all protocols.
    ///
    /// # Errors
    /// No such interface, or it is down (`ENETDOWN` comes later, by polling, where it is allowed to
    /// be down).
    pub fn bind(&self, index: u32) -> io::Result<()> {
        socket::bind_link(self.as_fd(), index, ALL_PROTOCOLS)
    }

    /// Binds to an interface for sending only: protocol 0 takes the socket off the interface's list
    /// of listeners.
    ///
    /// # Errors
    /// No such interface.
    pub fn bind_to_send(&self, index: u32) -> io::Result<()> {
        socket::bind_link(self.as_fd(), index, 0)
    }

    /// Sees also frames for other hosts, as long as the socket lives.
    ///
    /// # Errors
    /// The kernel's.
    pub fn promiscuous(&self, index: u32) -> io::Result<()> {
        let request = libc::packet_mreq {
            mr_ifindex: index as c_int,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set(libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// Begins to hear.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen(&self, direction: Direction) -> io::Result<()> {
        self.listen_to(match direction {
            Direction::Entering => &ENTERING,
            Direction::Both => &ALL,
        })
    }

    /// Begins to hear what a filter keeps, or hears what another one keeps from now on.
    ///
    /// # Errors
    /// The kernel's: `ENOMEM` where it has no room for one so long (`net.core.optmem_max`).
    pub fn listen_to(&self, filter: &[Insn]) -> io::Result<()> {
        attach(self, filter)
    }

    /// Another descriptor of the same socket, by which its filter can be changed while its ring is
    /// read elsewhere.
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
    pub fn deafen(&self) -> io::Result<()> {
        deafen(self)
    }

    /// Does not hear what the host itself sends (PACKET_IGNORE_OUTGOING; Linux 4.20): cheaper than
    /// the filter, which says it in any case.
    ///
    /// # Errors
    /// Kernels that do not know it.
    pub fn ignore_outgoing(&self) -> io::Result<()> {
        self.set(libc::PACKET_IGNORE_OUTGOING, &1_i32)
    }

    /// Frames are preceded by a `virtio_net_hdr` (PACKET_VNET_HDR), received and sent ones: it
    /// tells of checksums that are not finished and of super-frames that are not cut.
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

    /// Joins the sockets of one interface among which the kernel spreads frames by a program
    /// (PACKET_FANOUT_CBPF, Linux 4.3), which [`spread`] sets: its result, modulo the number of
    /// sockets, is the socket, in the order in which they joined. Gives the group; none begins a
    /// new one.
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
            let kind = libc::PACKET_FANOUT_CBPF | flags;
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
        // SAFETY: the pointer and the length are those of one live value, which the kernel only
        // reads.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
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
        // SAFETY: the kernel writes at most `length` bytes, the size of the value, and callers pass
        // types of which every bit pattern is a value (`u32`, `tpacket_stats_v3`).
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw mut *value).cast::<c_void>(),
                &raw mut length,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// What a socket binds to for frames of all protocols.
const ALL_PROTOCOLS: u16 = libc::ETH_P_ALL as u16;

/// Puts a filter in the place of the one that a socket has.
///
/// # Errors
/// The kernel's.
pub fn attach(socket: impl AsFd, filter: &[Insn]) -> io::Result<()> {
    super::socket::attach(socket.as_fd(), filter)
}

/// Says by which program the group of a socket spreads frames, in the place of the one that it has;
/// before the first, the first socket gets all. The program sees a frame from its network header
/// on.
///
/// # Errors
/// The kernel's: the socket is in no group, or the program is refused.
pub fn spread(socket: impl AsFd, program: &[Insn]) -> io::Result<()> {
    super::socket::set_fanout(socket.as_fd(), program)
}

/// Has a socket receive nothing more; what it received stays.
///
/// # Errors
/// The kernel's.
pub fn deafen(socket: impl AsFd) -> io::Result<()> {
    attach(socket, &DEAF)
}

/// Waits until frames that the kernel is handing to sockets at this moment have been handed over
/// and counted: sockets that were made deaf before receive nothing after this. The kernel hands
/// frames over under RCU, and MEMBARRIER_CMD_GLOBAL waits for an RCU grace period (membarrier(2)):
/// some 10 ms. Where the call is missing (`nohz_full`), this returns at once and draining waits by
/// time.
pub fn settle() {
    let _missing = rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global);
}

/// Whether a packet socket is still bound to the interface with this index: the kernel takes the
/// index away when the interface goes, also when it moves to another network namespace.
pub fn is_bound(socket: impl AsFd, index: u32) -> bool {
    // SAFETY: an all-zero `sockaddr_ll` is a valid one: it has numbers only.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut length = mem::size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, the size of the address.
    let result =
        unsafe { libc::getsockname(socket.as_fd().as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
    result == 0 && address.sll_ifindex == index as c_int
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
