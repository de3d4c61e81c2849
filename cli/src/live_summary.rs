//! The counts of a live run, as lines and tables of text and as JSON lines. The invariant: both
//! show the runtime's own counts; only rates are computed here. (Rejected: one JSON object at the
//! end; a monitoring program needs the counts during the run.)

use crate::screen::{BOLD, DIM, Look};
use crate::summary;
use crate::table::{self, Table, grouped, percent, size};
use crate::tracking;
use mrule_control::control::Report;
use mrule_dataplane::live::PortCounts;
use mrule_dataplane::station::{self, Cause};
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// The counts of the last line, to compute rates.
#[derive(Debug, Default)]
pub struct Last {
    seconds: f64,
    packets: u64,
    bytes: u64,
    mirrored: u64,
    kernel: u64,
    dropped: u64,
}

impl Last {
    /// Prints one line: the rates since the last line.
    pub fn line(&mut self, report: &Report, look: Look, out: &mut dyn Write) -> io::Result<()> {
        let now = Last {
            seconds: report.elapsed.as_secs_f64(),
            packets: report.summary.packets,
            bytes: report.summary.wire_bytes,
            mirrored: report.summary.mirrored,
            kernel: report.ports.iter().map(|port| port.kernel_drops).sum(),
            dropped: report.stations.iter().map(station::Counts::dropped_total).sum(),
        };
        let seconds = (now.seconds - self.seconds).max(1e-3);
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds) as u64;
        let packets = now.packets.saturating_sub(self.packets);
        let share = now.mirrored.saturating_sub(self.mirrored) as f64 * 100.0 / packets.max(1) as f64;
        let mut line = format!(
            "{:.0} s: {} packets/s{}, {}/s, {} copied",
            now.seconds,
            grouped(rate(now.packets, self.packets)),
            if prefiltered(report) { " after the kernel filter" } else { "" },
            size(rate(now.bytes, self.bytes)),
            percent(share),
        );
        for (now, then, what) in [
            (now.kernel, self.kernel, "packets dropped by the kernel"),
            (now.dropped, self.dropped, "copies dropped"),
        ] {
            if now > then {
                line.push_str(&format!(", {} {what}", grouped(now - then)));
            }
        }
        *self = now;
        writeln!(out, "{}", look.paint(DIM, &line))
    }
}

/// Whether the kernel filters packets out, so that not all packets are counted.
fn prefiltered(report: &Report) -> bool {
    report.ports.iter().any(|port| port.prefilter)
}

/// Prints the final sums.
pub fn text(report: &Report, look: Look, out: &mut dyn Write) -> io::Result<()> {
    let summary = &report.summary;
    let seconds = report.elapsed.as_secs_f64();
    let names: Vec<&str> = report.ports.iter().map(|port| port.name.as_str()).collect();
    writeln!(
        out,
        "{}: {} in {seconds:.1} s, {} on the wire",
        look.paint(BOLD, &names.join(", ")),
        table::packets(summary.packets),
        size(summary.wire_bytes)
    )?;
    let share = percent(summary.mirrored as f64 * 100.0 / summary.packets.max(1) as f64);
    let (some, none) = (table::packets(summary.mirrored), grouped(summary.unmirrored));
    writeln!(out, "{some} ({share}) copied to a station, {none} to none")?;
    if prefiltered(report) {
        let told = "packets that no rule can match were filtered out in the kernel and are not counted here";
        writeln!(out, "{}", look.paint(DIM, told))?;
    }
    if summary.bound + summary.bound_withheld > 0 {
        let (cut, none) = (grouped(summary.bound), grouped(summary.bound_withheld));
        writeln!(
            out,
            "binding limits cut {cut} copies; {none} copies were withheld, by binding limits or a failed restore"
        )?;
    }
    let mut ports = Table::new(&["port", "received", "lost", "decided", "bytes"]);
    for port in &report.ports {
        let lost = port.kernel_drops + port.malformed;
        let cells = [grouped(port.received), grouped(lost), grouped(port.packets()), size(port.bytes)];
        let entered = format!("of about {} that arrived", grouped(port.entered));
        let note = if port.prefilter { entered } else { String::new() };
        ports.row([vec![port.name.clone()], cells.to_vec()].concat(), note);
    }
    let mut forwarded = Table::new(&["forward", "packets", "failed", "bytes"]);
    for port in &report.ports {
        if let Some(f) = &port.forward {
            let cells = [grouped(f.sent), grouped(f.failed()), size(f.sent_bytes)];
            let causes = [
                (f.busy, "busy"),
                (f.too_long, "too long"),
                (f.down, "down"),
                (f.truncated, "truncated"),
                (f.refused, "refused"),
            ];
            let causes = causes.iter().filter(|(n, _)| *n > 0).map(|(n, c)| format!("{} {c}", grouped(*n)));
            let causes: Vec<String> = causes.collect();
            forwarded.row([vec![port.name.clone()], cells.to_vec()].concat(), causes.join(", "));
        }
        if let Some(r) = &port.redirect {
            let cells = [grouped(r.packets), grouped(r.failed), size(r.bytes)];
            forwarded.row([vec![port.name.clone()], cells.to_vec()].concat(), "by the kernel".to_owned());
        }
    }
    let mut sent = Table::new(&["to", "requested", "sent", "dropped"]);
    for station in &report.stations {
        let cells = [station.requested, station.sent, station.dropped_total()].map(grouped);
        let causes = Cause::ALL.into_iter().filter(|cause| station.dropped_by(*cause) > 0);
        let causes: Vec<String> = causes
            .map(|cause| format!("{} {}", grouped(station.dropped_by(cause)), cause.name().replace('_', " ")))
            .chain(known(station))
            .collect();
        sent.row([vec![station.station.clone()], cells.to_vec()].concat(), causes.join(", "));
    }
    let mut alarms = Table::new(&["alarms", "notified", "sent", "failed", "dropped"]);
    for to in &report.alarms {
        let cells = [to.notified, to.sent, to.failed, to.dropped].map(grouped);
        alarms.row([vec![to.to.clone()], cells.to_vec()].concat(), to.down.clone().unwrap_or_default());
    }
    summary::tables(vec![ports, forwarded, sent, alarms], &[], summary, look, out)
}

