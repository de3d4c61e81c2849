//! The state of an interface from the kernel (netdevice(7)): index, flags, MTU, hardware type.
//! Callers ask by name each time, because interfaces disappear, come back and change. Invariant: a
//! missing interface is `NotFound`, never a guess. (Rejected: /sys/class/net, which may be of
//! another network namespace.)

#![expect(unsafe_code, reason = "ioctl(2) on interfaces has no safe wrapper")]

use libc::{c_char, c_ulong};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::os::fd::AsRawFd;

/// The present state of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The interface's index. A new interface with the same name has another index.
    pub index: u32,
    /// The interface is set up (IFF_UP).
    pub up: bool,
    /// The interface is up and has a carrier (IFF_RUNNING).
    pub running: bool,
    /// The interface is promiscuous (IFF_PROMISC).
    pub promiscuous: bool,
    /// The longest packet that the interface sends, in bytes, without the link header.
    pub mtu: u32,
    /// The hardware type, an ARPHRD number.
    pub hardware: u16,
}

/// ARPHRD_ETHER.
pub const ETHERNET: u16 = 1;
/// ARPHRD_LOOPBACK: frames as on Ethernet.
pub const LOOPBACK: u16 = 772;
/// ARPHRD_NONE: IP packets without a link header (tun).
pub const NONE: u16 = 0xfffe;

/// Hardware types of interfaces that carry IP packets without a link header: tun and WireGuard
/// (NONE), raw IP, PPP, tunnels of IPv4 and IPv6, SIT, GRE and GRE over IPv6.
const BARE: [u16; 8] = [NONE, 519, 512, 768, 769, 776, 778, 823];

/// What an interface carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Ethernet frames.
    Ethernet,
    /// IP packets without a link header.
    Ip,
    /// Other frames; the hardware type.
    Other(u16),
}

impl Carries {
    /// What interfaces of this hardware type carry.
    pub fn of(hardware: u16) -> Carries {
        match hardware {
            ETHERNET | LOOPBACK => Carries::Ethernet,
            bare if BARE.contains(&bare) => Carries::Ip,
            other => Carries::Other(other),
        }
    }
}

/// Looks up interfaces.
#[derive(Debug)]
pub struct Interfaces {
    socket: OwnedFd,
}

impl Interfaces {
    /// Looks up interfaces in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Errors of the kernel.
    pub fn new() -> io::Result<Interfaces> {
        Ok(Interfaces { socket: rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)? })
    }

    /// The state of the interface with this name.
    ///
    /// # Errors
    /// `NotFound`, or an error of the kernel.
    pub fn get(&self, name: &str) -> io::Result<State> {
        let request = |what| {
            self.ask(what, name).map_err(|error| match error.raw_os_error() {
                Some(libc::ENODEV | libc::ENXIO) => io::ErrorKind::NotFound.into(),
                _ => error,
            })
        };
        let index = request(libc::SIOCGIFINDEX)?;
        let flags = request(libc::SIOCGIFFLAGS)?;
        let mtu = request(libc::SIOCGIFMTU)?;
        let hardware = request(libc::SIOCGIFHWADDR)?;
        // SAFETY: the kernel filled the member that each request reads, and all members are
        // numbers.
        let (index, flags, mtu, hardware) = unsafe {
            (
                index.ifr_ifru.ifru_ifindex,
                i32::from(flags.ifr_ifru.ifru_flags),
                mtu.ifr_ifru.ifru_mtu,
                hardware.ifr_ifru.ifru_hwaddr.sa_family,
            )
        };
        Ok(State {
            index: index as u32,
            up: flags & libc::IFF_UP != 0,
            running: flags & libc::IFF_RUNNING != 0,
            promiscuous: flags & libc::IFF_PROMISC != 0,
            mtu: mtu as u32,
            hardware,
        })
    }

    /// The name of the interface with this index (SIOCGIFNAME).
    ///
    /// # Errors
    /// `NotFound`, or an error of the kernel.
    pub fn name(&self, index: u32) -> io::Result<String> {
        rustix::net::netdevice::index_to_name(&self.socket, index).map_err(|error| match error {
            rustix::io::Errno::NODEV | rustix::io::Errno::NXIO => io::ErrorKind::NotFound.into(),
            error => error.into(),
        })
    }

    /// The number of packets that the interface received since it was created, by its own count: a
    /// card counts packets on the wire, a virtual interface counts what it was given
    /// (`/proc/net/dev`). The name is looked up in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `NotFound`, or an error of reading.
    pub fn received(&self, name: &str) -> io::Result<u64> {
        counted(name, 1)
    }

    /// The number of packets that the interface failed to send since it was created: its errors and
    /// drops. The name is looked up in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `NotFound`, or an error of reading.
    pub fn not_sent(name: &str) -> io::Result<u64> {
        Ok(counted(name, 10)? + counted(name, 11)?)
    }

    /// The names of all interfaces, in the order of their indices.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        // SAFETY: returns an array that ends with a null name, or null; it is freed below, once.
        let first = unsafe { libc::if_nameindex() };
        let mut at = first;
        // SAFETY: `at` walks the array up to its end; each name is a string that ends with 0 and is
        // valid until the array is freed.
        unsafe {
            while let Some(entry) = at.as_ref().filter(|entry| !entry.if_name.is_null()) {
                names.push(std::ffi::CStr::from_ptr(entry.if_name).to_string_lossy().into_owned());
                at = at.add(1);
            }
            if !first.is_null() {
                libc::if_freenameindex(first);
            }
        }
        names
    }

    fn ask(&self, what: c_ulong, name: &str) -> io::Result<libc::ifreq> {
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: an all-zero `ifreq` is valid: it has only characters and numbers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *place = byte as c_char;
        }
        // SAFETY: these requests read the name and write one member of the `ifreq`, which lives
        // through the call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), what as _, &raw mut request) };
        if result == 0 { Ok(request) } else { Err(io::Error::last_os_error()) }
    }
}

/// A number of an interface in `/proc/net/dev`: 8 columns for received and 8 for sent packets. Each
/// group begins with bytes, packets, errors, drops.
fn counted(name: &str, column: usize) -> io::Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let mut lines = table.lines().filter_map(|line| line.split_once(':'));
    let counts = lines.find(|(of, _)| of.trim() == name).map(|(_, counts)| counts);
    let number = counts.and_then(|counts| counts.split_whitespace().nth(column)?.parse().ok());
    number.ok_or_else(|| io::ErrorKind::NotFound.into())
}
