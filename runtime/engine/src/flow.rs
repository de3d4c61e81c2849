//! Flows: which packets belong together, what is counted of them, where each payload byte lies in
//! its stream. The invariants: memory is bounded by [`Limits`], chosen at start; nothing is
//! allocated for a packet once the table has grown to its capacity; time is packet time. (Rejected:
//! a map from keys to boxed flows.)
//!
//! - `key`: which flow a packet is of; `fragments`: which datagram.
//! - `name`: flows as people write them; `table/query`: what may be asked of those that are there.
//! - `entry`: one flow in 120 bytes; `index`: from keys to entries; `idle_buckets`: which flow
//!   is the idlest.
//! - `batch`: a look ahead; `tcp`: sequence numbers and states; `view`: what is said of a packet;
//!   `table`: one packet after the other.

mod batch;
mod entry;
mod fragments;
mod idle_buckets;
mod index;
mod key;
mod name;
mod table;
mod tcp;
mod view;

pub use name::protocol;
pub use name::{End, FlowName};
pub use table::Slice;
pub use table::{FlowAbout, FlowCounts, FlowTable};

/// A flow's place in the table. It is used again after the flow has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u32);

impl FlowId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A packet that was observed: [`FlowTable::segment`] says the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Its flow.
    pub flow: FlowId,
    length: u32,
    start: i64,
}

/// A packet's part of its direction's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its flow.
    pub flow: FlowId,
    /// The flow began with this packet: whatever was known of this place in the table is of another
    /// flow.
    pub is_new: bool,
    /// Sent by the end that opened the flow.
    pub from_client: bool,
    /// The protocol number.
    pub proto: u8,
    /// Stream offset of the first payload byte; below 0 for bytes before the start of the stream.
    pub start: i64,
    /// The payload as far as it was captured, without padding.
    pub payload: &'a [u8],
    /// Its length on the wire.
    pub length: u32,
    /// The start of this direction's stream was not seen.
    pub midstream: bool,
    /// A fragment that is not the first of its datagram: its payload begins no message.
    pub continues: bool,
}

/// How much a table remembers, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most flows at once, at most [`Limits::MAX_FLOWS`]; each takes 128 bytes.
    pub flows: usize,
    /// The most datagrams whose first fragment is remembered.
    pub fragments: usize,
    /// When an idle flow is over.
    pub timeouts: Timeouts,
}

impl Limits {
    /// The most flows that one table can have.
    pub const MAX_FLOWS: usize = (1 << 24) - (1 << 14);
}

impl Default for Limits {
    fn default() -> Self {
        Limits { flows: 1 << 20, fragments: 1 << 14, timeouts: Timeouts::default() }
    }
}

/// After how many nanoseconds without a packet, either way, a flow is over: the next packet with
/// its key begins a new one. The defaults are near those of Linux's connection tracking, with an
/// hour for open TCP connections instead of five days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP of which nothing but a SYN, its answers and empty segments was seen: 60 s.
    pub tcp_opening: i64,
    /// TCP that is open, or was found in mid-stream: 1 h.
    pub tcp_established: i64,
    /// TCP that one end has closed with a FIN: 120 s.
    pub tcp_closing: i64,
    /// TCP that was reset, or closed by both ends: 10 s. New data after a RST shows that it was not
    /// heeded.
    pub tcp_closed: i64,
    /// UDP, while only one end has sent: 30 s.
    pub udp: i64,
    /// UDP, once both ends have sent: 180 s.
    pub udp_established: i64,
    /// ICMP and ICMPv6: 30 s.
    pub icmp: i64,
    /// Other protocols: 600 s.
    pub other: i64,
}

impl Default for Timeouts {
    fn default() -> Self {
        const SECOND: i64 = 1_000_000_000;
        Timeouts {
            tcp_opening: 60 * SECOND,
            tcp_established: 3600 * SECOND,
            tcp_closing: 120 * SECOND,
            tcp_closed: 10 * SECOND,
            udp: 30 * SECOND,
            udp_established: 180 * SECOND,
            icmp: 30 * SECOND,
            other: 600 * SECOND,
        }
    }
}
