//! The memory for what flows hold: segments ahead of a gap, and parts of messages. Invariant: there
//! are never more chunks than fit into the limit, free chunks included; a chunk belongs to the pool
//! or to one list. (Rejected: a buffer for each direction, which grows and is never given back.
//! Rejected: numbers instead of boxes as links; lists that own their chunks cannot mix them up.)

/// Number of stream bytes in a chunk.
pub(super) const CHUNK: usize = 2048;
const WORDS: usize = CHUNK / 64;

/// A piece of memory: the bytes of one stretch of a stream, or a part of a message.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) next: Option<Box<Chunk>>,
    /// The stream offset of the chunk's first byte, a multiple of [`CHUNK`].
    pub(super) start: u64,
    /// The bytes that have come.
    pub(super) have: Bits,
    /// The bytes that will never come, because the capture cut them off.
    pub(super) lost: Bits,
    pub(super) data: [u8; CHUNK],
}

/// Chunks, up to a limit.
#[derive(Debug)]
pub(super) struct Pool {
    /// Free chunks, and how many there are.
    free: Option<Box<Chunk>>,
    unused: usize,
    made: usize,
    most: usize,
}

impl Pool {
    /// A pool of at most `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Pool {
        Pool { free: None, unused: 0, made: 0, most: bytes / size_of::<Chunk>() }
    }

    /// A chunk without bytes. Returns `None` when the limit is reached.
    pub(super) fn take(&mut self) -> Option<Box<Chunk>> {
        if let Some(mut chunk) = self.free.take() {
            self.free = chunk.next.take();
            self.unused -= 1;
            chunk.have = Bits::default();
            chunk.lost = Bits::default();
            return Some(chunk);
        }
        if self.made >= self.most {
            return None;
        }
        self.made += 1;
        Some(Box::new(Chunk {
            next: None,
            start: 0,
            have: Bits::default(),
            lost: Bits::default(),
            data: [0; CHUNK],
        }))
    }

    /// Takes a list back.
    pub(super) fn give(&mut self, list: Option<Box<Chunk>>) {
        let mut rest = list;
        while let Some(mut chunk) = rest {
            rest = chunk.next.take();
            chunk.next = self.free.take();
            self.free = Some(chunk);
            self.unused += 1;
        }
    }

    /// Allocated memory, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.made * size_of::<Chunk>()
    }

    /// Number of chunks in use.
    pub(super) fn used(&self) -> usize {
        self.made - self.unused
    }
}

/// A bit for each byte of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bits([u64; WORDS]);

impl Bits {
    pub(super) fn get(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(super) fn set(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The first place from `from` on that is set (or, with `not`, that is not set).
    fn find(&self, from: usize, not: bool) -> Option<usize> {
        let flip = if not { u64::MAX } else { 0 };
        let mut mask = u64::MAX << (from % 64);
        for (i, word) in self.0.iter().enumerate().skip(from / 64) {
            let bits = (word ^ flip) & mask;
            if bits != 0 {
                return Some(i * 64 + bits.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// The first place from `from` on that is set.
    pub(super) fn first(&self, from: usize) -> Option<usize> {
        self.find(from, false)
    }

    /// The end of the run that begins at `from`; `from` itself where the bit is not set.
    pub(super) fn run(&self, from: usize) -> usize {
        self.find(from, true).unwrap_or(CHUNK)
    }
}

/// Bytes of an incomplete message.
#[derive(Debug, Default)]
pub(super) struct MessageBuffer {
    list: Option<Box<Chunk>>,
    len: u32,
}

impl MessageBuffer {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes. Returns false when the pool has no more chunks; some of the bytes are then
    /// missing.
    pub(super) fn push(&mut self, pool: &mut Pool, mut bytes: &[u8]) -> bool {
        let mut at = self.len();
        let mut link = &mut self.list;
        while at > CHUNK || (at == CHUNK && !bytes.is_empty()) {
            let Some(chunk) = link else { return false };
            link = &mut chunk.next;
            at -= CHUNK;
        }
        while !bytes.is_empty() {
            if link.is_none() {
                *link = pool.take();
            }
            let Some(chunk) = link else { return false };
            let room = chunk.data.get_mut(at..).unwrap_or(&mut []);
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            self.len += now.len() as u32;
            bytes = later;
            at = 0;
            link = &mut chunk.next;
        }
        true
    }

    /// Appends all bytes to `to`.
    pub(super) fn copy(&self, to: &mut Vec<u8>) {
        let (mut left, mut list) = (self.len(), &self.list);
        while let Some(chunk) = list {
            to.extend_from_slice(chunk.data.get(..left.min(CHUNK)).unwrap_or(&[]));
            left -= left.min(CHUNK);
            list = &chunk.next;
        }
    }

    /// Copies the first bytes, as many as fit. Returns their number.
    pub(super) fn first(&self, to: &mut [u8]) -> usize {
        let len = self.len().min(CHUNK).min(to.len());
        let data = self.list.as_ref().and_then(|chunk| chunk.data.get(..len));
        match (to.get_mut(..len), data) {
            (Some(to), Some(data)) => to.copy_from_slice(data),
            _ => return 0,
        }
        len
    }

    /// Frees all bytes.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        self.len = 0;
        pool.give(self.list.take());
    }
}

impl Drop for Chunk {
    /// Frees the list chunk by chunk. A recursive drop would need as much stack as the list is
    /// long.
    fn drop(&mut self) {
        while let Some(mut chunk) = self.next.take() {
            self.next = chunk.next.take();
        }
    }
}
