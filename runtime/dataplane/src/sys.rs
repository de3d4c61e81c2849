//! The kernel's packet interface: AF_PACKET sockets, their mapped rings, options of sockets,
//! interfaces. The only place in the runtime with `unsafe`; what leaves it are slices, numbers and
//! `io::Error`s. The invariant: whatever the kernel hands over (lengths, offsets, counts) is
//! checked against the memory it lies in before it is used.
//!
//! (Rejected: AF_XDP, which hides frames from the kernel that should forward them; libpcap, which
//! knows neither fanout nor virtio headers.) See packet(7) and
//! Documentation/networking/packet_mmap.rst of Linux.

pub mod frame;
pub mod interface;
pub mod namespace;
pub(crate) mod neighbour;
pub mod packet;
pub mod ring;
pub mod send;
pub mod socket;
pub mod tap;
