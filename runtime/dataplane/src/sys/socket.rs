//! Socket options and binding to a link: calls for which `rustix` has no safe form. Invariant: each
//! pointer passed to the kernel points to a value on this stack that has the given length.
//! (Rejected: `nix` and `socket2`, where the same addresses and options are missing or `unsafe` to
//! create.) See socket(7), ip(7), packet(7), netdevice(7).

#![expect(unsafe_code, reason = "system calls without a safe library")]

use mrule_compiler::bpf::{Insn, op};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Asks for later errors (ICMP): the next call on the socket, or SO_ERROR, returns them
/// (IP_RECVERR, IPV6_RECVERR).
pub fn tell_errors(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    let (level, name) =
        if ipv6 { (libc::SOL_IPV6, libc::IPV6_RECVERR) } else { (libc::SOL_IP, libc::IP_RECVERR) };
    let on: libc::c_int = 1;
    set(socket, level, name, &on)
}

/// Refuses all received data, for a socket that only sends: a filter with one instruction, `ret 0`
/// (SO_ATTACH_FILTER).
pub fn refuse_all(socket: BorrowedFd<'_>) -> io::Result<()> {
    attach(socket, &[Insn { code: op::RET, jt: 0, jf: 0, k: 0 }])
}

/// Replaces a socket's filter (SO_ATTACH_FILTER). Needs no privilege. Data already received stays.
pub fn attach(socket: BorrowedFd<'_>, filter: &[Insn]) -> io::Result<()> {
    set_program(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, filter)
}

/// Replaces the program of a packet socket's fanout group. Its result chooses the socket that gets
/// a packet (PACKET_FANOUT_DATA of a PACKET_FANOUT_CBPF group).
pub fn set_fanout(socket: BorrowedFd<'_>, program: &[Insn]) -> io::Result<()> {
    set_program(socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, program)
}

/// Sets an option whose value is a classic BPF program.
fn set_program(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    filter: &[Insn],
) -> io::Result<()> {
    let as_kernel = |insn: &Insn| libc::sock_filter { code: insn.code, jt: insn.jt, jf: insn.jf, k: insn.k };
    let mut code: Vec<libc::sock_filter> = filter.iter().map(as_kernel).collect();
    let len = u16::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: code.as_mut_ptr() };
    set(socket, level, name, &program)
}

/// Sets how many bytes may wait to be received (SO_RCVBUFFORCE, which needs CAP_NET_ADMIN; else
/// SO_RCVBUF, which the kernel limits to `net.core.rmem_max`). Returns whether all of it was
/// granted.
pub fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> bool {
    let value = bytes as libc::c_int;
    if set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &value).is_ok() {
        return true;
    }
    let _granted_in_part = set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &value);
    rustix::net::sockopt::socket_recv_buffer_size(socket).is_ok_and(|granted| granted >= bytes)
}

/// Of linux/sockios.h (SIOCGSTAMPNS_OLD), which `libc` lacks.
const SIOCGSTAMPNS: libc::c_ulong = 0x8907;

/// Makes the kernel note when frames come, for [`last_stamp`].
pub fn stamp(socket: BorrowedFd<'_>) -> io::Result<()> {
    // The first query turns it on; it is no failure that no frame has come yet.
    match last_stamp(socket) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// When the last received frame came, in nanoseconds since the Unix epoch (SIOCGSTAMPNS).
pub fn last_stamp(socket: BorrowedFd<'_>) -> io::Result<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: SIOCGSTAMPNS writes one timespec; `time` is one, and lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSTAMPNS as _, &raw mut time) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

/// The address of the link with this index, for packets of this protocol (an EtherType, 0 for
/// none).
fn link_address(index: u32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

/// Binds a packet socket to the link with this index, to receive this protocol (an EtherType, or
/// ETH_P_ALL). With 0, the socket only sends.
pub fn bind_link(socket: BorrowedFd<'_>, index: u32, protocol: u16) -> io::Result<()> {
    let address = link_address(index, protocol);
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` is a whole sockaddr_ll of this length and lives through the call, which
    // only reads it.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a packet of this protocol (an EtherType) by the link with this index. The socket need not
/// be bound to a link. Does not block.
pub fn send_by_link(socket: BorrowedFd<'_>, index: u32, protocol: u16, packet: &[u8]) -> io::Result<()> {
    let address = link_address(index, protocol);
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    let (fd, bytes) = (socket.as_raw_fd(), packet.as_ptr().cast());
    // SAFETY: the packet is borrowed, and `address` is a whole sockaddr_ll of this length; both
    // live through the call, which only reads them.
    let sent = unsafe {
        libc::sendto(fd, bytes, packet.len(), libc::MSG_DONTWAIT, (&raw const address).cast(), length)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The process and user at the other end of a Unix socket (SO_PEERCRED). The process is 0 where it
/// is in another PID namespace, which `rustix` cannot express.
///
/// # Errors
/// Errors of the kernel.
pub fn peer(socket: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: `peer` is a whole ucred of this length and lives through the call, which writes at
    // most this length.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut peer).cast(), &raw mut length) };
    if result == 0 { Ok((peer.pid, peer.uid)) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option to `value`, a plain C value of the type that the option takes.
fn set<T>(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    let pointer = std::ptr::from_ref(value).cast();
    // SAFETY: `pointer` points to `length` bytes borrowed for the call, which only reads them; the
    // program that a value points to lives as long (`set_program`).
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
