//! What the kernel and the processor are told about memory, for tables that are larger than any cache: which of it to back with huge
//! pages, and what will be read soon. The invariant: it is advice; nothing depends on its being followed, and no byte
//! changes. (Rejected: mappings of hugetlbfs, which somebody must have reserved.) See madvise(2).

#![expect(unsafe_code, reason = "advice about addresses")]

/// Bytes of a huge page where pages have 4 KiB.
const HUGE: usize = 2 << 20;
/// Less memory than this is left alone: a huge page is taken whole when one byte of it is written, and where little is kept
/// that is most of it.
const LEAST: usize = 4 * HUGE;

/// Asks the kernel to back this memory with huge pages as it is first written. Only the huge pages that lie within it are, and only
/// of memory that is large.
pub(crate) fn prefer_huge_pages<T>(memory: &[T]) {
    let bytes = size_of_val(memory);
    if bytes < LEAST {
        return;
    }
    let address = memory.as_ptr().addr();
    let first = address.next_multiple_of(HUGE);
    let length = (address + bytes).saturating_sub(first) / HUGE * HUGE;
    let start = memory.as_ptr().cast::<u8>().wrapping_add(first - address);
    // SAFETY: the range lies within `memory`, which is borrowed; this advice changes neither what can be read or written
    // there nor any byte of it.
    unsafe { libc::madvise(start.cast_mut().cast(), length, libc::MADV_HUGEPAGE) };
}

/// Asks the processor for the cache line in which this begins, and does not wait for it.
#[inline(always)]
pub(crate) fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is in every processor of this architecture and faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

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
    #[cfg_attr(miri, ignore = "no kernel")]
    fn what_is_large_is_in_huge_pages_and_nothing_else() {
        if !std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
            return;
        }
        // Mappings of their own: where others' memory lies beside it is the allocator's affair.
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
        assert!(memory.iter().all(|word| *word == 0));
    }
}
