//! Counters of packets and flows. The invariant is the sum that [`FlowCounts`] gives. (Rejected:
//! one number for all ends of flows; an operator must know which limit to raise.)

crate::counters! {
    /// Counters of packets and flows.
    /// `created = active + ended + expired + evicted_young + evicted_established`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct FlowCounts {
        /// Packets that the table looked at.
        pub packets: u64,
        /// Packets without a sound IP header, a part of `packets`.
        pub non_ip: u64,
        /// Flows that began.
        pub created: u64,
        /// Live flows. Some of them may have timed out without the table having noticed it yet.
        pub active: u64,
        /// Flows that ended because a SYN began another flow with the same key.
        pub ended: u64,
        /// Flows that were idle for too long.
        pub expired: u64,
        /// Flows that were evicted although only one end had spoken, to make room.
        pub evicted_young: u64,
        /// Other flows that were evicted to make room.
        pub evicted_established: u64,
        /// Fragments other than the first of their datagram whose flow is known.
        pub fragments: u64,
        /// Fragments other than the first whose first fragment was not seen or is not remembered.
        pub orphan_fragments: u64,
        /// Datagrams that were forgotten before their time to make room.
        pub forgotten_fragments: u64,
    }
}
