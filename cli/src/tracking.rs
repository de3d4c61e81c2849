//! The counts of flows and streams in the summary of a run. The invariant: text and JSON show the
//! runtime's own counts. (Rejected: only the largest counts; a user often looks for a count that is
//! missing.)

use crate::screen::{DIM, Look};
use crate::table::grouped;
use mrule_engine::counters::Counters;
use mrule_engine::decider::TrackCounts;
use mrule_engine::stream::StreamCounts;
use serde_json::{Map, Value, json};
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
        (s.gaps.acknowledged, "gaps that the receiver had acknowledged"),
        (s.gaps.closed, "gaps before the end of a connection"),
        (s.gaps.too_many_bytes + s.gaps.direction_full, "gaps with too many bytes after them"),
        (s.gaps.too_many_packets, "gaps with too many packets after them"),
        (s.gaps.too_long, "gaps that lasted too long"),
        (m.pool_full + s.gaps.pool_full, "dropped because the stream pool was full"),
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
    json!({
        "memory": tracked.memory,
        "flows": counters(&tracked.flows),
        "streams": tracked.streams.as_ref().map(counters),
    })
}

/// All numbers of a struct of sums, in the order of its declaration.
pub fn counters(counters: &impl Counters) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, value) in counters.list() {
        match name.split_once('.') {
            None => {
                members.insert(name, json!(value));
            }
            Some((outer, inner)) => {
                let outer = members.entry(outer).or_insert_with(|| json!({}));
                if let Value::Object(outer) = outer {
                    outer.insert(inner.to_owned(), json!(value));
                }
            }
        }
    }
    members
}
