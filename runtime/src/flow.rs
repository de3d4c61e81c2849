//! Flows: which packets belong together, what is counted of them, where each payload byte lies in its stream. The
//! invariants: memory is bounded by [`Limits`], chosen at start; nothing is allocated for a packet once the table has grown
//! to its capacity; time is packet time. (Rejected: a map from keys to boxed flows.)

/// A flow's place in the table. It is used again after the flow has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u32);

impl FlowId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A packet's part of its direction's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its flow.
    pub flow: FlowId,
    /// The flow began with this packet: whatever was known of this place in the table is of another flow.
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
}
