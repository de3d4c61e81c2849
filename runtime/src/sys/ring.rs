//! A receive ring shared with the kernel (TPACKET_V3): blocks that the kernel fills and we read and give back. The
//! invariant: a block's bytes are lent out only while its status says that it is ours, and giving it back needs the ring
//! for itself, so no slice into it can be left. (Rejected: one frame a slot, TPACKET_V2: a system call or a status word a
//! frame, and slots as large as the largest frame.)

#![expect(unsafe_code, reason = "memory shared with the kernel")]

use super::packet::Socket;
use libc::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// How large a ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a block: a multiple of the page size. With offloads it must hold a frame of 64 KiB and its header.
    pub block: u32,
    /// How many blocks.
    pub blocks: u32,
    /// After how many milliseconds a block that is not full is handed over.
    pub timeout: u32,
}

impl Default for Shape {
    /// 32 blocks of 256 KiB, 1 ms.
    fn default() -> Shape {
        Shape { block: 256 << 10, blocks: 32, timeout: 1 }
    }
}

/// Room in front of each frame, for the VLAN tag that the kernel takes out.
const RESERVE: u32 = 4;

/// Where a block has its status (`tpacket_block_desc.hdr.bh1.block_status`).
const STATUS: usize = 8;

/// A socket and its ring.
#[derive(Debug)]
pub struct Ring {
    socket: Socket,
    memory: NonNull<u8>,
    block: usize,
    blocks: usize,
    /// The block that comes next.
    at: usize,
}

// SAFETY: the memory is reached through the ring only, by shared reference for reading and by exclusive reference for
// writing, and belongs to no thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Makes the ring of a socket that is not bound yet, with offloads ([`Socket::with_offloads`]).
    ///
    /// # Errors
    /// The kernel's: no memory, or a shape that it does not take.
    pub fn new(socket: Socket, shape: Shape) -> io::Result<Ring> {
        let version = libc::tpacket_versions::TPACKET_V3 as i32;
        socket.set(libc::PACKET_VERSION, &version)?;
        socket.set(libc::PACKET_RESERVE, &RESERVE)?;
        socket.with_offloads()?;
        // The size of frames means nothing to V3 but must divide the block.
        let frame = 2048;
        let wish = libc::tpacket_req3 {
            tp_block_size: shape.block,
            tp_block_nr: shape.blocks,
            tp_frame_size: frame,
            tp_frame_nr: shape.block / frame * shape.blocks,
            tp_retire_blk_tov: shape.timeout,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        socket.set(libc::PACKET_RX_RING, &wish)?;
        let (block, blocks) = (shape.block as usize, shape.blocks as usize);
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else is touched.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                block * blocks,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_fd().as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Ring { socket, memory, block, blocks, at: 0 })
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The socket, to change what it hears.
    pub fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Whether the next block is ours.
    pub fn is_ready(&self) -> bool {
        self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// Whether half of the ring is ours: the kernel comes near to dropping frames.
    pub fn is_half_full(&self) -> bool {
        self.status_of(self.at + self.blocks / 2).load(Ordering::Relaxed) & libc::TP_STATUS_USER != 0
    }

    /// The next block, if it is ours.
    pub fn block(&self) -> Option<&[u8]> {
        if !self.is_ready() {
            return None;
        }
        // SAFETY: block `at` lies within the mapping, which lives as long as `self`. Its status, read with acquire order,
        // says that it is ours: the kernel writes to it again only after `release`, which needs `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.block) })
    }

    /// The same, to be written to: tags are put back and checksums finished in place.
    pub fn block_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_ready() {
            return None;
        }
        // SAFETY: as for `block`, and `&mut self` makes it the only slice.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.block) })
    }

    /// Gives the next block back to the kernel, if it is ours, and goes on to the one behind it.
    pub fn release(&mut self) {
        if self.is_ready() {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.at = (self.at + 1) % self.blocks;
        }
    }

    fn start(&self) -> NonNull<u8> {
        self.start_of(self.at)
    }

    fn start_of(&self, block: usize) -> NonNull<u8> {
        // SAFETY: the remainder is below `blocks`, so the block lies within the mapping of `block * blocks` bytes.
        unsafe { self.memory.add(block % self.blocks * self.block) }
    }

    fn status(&self) -> &AtomicU32 {
        self.status_of(self.at)
    }

    fn status_of(&self, block: usize) -> &AtomicU32 {
        // SAFETY: four bytes within the block, aligned (blocks begin at pages), which both sides read and write whole; a
        // `u32` in shared memory may be used as an atomic one. Who has the slice of `block_mut` holds `&mut self`, so no
        // reference to this one lives beside it.
        unsafe { AtomicU32::from_ptr(self.start_of(block).add(STATUS).cast().as_ptr()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is this ring's own, and no slice into it outlives the ring.
        unsafe { libc::munmap(self.memory.as_ptr().cast::<c_void>(), self.block * self.blocks) };
    }
}
