//! The table of a live run on a terminal, redrawn in place: rates, bytes saved by each station, the
//! rules that copy most, active triggers. The invariants: the table takes exactly the lines that it
//! counts, so text above it stays; it shows the runtime's own counts, and rates between two
//! drawings; if the terminal became narrower, the extra rows of broken lines are counted.
//! (Rejected: the alternate screen, which removes earlier messages when it ends; a terminal
//! library, for two control sequences.)

use crate::screen::{BOLD, DIM, DOUBT, Look, err_size, printable};
use crate::table::{Table, grouped, percent, size};
use mrule_dataplane::live::Report;
use std::collections::HashMap;
use std::io::{self, Write};

/// The largest number of rules and triggers shown.
const MOST: usize = 8;

/// The table that is on the terminal now.
#[derive(Debug, Default)]
pub struct Display {
    /// The length of each drawn line, in columns.
    drawn: Vec<usize>,
    /// The width of the terminal at that time, in columns.
    width: usize,
    /// The counts at that time: a number and bytes for each kind and name.
    then: HashMap<(Kind, String), (u64, u64)>,
    seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Port,
    Station,
    Rule,
}

/// The increase of a count and of its bytes, in one second.
type Rates = (u64, u64);

impl Display {
    /// Removes the table from the terminal, so that other text can take its place.
    pub fn clear(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let drawn_for = Look { width: self.width, ..Look::PLAIN };
        self.clear_from(err_size(drawn_for).0.width, out)
    }

    /// Like `clear`, for a terminal that now has `width` columns.
    fn clear_from(&mut self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        // A terminal that became narrower shows a line in as many rows as it takes.
        let rows = |length: &usize| length.div_ceil(width.max(1)).max(1);
        match std::mem::take(&mut self.drawn).iter().map(rows).sum() {
            0_usize => Ok(()),
            // ECMA-48: CUU, EL, CUF, ED. Where the table was higher than the terminal is now, CUU
            // ends at the terminal's top; tmux would keep what is erased from its first column on.
            rows => write!(out, "\x1b[{rows}A\r\x1b[K\x1b[C\x1b[J\r"),
        }
    }

    /// Draws the table in place of the last one, on a terminal of `height` lines.
    pub fn draw(
        &mut self,
        report: &Report,
        look: Look,
        height: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let lines = self.lines(report, look.unicode);
        self.clear_from(look.width, out)?;
        self.width = look.width;
        // One line is for the cursor.
        let room = height.saturating_sub(1).max(1);
        for (style, line) in lines.iter().take(room) {
            let line: String = printable(line).chars().take(look.width).collect();
            let line = line.trim_end();
            self.drawn.push(line.chars().count());
            writeln!(out, "{}", style.map_or(line.to_owned(), |style| look.paint(style, line)))?;
        }
        out.flush()
    }

