//! Tests the memory of a flow table, as the system counts it.

use super::{alone, status};
use mrule_compiler::abi::{FlowView, Head, Link, Packet};
use mrule_compiler::dissect::dissect;
use mrule_engine::flow::{FlowTable, Limits};

/// A SYN from this source.
fn syn(source: u32) -> [u8; 54] {
    let mut frame = [0; 54];
    frame[12] = 8;
    frame[14] = 0x45;
    frame[17] = 40;
    frame[23] = 6;
    frame[26..30].copy_from_slice(&source.to_be_bytes());
    frame[30] = 10;
    frame[34..38].copy_from_slice(&[4, 0, 0, 80]);
    frame[46..48].copy_from_slice(&[0x50, 2]);
    frame
}

fn flood(table: &mut FlowTable, sources: std::ops::Range<u32>) {
    let mut view = FlowView::default();
    for source in sources {
        let frame = syn(source.wrapping_mul(0x9e37_79b1));
        let packet = Packet::new(&frame, 54, Link::Ethernet).at(i64::from(source) * 100);
        let mut heads: [Head; 1] = [dissect(&packet)];
        table.prepare(&[packet], &heads);
        assert!(table.observe(0, &packet, &mut heads[0], &mut view).is_some());
    }
}

#[test]
fn a_flow_takes_128_bytes_and_a_flood_takes_no_more() {
    alone("memory::flows::a_flow_takes_128_bytes_and_a_flood_takes_no_more", || {
        const FLOWS: u64 = 1 << 19;
        const FIXED: u64 = 1 << 20;
        let before = status("RssAnon");
        let limits = Limits { flows: FLOWS as usize, fragments: 64, ..Limits::default() };
        let mut table = FlowTable::new(&limits);
        assert!(status("RssAnon") - before < FIXED, "an empty table takes next to nothing");
        flood(&mut table, 0..FLOWS as u32);
        assert_eq!(table.counts().active, FLOWS);
        let (full, space) = (status("RssAnon") - before, status("VmPeak"));
        assert!(full <= 128 * FLOWS + FIXED, "{} bytes a flow", full as f64 / FLOWS as f64);
        assert!(table.memory() as u64 <= 128 * FLOWS + FIXED);
        flood(&mut table, FLOWS as u32..3 * FLOWS as u32);
        assert!(status("RssAnon") - before <= full + FIXED / 4);
        assert_eq!(status("VmPeak"), space, "nothing is allocated for packets");
        assert_eq!(table.counts().evicted_young, 2 * FLOWS);
    });
}
