//! AF_PACKET sockets with the options for mirroring. A socket is opened with protocol 0, so the
//! kernel gives it nothing before [`Socket::bind`]. Before that, a filter that accepts nothing is
//! attached, so the socket receives and counts nothing before [`Socket::listen`]. Invariant: a
//! socket's PACKET_STATISTICS count exactly the frames of its own interface between `listen` and
//! `deafen`. (Rejected: the crate `afpacket`, which opens with ETH_P_ALL: until its filter is
//! attached, a socket receives and counts the frames of all interfaces.)

#![expect(unsafe_code, reason = "socket options that no crate has")]

use super::socket;
use libc::{c_int, c_void, socklen_t};
use mrule_compiler::bpf::Insn;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The frames that a socket receives, as seen from its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Frames that enter by the interface.
    #[default]
    Entering,
    /// Frames that enter, and frames that the host itself sends.
    Both,
}

/// An AF_PACKET socket (packet(7)), bound to one interface.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

/// The kernel's counters of a socket since the last query (PACKET_STATISTICS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelCounts {
    /// Frames received, including dropped frames.
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
/// Accepts all but outgoing frames: `ld #type; jeq #PACKET_OUTGOING, drop; ret #-1; drop: ret #0`
/// (socket-filter, SKF_AD_PKTTYPE). PACKET_IGNORE_OUTGOING does the same, but not for fanout groups
/// of kernels before 5.15.
const ENTERING: [Insn; 4] =
    [insn(0x20, 0, 0, 0xffff_f004), insn(0x15, 1, 0, 4), insn(0x06, 0, 0, u32::MAX), insn(0x06, 0, 0, 0)];

const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

impl Socket {
    /// Opens a socket that receives nothing.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_NET_RAW.
    pub fn open() -> io::Result<Socket> {
        let fd =
            rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        attach(&fd, &DEAF)?;
        Ok(Socket { fd })
    }

    /// Binds to the interface with this index to receive all protocols.
    ///
    /// # Errors
    /// There is no such interface. (An interface that is down gives `ENETDOWN` later, when the
    /// socket is polled.)
    pub fn bind(&self, index: u32) -> io::Result<()> {
        socket::bind_link(self.as_fd(), index, ALL_PROTOCOLS)
    }

    /// Binds to an interface for sending only: with protocol 0, the socket is not on the
    /// interface's list of receivers.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn bind_to_send(&self, index: u32) -> io::Result<()> {
        socket::bind_link(self.as_fd(), index, 0)
    }

    /// Also receives frames for other hosts, as long as the socket lives.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn promiscuous(&self, index: u32) -> io::Result<()> {
        let request = libc::packet_mreq {
            mr_ifindex: index as c_int,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set(libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// Begins to receive.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn listen(&self, direction: Direction) -> io::Result<()> {
        self.listen_to(match direction {
            Direction::Entering => &ENTERING,
            Direction::Both => &ALL,
        })
    }

    /// Begins to receive what a filter accepts, or replaces the present filter.
    ///
    /// # Errors
    /// Errors of the kernel: `ENOMEM` where it has no room for a filter of this length
    /// (`net.core.optmem_max`).
    pub fn listen_to(&self, filter: &[Insn]) -> io::Result<()> {
        attach(self, filter)
    }

    /// Another descriptor of the same socket, to change its filter while its ring is read
    /// elsewhere.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(self, 0)?)
    }

    /// Receives nothing more; frames already received stay.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn deafen(&self) -> io::Result<()> {
        deafen(self)
    }

    /// Ignores frames that the host itself sends (PACKET_IGNORE_OUTGOING; Linux 4.20). This is
    /// cheaper than the filter, which does the same in any case.
    ///
    /// # Errors
    /// The kernel does not know the option.
    pub fn ignore_outgoing(&self) -> io::Result<()> {
        self.set(libc::PACKET_IGNORE_OUTGOING, &1_i32)
    }

    /// Puts a `virtio_net_hdr` before received and sent frames (PACKET_VNET_HDR). It describes
    /// unfinished checksums and uncut super-frames.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn with_offloads(&self) -> io::Result<()> {
        self.set(libc::PACKET_VNET_HDR, &1_i32)
    }

    /// Sends without the queueing discipline (PACKET_QDISC_BYPASS).
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn bypass_queues(&self) -> io::Result<()> {
        self.set(libc::PACKET_QDISC_BYPASS, &1_i32)
    }

    /// Joins the group of sockets among which the kernel spreads an interface's frames by a program
    /// (PACKET_FANOUT_CBPF, Linux 4.3), set by [`spread`]. Its result, modulo the number of
    /// sockets, is the socket, in the order of joining. `None` creates a new group. Returns the
    /// group's id.
    ///
    /// # Errors
    /// Errors of the kernel.
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

    /// The kernel's counters since the last call.
    ///
    /// # Errors
    /// Errors of the kernel.
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
        // SAFETY: pointer and length describe one live value, which the kernel only reads.
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

    /// Reads an option whose value has only numbers.
    fn get<T: Copy>(&self, option: c_int, value: &mut T) -> io::Result<()> {
        let mut length = mem::size_of::<T>() as socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, the size of the value, and callers pass
        // types for which each bit pattern is valid (`u32`, `tpacket_stats_v3`).
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

/// The protocol to bind to for frames of all protocols.
const ALL_PROTOCOLS: u16 = libc::ETH_P_ALL as u16;

/// Replaces a socket's filter.
///
/// # Errors
/// Errors of the kernel.
pub fn attach(socket: impl AsFd, filter: &[Insn]) -> io::Result<()> {
    super::socket::attach(socket.as_fd(), filter)
}

/// Sets the program by which the group of a socket spreads frames. Before the first program, the
/// first socket gets all frames. The program sees a frame from its network header on.
///
/// # Errors
/// Errors of the kernel: the socket is in no group, or the program is refused.
pub fn spread(socket: impl AsFd, program: &[Insn]) -> io::Result<()> {
    super::socket::set_fanout(socket.as_fd(), program)
}

/// Makes a socket receive nothing more; frames already received stay.
///
/// # Errors
/// Errors of the kernel.
pub fn deafen(socket: impl AsFd) -> io::Result<()> {
    attach(socket, &DEAF)
}

/// Waits until the kernel has delivered and counted the frames that it is delivering now. Sockets
/// that were made deaf before then receive nothing more. The kernel delivers frames under RCU, and
/// MEMBARRIER_CMD_GLOBAL waits for an RCU grace period (membarrier(2)), some 10 ms. Where the call
/// is missing (`nohz_full`), this returns immediately, and callers drain by time.
pub fn settle() {
    let _missing = rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global);
}

/// Whether a packet socket is still bound to the interface with this index. The kernel clears the
/// index when the interface disappears or moves to another network namespace.
pub fn is_bound(socket: impl AsFd, index: u32) -> bool {
    // SAFETY: an all-zero `sockaddr_ll` is valid: it has only numbers.
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