    fn lines(
        &mut self,
        report: &Report,
        unicode: bool,
    ) -> Vec<(Option<clap::builder::styling::Style>, String)> {
        let since = (report.elapsed.as_secs_f64() - self.seconds).max(1e-3);
        self.seconds = report.elapsed.as_secs_f64();
        let mut rates = |kind, name: &str, now: (u64, u64)| -> Rates {
            let then = self.then.insert((kind, name.to_owned()), now).unwrap_or_default();
            let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / since).round() as u64;
            (rate(now.0, then.0), rate(now.1, then.1))
        };
        let saved = report.summary.saved_percent_overall().map_or_else(|| "-".into(), percent);
        let share = report.summary.mirrored as f64 * 100.0 / report.summary.packets.max(1) as f64;
        let policies: Vec<String> = report
            .policies
            .iter()
            .map(|policy| format!("{} version {}", policy.name, policy.version))
            .collect();
        let head = [
            format!("{:.0} s", report.elapsed.as_secs_f64()),
            format!("{} packets", grouped(report.summary.packets)),
            format!("{} copied", percent(share)),
            format!("{saved} of the bytes saved"),
            policies.join(", "),
        ];
        let dot = if unicode { " · " } else { " | " };
        let mut ports = Table::new(&["port", "packets/s", "bytes/s", "lost", "forwarded"]);
        for port in &report.ports {
            let (packets, bytes) = rates(Kind::Port, &port.name, (port.packets(), port.bytes));
            let forwarded = match (&port.forward, &port.redirect) {
                (Some(forward), _) => grouped(forward.sent),
                (_, Some(redirect)) => grouped(redirect.packets),
                _ => "-".to_owned(),
            };
            let lost = grouped(port.kernel_drops + port.malformed);
            let note = if port.prefilter { "after the kernel filter" } else { "" };
            let cells = vec![port.name.clone(), grouped(packets), size(bytes), lost, forwarded];
            ports.row(cells, note.to_owned());
        }
        let mut stations = Table::new(&["to", "copies/s", "bytes/s", "saved", "dropped"]);
        for (counts, became) in report.summary.stations.iter().zip(&report.stations) {
            let (copies, bytes) = rates(Kind::Station, &counts.name, (became.sent, became.sent_bytes));
            let saved = report.summary.saved_percent(counts).map_or_else(|| "-".into(), percent);
            let dropped = grouped(became.dropped_total());
            let note = became.down.as_ref().map(|why| format!("down: {why}")).unwrap_or_default();
            let cells = vec![counts.name.clone(), grouped(copies), size(bytes), saved, dropped];
            stations.row(cells, note);
        }
        let mut rules: Vec<(Rates, u64, &str)> = Vec::new();
        for rule in &report.summary.rules {
            rules.push((rates(Kind::Rule, &rule.name, (rule.decided, rule.bytes)), rule.bytes, &rule.name));
        }
        rules.sort_by_key(|rule| std::cmp::Reverse((rule.0.1, rule.1)));
        let mut top = Table::new(&["rule", "copies/s", "bytes/s", "bytes"]);
        for ((copies, bytes), all, name) in rules.iter().take(MOST).filter(|rule| rule.1 > 0) {
            top.row(vec![(*name).to_owned(), grouped(*copies), size(*bytes), size(*all)], String::new());
        }
        let raised = report.summary.triggers.iter().filter_map(|t| Some((t, t.keys.as_ref()?)));
        let mut raised: Vec<_> = raised.filter(|(_, keys)| keys.raised + keys.external > 0).collect();
        raised.sort_by_key(|(_, keys)| std::cmp::Reverse(keys.active));
        let mut triggers = Table::new(&["trigger", "active", "raised"]);
        for (trigger, keys) in raised.into_iter().take(MOST) {
            let cells =
                vec![trigger.name.clone(), grouped(keys.active), grouped(keys.raised + keys.external)];
            triggers.row(cells, String::new());
        }
        let tables = [ports, stations, top, triggers];
        let first = tables.iter().map(Table::first).max().unwrap_or(0);
        let mut lines = vec![(Some(BOLD), head.join(dot))];
        for (at, table) in tables.iter().enumerate() {
            for (row, line) in table.lines(first).into_iter().enumerate() {
                if row == 0 {
                    lines.push((None, String::new()));
                }
                let down = at == 1 && line.contains("down: ");
                lines.push(((row == 0).then_some(DIM).or(down.then_some(DOUBT)), line));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use mrule_dataplane::live::PortCounts;
    use mrule_engine::totals::{RuleCount, StationCount, Totals};
    use std::time::Duration;

    fn report(seconds: u64, packets: u64) -> Report {
        let rule = |name: &str, times: u64| RuleCount {
            name: name.into(),
            matched: packets,
            decided: packets * times,
            bytes: 100 * packets * times,
        };
        Report {
            elapsed: Duration::from_secs(seconds),
            ports: vec![PortCounts {
                name: "eth1".into(),
                frames: packets,
                bytes: packets * 1000,
                ..PortCounts::default()
            }],
            summary: Totals {
                packets,
                captured_bytes: packets * 1000,
                mirrored: packets / 2,
                stations: vec![StationCount {
                    name: "lake".into(),
                    copies: packets / 2,
                    bytes: packets * 50,
                    withheld: 0,
                }],
                rules: vec![rule("small", 1), rule("large", 2), rule("never", 0)],
                ..Totals::default()
            },
            ..Report::default()
        }
    }

    fn drawn(display: &mut Display, report: &Report, height: usize) -> String {
        let mut out = Vec::new();
        display.draw(report, Look { width: 80, ..Look::PLAIN }, height, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rates_are_of_the_time_between_two_tables_and_the_second_takes_the_place_of_the_first() {
        let mut display = Display::default();
        let first = drawn(&mut display, &report(1, 1000), 50);
        assert!(!first.contains('\x1b'), "{first}");
        let second = drawn(&mut display, &report(3, 5000), 50);
        let lines = first.lines().count();
        assert!(second.starts_with(&format!("\x1b[{lines}A\r\x1b[K\x1b[C\x1b[J\r")), "{second:?}");
        let port: Vec<&str> =
            second.lines().find(|line| line.starts_with("eth1")).unwrap().split_whitespace().collect();
        assert_eq!(port, ["eth1", "2,000", "2.0", "MB", "0", "-"]);
        assert!(second.contains("50.0% copied · 95.0% of the bytes saved"), "{second}");
        let place = |name: &str| second.find(&format!("\n{name}"));
        assert!(place("large") < place("small") && place("never").is_none(), "{second}");
        assert!(second.lines().all(|line| line.chars().count() <= 80 + 8));
    }

    #[test]
    fn a_low_terminal_shows_what_has_room() {
        let mut display = Display::default();
        assert_eq!(drawn(&mut display, &report(1, 10), 4).lines().count(), 3);
        let mut out = Vec::new();
        display.clear_from(80, &mut out).unwrap();
        assert_eq!(out, b"\x1b[3A\r\x1b[K\x1b[C\x1b[J\r");
        display.clear_from(80, &mut out).unwrap();
        assert_eq!(out.len(), 15, "nothing is there any more");
    }

    #[test]
    fn lines_that_a_narrower_terminal_breaks_are_taken_away_whole() {
        let mut display = Display::default();
        let lines: Vec<usize> = drawn(&mut display, &report(1, 1000), 50)
            .lines()
            .map(|line| line.trim_end().chars().count())
            .collect();
        assert!(lines.iter().any(|length| *length > 40), "{lines:?}");
        let rows: usize = lines.iter().map(|length| length.div_ceil(20).max(1)).sum();
        let mut out = Vec::new();
        display.clear_from(20, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("\x1b[{rows}A\r\x1b[K\x1b[C\x1b[J\r"));
    }
}
