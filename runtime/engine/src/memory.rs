//! Memory for tables that are larger than any cache: pages from the kernel, and advice to the
//! kernel and the processor about huge pages and about soon needed lines. Invariant: advice changes
//! no byte, and nothing depends on its effect. (Rejected: hugetlbfs mappings, which an
//! administrator must reserve. Rejected: zeroed memory from the allocator, which writes all of it
//! for alignments above 16 bytes.) See mmap(2), madvise(2).

#![expect(unsafe_code, reason = "mappings, and advice about addresses")]

use bytemuck::Zeroable;
use std::alloc::Layout;
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

/// The system does not have this memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no {} of memory for it", size_text(*bytes))]
pub struct NoMemory {
    /// The number of bytes that were asked for.
    pub bytes: u64,
}

impl NoMemory {
    /// An error for `count` elements of `size` bytes.
    pub(crate) fn of(count: usize, size: usize) -> NoMemory {
        NoMemory { bytes: (count as u64).saturating_mul(size as u64) }
    }

    /// Aborts the process, as an allocation that cannot fail does.
    pub(crate) fn abort(self) -> ! {
        let size = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(isize::MAX as usize - 4096);
        let layout = std::alloc::Layout::from_size_align(size, 1);
        std::alloc::handle_alloc_error(layout.unwrap_or(std::alloc::Layout::new::<u8>()))
    }
}

/// An empty list with room for `room` elements.
///
/// # Errors
/// [`NoMemory`]
pub(crate) fn list<T>(room: usize) -> Result<Vec<T>, NoMemory> {
    let mut list = Vec::new();
    list.try_reserve_exact(room).map_err(|_| NoMemory::of(room, size_of::<T>()))?;
    Ok(list)
}

/// A number of bytes in words: `1.5 GiB`.
pub fn size_text(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// Bytes of a huge page where a page has 4 KiB.
const HUGE: usize = 2 << 20;
/// Smaller memory gets no huge pages: the first write to a huge page takes all of it, and in small
/// memory much of that would stay unused.
const LEAST: usize = 3 * HUGE;

/// Memory for `len` elements, all zero. The kernel provides a page when it is first written. The
/// memory begins at a page boundary, so elements aligned to cache lines lie in single lines.
pub(crate) struct Pages<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: `Pages` owns its elements, as a boxed slice does.
unsafe impl<T: Send> Send for Pages<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Pages<T> {}

impl<T: Zeroable> Pages<T> {
    /// Maps memory for `len` elements.
    ///
    /// # Errors
    /// [`NoMemory`]: the kernel has no memory.
    pub(crate) fn new(len: usize) -> Result<Pages<T>, NoMemory> {
        const { assert!(!std::mem::needs_drop::<T>() && align_of::<T>() <= 4096) };
        let layout = Layout::array::<T>(len).map_err(|_| NoMemory::of(len, size_of::<T>()))?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping, which overlaps no other.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), layout.size().max(1), access, kind, -1, 0) };
        match NonNull::new(start.cast::<T>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Pages { start, len }),
            _ => Err(NoMemory { bytes: layout.size() as u64 }),
        }
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping has `len` elements at page alignment; it is zeroed, which is a valid
        // `T`; it lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Pages<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no borrow of it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), (self.len * size_of::<T>()).max(1)) };
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} elements", self.len)
    }
}

/// Asks the kernel to back this memory with huge pages when it is first written. Only large memory
/// gets the advice, and only for the huge pages that lie within it.
pub(crate) fn prefer_huge_pages<T>(memory: &[T]) {
    let bytes = size_of_val(memory);
    // Miri knows no such advice.
    if bytes < LEAST || cfg!(miri) {
        return;
    }
    let address = memory.as_ptr().addr();
    let first = address.next_multiple_of(HUGE);
    let length = (address + bytes).saturating_sub(first) / HUGE * HUGE;
    let start = memory.as_ptr().cast::<u8>().wrapping_add(first - address);
    // SAFETY: the range lies within `memory`, which is borrowed; this advice changes neither what
    // can be read or written there nor any byte of it.
    unsafe { libc::madvise(start.cast_mut().cast(), length, libc::MADV_HUGEPAGE) };
}