/// Known problems of copies that count as sent.
fn known(station: &station::Counts) -> impl Iterator<Item = String> {
    let known = [
        (station.unanswered, "sent while the next hop did not answer"),
        (station.network_errors, "network errors"),
        (station.link_drops, "packets not sent by the interface"),
    ];
    known.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(n)))
}

/// The counts as one line of JSON; the last line of a run has `final` set.
pub fn json(report: &Report, last: bool) -> Value {
    let mut whole = Map::new();
    whole.insert("version".into(), json!(1));
    whole.insert("final".into(), json!(last));
    whole.insert("seconds".into(), json!((report.elapsed.as_secs_f64() * 1e3).round() / 1e3));
    whole.insert("ports".into(), report.ports.iter().map(port).collect());
    whole.extend(summary::decided(&report.summary, &[]));
    whole.insert("clipped_bytes".into(), json!(report.summary.clipped_bytes));
    whole.insert("alarms".into(), json!(report.alarms));
    whole.insert("history".into(), json!(report.history));
    if let Some(Value::Array(stations)) = whole.get_mut("stations") {
        for (station, became) in stations.iter_mut().zip(&report.stations) {
            if let Value::Object(station) = station {
                // In a live run, stations report their files themselves.
                station.remove("file");
                station.remove("file_bytes");
                station.extend(became_json(became));
            }
        }
    }
    Value::Object(whole)
}

fn port(port: &PortCounts) -> Value {
    let mut members = Map::new();
    members.insert("name".into(), json!(port.name));
    members.extend(tracking::counters(port).into_iter().filter(|(_, value)| value.is_number()));
    members.insert("prefilter".into(), json!(port.prefilter));
    members.insert("entered".into(), json!(port.entered));
    members.insert("packets".into(), json!(port.packets()));
    members.insert("forward".into(), json!(port.forward.as_ref().map(tracking::counters)));
    members.insert("redirect".into(), json!(port.redirect.as_ref().map(tracking::counters)));
    Value::Object(members)
}

fn became_json(became: &station::Counts) -> Map<String, Value> {
    let mut members = tracking::counters(became);
    // What was requested stands beside these already, as copies and bytes.
    members.retain(|name, _| !name.starts_with("requested"));
    let dropped =
        Cause::ALL.into_iter().map(|cause| (cause.name().to_owned(), json!(became.dropped_by(cause))));
    members.insert("dropped".into(), Value::Object(dropped.collect()));
    members.insert("down".into(), json!(became.down));
    members
}
