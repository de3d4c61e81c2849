//! The counts of flows and streams in the summary of a run. The invariant: text and JSON show the
//! runtime's own counts. (Rejected: only the largest counts; a user often looks for a count that is
//! missing.)

use crate::screen::{DIM, Look};
use crate::table::grouped;
use mrule_engine::decider::TrackCounts;
use mrule_engine::stream::StreamCounts;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Prints the counts as text.
pub fn text(tracked: &TrackCounts, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let f = &tracked.flows;
    writeln!(out, "\n{}", look.paint(DIM, "flows"))?;
    let evicted = f.evicted_young + f.evicted_established;
    let fates = [
        (f.active, "active"),
        (f.expired, "ended by timeout"),
        (f.ended, "replaced by a new connection of the same ends"),
        (evicted, "evicted from the full table"),
    ];
    let fates: Vec<String> =
        fates.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
    writeln!(out, "{} seen: {}", grouped(f.created), fates.join(", "))?;
    if f.orphan_fragments > 0 {
        writeln!(
            out,
            "{} fragments without a flow: their first fragment is missing",
            grouped(f.orphan_fragments)
        )?;
    }
    match &tracked.streams {
        Some(streams) => content(streams, look, out),
        None => Ok(()),
    }
}

fn content(s: &StreamCounts, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let list = |parts: &[(u64, &str)]| {
        let parts = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(*n)));
        parts.collect::<Vec<_>>().join(", ")
    };
    writeln!(out, "\n{}", look.paint(DIM, "streams"))?;
    let bytes = [
        (s.delivered, "in order"),
        (s.repeated, "repeated"),
        (s.unwanted, "not needed"),
        (s.held, "waiting"),
        (s.abandoned, "given up"),
    ];
    writeln!(out, "{} bytes of payload: {}", grouped(s.bytes), list(&bytes))?;
    let m = &s.messages;
    let read = list(&[(m.http, "HTTP"), (m.tls, "TLS"), (m.dns, "DNS")]);
    if !read.is_empty() {
        writeln!(out, "messages parsed: {read}")?;
    }
    let lost = list(&[
        (m.too_large, "messages too large"),
        (m.malformed, "messages malformed"),
        (m.gap, "messages with a gap"),
        (m.pool_full + s.gaps.pool_full, "dropped because the stream pool was full"),
        (s.gaps.direction_full, "gaps with too many bytes after them"),
        (s.gaps.truncated, "packets cut by the capture"),
        (s.facets_dropped, "message fields over the limit of one packet"),
    ]);
    if !lost.is_empty() {
        writeln!(out, "not inspected: {lost}")?;
    }
    Ok(())
}

/// The counts as JSON.
pub fn json(tracked: &TrackCounts) -> Value {
    let f = &tracked.flows;
    json!({
        "memory": tracked.memory,
        "flows": {
            "packets": f.packets,
            "non_ip": f.non_ip,
            "created": f.created,
            "active": f.active,
            "ended": f.ended,
            "expired": f.expired,
            "evicted_young": f.evicted_young,
            "evicted_established": f.evicted_established,
            "fragments": f.fragments,
            "orphan_fragments": f.orphan_fragments,
            "forgotten_fragments": f.forgotten_fragments,
        },
        "streams": tracked.streams.as_ref().map(content_json),
    })
}

fn content_json(s: &StreamCounts) -> Value {
    let (gaps, m) = (&s.gaps, &s.messages);
    json!({
        "segments": s.segments,
        "bytes": s.bytes,
        "delivered": s.delivered,
        "repeated": s.repeated,
        "unwanted": s.unwanted,
        "held": s.held,
        "abandoned": s.abandoned,
        "scanned": s.scanned,
        "segments_held": s.segments_held,
        "gaps": {
            "pool_full": gaps.pool_full,
            "direction_full": gaps.direction_full,
            "truncated": gaps.truncated,
            "bytes": s.gap_bytes,
        },
        "messages": {
            "http": m.http,
            "tls": m.tls,
            "dns": m.dns,
            "too_large": m.too_large,
            "malformed": m.malformed,
            "gap": m.gap,
            "pool_full": m.pool_full,
        },
        "facets_dropped": s.facets_dropped,
    })
}
