//! What a flow says of a packet: its payload, its place in the stream, the flow's numbers.
//! Invariant: each wanted member of a view is written, and none exceeds what its field promises.
//! (Rejected: views that are kept in the table, 144 bytes a flow.)

use super::entry::{Entry, MOST, flag};
use super::key::{self, Seeds};
use super::tcp::{self, StreamPosition};
use mrule_compiler::abi::{FlowView, Packet, Stack, bit};

/// The captured part of a packet's payload: everything behind the headers within the IP packet's
/// declared length.
pub(super) fn captured<'p>(packet: &Packet<'p>, stack: &Stack) -> &'p [u8] {
    packet.frame().get(stack.headers_end as usize..stack.l3_end as usize).unwrap_or(&[])
}

/// The payload's length on the wire.
#[inline(always)]
pub(super) fn payload_length(packet: &Packet, stack: &Stack) -> u32 {
    if stack.bits & bit::TCP_LEN != 0 {
        return stack.tcp_len;
    }
    key::wire_end(packet, stack).saturating_sub(stack.headers_end)
}

/// A packet of a protocol without offsets: its payload follows the bytes before it.
#[inline(always)]
pub(super) fn by_volume(flow: &mut Entry, from: usize, length: u32) -> StreamPosition {
    let start = flow.top(from);
    flow.set_top(from, start + u64::from(length));
    if !flow.has(flag::ESTABLISHED) && flow.counted(1 - from).0 > 0 {
        flow.set(flag::ESTABLISHED | flag::SETTLED);
    }
    StreamPosition { start: start as i64, length, known: true }
}

/// Times for a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub is_new: bool,
    pub age: i64,
    pub idle: i64,
}

/// Members of views that only some programs ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Counts and times.
    pub numbers: bool,
    /// Seeds for the numbers that tell flows apart.
    pub ids: Option<Seeds>,
}

/// Fills a view with what is known about a flow and with the optional members that are wanted.
/// Returns the presence bits of the members. (The code writes member by member, in the order in
/// which values become known: one record at the end would keep them all waiting in memory.)
#[inline(always)]
pub(super) fn fill(
    view: &mut FlowView,
    flow: &Entry,
    from: usize,
    place: StreamPosition,
    times: Times,
    wanted: &Wanted,
) -> u64 {
    let client = flow.client();
    view.is_new = u64::from(times.is_new);
    view.active = flow.active;
    view.app = u64::from(flow.app());
    view.established = u64::from(flow.has(flag::ESTABLISHED));
    view.client_known = u64::from(flow.any(flag::OPENED | flag::CONTENT));
    if wanted.numbers {
        fill_numbers(view, flow, client, times);
    }
    if let Some(ids) = &wanted.ids {
        view.id = ids.flow(&flow.key(), flow.first);
    }
    let length = u64::from(place.length);
    (view.offset, view.lead) = match u64::try_from(place.start) {
        Ok(start) => (start.min(MOST), 0),
        Err(_) => (0, place.start.unsigned_abs().min(length)),
    };
    view.end = (view.offset + length - view.lead).min(MOST);
    view.len = if place.known { flow.top(from) } else { 0 };
    let mut bits = bit::FLOW | if place.known { bit::STREAM } else { 0 };
    let isn = flow.end(from) & flag::ISN != 0;
    view.isn = 0;
    view.midstream = u64::from(place.known & !isn & (flow.proto() == tcp::PROTO));
    if isn {
        view.isn = u64::from(flow.base(from).wrapping_sub(1));
        bits |= bit::ISN;
    }
    bits | if from == client { bit::FROM_CLIENT } else { bit::FROM_SERVER }
}

#[inline(always)]
fn fill_numbers(view: &mut FlowView, flow: &Entry, client: usize, times: Times) {
    view.age = times.age as u64;
    view.idle = times.idle as u64;
    let (client_packets, client_bytes) = flow.counted(client);
    let (server_packets, server_bytes) = flow.counted(1 - client);
    view.client_packets = client_packets;
    view.server_packets = server_packets;
    view.packets = (client_packets + server_packets).min(MOST);
    view.client_bytes = client_bytes;
    view.server_bytes = server_bytes;
    view.bytes = (client_bytes + server_bytes).min(MOST);
}
