//! Adds the counters of several workers. Invariant: each member of each record is added, so
//! identities that hold for each worker hold for the sum; code that forgets a member does not
//! compile. (Rejected: counters shared by workers; each packet would cost a bus cycle.)

use super::Totals;
use crate::decider::{TrackCounts, TriggerCount};
use crate::flow::FlowCounts;
use crate::stream::{Gaps, Messages, StreamCounts};

impl Totals {
    /// Adds the sums of another worker for the same program.
    pub fn add(&mut self, other: &Totals) {
        self.packets += other.packets;
        self.wire_bytes += other.wire_bytes;
        self.captured_bytes += other.captured_bytes;
        self.clipped_bytes += other.clipped_bytes;
        self.mirrored += other.mirrored;
        self.unmirrored += other.unmirrored;
        for (sum, more) in self.stations.iter_mut().zip(&other.stations) {
            sum.copies += more.copies;
            sum.bytes += more.bytes;
            sum.withheld += more.withheld;
        }
        for (sum, more) in self.rules.iter_mut().zip(&other.rules) {
            sum.matched += more.matched;
            sum.decided += more.decided;
            sum.bytes += more.bytes;
        }
        for (sum, more) in self.limits.iter_mut().zip(&other.limits) {
            sum.matched += more.matched;
            sum.cut += more.cut;
            sum.withheld += more.withheld;
            sum.others_cut += more.others_cut;
            sum.others_withheld += more.others_withheld;
        }
        self.bound += other.bound;
        self.bound_withheld += other.bound_withheld;
        self.gone.add(&other.gone);
        // The counters of keys are the same for all workers and are not added.
        for (sum, more) in self.triggers.iter_mut().zip(&other.triggers) {
            let sum = &mut sum.packets;
            let TriggerCount { held, raised, extended, vetoed, suppressed, full, unkeyed } = &more.packets;
            sum.held += held;
            sum.raised += raised;
            sum.extended += extended;
            sum.vetoed += vetoed;
            sum.suppressed += suppressed;
            sum.full += full;
            sum.unkeyed += unkeyed;
        }
        match (&mut self.tracked, &other.tracked) {
            (Some(sum), Some(more)) => tracked(sum, more),
            (sum @ None, more) => sum.clone_from(more),
            (Some(_), None) => {}
        }
    }
}

impl Totals {
    /// Appends what another policy decided about the same packets. The packets themselves are
    /// already counted.
    pub fn append(&mut self, other: Totals) {
        self.stations.extend(other.stations);
        self.rules.extend(other.rules);
        self.limits.extend(other.limits);
        self.bound += other.bound;
        self.bound_withheld += other.bound_withheld;
        self.triggers.extend(other.triggers);
        self.gone.add(&other.gone);
        match (&mut self.tracked, other.tracked) {
            (Some(sum), Some(more)) => tracked(sum, &more),
            (sum @ None, more) => *sum = more,
            (Some(_), None) => {}
        }
    }
}

fn tracked(sum: &mut TrackCounts, more: &TrackCounts) {
    let TrackCounts { flows, streams: more_streams, memory, before } = more;
    sum.memory += memory;
    sum.before += before;
    flow(&mut sum.flows, flows);
    match (&mut sum.streams, more_streams) {
        (Some(sum), Some(more)) => streams(sum, more),
        (sum @ None, more) => *sum = *more,
        (Some(_), None) => {}
    }
}

fn flow(sum: &mut FlowCounts, more: &FlowCounts) {
    let FlowCounts {
        packets,
        non_ip,
        active,
        created,
        ended,
        expired,
        evicted_young,
        evicted_established,
        fragments,
        orphan_fragments,
        forgotten_fragments,
    } = more;
    sum.packets += packets;
    sum.non_ip += non_ip;
    sum.active += active;
    sum.created += created;
    sum.ended += ended;
    sum.expired += expired;
    sum.evicted_young += evicted_young;
    sum.evicted_established += evicted_established;
    sum.fragments += fragments;
    sum.orphan_fragments += orphan_fragments;
    sum.forgotten_fragments += forgotten_fragments;
}

fn streams(sum: &mut StreamCounts, more: &StreamCounts) {
    let StreamCounts {
        segments,
        bytes,
        delivered,
        repeated,
        unwanted,
        held,
        abandoned,
        scanned,
        segments_held,
        gaps,
        gap_bytes,
        messages,
        facets_dropped,
    } = more;
    sum.segments += segments;
    sum.bytes += bytes;
    sum.delivered += delivered;
    sum.repeated += repeated;
    sum.unwanted += unwanted;
    sum.held += held;
    sum.abandoned += abandoned;
    sum.scanned += scanned;
    sum.segments_held += segments_held;
    sum.gap_bytes += gap_bytes;
    sum.facets_dropped += facets_dropped;
    let Gaps { pool_full, direction_full, truncated } = gaps;
    sum.gaps.pool_full += pool_full;
    sum.gaps.direction_full += direction_full;
    sum.gaps.truncated += truncated;
    let Messages { http, tls, dns, too_large, malformed, gap, pool_full } = messages;
    sum.messages.http += http;
    sum.messages.tls += tls;
    sum.messages.dns += dns;
    sum.messages.too_large += too_large;
    sum.messages.malformed += malformed;
    sum.messages.gap += gap;
    sum.messages.pool_full += pool_full;
}
