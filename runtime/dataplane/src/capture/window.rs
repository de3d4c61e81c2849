//! A refillable buffer over a byte stream. The bytes that were read and not yet consumed lie in one
//! slice, so that packets are slices of it. Invariants: `start <= end <= buffer.len()`; the buffer
//! grows only when it is full of bytes that really came, so a wrong length field allocates nothing.
//! (Rejected: mapping the file, which is unsafe, gets a signal when the file is cut meanwhile, and
//! cannot read a pipe. Rejected: `BufReader`, which returns less than a whole record.)

use std::io::{ErrorKind, Read};

/// Bytes per read: few enough to stay in the cache between the kernel's copy and their use.
const READ: usize = 256 << 10;

pub(super) struct Window {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Stream offset of `buffer[0]`.
    base: u64,
    /// The end of the stream was reached; with the failure, if there was one.
    ended: Option<Option<String>>,
    /// The last read found no data for now (`WouldBlock`); the stream goes on.
    idle: bool,
}

impl Window {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Window {
        Window { input, buffer: vec![0; READ], start: 0, end: 0, base: 0, ended: None, idle: false }
    }

    /// The bytes that were read and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    /// Stream offset of the first of [`bytes`](Self::bytes).
    pub(super) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Why reading failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.ended.as_ref()?.as_deref()
    }

    /// Whether nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether the last read found no data for now: missing bytes may still come.
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    pub(super) fn forget_idle(&mut self) {
        self.idle = false;
    }

    /// Consumes the first `n` bytes, or all bytes if there are fewer.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
    }

    /// Reads until there are `n` bytes. Returns false when the stream ends before, or has no data
    /// for now.
    pub(super) fn want(&mut self, n: usize) -> bool {
        while self.end - self.start < n {
            if !self.refill() {
                return false;
            }
        }
        true
    }

    /// Consumes `n` bytes without holding them. Returns the number of consumed bytes.
    pub(super) fn skip(&mut self, n: u64) -> u64 {
        let mut left = n;
        loop {
            let there = (self.end - self.start) as u64;
            self.consume(usize::try_from(left).unwrap_or(usize::MAX));
            left = left.saturating_sub(there);
            if left == 0 || !self.refill() {
                return n - left;
            }
        }
    }

    fn refill(&mut self) -> bool {
        self.idle = false;
        if self.ended.is_some() {
            return false;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.base += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
            let most = room.len();
            match self.input.read(room) {
                Ok(0) => self.ended = Some(None),
                Ok(n) => self.end += n.min(most),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.idle = true;
                    return false;
                }
                Err(error) => self.ended = Some(Some(error.to_string())),
            }
            return self.ended.is_none();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should stop")]
    use super::*;
    use std::io;

    /// Returns a few bytes at a time, then fails.
    struct Drip(u64, u64);

    impl Read for Drip {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = (self.1 - self.0).min(out.len() as u64).min(7);
            if n == 0 {
                return Err(io::Error::other("broken pipe of a test"));
            }
            for (i, byte) in out.iter_mut().take(n as usize).enumerate() {
                *byte = (self.0 + i as u64) as u8;
            }
            self.0 += n;
            Ok(n as usize)
        }
    }

    #[test]
    fn keeps_offsets_over_refills_and_skips() {
        let mut window = Window::new(Box::new(Drip(0, 3_000_000)));
        assert!(window.want(READ * 3), "grows with what came");
        assert_eq!(window.offset(), 0);
        window.consume(1000);
        assert_eq!((window.offset(), window.bytes()[0]), (1000, 1000_u64 as u8));
        assert_eq!(window.skip(2_000_000), 2_000_000);
        assert!(window.want(1));
        assert_eq!((window.offset(), window.bytes()[0]), (2_001_000, 2_001_000_u64 as u8));
        assert_eq!(window.skip(1 << 40), 999_000);
        assert!(!window.want(1));
        assert_eq!(window.offset(), 3_000_000);
        assert_eq!(window.failure(), Some("broken pipe of a test"));
    }

    #[test]
    fn a_wish_that_cannot_be_had_allocates_nothing() {
        let mut window = Window::new(Box::new(&b"short"[..]));
        assert!(!window.want(usize::MAX));
        assert_eq!(window.bytes(), b"short");
        assert_eq!(window.buffer.capacity(), READ);
        assert_eq!(window.failure(), None);
    }
}
