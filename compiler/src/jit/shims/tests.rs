//! Calls the shims in the way of generated code, with a hand-made context. No code is generated, so
//! Miri can run these cases and check each reference of a shim against the aliasing rules (`cargo
//! +nightly miri test -p mrule-compiler --lib jit::shims`). The invariant: every shim is called, in
//! the order of generated code, with scenes and verdicts that follow each other on one context.
//! (Rejected: cases over generated code; Miri cannot run it.)
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::{Link, MAX_KEY, bit};
use crate::fields::{BytesSource, Layer};
use crate::hir::{Ask, Bytes, Length, NeedleId, Num, Pred, RegexId, Rule, Station, Target};
use mrule_grammar::span::Span;
use std::marker::PhantomData;
use std::ptr;

/// Ethernet, IPv4, UDP and six bytes.
const FRAME: &[u8] = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0\
    \x45\0\0\x22\0\0\0\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02\
    \x10\0\0\x35\0\x0e\0\0GET /x";

/// The results of a call.
struct Left {
    verdicts: Vec<Verdict>,
    counters: Vec<u64>,
}

/// Calls shims with one context and one packet: the first of its batch, with serial number 1.
fn call(
    program: &Program,
    nodes: &[Node],
    run: impl for<'x> FnOnce(*mut Context<'x>, *const Packet<'x>),
) -> Left {
    let environment = Environment::new(program).unwrap();
    let packet = Packet::new(FRAME, FRAME.len() as u32, Link::Ethernet);
    let (stations, rules) = (program.stations.len(), program.rules.len() + program.limits.len());
    let mut left = Left { verdicts: vec![Verdict::default(); stations], counters: vec![0; rules] };
    let (mut seen, mut asked) = (vec![0; rules], vec![0; 1]);
    let (mut scratch, mut cuts) = (Scratch::default(), vec![Cut::default(); stations]);
    let mut host = Host {
        environment: &environment,
        scratch: &mut scratch,
        nodes,
        program,
        cuts: &mut cuts,
        stations,
        scratch_serial: 0,
        seen: PacketContext::nothing(),
        tracked: false,
        serial: 1,
        windows: 0,
    };
    let mut context = Context {
        asked: asked.as_mut_ptr(),
        verdicts: left.verdicts.as_mut_ptr(),
        counters: left.counters.as_mut_ptr(),
        seen: seen.as_mut_ptr(),
        params: ptr::null(),
        pool: ptr::null(),
        serial: 1,
        head_serial: 0,
        key: [[0; 2]; MAX_KEY],
        head: Head::default(),
        heads: ptr::null(),
        flows: ptr::null(),
        found: ptr::null(),
        keys: ptr::null_mut(),
        events: ptr::null_mut(),
        windows: ptr::null(),
        fired: ptr::null_mut(),
        host: ptr::from_mut(&mut host).cast(),
        lives: PhantomData,
    };
    run(&raw mut context, &raw const packet);
    left
}

fn ask(length: Length) -> Ask {
    Ask { when: Pred::always(), length, span: Span::default() }
}

fn rule(stations: u64, matches: Pred, asks: Vec<Ask>) -> Rule {
    Rule { name: "r".into(), span: Span::default(), matches, asks, stations, everywhere: false }
}

/// A program with two stations and a search.
fn program(rules: Vec<Rule>, limits: Vec<Rule>) -> Program {
    let station = |name: &str| Station {
        name: name.into(),
        span: Span::default(),
        target: Target::Interface { name: name.into() },
        limit: None,
    };
    Program {
        rules,
        limits,
        stations: vec![station("a"), station("b")],
        needles: vec![b"GET".as_slice().into(), b"PUT".as_slice().into()],
        regexes: vec![crate::hir::Regex { pattern: "/[a-z]".into() }],
        ..Program::default()
    }
}

fn payload() -> Bytes {
    Bytes { layer: Layer::Outer, source: BytesSource::UdpPayload, slice: None }
}

fn get() -> Pred {
    Pred::contains(payload(), NeedleId(0))
}

#[test]
fn a_packet_is_dissected_once() {
    call(&program(vec![], vec![]), &[], |context, packet| {
        // SAFETY: as generated code calls it.
        unsafe { dissect(context, packet, 1) };
        // SAFETY: the packet is live.
        let whole = dissect::dissect(unsafe { &*packet });
        // SAFETY: no shim runs, so no other reference to the head is in use.
        let head = unsafe { &mut (*context).head };
        assert_eq!(*head, whole);
        assert_ne!(head.outer.bits & bit::UDP_PAYLOAD, 0);
        *head = Head::default();
        // SAFETY: as generated code calls it.
        unsafe { dissect(context, packet, 1) };
        // SAFETY: as above.
        assert_eq!(unsafe { (*context).head }, Head::default(), "not a second time");
        // SAFETY: as generated code calls it.
        unsafe { dissect(context, packet, 2) };
        // SAFETY: as above.
        assert_eq!(unsafe { (*context).head }, whole, "but for the next packet");
    });
}

