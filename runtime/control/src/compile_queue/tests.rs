//! The queue's order, its bounds, and what becomes of compilations that nobody awaits. The
//! invariant: each test decides by channels when a job ends, so no time is waited for. (Rejected:
//! sleeping jobs.)
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

use super::*;
use std::sync::mpsc::channel;

/// A queue whose thread is busy until the sender is dropped.
fn busy() -> (CompileQueue, std::sync::mpsc::Sender<()>, Ticket<()>) {
    let queue = CompileQueue::new(CompileLimits::default());
    let (hold, held) = channel::<()>();
    let (begun, begins) = channel();
    let ticket = queue.submit(None, move |_| {
        begun.send(()).unwrap();
        let _let_go = held.recv();
    });
    begins.recv().unwrap();
    (queue, hold, ticket.unwrap())
}

#[test]
fn the_owner_first_and_the_others_in_turn() {
    let (queue, hold, _first) = busy();
    let (tell, told) = channel();
    let submit = |client: Option<&'static str>, what: &'static str| {
        let tell = tell.clone();
        queue.submit(client, move |_| tell.send(what).unwrap()).unwrap()
    };
    let mut tickets: Vec<_> = ["a1", "a2", "a3"].map(|what| submit(Some("a"), what)).into();
    tickets.push(submit(Some("b"), "b1"));
    tickets.push(submit(None, "owner"));
    drop(hold);
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["owner", "a1", "b1", "a2", "a3"]);
}

#[test]
fn the_queue_is_bounded_for_each_and_for_all() {
    let (queue, hold, _first) = busy();
    let names: Vec<String> = (0..WAITING / WAITING_OF_ONE).map(|i| format!("client {i}")).collect();
    let mut tickets = Vec::new();
    for name in &names {
        for _ in 0..WAITING_OF_ONE {
            tickets.push(queue.submit(Some(name), |_| ()).unwrap());
        }
    }
    assert_eq!(queue.waiting(), WAITING);
    assert_eq!(queue.submit(Some("another"), |_| ()).err(), Some(Busy::All));
    let owner = queue.submit(None, |_| ()).unwrap();
    // One that goes away makes room.
    drop(tickets.pop());
    assert_eq!(queue.waiting(), WAITING);
    assert_eq!(queue.submit(Some(&names[0]), |_| ()).err(), Some(Busy::One(WAITING_OF_ONE)));
    tickets.push(queue.submit(Some("another"), |_| ()).unwrap());
    drop(hold);
    owner.wait().unwrap();
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_some()));
}

#[test]
fn a_client_that_goes_away_stops_its_compilation() {
    let queue = CompileQueue::new(CompileLimits::default());
    let (begun, begins) = channel();
    let (ended, ends) = channel();
    let ticket = queue.submit(Some("a"), move |budget| {
        begun.send(()).unwrap();
        while budget.stopped().is_none() {
            std::thread::yield_now();
        }
        ended.send(budget.stopped()).unwrap();
    });
    begins.recv().unwrap();
    drop(ticket);
    assert_eq!(ends.recv().unwrap(), Some(Stop::Cancelled));
    assert_eq!(queue.submit(None, |_| 7).unwrap().wait(), Some(7));
}

#[test]
fn a_panic_ends_one_compilation_and_not_the_queue() {
    let queue = CompileQueue::new(CompileLimits::default());
    let ticket = queue.submit(None, |_| -> u8 { std::panic::resume_unwind(Box::new("a test")) }).unwrap();
    assert_eq!(ticket.wait(), None);
    assert_eq!(queue.submit(Some("b"), |_| 8).unwrap().wait(), Some(8));
}

#[test]
fn time_is_a_budget_too() {
    let limits = CompileLimits { time: Duration::from_millis(1), ..CompileLimits::default() };
    let queue = CompileQueue::new(limits);
    let wait = |budget: &CompileBudget| loop {
        if let Some(stop) = budget.stopped() {
            break stop;
        }
        std::thread::yield_now();
    };
    assert_eq!(queue.submit(None, wait).unwrap().wait(), Some(Stop::Time(limits.time)));
}

#[test]
fn the_end_of_the_run_ends_what_waits() {
    let (queue, hold, _first) = busy();
    let waits = queue.submit(Some("a"), |_| ()).unwrap();
    drop(hold);
    drop(queue);
    // Compiled or not: it is answered.
    let _either = waits.wait();
}
