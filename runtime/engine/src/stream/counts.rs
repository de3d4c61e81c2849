//! What became of the bytes of streams and of the messages in them. The invariant is
//! [`StreamCounts::adds_up`]. (Rejected: one number for all that was lost; who operates this must
//! know which limit to raise.)

/// Sums since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamCounts {
    /// Packets that were looked at.
    pub segments: u64,
    /// Their captured payload bytes.
    pub bytes: u64,
    /// Bytes that were delivered in order.
    pub delivered: u64,
    /// Bytes that were there before, or lie before the start of their stream.
    pub repeated: u64,
    /// Bytes of directions of which nobody wants more.
    pub unwanted: u64,
    /// Bytes that are held now, behind a gap.
    pub held: u64,
    /// Bytes that were held when their flow ended or nobody wanted them any more.
    pub abandoned: u64,
    /// Delivered bytes that were searched for patterns.
    pub scanned: u64,
    /// Segments of which a part had to be held.
    pub segments_held: u64,
    /// Gaps that were given up.
    pub gaps: Gaps,
    /// Bytes that were missing in these gaps.
    pub gap_bytes: u64,
    /// Messages of HTTP, TLS and DNS.
    pub messages: Messages,
    /// What messages said and no packet says: one said too much, or the message was complete before
    /// its application was known.
    pub facets_dropped: u64,
}

/// Gaps by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gaps {
    /// No room in the pool for what comes behind.
    pub pool_full: u64,
    /// The direction holds as much as it may.
    pub direction_full: u64,
    /// The capture has not all bytes of the packet.
    pub truncated: u64,
}

/// Messages by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Messages {
    /// Read: heads of HTTP requests and responses.
    pub http: u64,
    /// Read: TLS ClientHellos and ServerHellos.
    pub tls: u64,
    /// Read: DNS messages.
    pub dns: u64,
    /// Given up, and with it the direction: larger than a message may be.
    pub too_large: u64,
    /// Given up, and with it the direction (unless DNS over UDP): not what the protocol allows.
    pub malformed: u64,
    /// Given up, and with it the direction: a gap in it, or between messages.
    pub gap: u64,
    /// Given up, and with it the direction: no room in the pool for its first part.
    pub pool_full: u64,
}

impl StreamCounts {
    /// Whether every byte was counted once.
    pub fn adds_up(&self) -> bool {
        self.bytes == self.delivered + self.repeated + self.unwanted + self.held + self.abandoned
            && self.scanned <= self.delivered
    }
}
