//! A receive ring shared with the kernel (TPACKET_V3): the kernel fills blocks; the ring's owner
//! reads them and gives them back. The kernel closes a block with frames after 1 ms, full or not.
//! So the number of blocks is the time that a ring holds at low rates, and its bytes are what it
//! holds at high rates: 1,024 blocks of 16 KiB hold one second at up to 90,000 frames of 64 bytes
//! per second, and 300 ms at 300,000. Invariant: a block's bytes are lent out only while its status
//! says that it is ours. Giving it back needs exclusive access to the ring, so no slice of it can
//! be left. (Rejected: blocks for the longest frame; 1,024 of them take 128 MiB, see `tap`.
//! Rejected: one frame per slot, TPACKET_V2; each small frame takes 2 KiB. Rejected: a longer
//! timeout; copies come later by as much.)

#![expect(unsafe_code, reason = "memory shared with the kernel")]

use super::packet::Socket;
use libc::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// The size of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes per block: a power of two, at least a page. Longer frames lose their end.
    pub block: u32,
    /// Number of blocks.
    pub blocks: u32,
    /// Milliseconds after which the kernel hands over a block that is not full.
    pub timeout: u32,
}

impl Default for Shape {
    /// 1,024 blocks of 16 KiB, 1 ms.
    fn default() -> Shape {
        Shape { block: 16 << 10, blocks: 1024, timeout: 1 }
    }
}

impl Shape {
    /// The smallest number of blocks of a ring.
    pub const FEWEST: u32 = 64;

    /// A ring of `bytes` bytes, rounded up to whole blocks.
    pub fn of(bytes: u64) -> Shape {
        let shape = Shape::default();
        let blocks = bytes.div_ceil(shape.block.into()).clamp(Shape::FEWEST.into(), 1 << 16);
        Shape { blocks: blocks as u32, ..shape }
    }

    /// Memory of a ring, in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.block) * u64::from(self.blocks)
    }

    /// The longest frame that always fits in a block, without a VLAN tag, in bytes: the block
    /// without what the kernel puts before its first frame (48 bytes) and before each frame (about
    /// 100).
    pub fn longest(self) -> u32 {
        self.block.saturating_sub(384)
    }
}

/// Room in front of each frame for the VLAN tag that the kernel takes out.
const RESERVE: u32 = 4;

/// Offset of a block's status (`tpacket_block_desc.hdr.bh1.block_status`).
const STATUS: usize = 8;

/// A socket and its ring.
#[derive(Debug)]
pub struct Ring {
    socket: Socket,
    memory: NonNull<u8>,
    block: usize,
    blocks: usize,
    /// The first held block, or the next block.
    at: usize,
    /// Number of held blocks.
    held: usize,
}

// SAFETY: the memory is reached only through the ring, by shared reference for reading and by
// exclusive reference for writing, and belongs to no thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Creates the ring of a socket that is not bound yet, with offloads
    /// ([`Socket::with_offloads`]).
    ///
    /// # Errors
    /// Errors of the kernel: no memory, or a refused shape.
    pub fn new(socket: Socket, shape: Shape) -> io::Result<Ring> {
        let version = libc::tpacket_versions::TPACKET_V3 as i32;
        socket.set(libc::PACKET_VERSION, &version)?;
        socket.set(libc::PACKET_RESERVE, &RESERVE)?;
        socket.with_offloads()?;
        // V3 does not use the size of frames, but it must divide the block.
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
        Ok(Ring { socket, memory, block, blocks, at: 0, held: 0 })
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The ring's memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.block * self.blocks
    }

    /// Whether the kernel has closed the block behind the held blocks.
    pub fn is_ready(&self) -> bool {
        self.held < self.blocks && self.is_closed(self.at + self.held, Ordering::Acquire)
    }

    /// Whether half of the ring is closed: the kernel will soon drop frames.
    pub fn is_half_full(&self) -> bool {
        self.is_closed(self.at + self.blocks / 2, Ordering::Relaxed)
    }

    /// Holds the next block, too, if the kernel has closed it. Returns its number among the held
    /// blocks.
    pub fn hold(&mut self) -> Option<usize> {
        self.is_ready().then(|| {
            self.held += 1;
            self.held - 1
        })
    }

    /// Number of held blocks.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether the kernel closed this held block because it was full, and not because of its age
    /// (TP_STATUS_BLK_TMO).
    pub fn was_full(&self, block: usize) -> bool {
        self.status_of(self.at + block).load(Ordering::Relaxed) & libc::TP_STATUS_BLK_TMO == 0
    }

    /// A held block.
    pub fn block(&self, block: usize) -> Option<&[u8]> {
        if block >= self.held {
            return None;
        }
        // SAFETY: the block lies within the mapping, which lives as long as `self`. Its status,
        // read with acquire order by `hold`, says that it is ours: the kernel writes to it again
        // only after `release`, which needs `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(self.start_of(self.at + block).as_ptr(), self.block) })
    }

    /// A held block for writing: tags are put back and checksums finished in place.
    pub fn block_mut(&mut self, block: usize) -> Option<&mut [u8]> {
        if block >= self.held {
            return None;
        }
        // SAFETY: as for `block`; `&mut self` makes it the only slice.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start_of(self.at + block).as_ptr(), self.block) })
    }

    /// Gives the held blocks back to the kernel.
    pub fn release(&mut self) {
        for block in 0..self.held {
            self.status_of(self.at + block).store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
        self.at = (self.at + self.held) % self.blocks;
        self.held = 0;
    }

    fn is_closed(&self, block: usize, order: Ordering) -> bool {
        self.status_of(block).load(order) & libc::TP_STATUS_USER != 0
    }

    fn start_of(&self, block: usize) -> NonNull<u8> {
        // SAFETY: the remainder is below `blocks`, so the block lies within the mapping of `block *
        // blocks` bytes.
        unsafe { self.memory.add(block % self.blocks * self.block) }
    }

    fn status_of(&self, block: usize) -> &AtomicU32 {
        // SAFETY: four aligned bytes within the block (blocks begin at pages), which both sides
        // read and write whole; a `u32` in shared memory may be used as an atomic. The holder of a
        // slice from `block_mut` holds `&mut self`, so no reference to this word lives beside it.
        unsafe { AtomicU32::from_ptr(self.start_of(block).add(STATUS).cast().as_ptr()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to this ring, and no slice of it outlives the ring.
        unsafe { libc::munmap(self.memory.as_ptr().cast::<c_void>(), self.block * self.blocks) };
    }
}
