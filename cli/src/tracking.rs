//! What was remembered of flows and streams, in the summary of a run. The invariant: text and JSON show the runtime's own
//! counts. (Rejected: one line of the busiest counts; what is missing is what one looks for.)

use crate::screen::{DIM, Look};
use crate::summary::grouped;
use mrule_runtime::decider::TrackCounts;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Prints the counts as text.
pub fn text(tracked: &TrackCounts, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let f = &tracked.flows;
    writeln!(out, "\n{}", look.paint(DIM, "flows"))?;
    let evicted = f.evicted_young + f.evicted_established;
    let fates = [
        (f.active, "alive"),
        (f.expired, "idle for too long"),
        (f.ended, "followed by another with the same ends"),
        (evicted, "made room for others"),
    ];
    let fates: Vec<String> =
        fates.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
    writeln!(out, "{} seen: {}", grouped(f.created), fates.join(", "))?;
    if f.orphan_fragments > 0 {
        writeln!(out, "{} fragments without their first one belong to none", grouped(f.orphan_fragments))?;
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
            "foreign": f.foreign,
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
    })
}
