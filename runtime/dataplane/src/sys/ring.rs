//! A receive ring shared with the kernel (TPACKET_V3): blocks that the kernel fills and we read and
//! give back. The kernel closes a block that has frames after 1 ms, full or not, so the number of
//! blocks is the time that a ring holds at low rates, and its bytes are what it holds at high
//! rates: 1,024 blocks of 16 KiB hold one second at any rate up to 90,000 frames a second of 64
//! bytes, and 300 ms at 300,000. The invariant: a block's bytes are lent out only while its status
//! says that it is ours, and giving it back needs the ring for itself, so no slice into it can be
//! left. (Rejected: blocks that hold the longest frame: 1,024 of them take 128 MiB, see `tap`; one
//! frame a slot, TPACKET_V2: 2 KiB for each small frame; a longer timeout: copies come later by as
//! much.)

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
    /// Bytes of a block: a power of two, a page at least. Longer frames come without their end.
    pub block: u32,
    /// How many blocks.
    pub blocks: u32,
    /// After how many milliseconds a block that is not full is handed over.
    pub timeout: u32,
}

impl Default for Shape {
    /// 1,024 blocks of 16 KiB, 1 ms.
    fn default() -> Shape {
        Shape { block: 16 << 10, blocks: 1024, timeout: 1 }
    }
}

impl Shape {
    /// The fewest blocks of a ring.
    pub const FEWEST: u32 = 64;

    /// Of so many bytes, rounded up to whole blocks.
    pub fn of(bytes: u64) -> Shape {
        let shape = Shape::default();
        let blocks = bytes.div_ceil(shape.block.into()).clamp(Shape::FEWEST.into(), 1 << 16);
        Shape { blocks: blocks as u32, ..shape }
    }

    /// The memory of a ring, in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.block) * u64::from(self.blocks)
    }

    /// The longest frame that a block holds for certain, without a VLAN tag: less what the kernel
    /// puts before the first frame of a block (48 bytes) and before each frame (about 100).
    pub fn longest(self) -> u32 {
        self.block.saturating_sub(384)
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
    /// The first block that is held, or the one that comes next.
    at: usize,
    /// How many are held.
    held: usize,
}

// SAFETY: the memory is reached through the ring only, by shared reference for reading and by
// exclusive reference for writing, and belongs to no thread.
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
        Ok(Ring { socket, memory, block, blocks, at: 0, held: 0 })
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Its memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.block * self.blocks
    }

    /// Whether the kernel has closed the block behind those that are held.
    pub fn is_ready(&self) -> bool {
        self.held < self.blocks && self.is_closed(self.at + self.held, Ordering::Acquire)
    }

    /// Whether half of the ring is closed: the kernel comes near to dropping frames.
    pub fn is_half_full(&self) -> bool {
        self.is_closed(self.at + self.blocks / 2, Ordering::Relaxed)
    }

    /// Holds the next block too, if the kernel has closed it; its number among those that are held.
    pub fn hold(&mut self) -> Option<usize> {
        self.is_ready().then(|| {
            self.held += 1;
            self.held - 1
        })
    }

    /// How many blocks are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether the kernel closed this block, of those that are held, because it was full, and not
    /// because of its age (TP_STATUS_BLK_TMO).
    pub fn was_full(&self, block: usize) -> bool {
        self.status_of(self.at + block).load(Ordering::Relaxed) & libc::TP_STATUS_BLK_TMO == 0
    }

    /// One of the blocks that are held.
    pub fn block(&self, block: usize) -> Option<&[u8]> {
        if block >= self.held {
            return None;
        }
        // SAFETY: the block lies within the mapping, which lives as long as `self`. Its status,
        // read with acquire order by `hold`, said that it is ours: the kernel writes to it again
        // only after `release`, which needs `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(self.start_of(self.at + block).as_ptr(), self.block) })
    }

    /// The same, to be written to: tags are put back and checksums finished in place.
    pub fn block_mut(&mut self, block: usize) -> Option<&mut [u8]> {
        if block >= self.held {
            return None;
        }
        // SAFETY: as for `block`, and `&mut self` makes it the only slice.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start_of(self.at + block).as_ptr(), self.block) })
    }

    /// Gives the blocks that are held back to the kernel.
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
        // SAFETY: the remainder is below `blocks`, so the block lies within the mapping of
        // `block * blocks` bytes.
        unsafe { self.memory.add(block % self.blocks * self.block) }
    }

    fn status_of(&self, block: usize) -> &AtomicU32 {
        // SAFETY: four bytes within the block, aligned (blocks begin at pages), which both sides
        // read and write whole; a `u32` in shared memory may be used as an atomic one. Who has the
        // slice of `block_mut` holds `&mut self`, so no reference to this one lives beside it.
        unsafe { AtomicU32::from_ptr(self.start_of(block).add(STATUS).cast().as_ptr()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is this ring's own, and no slice into it outlives the ring.
        unsafe { libc::munmap(self.memory.as_ptr().cast::<c_void>(), self.block * self.blocks) };
    }
}
