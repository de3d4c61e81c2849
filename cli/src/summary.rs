//! The summary of a run, as text tables and as JSON. The invariant: both show the same counts, and
//! the JSON names are stable. (Rejected: computing counts here that the runtime does not have; text
//! and JSON could differ.)

use crate::screen::{BOLD, DIM, Look, printable};
use crate::table::{Table, grouped, packets, percent, size};
use crate::tracking;
use mrule_dataplane::capture::Broken;
use mrule_dataplane::replay::Summary;
use mrule_engine::totals::Totals;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// The file of a station: path and length in bytes; none if no file was written.
pub type StationFile = Option<(PathBuf, u64)>;

/// Prints the summary as text.
pub fn text(
    read: &[PathBuf],
    summary: &Summary,
    took: Duration,
    look: Look,
    out: &mut dyn Write,
) -> io::Result<()> {
    let totals = &summary.totals;
    let name = match read {
        [one] => printable(&one.display().to_string()).into_owned(),
        _ => captures(read),
    };
    let captured = if totals.captured_bytes == totals.wire_bytes {
        String::new()
    } else {
        format!(", {} captured", size(totals.captured_bytes))
    };
    let packets = packets(totals.packets);
    writeln!(
        out,
        "{}: {packets}, {} on the wire{captured}",
        look.paint(BOLD, &name),
        size(totals.wire_bytes)
    )?;
    let share = percent(totals.mirrored as f64 * 100.0 / totals.packets.max(1) as f64);
    let (some, none) = (self::packets(totals.mirrored), grouped(totals.unmirrored));
    writeln!(out, "{some} ({share}) copied to a station, {none} to none")?;

    tables(Vec::new(), &summary.files, totals, look, out)?;
    let seconds = took.as_secs_f64();
    let speed = grouped((totals.packets as f64 / seconds.max(1e-9)) as u64);
    let line = format!("\n{seconds:.2} s, {speed} packets/s");
    writeln!(out, "{}", look.paint(DIM, &line))
}

/// Prints the counts of stations, rules, limits and triggers, below the caller's tables.
pub fn tables(
    before: Vec<Table>,
    files: &[StationFile],
    totals: &Totals,
    look: Look,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut stations = Table::new(&["station", "copies", "withheld", "bytes", "saved"]);
    for (at, s) in totals.stations.iter().enumerate() {
        let saved = totals.saved_percent(s).map_or_else(|| "-".into(), percent);
        let file = files
            .get(at)
            .and_then(Option::as_ref)
            .map(|(path, _)| path.display().to_string())
            .unwrap_or_default();
        stations
            .row(vec![s.name.clone(), grouped(s.copies), grouped(s.withheld), size(s.bytes), saved], file);
    }
    let mut rules = Table::new(&["rule", "matched", "decided", "bytes"]);
    for r in &totals.rules {
        rules.row(vec![r.name.clone(), grouped(r.matched), grouped(r.decided), size(r.bytes)], String::new());
    }
    let mut limits = Table::new(&["limit", "matched", "cut", "withheld"]);
    for l in &totals.limits {
        let others = match l.others_cut + l.others_withheld {
            0 => String::new(),
            n => format!("and {} copies of other policies", grouped(n)),
        };
        limits.row(vec![l.name.clone(), grouped(l.matched), grouped(l.cut), grouped(l.withheld)], others);
    }
    let triggers = triggers(totals);
    let all: Vec<Table> = before.into_iter().chain([stations, rules, limits, triggers]).collect();
    let first = all.iter().map(Table::first).max().unwrap_or(0);
    for table in all {
        table.print(first, look, out)?;
    }
    match &totals.tracked {
        Some(tracked) => tracking::text(tracked, look, out),
        None => Ok(()),
    }
}

/// The captures as messages show them: the name of a single capture, or the number of captures.
pub fn captures(read: &[PathBuf]) -> String {
    match read {
        [one] => format!("`{}`", printable(&one.display().to_string())),
        all => format!("{} captures", all.len()),
    }
}

