//! Packets of several ports are taken in the order of their times, packets of one time in the order
//! of ports. Each packet is taken once, however blocks and batches cut the packets.

#![allow(clippy::unwrap_used, reason = "a failed test stops")]

use super::*;
use crate::sys::frame::Frame;
use mrule_compiler::abi::Link;
use proptest::prelude::*;
use std::sync::mpsc::channel;

/// A worker whose ports have one block each, with frames of these times.
fn worker(times: &[Vec<i64>]) -> Worker {
    let port = |(number, times): (usize, &Vec<i64>)| {
        let frame = |(at, time): (usize, &i64)| Frame { start: at as u32, time: *time, ..Frame::default() };
        let frames = times.iter().enumerate().map(frame).collect();
        let mut port = Port::new("p", number as u32, Link::Ethernet, false);
        port.hold(frames, Instant::now());
        port
    };
    Worker {
        number: 0,
        lines: None,
        slots: Vec::new(),
        ports: times.iter().enumerate().map(port).collect(),
        totals: Totals::default(),
        gone: RetiredTotals::default(),
        wakeup: Arc::new(std::fs::File::open("/dev/null").unwrap().into()),
        woken: Instant::now(),
        commands: channel().1,
        pulse: Default::default(),
        stop: Arc::default(),
        published: Arc::default(),
        parts: Vec::new(),
        arena: Vec::new(),
        copied: Vec::new(),
        bounds: Bounds::default(),
        queries: QueryQueue::default(),
    }
}

proptest! {
    #[test]
    fn packets_are_taken_in_the_order_of_their_times(
        times in prop::collection::vec(prop::collection::vec(0_i64..600, 0..700), 1..4),
    ) {
        let mut blocks = times.clone();
        // The kernel delivers frames in their order.
        blocks.iter_mut().for_each(|times| times.sort_unstable());
        let mut worker = worker(&blocks);
        let mut wanted: Vec<(i64, usize, usize)> = Vec::new();
        for (port, times) in blocks.iter().enumerate() {
            wanted.extend(times.iter().enumerate().map(|(at, time)| (*time, port, at)));
        }
        wanted.sort_unstable();
        let mut taken = Vec::new();
        loop {
            let wait = worker.gather(Instant::now(), Duration::ZERO);
            prop_assert!(wait.is_none());
            if worker.parts.is_empty() {
                break;
            }
            prop_assert!(worker.parts.len() <= BATCH);
            taken.extend(worker.parts.iter().map(|part| (part.time, part.port, part.start)));
            // As `load` does with a used block.
            worker.ports.iter_mut().for_each(Port::let_go);
        }
        prop_assert_eq!(taken, wanted);
    }

    #[test]
    fn what_runs_back_in_time_stays_in_the_order_of_its_block(times in prop::collection::vec(0_i64..9, 1..600)) {
        let mut worker = worker(std::slice::from_ref(&times));
        let mut taken = Vec::new();
        while taken.len() < times.len() {
            let _now = worker.gather(Instant::now(), Duration::ZERO);
            prop_assert!(!worker.parts.is_empty());
            taken.extend(worker.parts.iter().map(|part| part.time));
        }
        prop_assert_eq!(taken, times);
    }
}
