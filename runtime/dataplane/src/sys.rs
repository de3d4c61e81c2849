//! The kernel's packet interface: AF_PACKET sockets, their mapped rings, socket options,
//! interfaces. This is the only place of the crate with `unsafe`; what leaves it are slices,
//! numbers and `io::Error`s. Invariant: values from the kernel (lengths, offsets, counts) are
//! checked against the memory that they describe before they are used.
//!
//! (Rejected: AF_XDP, which hides frames from the kernel that should forward them; libpcap, which
//! supports neither fanout nor virtio headers.) See packet(7) and
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
