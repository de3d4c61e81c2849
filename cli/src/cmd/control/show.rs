//! Prints API answers as text. The invariant: a member that is not shown as text is in the `--json`
//! output; text that others wrote cannot control the terminal. (Rejected: YAML, which is good
//! neither for reading nor for scripts.)

use crate::screen::{BAD, BOLD, DIM, DOUBT, GOOD, Screen, printable};
use crate::table::{Table, grouped, size};
use serde_json::Value;
use std::io;

/// A member of an object as text.
fn text(of: &Value, name: &str) -> String {
    value(&of[name])
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text).into_owned(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Value::Array(parts) => parts.iter().map(self::value).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn items(of: &Value) -> impl Iterator<Item = &Value> {
    of.as_array().into_iter().flatten()
}

/// Prints "no ..." for an empty list.
fn none(what: &str, screen: &mut Screen<'_>) -> io::Result<()> {
    writeln!(screen.out, "{}", screen.out_look.paint(DIM, &format!("no {what}")))
}

/// Prints some members of each item as a table; `what` names the items.
fn table(
    what: &str,
    heads: &[&str],
    of: &Value,
    note: Option<&str>,
    screen: &mut Screen<'_>,
) -> io::Result<()> {
    if items(of).next().is_none() {
        return none(what, screen);
    }
    let shown: Vec<String> = heads.iter().map(|head| head.replace('_', " ")).collect();
    let mut table = Table::new(&shown.iter().map(String::as_str).collect::<Vec<_>>());
    for item in items(of) {
        let note = note.map(|note| text(item, note)).filter(|note| note != "-").unwrap_or_default();
        table.row(heads.iter().map(|head| text(item, head)).collect(), note);
    }
    table.print(table.first(), screen.out_look, screen.out)
}

pub(in crate::cmd) fn policies(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    table(
        "policies",
        &["name", "version", "binding", "rules", "limits", "stations", "tables", "triggers"],
        answer,
        None,
        screen,
    )
}

pub(in crate::cmd) fn texts(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    let look = screen.out_look;
    writeln!(screen.out, "# version {}, loaded at {}", text(answer, "version"), text(answer, "loaded"))?;
    for (name, text) in answer["files"].as_object().into_iter().flatten() {
        writeln!(screen.out, "\n{}", look.paint(BOLD, &format!("# {}", printable(name))))?;
        write!(screen.out, "{}", printable(text.as_str().unwrap_or_default()))?;
    }
    Ok(())
}

pub(in crate::cmd) fn health(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    let look = screen.out_look;
    let status = text(answer, "status");
    let style = if status == "ok" { GOOD } else { BAD };
    let (version, seconds) = (text(answer, "version"), text(answer, "seconds"));
    writeln!(screen.out, "{} mirrorc {version}, up {seconds} s", look.paint(style, &format!("{status}:")))?;
    for reason in items(&answer["reasons"]) {
        let (style, word) = if reason["failing"] == true { (BAD, "failing:") } else { (DOUBT, "warning:") };
        let since = look.paint(DIM, &format!("(since {})", text(reason, "since")));
        writeln!(screen.out, "{} {} {since}", look.paint(style, word), text(reason, "what"))?;
    }
    for policy in items(&answer["policies"]) {
        writeln!(screen.out, "policy {} at version {}", text(policy, "name"), text(policy, "version"))?;
    }
    counts(&answer["counts"], screen)?;
    if let history @ Value::Object(_) = &answer["history"] {
        let number = |name: &str| text(history, name);
        let mut line = format!("event history: {} in memory", number("kept"));
        if !answer["state"]["kept"].is_null() {
            line.push_str(&format!(", {} on disk, {} unwritten", number("written"), number("unwritten")));
        }
        writeln!(screen.out, "{line}, {} lost", number("lost"))?;
    }
    for alarms in items(&answer["alarms"]) {
        let number = |name: &str| text(alarms, name);
        let (notified, sent, waiting) = (number("notified"), number("sent"), number("waiting"));
        let (failed, dropped) = (number("failed"), number("dropped"));
        writeln!(
            screen.out,
            "alarms for {}: {notified} notified, {sent} sent, {failed} failed, {dropped} dropped, {waiting} waiting",
            text(alarms, "to")
        )?;
    }
    Ok(())
}

/// Prints the counts of packets and copies.
fn counts(counts: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    let number = |name: &str| text(counts, name);
    let (received, drops) = (number("received"), number("kernel_drops"));
    writeln!(screen.out, "received: {received} frames, {drops} dropped by the kernel before they were read")?;
    writeln!(screen.out, "decided: {} packets", number("packets"))?;
    if !counts["forwarded"].is_null() {
        writeln!(screen.out, "forwarded: {}, {} failed", number("forwarded"), number("not_forwarded"))?;
    }
    let causes = counts["dropped"].as_object().into_iter().flatten();
    let causes = causes.filter_map(|(cause, count)| Some((cause, count.as_u64().filter(|n| *n > 0)?)));
    let causes: Vec<String> = causes.map(|(cause, n)| format!("{} {cause}", grouped(n))).collect();
    let dropped = if causes.is_empty() { "none".to_owned() } else { causes.join(", ") };
    let (copies, sent, withheld) = (number("copies"), number("sent"), number("withheld"));
    writeln!(
        screen.out,
        "copies: {copies}, {sent} sent, dropped: {dropped}; {withheld} withheld by binding limits or a failed restore"
    )
}

pub(in crate::cmd) fn stations(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    if items(answer).next().is_none() {
        return none("stations", screen);
    }
    let mut table = Table::new(&["station", "state", "requested", "sent", "dropped", "bytes"]);
    for s in items(answer) {
        let number = |name: &str| grouped(s[name].as_u64().unwrap_or(0));
        let state = match (&s["drained"], &s["up"]) {
            (Value::Bool(true), _) => "drained",
            (_, Value::Bool(true)) => "up",
            _ => "down",
        };
        let bytes = size(s["sent_bytes"].as_u64().unwrap_or(0));
        let cells = vec![
            format!("{}/{}", text(s, "policy"), text(s, "name")),
            state.to_owned(),
            number("requested"),
            number("sent"),
            number("dropped"),
            bytes,
        ];
        let why = s["down"].as_str().map(|why| printable(why).into_owned());
        table.row(cells, why.unwrap_or_else(|| text(s, "target")));
    }
    table.print(table.first(), screen.out_look, screen.out)
}

pub(in crate::cmd) fn triggers(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    table(
        "triggers",
        &["name", "active", "raised", "keys", "capacity", "external"],
        answer,
        Some("key"),
        screen,
    )
}

pub(in crate::cmd) fn active(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    if let Some(when) = answer["when"].as_str() {
        writeln!(screen.out, "{} when {}", text(answer, "name"), printable(when))?;
    }
    table("active keys", &["key", "raises", "since", "until"], &answer["active"], None, screen)?;
    let mut suppressed = Table::new(&["suppressed", "hits", "until"]);
    for item in items(&answer["suppressed"]) {
        let cells = ["key", "hits", "until"].map(|name| text(item, name)).to_vec();
        suppressed.row(cells, text(item, "reason"));
    }
    suppressed.print(suppressed.first(), screen.out_look, screen.out)
}

pub(in crate::cmd) fn tables(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    table("tables", &["name", "rows", "capacity", "changed", "value"], answer, Some("key"), screen)
}

pub(in crate::cmd) fn rows(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    table("rows", &["key", "value", "until"], &answer["items"], None, screen)?;
    if !answer["next"].is_null() {
        let more = format!("the first {} of {} rows", text(answer, "next"), text(answer, "total"));
        writeln!(screen.out, "{}", screen.out_look.paint(DIM, &more))?;
    }
    Ok(())
}

pub(in crate::cmd) fn params(answer: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    table("params", &["name", "value", "default", "min", "max"], answer, Some("type"), screen)
}

/// What a load changed, or would change.
pub(in crate::cmd) fn loaded(name: &str, done: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    let look = screen.out_look;
    let version = text(done, "version");
    if done["dry_run"] == true {
        writeln!(screen.out, "dry run, nothing changed: policy {name} would become version {version}")?;
    } else {
        let (compiling, pause) = (&done["compiling_ms"], &done["pause_ms"]);
        let ok = look.paint(GOOD, "ok:");
        writeln!(
            screen.out,
            "{ok} loaded policy {name}, version {version} (compiled in {compiling} ms; workers paused {pause} ms)"
        )?;
    }
    if done["binding"] == true {
        let binds = if done["dry_run"] == true { "would cut" } else { "cut" };
        writeln!(screen.out, "  its limits without `to` {binds} the copies of all policies")?;
    }
    if let Some(warning) = done["warning"].as_str() {
        let doubt = screen.err_look.paint(DOUBT, "warning:");
        writeln!(screen.err, "{doubt} {}", printable(warning))?;
    }
    for kind in ["rules", "limits", "stations", "triggers", "tables", "params"] {
        let fates = &done["plan"][kind];
        for (fate, says) in [("kept", "kept"), ("new", "new"), ("lost", "removed")] {
            let names: Vec<String> = items(&fates[fate]).map(value).collect();
            match names.len() {
                0 => {}
                1..=8 => writeln!(screen.out, "  {says} {kind}: {}", names.join(", "))?,
                n => writeln!(screen.out, "  {says} {kind}: {n}")?,
            }
        }
    }
    if let Some(flows @ ("kept" | "begun" | "dropped")) = done["plan"]["flows"].as_str() {
        writeln!(screen.out, "  flows: {flows}")?;
    }
    if done["plan"]["streams_begin_anew"] == true {
        writeln!(
            screen.out,
            "  streams of existing flows are searched for the new patterns from their next byte on"
        )?;
    }
    Ok(())
}

/// An event on one line.
pub(in crate::cmd) fn event(event: &Value, screen: &mut Screen<'_>) -> io::Result<()> {
    if event["time"].is_null() {
        let lost = event["lost"].as_u64().map_or("some".to_owned(), grouped);
        return writeln!(
            screen.out,
            "({lost} events are missing: this client read too slowly, or the history no longer has them)"
        );
    }
    let time = screen.out_look.paint(DIM, &text(event, "time"));
    if event["note"].is_string() {
        return writeln!(screen.out, "{time} {}", text(event, "note"));
    }
    if event["event"] == "change" || event["event"] == "unauthenticated" {
        return writeln!(screen.out, "{time} {}", change(event));
    }
    let told =
        ["policy", "trigger", "event", "key", "reason"].into_iter().filter(|name| !event[name].is_null());
    writeln!(screen.out, "{time} {}", told.map(|name| text(event, name)).collect::<Vec<_>>().join(" "))
}

/// Who requested what, and the result.
fn change(event: &Value) -> String {
    let by = &event["by"];
    let plain = |name: &str| by[name].as_u64().map(|number| format!("{name} {number}"));
    let word = |name: &str| by[name].as_str().map(|word| printable(word).into_owned());
    let by = match (word("signal"), word("token"), word("from")) {
        (Some(signal), ..) => signal,
        (_, Some(token), Some(from)) => format!("token {token} at {from}"),
        (_, None, Some(from)) => from,
        _ => [plain("uid"), plain("pid")].into_iter().flatten().collect::<Vec<_>>().join(" "),
    };
    let mut line = format!("{by} requested: {}", text(event, "request"));
    if !event["body"].is_null() {
        line.push(' ');
        line.push_str(&printable(&event["body"].to_string()));
    }
    match event["status"].as_u64() {
        Some(200..300) => {}
        Some(status) => line.push_str(&format!("; refused ({status})")),
        None if event["event"] == "unauthenticated" => line.push_str("; refused (401)"),
        None if event["by"]["signal"].is_null() => {
            line.push_str("; the client disconnected before the answer")
        }
        None => {}
    }
    if !event["reason"].is_null() {
        line.push_str(": ");
        line.push_str(&text(event, "reason"));
    }
    line
}
