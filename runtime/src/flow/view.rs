//! What a flow says of a packet: its payload, its place in the stream, the flow's numbers. The invariant: every member of a
//! view is written, and none passes what its field promises. (Rejected: views that are kept in the table, 144 bytes a
//! flow.)

use super::entry::{Entry, MOST, flag};
use super::key;
use super::tcp::{self, Place};
use mrule_compiler::abi::{FlowView, Packet, Stack, bit};

/// A packet's payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'p> {
    pub captured: &'p [u8],
    /// Its length on the wire.
    pub wire: u32,
}

/// Everything behind the headers that the IP packet declares.
#[inline(always)]
pub(super) fn payload<'p>(packet: &Packet<'p>, stack: &Stack) -> Payload<'p> {
    let start = stack.headers_end;
    let captured = packet.frame().get(start as usize..stack.l3_end as usize).unwrap_or(&[]);
    let wire = if stack.bits & bit::TCP_LEN != 0 {
        stack.tcp_len
    } else {
        key::wire_end(packet, stack).saturating_sub(start)
    };
    Payload { captured, wire }
}

/// A packet of a protocol without offsets: its payload comes after what came before.
#[inline(always)]
pub(super) fn by_volume(flow: &mut Entry, from: usize, length: u32) -> Place {
    let start = flow.top(from);
    flow.set_top(from, start + u64::from(length));
    if !flow.has(flag::ESTABLISHED) && flow.counted(1 - from).0 > 0 {
        flow.set(flag::ESTABLISHED | flag::SETTLED);
    }
    Place { start: start as i64, length, known: true }
}

/// Times that a view tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub is_new: bool,
    pub age: i64,
    pub idle: i64,
}

/// Says what is known of a flow, and gives back the bits that say it.
#[inline(always)]
pub(super) fn fill(view: &mut FlowView, flow: &Entry, from: usize, place: Place, times: Times) -> u64 {
    let client = flow.client();
    let (client_packets, client_bytes) = flow.counted(client);
    let (server_packets, server_bytes) = flow.counted(1 - client);
    let isn = flow.has(flag::of(flag::ISN, from));
    let offset = (place.start.max(0) as u64).min(MOST);
    let lead = place.start.min(0).unsigned_abs().min(u64::from(place.length));
    *view = FlowView {
        active: flow.active,
        offset,
        end: (offset + u64::from(place.length) - lead).min(MOST),
        lead,
        len: if place.known { flow.top(from) } else { 0 },
        isn: if isn { u64::from(flow.base(from).wrapping_sub(1)) } else { 0 },
        app: u64::from(flow.app()),
        is_new: u64::from(times.is_new),
        established: u64::from(flow.has(flag::ESTABLISHED)),
        midstream: u64::from(place.known & !isn & (flow.proto() == tcp::PROTO)),
        packets: (client_packets + server_packets).min(MOST),
        bytes: (client_bytes + server_bytes).min(MOST),
        client_packets,
        client_bytes,
        server_packets,
        server_bytes,
        age: times.age as u64,
        idle: times.idle as u64,
    };
    let side = if from == client { bit::FROM_CLIENT } else { bit::FROM_SERVER };
    let stream = if place.known { bit::STREAM } else { 0 };
    bit::FLOW | side | stream | if isn { bit::ISN } else { 0 }
}
