//! Cuts a finding down: fewer items, smaller conditions, one packet, fewer bytes; as long as it
//! stays a finding. The invariant: what is returned was itself tried. (Rejected: shrinking the
//! generator's choices, which changes a program all over; parts of a text can be left out where
//! they stand.)

use crate::packet_text::BuiltPacket;
use mrule_grammar::ast::{Clause, Expr, ExprKind, Item, LengthKind, Rule, TableInit};
use mrule_grammar::span::{FileId, Span};
use std::ops::Range;

/// How often a finding is tried before it is good enough.
const TRIES: usize = 4000;

/// A finding: a program and packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The program.
    pub text: String,
    /// The packets.
    pub packets: Vec<BuiltPacket>,
}

/// Cuts down a finding for which `fails` holds.
pub fn minimise(found: Finding, fails: &mut dyn FnMut(&Finding) -> bool) -> Finding {
    let mut search = Search { best: found, fails, tries: TRIES };
    loop {
        let before = (search.best.text.len(), search.weight());
        search.fewer_packets();
        search.fewer_items();
        search.smaller_parts();
        search.smaller_packets();
        if (search.best.text.len(), search.weight()) == before || search.tries == 0 {
            return search.best;
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text.trim())?;
        for packet in &self.packets {
            let hex: String = packet.bytes.iter().map(|b| format!("{b:02x}")).collect();
            let link = format!("{:?}", packet.link);
            writeln!(
                f,
                "packet, link {link}, {} bytes, interface {:?}: hex({hex})",
                packet.len, packet.interface
            )?;
        }
        Ok(())
    }
}

struct Search<'f> {
    best: Finding,
    fails: &'f mut dyn FnMut(&Finding) -> bool,
    tries: usize,
}

impl Search<'_> {
    fn weight(&self) -> usize {
        self.best
            .packets
            .iter()
            .map(|p| 1 + p.bytes.len() + p.bytes.iter().filter(|b| **b != 0).count())
            .sum()
    }

    fn keep(&mut self, candidate: Finding) -> bool {
        if self.tries == 0 || candidate == self.best {
            return false;
        }
        self.tries -= 1;
        let fails = (self.fails)(&candidate);
        if fails {
            self.best = candidate;
        }
        fails
    }

    fn fewer_packets(&mut self) {
        for i in 0..self.best.packets.len() {
            let alone = Finding { text: self.best.text.clone(), packets: vec![self.best.packets[i].clone()] };
            if self.best.packets.len() > 1 && self.keep(alone) {
                return;
            }
        }
        let mut i = 0;
        while i < self.best.packets.len() {
            let mut fewer = self.best.clone();
            fewer.packets.remove(i);
            if !self.keep(fewer) {
                i += 1;
            }
        }
    }

    /// Leaves out halves, quarters, .. of the items.
    fn fewer_items(&mut self) {
        let mut size = spans(&self.best.text).len().max(1);
        while size > 0 {
            let mut start = 0;
            loop {
                let items = spans(&self.best.text);
                if start >= items.len() {
                    break;
                }
                let gone = start..(start + size).min(items.len());
                let kept = items.iter().enumerate().filter(|(i, _)| !gone.contains(i));
                let text = kept.map(|(_, range)| format!("{}\n", &self.best.text[range.clone()])).collect();
                if !self.keep(Finding { text, packets: self.best.packets.clone() }) {
                    start += size;
                }
            }
            size /= 2;
        }
    }

    fn smaller_parts(&mut self) {
        loop {
            let mut changes = changes(&self.best.text);
            changes.sort_by_key(|(range, with)| with.len() as isize - range.len() as isize);
            let text = self.best.text.clone();
            let smaller = changes.into_iter().any(|(range, with)| {
                let mut text = text.clone();
                text.replace_range(range, &with);
                text.len() < self.best.text.len()
                    && self.keep(Finding { text, packets: self.best.packets.clone() })
            });
            if !smaller {
                return;
            }
        }
    }

    fn smaller_packets(&mut self) {
        for i in 0..self.best.packets.len() {
            let mut size = self.best.packets[i].bytes.len();
            while size > 0 {
                let mut shorter = self.best.clone();
                let packet = &mut shorter.packets[i];
                packet.bytes.truncate(packet.bytes.len().saturating_sub(size));
                packet.len = packet.bytes.len() as u32;
                if !self.keep(shorter) {
                    size /= 2;
                }
            }
            let mut size = self.best.packets[i].bytes.len().div_ceil(2);
            while size > 0 {
                for start in (0..self.best.packets[i].bytes.len()).step_by(size) {
                    let mut zero = self.best.clone();
                    let bytes = &mut zero.packets[i].bytes;
                    let end = (start + size).min(bytes.len());
                    bytes[start..end].fill(0);
                    self.keep(zero);
                }
                size /= 2;
            }
            let mut plain = self.best.clone();
            plain.packets[i].len = plain.packets[i].bytes.len() as u32;
            plain.packets[i].interface.clear();
            self.keep(plain);
        }
    }
}