/// Prefetches the cache line in which `at` begins, and does not wait for it.
#[inline(always)]
pub fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: each processor of this architecture has the instruction, and it faults at no
        // address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) };
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
    let _ = at;
}

/// Like [`prefetch`], for a line that will be written: other processors give up their copies.
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(at: &T) {
    // Miri runs no assembly.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction faults at no address; processors of this architecture that lack it
    // ignore it.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    prefetch(at);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    /// The flags that the kernel shows for the mapping of an address, in `/proc/self/smaps`.
    fn flags(address: usize) -> String {
        let (mut within, mut flags) = (false, String::new());
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            let ends = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((Ok(first), Ok(end))) =
                ends.map(|(a, b)| (usize::from_str_radix(a, 16), usize::from_str_radix(b, 16)))
            {
                within = (first..end).contains(&address);
            } else if let Some(found) = line.strip_prefix("VmFlags:").filter(|_| within) {
                found.clone_into(&mut flags);
            }
        }
        flags
    }

    #[test]
    fn pages_are_zero_and_lie_as_pages_do() {
        for len in [0, 1, 64, if cfg!(miri) { 1000 } else { 100_000 }] {
            let pages: Pages<[u64; 8]> = Pages::new(len).unwrap();
            assert_eq!((pages.len(), pages.as_ptr().addr() % 4096), (len, 0));
            assert!(pages.iter().flatten().all(|word| *word == 0));
            assert_eq!(format!("{pages:?}"), format!("{len} elements"));
        }
    }

    #[test]
    fn pages_go_to_other_threads() {
        let pages: Pages<AtomicU64> = Pages::new(1000).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let pages = &pages;
                scope.spawn(move || {
                    pages.iter().skip(worker).step_by(2).for_each(|word| {
                        word.fetch_add(1 + worker as u64, Relaxed);
                    });
                });
            }
        });
        let sum = std::thread::spawn(move || pages.iter().map(|word| word.load(Relaxed)).sum::<u64>());
        assert_eq!(sum.join().unwrap(), 500 + 1000);
    }

    #[test]
    fn hints_change_no_byte() {
        let pages: Pages<AtomicU64> = Pages::new(2 * LEAST / size_of::<AtomicU64>()).unwrap();
        let last = pages.len() - 1;
        pages[last].store(7, Relaxed);
        prefer_huge_pages(&pages);
        for word in [&pages[0], &pages[last]] {
            prefetch(word);
            prefetch_to_write(word);
        }
        assert_eq!((pages[0].load(Relaxed), pages[last].load(Relaxed)), (0, 7));
        prefetch(&pages[last]);
        prefetch_to_write(&());
    }

    #[test]
    fn memory_that_is_not_to_be_had_is_refused() {
        assert_eq!(Pages::<[u64; 8]>::new(usize::MAX).map(|_| ()), Err(NoMemory { bytes: u64::MAX }));
        if cfg!(miri) {
            return;
        }
        let most = usize::MAX / 128;
        assert_eq!(Pages::<[u64; 8]>::new(most).map(|_| ()), Err(NoMemory { bytes: most as u64 * 64 }));
    }

    #[test]
    #[cfg_attr(miri, ignore = "no kernel")]
    fn what_is_large_is_in_huge_pages_and_nothing_else() {
        if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
            return;
        }
        // Separate mappings: in the allocator's memory, other data would lie beside them.
        let memory: Vec<u64> = vec![0; (64 << 20) / 8];
        let middle = memory.as_ptr().addr() + (32 << 20);
        assert!(!flags(middle).contains(" hg"), "{}", flags(middle));
        prefer_huge_pages(&memory[..(LEAST - 1) / 8]);
        assert!(!flags(memory.as_ptr().addr() + HUGE).contains(" hg"));
        prefer_huge_pages(&memory);
        assert!(flags(middle).contains(" hg"), "{}", flags(middle));
        assert!(!flags(memory.as_ptr().addr()).contains(" hg"), "what lies only partly within");
        prefer_huge_pages::<u64>(&[]);
        prefetch(&memory[7]);
        prefetch_to_write(&memory[7]);
        assert!(memory.iter().all(|word| *word == 0));
    }
}