#[test]
fn nodes_follow_each_other_on_one_context() {
    let searches = vec![
        rule(1, Pred::and([get(), Pred::contains(payload(), NeedleId(1))]), vec![ask(Length::Full)]),
        rule(1, Pred::matches(payload(), RegexId(0)), vec![ask(Length::Full)]),
    ];
    let program = program(searches, vec![]);
    let nodes = [
        Node::Test(Pred::has_bytes(payload())),
        Node::Number(Num::len(payload())),
        Node::Whole(get()),
        Node::Whole(Pred::contains(payload(), NeedleId(1))),
        Node::Whole(Pred::matches(payload(), RegexId(0))),
        Node::Number(Num::byte(payload())),
    ];
    call(&program, &nodes, |context, packet| {
        // SAFETY: as generated code calls them.
        let tests = [0, 2, 3, 4, 1, 99].map(|node| unsafe { test(context, packet, 1, node) });
        assert_eq!(tests, [1, 1, 0, 1, 0, 0]);
        // SAFETY: as generated code calls them.
        let numbers = [1, 5, 0, 99].map(|node| unsafe { number(context, packet, 1, node) });
        assert_eq!(numbers, [6, u64::from(b'G'), 0, 0]);
        // SAFETY: as generated code writes a part of a key between two calls.
        unsafe { (*context).key[0] = [0, 7] };
        // SAFETY: as generated code calls it.
        assert_eq!(unsafe { test(context, packet, 2, 2) }, 1);
    });
}

#[test]
fn sets_in_the_pool_are_searched() {
    let pool: [u64; 4] = [2, 4, 8, 8];
    // SAFETY: there are two pairs.
    let found = [1, 2, 4, 5, 8, 9].map(|value| unsafe { search(pool.as_ptr(), 2, value) });
    assert_eq!(found, [0, 1, 1, 0, 1, 0]);
    // SAFETY: no pair is read.
    assert_eq!(unsafe { search(pool.as_ptr(), 0, 2) }, 0);
}

#[test]
fn verdicts_grow_and_are_cut() {
    let left = call(&program(vec![], vec![]), &[], |context, _| {
        // SAFETY: as generated code calls them: one packet, two stations.
        unsafe {
            let asked = super::ask(context, 0, 0, 1, 10, 20, 0);
            let asked = super::ask(context, 0, asked, 3, 15, 40, 1);
            assert_eq!(asked, 3);
            settle(context, 0, asked);
            cut(context, 0, 2, 0, 30, 0);
            cut(context, 0, 2, 0, 25, 1);
            finish(context, 0, asked);
        }
    });
    let verdict = |start, end, rule, limit| Verdict { start, end, rule, limit };
    assert_eq!(left.verdicts, [verdict(10, 40, 1, NO_LIMIT), verdict(15, 25, 1, 1)]);
}

#[test]
fn interpreted_rules_give_the_interpreter_s_verdicts() {
    let asks = || vec![ask(Length::Bytes(Num::constant(20))), ask(Length::Headers(Num::constant(2)))];
    let rules = vec![
        rule(3, get(), asks()),
        rule(2, Pred::contains(payload(), NeedleId(1)), vec![ask(Length::Full)]),
        rule(2, Pred::matches(payload(), RegexId(0)), vec![ask(Length::Full)]),
    ];
    let limits = vec![rule(2, get(), vec![ask(Length::Headers(Num::constant(0)))])];
    let program = program(rules, limits);
    let left = call(&program, &[], |context, packet| {
        // SAFETY: as generated code calls them; each list names rules or limits of the program.
        unsafe {
            let asked = interpret(context, packet, 1, 0, 0, [0, 1, 2].as_ptr(), 3, 0);
            // A rule that is found again is not counted again.
            let asked = interpret(context, packet, 1, 0, asked, [0].as_ptr(), 1, 0);
            settle(context, 0, asked);
            assert_eq!(interpret(context, packet, 1, 0, asked, [0].as_ptr(), 1, 1), 3);
            finish(context, 0, asked);
        }
    });
    let environment = Environment::new(&program).unwrap();
    let packet = Packet::new(FRAME, FRAME.len() as u32, Link::Ethernet);
    let head = dissect::dissect(&packet);
    let (mut verdicts, mut counters) = (vec![Verdict::default(); 2], vec![0; 4]);
    let mut scratch = Scratch::default();
    let mut eval = Eval::new(&environment, &mut scratch, &packet, &head, PacketContext::nothing());
    assert_eq!(eval.decide(&program, &mut verdicts, &mut counters), 3);
    assert_eq!((left.verdicts, left.counters), (verdicts, counters));
}
