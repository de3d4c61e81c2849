//! Tests that wrong lengths in a capture do not make memory grow.

use super::{alone, status};
use crate::common::{Ng, ORDERS, read_bytes};

#[test]
fn lying_lengths_allocate_nothing() {
    alone("memory::captures::lying_lengths_allocate_nothing", || {
        let before = status("VmPeak");
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
        assert!(status("VmPeak") < before + (32 << 20), "{before} bytes, then {} bytes", status("VmPeak"));
    });
}
