//! Random batch contexts: flows, found patterns and messages that no tracker would say of these
//! packets, but might. Engines are held against each other with them. The invariant: the bits keep
//! the rules of the ABI: none of a flow without `FLOW`, one direction with it, and only where there
//! is an IP header. (Rejected: only what the tracker says of the packets; it never says most of
//! what an engine must stand.)

use crate::choices::Choices;
use mrule_compiler::abi::{FlowView, Head, Packet, bit};
use mrule_compiler::context::BatchContext;
use mrule_compiler::dissect::dissect;
use mrule_compiler::fields::{App, FIELDS, Facet, Source};
use mrule_compiler::hir::{Program, StreamId};

const TEXTS: &[&str] =
    &["", "GET", "POST", "/", "/index.html", "example.com", "www.example.com", "a", "evil"];

/// A context of these packets.
pub fn random(program: &Program, packets: &[Packet], choices: &mut Choices) -> BatchContext {
    let mut context = BatchContext::new(program, packets.len());
    let facets: Vec<Facet> = FIELDS
        .iter()
        .filter_map(|f| if let Source::Facet(facet) = f.source { Some(facet) } else { None })
        .collect();
    for (i, packet) in packets.iter().enumerate() {
        let mut head = dissect(packet);
        if head.outer.bits & bit::NET != 0 && choices.chance(85) {
            context.flows[i] = view(choices);
            flow_bits(&mut head, choices);
        }
        context.heads[i] = head;
        for pattern in 0..program.streams.len() {
            if choices.chance(30) {
                context.mark(i, StreamId(pattern as u32));
            }
        }
        for _ in 0..choices.below(6) {
            let Some(&facet) = choices.pick(&facets) else { break };
            if facet.is_number() {
                let near = [0, 1, 3, 28, 200, 404, 0x0303];
                let value = choices.pick(&near).copied().unwrap_or(0);
                context.say_num(i, facet, value);
            } else {
                context.say_text(i, facet, choices.word_of(TEXTS).as_bytes());
            }
        }
    }
    context
}

fn flow_bits(head: &mut Head, choices: &mut Choices) {
    head.outer.bits |= bit::FLOW;
    head.outer.bits |= if choices.chance(50) { bit::FROM_SERVER } else { bit::FROM_CLIENT };
    for (flag, often) in [(bit::STREAM, 85), (bit::ISN, 60)] {
        if choices.chance(often) {
            head.outer.bits |= flag;
        }
    }
}

fn view(choices: &mut Choices) -> FlowView {
    let count = |choices: &mut Choices| {
        let bits = choices.pick(&[1, 4, 10, 14, 48]).copied().unwrap_or(1);
        choices.bits(bits)
    };
    let offset = count(choices);
    let payload = if choices.chance(70) { choices.bits(11) } else { 0 };
    FlowView {
        active: choices.bits(64),
        offset,
        end: (offset + payload).min((1 << 48) - 1),
        lead: if choices.chance(10) { choices.bits(5) } else { 0 },
        len: count(choices),
        isn: choices.bits(32),
        app: choices.below(App::NAMES.len()) as u64,
        is_new: choices.bits(1),
        established: choices.bits(1),
        midstream: choices.bits(1),
        client_known: choices.bits(1),
        packets: count(choices),
        bytes: count(choices),
        client_packets: count(choices),
        client_bytes: count(choices),
        server_packets: count(choices),
        server_bytes: count(choices),
        age: choices.bits(63) >> choices.below(50),
        idle: choices.bits(63) >> choices.below(50),
        id: choices.bits(64),
    }
}