/// The summary as JSON. Of several captures, `capture` and `broken` are about the first.
pub fn json(read: &[PathBuf], summary: &Summary) -> Value {
    let unsupported =
        summary.unsupported.iter().map(|(link, packets)| json!({ "link_type": link.0, "packets": packets }));
    let mut whole = Map::new();
    whole.insert("version".into(), json!(1));
    let names: Vec<String> = read.iter().map(|path| path.display().to_string()).collect();
    whole.insert("capture".into(), json!(names.first()));
    whole.insert("captures".into(), json!(names));
    whole.extend(decided(&summary.totals, &summary.files));
    whole.insert("unsupported".into(), unsupported.collect());
    whole.insert("clamped_timestamps".into(), json!(summary.clamped_timestamps));
    whole.insert("outlying_times".into(), json!(summary.outlying_times));
    let broken = summary.broken.iter().map(|Broken { path, at }| {
        json!({ "capture": path.display().to_string(), "offset": at.offset, "reason": at.reason.to_string() })
    });
    let broken: Vec<Value> = broken.collect();
    whole.insert("broken".into(), json!(broken.first()));
    whole.insert("broken_captures".into(), json!(broken));
    whole.insert("interrupted".into(), json!(summary.interrupted));
    Value::Object(whole)
}

/// The counts of decisions, as the members of a JSON object.
pub fn decided(totals: &Totals, files: &[StationFile]) -> Map<String, Value> {
    let stations = totals.stations.iter().enumerate().map(|(at, s)| {
        let file = files.get(at).and_then(Option::as_ref);
        json!({
            "name": s.name,
            "copies": s.copies,
            "withheld": s.withheld,
            "bytes": s.bytes,
            "saved_percent": totals.saved_percent(s),
            "file": file.map(|(path, _)| path.display().to_string()),
            "file_bytes": file.map(|(_, bytes)| bytes),
        })
    });
    let rules = totals
        .rules
        .iter()
        .map(|r| json!({ "name": r.name, "matched": r.matched, "decided": r.decided, "bytes": r.bytes }));
    let limits = totals
        .limits
        .iter()
        .map(|l| json!({ "name": l.name, "matched": l.matched, "cut": l.cut, "withheld": l.withheld, "others_cut": l.others_cut, "others_withheld": l.others_withheld }));
    let triggers = totals.triggers.iter().map(|t| {
        let p = &t.packets;
        let mut trigger = json!({
            "name": t.name,
            "held": p.held,
            "raised": p.raised,
            "extended": p.extended,
            "vetoed": p.vetoed,
            "suppressed": p.suppressed,
            "full": p.full,
            "unkeyed": p.unkeyed,
        });
        if let (Some(k), Some(members)) = (&t.keys, trigger.as_object_mut()) {
            members.insert(
                "keys".to_owned(),
                json!({
                    "external": k.external,
                    "active": k.active,
                    "expired": k.expired,
                    "cleared": k.cleared,
                    "remembered": k.keys,
                    "entered": k.entered,
                    "evicted": k.evicted,
                    "unkept": k.unkept,
                    "capacity": k.capacity,
                }),
            );
        }
        trigger
    });
    let members = json!({
        "packets": totals.packets,
        "wire_bytes": totals.wire_bytes,
        "captured_bytes": totals.captured_bytes,
        "mirrored": totals.mirrored,
        "unmirrored": totals.unmirrored,
        "stations": stations.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "limits": limits.collect::<Vec<_>>(),
        "triggers": triggers.collect::<Vec<_>>(),
        "bound": totals.bound,
        "bound_withheld": totals.bound_withheld,
        "changes": totals.changes,
        "changes_refused": totals.refused.count,
        "tracked": totals.tracked.as_ref().map(tracking::json),
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A table of the triggers with any activity.
fn triggers(totals: &Totals) -> Table {
    let mut table = Table::new(&["trigger", "held", "raised", "extended", "vetoed", "active"]);
    for t in &totals.triggers {
        let (p, k) = (&t.packets, t.keys.as_ref());
        let outside =
            k.map_or(0, |k| k.external + k.external_extended + k.external_suppressed + k.external_full);
        if p.held + outside == 0 {
            continue;
        }
        let notes = [
            (p.unkeyed, "without a key"),
            (p.suppressed, "suppressed"),
            (p.full, "not raised, capacity full"),
            (k.map_or(0, |k| k.external), "raised externally"),
            (k.map_or(0, |k| k.evicted), "keys evicted"),
        ];
        let notes: Vec<String> = notes
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(*count)))
            .collect();
        let active = k.map_or_else(|| "-".to_owned(), |k| grouped(k.active));
        let counts = [p.held, p.raised, p.extended, p.vetoed].map(grouped);
        table.row([vec![t.name.clone()], counts.to_vec(), vec![active]].concat(), notes.join(", "));
    }
    table
}
