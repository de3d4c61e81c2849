//! A list in chunks that its copies share. A change of an element of a shared list copies one
//! chunk, so a table of a million rows is changed in microseconds while workers read the old table.
//! The invariant: an element below the length is in a chunk of `1 << LOG` elements, or in the only
//! chunk, which may be shorter. (Rejected: a persistent tree, which costs each look-up a step a
//! level; locks, which every packet would take.)

use std::sync::Arc;

/// `LOG`: the binary logarithm of a chunk's length.
#[derive(Debug, Clone)]
pub(super) struct Chunks<T, const LOG: u32> {
    chunks: Vec<Arc<[T]>>,
    len: usize,
}

impl<T: Clone + Default, const LOG: u32> Chunks<T, LOG> {
    /// Elements of a full chunk.
    pub const CHUNK: usize = 1 << LOG;

    pub fn new() -> Self {
        Chunks { chunks: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at >> LOG)?.get(at & (Self::CHUNK - 1))
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        Arc::make_mut(self.chunks.get_mut(at >> LOG)?).get_mut(at & (Self::CHUNK - 1))
    }

    pub fn set(&mut self, at: usize, value: T) {
        if let Some(place) = self.get_mut(at) {
            *place = value;
        }
    }

    /// The elements from `at` to the end of its chunk.
    pub fn tail(&self, at: usize) -> &[T] {
        self.chunks.get(at >> LOG).and_then(|chunk| chunk.get(at & (Self::CHUNK - 1)..)).unwrap_or(&[])
    }

    pub fn tail_mut(&mut self, at: usize) -> &mut [T] {
        let chunk = self.chunks.get_mut(at >> LOG).map(Arc::make_mut);
        chunk.and_then(|chunk| chunk.get_mut(at & (Self::CHUNK - 1)..)).unwrap_or(&mut [])
    }

    /// Extends the list to at least this length. New elements have the default value.
    pub fn grow(&mut self, len: usize) {
        self.len = self.len.max(len);
        if let [only] = self.chunks.as_mut_slice()
            && only.len() < Self::CHUNK
            && only.len() < len
        {
            let room = len.next_power_of_two().min(Self::CHUNK);
            *only = only.iter().cloned().chain(std::iter::repeat(T::default())).take(room).collect();
        }
        while self.room() < len {
            let room = if self.chunks.is_empty() { len.next_power_of_two().max(4) } else { Self::CHUNK };
            let chunk = vec![T::default(); room.min(Self::CHUNK)];
            self.chunks.push(chunk.into());
        }
    }

    pub fn push(&mut self, value: T) {
        self.grow(self.len + 1);
        self.set(self.len - 1, value);
    }

    pub fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let value = self.get_mut(last).map(std::mem::take);
        self.len = last;
        value
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.room() * size_of::<T>() + self.chunks.capacity() * size_of::<Arc<[T]>>()
    }

    /// The capacity, in elements.
    fn room(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.len());
        self.chunks.len().saturating_sub(1) * Self::CHUNK + last
    }
}
