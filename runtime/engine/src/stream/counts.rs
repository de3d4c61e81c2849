//! Counters of the bytes of streams and of the messages in them. The invariant is
//! [`StreamCounts::adds_up`]. (Rejected: one number for all losses; an operator must know which
//! limit to raise.)

crate::counters! {
    /// Sums since the start.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct StreamCounts {
        /// Packets that were looked at.
        pub segments: u64,
        /// Captured payload bytes of these packets.
        pub bytes: u64,
        /// Bytes that were delivered in order.
        pub delivered: u64,
        /// Bytes that had come before, or lie before the start of their stream.
        pub repeated: u64,
        /// Bytes of directions of which no more bytes are wanted.
        pub unwanted: u64,
        /// Bytes that are now held ahead of a gap.
        pub held: u64,
        /// Bytes that were held when their flow ended or when they were no longer wanted.
        pub abandoned: u64,
        /// Delivered bytes that were searched for patterns.
        pub scanned: u64,
        /// Segments that were held, at least in part.
        pub segments_held: u64,
        /// Gaps that were given up.
        pub gaps: Gaps,
        /// Messages of HTTP, TLS and DNS.
        pub messages: Messages,
        /// Values of messages that no packet reports: the packet had no room for more values, or
        /// the message was complete before its application was known.
        pub facets_dropped: u64,
    }
}

crate::counters! {
    /// Gaps that were given up, by cause.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Gaps {
        /// The pool had no room for the bytes behind the gap.
        pub pool_full: u64,
        /// The direction held as many bytes as it may.
        pub direction_full: u64,
        /// The capture does not contain all bytes of the packet.
        pub truncated: u64,
        /// The other end has acknowledged the missing bytes, so they will not come again.
        pub acknowledged: u64,
        /// The connection was reset; or the direction ended behind the gap, and the other end is
        /// not seen.
        pub closed: u64,
        /// More bytes than the limit waited behind the gap.
        pub too_many_bytes: u64,
        /// More packets than the limit waited behind the gap.
        pub too_many_packets: u64,
        /// Bytes waited behind the gap for longer than the limit.
        pub too_long: u64,
        /// Bytes that were missing in all of these gaps.
        pub bytes: u64,
    }
}

crate::counters! {
    /// Messages, by what became of them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Messages {
        /// Read: heads of HTTP requests and responses.
        pub http: u64,
        /// Read: TLS ClientHellos and ServerHellos.
        pub tls: u64,
        /// Read: DNS messages.
        pub dns: u64,
        /// Given up, together with the direction: larger than the limit for a message.
        pub too_large: u64,
        /// Given up, together with the direction (except DNS over UDP): the protocol does not allow
        /// it.
        pub malformed: u64,
        /// Given up because of a gap in the message, or between messages. Reading continues at the
        /// next segment that begins with a message.
        pub gap: u64,
        /// Given up, together with the direction: the pool had no room for the message's first
        /// part.
        pub pool_full: u64,
    }
}

impl StreamCounts {
    /// Whether each byte was counted exactly once.
    pub fn adds_up(&self) -> bool {
        self.bytes == self.delivered + self.repeated + self.unwanted + self.held + self.abandoned
            && self.scanned <= self.delivered
    }
}