/// Where the items of a text are.
fn spans(text: &str) -> Vec<Range<usize>> {
    let parsed = mrule_grammar::parse(FileId(0), text);
    parsed.file.items.iter().map(|item| item.span().range()).collect()
}

/// Ways to make a text smaller: a place, and what to write there instead.
fn changes(text: &str) -> Vec<(Range<usize>, String)> {
    let parsed = mrule_grammar::parse(FileId(0), text);
    let mut all = Changes { text, changes: Vec::new() };
    for item in &parsed.file.items {
        match item {
            Item::Rule(rule) | Item::Limit(rule) => all.rule(rule),
            Item::Let(x) => all.expr(&x.value),
            Item::Table(table) => {
                if let TableInit::Inline(rows) = &table.init {
                    let rows: Vec<Span> = rows
                        .iter()
                        .map(|r| r.value.as_ref().map_or(r.key.span, |v| r.key.span.to(v.span)))
                        .collect();
                    all.list(&rows);
                }
            }
            _ => {}
        }
    }
    all.changes
}

struct Changes<'t> {
    text: &'t str,
    changes: Vec<(Range<usize>, String)>,
}

impl Changes<'_> {
    fn replace(&mut self, span: Span, with: Span) {
        self.changes.push((span.range(), self.text[with.range()].to_owned()));
    }

    /// Leaves out each element of a list with a comma behind or before it.
    fn list(&mut self, parts: &[Span]) {
        for i in 0..parts.len() {
            if let Some(next) = parts.get(i + 1) {
                self.changes.push((parts[i].range().start..next.range().start, String::new()));
            } else if i > 0 {
                self.changes.push((parts[i - 1].range().end..parts[i].range().end, String::new()));
            }
        }
    }

    fn rule(&mut self, rule: &Rule) {
        for clause in &rule.clauses {
            match clause {
                Clause::Match { expr, .. } => {
                    self.changes.push((expr.span.range(), "any".into()));
                    self.expr(expr);
                }
                Clause::Snaplen { span, length, when } => {
                    self.changes.push((span.range(), String::new()));
                    if let Some(when) = when {
                        self.changes.push((length.span.range().end..span.range().end, String::new()));
                        self.expr(when);
                    }
                    if !matches!(length.kind, LengthKind::Full) {
                        self.changes.push((length.span.range(), "full".into()));
                        self.changes.push((length.span.range(), "9".into()));
                    }
                }
                Clause::To { stations, .. } => {
                    let named: Vec<Span> = stations.iter().map(|name| name.span).collect();
                    self.list(&named);
                }
                Clause::Broken { .. } => {}
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        let parts: Vec<&Expr> = match &expr.kind {
            ExprKind::And(parts) | ExprKind::Or(parts) => {
                for i in 0..parts.len() {
                    let (from, to) = match i {
                        0 => (parts[0].span.range().start, parts[1].span.range().start),
                        _ => (parts[i - 1].span.range().end, parts[i].span.range().end),
                    };
                    self.changes.push((from..to, String::new()));
                }
                parts.iter().collect()
            }
            ExprKind::Not(inner) | ExprKind::Paren(inner) => vec![inner],
            ExprKind::Arith(_, a, b) => vec![a, b],
            ExprKind::Set(elements) => {
                let spans: Vec<Span> = elements
                    .iter()
                    .map(|e| e.high.as_ref().map_or(e.low.span, |high| e.low.span.to(high.span)))
                    .collect();
                self.list(&spans);
                return;
            }
            ExprKind::Compare(_, a, b) | ExprKind::In(a, b) => {
                self.expr(a);
                self.expr(b);
                self.changes.push((expr.span.range(), "ip".into()));
                return;
            }
            ExprKind::Contains(..) | ExprKind::Matches(..) => {
                self.changes.push((expr.span.range(), "ip".into()));
                return;
            }
            _ => return,
        };
        for part in parts {
            self.replace(expr.span, part.span);
            self.expr(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_matters() {
        let text = "station s { pcapng \"s\" }\nstation unused { pcapng \"u\" }\n\
                    rule a { match ip and (tcp.port in {1, 80, 3} or udp) and not vlan snaplen headers when tcp snaplen 7 to s }\n\
                    rule b { match any snaplen full to s, unused }\n";
        let packets: Vec<BuiltPacket> = ["eth/ip/udp", "eth/ip/tcp/\"hello\"", "eth/arp"]
            .iter()
            .map(|t| crate::packet_text::build(t).expect("a packet"))
            .collect();
        let found = Finding { text: text.into(), packets };
        let mut fails = |f: &Finding| {
            f.text.contains("80")
                && f.text.contains("rule")
                && f.packets.iter().any(|p| p.bytes.get(23) == Some(&6))
        };
        let least = minimise(found, &mut fails);
        assert!(least.text.len() < 50 && least.text.contains("tcp.port in {80}"), "{least}");
        assert_eq!(least.packets.len(), 1);
        assert_eq!(least.packets[0].bytes.len(), 24);
        assert_eq!(least.packets[0].bytes.iter().filter(|b| **b != 0).count(), 1);
    }
}
