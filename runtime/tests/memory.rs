//! A capture whose lengths lie makes no memory grow. Alone in its file, because it looks at the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

mod common;

use common::{Ng, ORDERS, read_bytes};

/// The most address space this process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn lying_lengths_allocate_nothing() {
    let before = peak();
    for order in ORDERS {
        for kind in [1, 2, 3, 6, 0x0a0d_0d0a, 77] {
            for length in [0xffff_fffc_u32, 0x8000_0000, 16 << 20, (16 << 20) - 4] {
                let mut bytes = Ng::new(order).interface(1, 0, &[]).bytes;
                bytes.extend(order.u32(kind));
                bytes.extend(order.u32(length));
                bytes.extend(order.u32(0x1a2b_3c4d));
                bytes.extend([0; 100]);
                assert!(read_bytes(&bytes).unwrap().broken.is_some());
            }
        }
    }
    assert!(peak() < before + 32 * 1024, "{before} KiB, then {} KiB", peak());
}
