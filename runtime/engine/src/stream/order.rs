//! Bytes that came ahead of a gap, until the gap fills. They are in a list of chunks by offset,
//! with a bit for each byte that is there. Invariants: the first copy of a byte counts, whether it
//! was held or delivered, whatever comes in its place later. A packet costs no more than its length
//! and the number of chunks that its direction holds. (Rejected: a list of segments; many tiny
//! segments would each need a chunk, and overlapping segments a rule for each kind of overlap.)

use super::pool::{CHUNK, Chunk, Pool};

/// What one direction holds.
#[derive(Debug, Default)]
pub(super) struct ReorderBuffer {
    list: Option<Box<Chunk>>,
    chunks: u32,
}

/// Why a byte was not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Pool,
    Direction,
}

/// The outcome of holding a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding {
    /// Bytes that were added.
    pub(super) new: u64,
    /// Bytes that were held before.
    pub(super) old: u64,
    /// The offset up to which bytes were taken.
    pub(super) to: u64,
    /// Why no more bytes were taken.
    pub(super) full: Option<Full>,
}

/// What comes next in a direction.
pub(super) enum Next<'c> {
    /// The next byte has not come yet.
    Gap,
    /// Bytes. [`ReorderBuffer::put_back`] frees them.
    Bytes(&'c [u8]),
    /// A number of bytes that will never come.
    Lost(u64),
}

impl ReorderBuffer {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// Holds the bytes of a segment from `start` on: `payload`, and behind it, up to `end`, bytes
    /// that will never come.
    pub(super) fn hold(
        &mut self,
        pool: &mut Pool,
        limit: u32,
        start: u64,
        payload: &[u8],
        end: u64,
    ) -> Holding {
        let mut holding = Holding { new: 0, old: 0, to: start, full: None };
        let mut link = &mut self.list;
        while holding.to < end {
            let stretch = holding.to / CHUNK as u64 * CHUNK as u64;
            while link.as_ref().is_some_and(|chunk| chunk.start < stretch) {
                let Some(chunk) = link else { return holding };
                link = &mut chunk.next;
            }
            if link.as_ref().is_none_or(|chunk| chunk.start > stretch) {
                let made =
                    if self.chunks >= limit { Err(Full::Direction) } else { pool.take().ok_or(Full::Pool) };
                match made {
                    Ok(mut made) => {
                        made.start = stretch;
                        made.next = link.take();
                        *link = Some(made);
                        self.chunks += 1;
                    }
                    Err(full) => {
                        holding.full = Some(full);
                        return holding;
                    }
                }
            }
            let Some(chunk) = link else { return holding };
            let until = end.min(stretch.saturating_add(CHUNK as u64));
            while holding.to < until {
                let at = (holding.to - stretch) as usize;
                match payload.get((holding.to - start) as usize) {
                    Some(_) if chunk.have.get(at) => holding.old += 1,
                    Some(&byte) => {
                        chunk.have.set(at);
                        chunk.data[at] = byte;
                        holding.new += 1;
                    }
                    None => chunk.lost.set(at),
                }
                holding.to += 1;
            }
        }
        holding
    }

    /// The offset of the first byte that is held or is known not to come.
    pub(super) fn first(&self, from: u64) -> Option<u64> {
        let mut link = &self.list;
        while let Some(chunk) = link {
            let at = from.saturating_sub(chunk.start);
            if at < CHUNK as u64 {
                let at = at as usize;
                let found = match (chunk.have.first(at), chunk.lost.first(at)) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                if let Some(found) = found {
                    return Some(chunk.start + found as u64);
                }
            }
            link = &chunk.next;
        }
        None
    }

    /// Takes out the first chunk if it has something at `from`. The caller gives it back with
    /// [`ReorderBuffer::put_back`].
    pub(super) fn take(&mut self, pool: &mut Pool, from: u64) -> Option<Box<Chunk>> {
        // Drops chunks that lie before `from`.
        while self.list.as_ref().is_some_and(|chunk| chunk.start.saturating_add(CHUNK as u64) <= from) {
            self.drop_first(pool);
        }
        let chunk = self.list.as_ref()?;
        let at = usize::try_from(from.checked_sub(chunk.start)?).ok()?;
        if !chunk.have.get(at) && !chunk.lost.get(at) {
            if chunk.have.first(at).is_none() && chunk.lost.first(at).is_none() {
                self.drop_first(pool);
            }
            return None;
        }
        let mut chunk = self.list.take()?;
        self.list = chunk.next.take();
        self.chunks -= 1;
        Some(chunk)
    }

    /// Puts back the chunk that was taken out.
    pub(super) fn put_back(&mut self, mut chunk: Box<Chunk>) {
        chunk.next = self.list.take();
        self.list = Some(chunk);
        self.chunks += 1;
    }

    fn drop_first(&mut self, pool: &mut Pool) {
        if let Some(mut chunk) = self.list.take() {
            self.list = chunk.next.take();
            self.chunks -= 1;
            pool.give(Some(chunk));
        }
    }

    /// The number of held bytes from `from` on.
    fn bytes(&self, from: u64) -> u64 {
        let mut link = &self.list;
        let mut sum = 0;
        while let Some(chunk) = link {
            let behind = from.saturating_sub(chunk.start).min(CHUNK as u64) as usize;
            let before = (0..behind).filter(|&at| chunk.have.get(at)).count();
            sum += chunk.have.count() - before;
            link = &chunk.next;
        }
        sum as u64
    }

    /// Frees everything. Returns the number of bytes from `from` on that were held.
    pub(super) fn clear(&mut self, pool: &mut Pool, from: u64) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let bytes = self.bytes(from);
        self.chunks = 0;
        pool.give(self.list.take());
        bytes
    }
}

/// What a chunk has at an offset.
pub(super) fn next(chunk: &Chunk, from: u64) -> Next<'_> {
    let at = from.saturating_sub(chunk.start).min(CHUNK as u64) as usize;
    let end = chunk.have.run(at);
    if end > at {
        return Next::Bytes(chunk.data.get(at..end).unwrap_or(&[]));
    }
    let lost = chunk.lost.run(at);
    // A byte that came later after all counts.
    let end = chunk.have.first(at).unwrap_or(CHUNK).min(lost);
    if end > at { Next::Lost((end - at) as u64) } else { Next::Gap }
}
