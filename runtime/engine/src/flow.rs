//! Flows: which packets belong together, what is counted for each flow, and where each payload byte
//! lies in its stream. Invariants: [`Limits`], chosen at start, bound the memory; a packet
//! allocates nothing once the table has grown to its capacity; time is packet time. (Rejected: a
//! map from keys to boxed flows.)
//!
//! - `key`: the flow that a packet belongs to; `fragments`: the datagram that a fragment belongs
//!   to.
//! - `name`: flows as people write them; `table/query`: questions about the flows in the table.
//! - `entry`: one flow in 120 bytes; `index`: from keys to entries; `idle_buckets`: which flow has
//!   been idle the longest.
//! - `batch`: prefetches for a batch; `tcp`: sequence numbers and states; `view`: what a flow says
//!   of a packet; `table`: handles one packet after the other; `table/restart`: SYNs that may begin
//!   another flow.

mod batch;
mod counts;
mod entry;
mod fragments;
mod idle_buckets;
mod index;
mod key;
mod name;
mod table;
mod tcp;
mod view;

pub use counts::FlowCounts;
pub use name::{End, FlowName, protocol};
pub use table::{FlowAbout, FlowTable, Slice};

/// A flow's place in the table. Another flow can take the place after the flow has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u32);

impl FlowId {
    /// The place as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An observed packet. [`FlowTable::segment`] gives its part of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The packet's flow.
    pub flow: FlowId,
    length: u32,
    start: i64,
}

/// The part of its direction's stream that a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The packet's flow.
    pub flow: FlowId,
    /// The flow began with this packet. What was known about this place in the table belongs to an
    /// earlier flow.
    pub is_new: bool,
    /// The client sent the packet.
    pub from_client: bool,
    /// The end that sent the packet, 0 or 1, the same for all packets of the flow. Which end is the
    /// client can become known later.
    pub end: usize,
    /// The protocol number.
    pub proto: u8,
    /// The stream offset of the first payload byte. It is below 0 for bytes before the stream's
    /// start.
    pub start: i64,
    /// The captured part of the payload, without padding.
    pub payload: &'a [u8],
    /// The payload's length on the wire, in bytes.
    pub length: u32,
    /// The start of this direction's stream was not seen.
    pub midstream: bool,
    /// A SYN or content has shown which end is the client.
    pub client_known: bool,
    /// The packet is a fragment other than the first of its datagram: its payload begins no
    /// message.
    pub continues: bool,
    /// The packet's time, in nanoseconds since the Unix epoch.
    pub time: i64,
    /// TCP: the offset in the other direction up to which the packet acknowledges bytes.
    pub ack: Option<u64>,
    /// TCP: the packet has a FIN.
    pub fin: bool,
    /// TCP: the packet has a RST.
    pub rst: bool,
}

/// How many flows and datagrams a table remembers, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The number of flows at once, at most [`Limits::MAX_FLOWS`]. Each flow takes 128 bytes.
    pub flows: usize,
    /// The number of datagrams whose first fragment is remembered.
    pub fragments: usize,
    /// When an idle flow is over.
    pub timeouts: Timeouts,
}

impl Limits {
    /// The upper limit of flows in one table.
    pub const MAX_FLOWS: usize = (1 << 24) - (1 << 14);
}

impl Default for Limits {
    fn default() -> Self {
        Limits { flows: 1 << 20, fragments: 1 << 14, timeouts: Timeouts::default() }
    }
}

/// Nanoseconds without a packet in either direction after which a flow is over. The next packet
/// with its key begins a new flow. The defaults are near those of Linux's connection tracking, but
/// open TCP connections get one hour instead of five days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, while only a SYN, its answers and empty segments were seen: 60 s.
    pub tcp_opening: i64,
    /// TCP that is open, or was found in mid-stream: 1 h.
    pub tcp_established: i64,
    /// TCP that one end has closed with a FIN: 120 s.
    pub tcp_closing: i64,
    /// TCP that was reset, or closed by both ends: 10 s. New data after a RST shows that the
    /// receiver ignored the RST.
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
