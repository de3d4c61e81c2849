//! The corpus: cases as data, see `cases/README.md`. Here are their form and what a run of them
//! must give; the engines are all run by the same code, and none can change what is expected. The
//! invariant: a case that cannot be read, and a packet without an expectation, is a failure.
//! (Rejected: cases as Rust tests, one copy for each engine.)

use crate::packet_text::{BuiltPacket, build};
use crate::run::{Decided, ENGINES, compile_files, run_engine};
use mrule_compiler::abi::{NO_LIMIT, Packet, Verdict};
use mrule_compiler::engine::Engine;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::{Program, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Whole programs and the copies they make.
    #[serde(default)]
    pub case: Vec<Case>,
    /// Conditions, and packets for which they hold or fail.
    #[serde(default)]
    pub expr: Vec<ExprCase>,
    /// Capture lengths, and the bytes that they are of packets.
    #[serde(default)]
    pub length: Vec<LengthCase>,
}

/// A whole program and the copies it makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Why it is so, by the language's page.
    pub why: String,
    /// The program.
    pub rules: String,
    /// Other files: those ending in `.mrule` are given together with the rules, tables are read by
    /// them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// `--set NAME=VALUE`
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// External triggers that are active, with their keys.
    #[serde(default)]
    pub raise: BTreeMap<String, Vec<String>>,
    /// The packets, in order.
    pub packet: Vec<PacketCase>,
    /// For how many packets each rule named here held.
    #[serde(default)]
    pub matched: BTreeMap<String, u64>,
    /// For how many packets each limit named here was tried and held.
    #[serde(default)]
    pub limited: BTreeMap<String, u64>,
}

/// A packet of a program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketCase {
    /// The packet, as [`build`] reads it.
    pub is: String,
    /// When it comes, in milliseconds; one after the packet before, when it is not said.
    pub ms: Option<u64>,
    /// For each station that a copy is asked for: `FIRST..END RULE`, or
    /// `FIRST..END RULE, cut by LIMIT`, or `nothing RULE, cut by LIMIT`.
    pub copies: BTreeMap<String, String>,
    /// What it does to triggers, by their names: `TRIGGER raised`, `TRIGGER[KEY] extended`; not
    /// looked at when it is not said.
    pub fires: Option<Vec<String>>,
}

/// A condition, and packets for which it holds or fails.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExprCase {
    /// The condition.
    pub expr: String,
    /// Why it is so, by the language's page.
    pub why: String,
    /// What else is declared.
    #[serde(default)]
    pub given: String,
    /// `--set NAME=VALUE`
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Packets for which it holds.
    #[serde(default)]
    pub holds: Vec<String>,
    /// Packets for which it does not.
    #[serde(default)]
    pub fails: Vec<String>,
    /// Why tshark refuses the condition, or selects other packets.
    pub tshark: Option<String>,
    /// What the engines make of it so far, instead: a mistake that is known. Then the case must
    /// fail.
    pub open: Option<String>,
}

/// A capture length, and the bytes that it is of packets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthCase {
    /// The length, as it stands behind `snaplen`.
    pub length: String,
    /// Why it is so, by the language's page.
    pub why: String,
    /// What else is declared.
    #[serde(default)]
    pub given: String,
    /// `--set NAME=VALUE`
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Packets, and `FIRST..END` or `none`.
    pub gives: Vec<(String, String)>,
}

/// When the clocks of cases start: 2001-09-09, in nanoseconds.
const START: i64 = 1_000_000_000_000_000_000;

/// Runs all cases of a text and returns what is wrong, a line for each.
pub fn run_text(text: &str) -> Vec<String> {
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(e) => return vec![format!("not readable: {e}")],
    };
    let mut wrong = Vec::new();
    let mut note = |what: &str, result: Result<Vec<String>, String>| {
        let lines = result.unwrap_or_else(|e| vec![e]);
        wrong.extend(lines.into_iter().map(|line| format!("{what}: {line}")));
    };
    for case in &file.case {
        note(&case.name, case.run());
    }
    for case in &file.expr {
        note(&format!("`{}`", case.expr), case.run());
    }
    for case in &file.length {
        note(&format!("snaplen {}", case.length), case.run());
    }
    wrong
}

/// How many cases a text has.
pub fn count(text: &str) -> usize {
    toml::from_str(text).map_or(0, |file: File| file.case.len() + file.expr.len() + file.length.len())
}

/// What is expected of one packet: for each station asked for, the range, the rule and the limit by
/// name.
type Expected = BTreeMap<String, String>;

/// A program with its packets and what is expected of them.
struct Trial<'a> {
    program: Arc<Program>,
    environment: Environment,
    packets: Vec<(&'a str, BuiltPacket, Expected)>,
    /// When each comes, in milliseconds.
    times: Vec<u64>,
}

impl<'a> Trial<'a> {
    fn new(
        files: &[(&str, &str)],
        sets: &BTreeMap<String, String>,
        packets: impl IntoIterator<Item = (&'a str, Expected)>,
    ) -> Result<Trial<'a>, String> {
        let sets: Vec<_> = sets.clone().into_iter().collect();
        let program = Arc::new(compile_files(files, &sets)?);
        let environment = Environment::new(&program).map_err(|e| e.to_string())?;
        let built = packets.into_iter().map(|(text, expected)| {
            let packet = build(text).map_err(|e| format!("{text}: {e}"))?;
            Ok((text, packet, expected))
        });
        let packets: Vec<_> = built.collect::<Result<_, String>>()?;
        let times = (0..).take(packets.len()).collect();
        Ok(Trial { program, environment, packets, times })
    }

    /// Runs every engine over the packets, all at once and one by one; gives what is wrong, and
    /// what the first engine told.
    fn run(&self) -> Result<(Vec<String>, Decided), String> {
        let packets: Vec<Packet> = self
            .packets
            .iter()
            .zip(&self.times)
            .map(|((_, built, _), ms)| built.packet().at(START + *ms as i64 * 1_000_000))
            .collect();
        let (mut wrong, mut first) = (Vec::new(), None);
        for kind in ENGINES {
            let engine = Engine::new(kind, self.program.clone(), &self.environment);
            let engine = Arc::new(engine.map_err(|e| e.to_string())?);
            for size in [packets.len(), 1] {
                let told = run_engine(&engine, &self.environment, &packets, size);
                for (verdicts, (text, _, expected)) in told.verdicts.iter().zip(&self.packets) {
                    let got: Expected = verdicts.iter().map(|(s, v)| self.words(*s, v)).collect();
                    if got != *expected {
                        wrong.push(format!("{kind:?}, {size} at once: {text}\n    expected {expected:?}\n    got      {got:?}"));
                    }
                }
                match &first {
                    None => first = Some(told),
                    Some(first) if *first != told => {
                        wrong.push(format!("{kind:?}, {size} at once, tells otherwise"))
                    }
                    Some(_) => {}
                }
            }
        }
        Ok((wrong, first.unwrap_or_default()))
    }

    /// A verdict in the words of the corpus.
    fn words(&self, station: usize, verdict: &Verdict) -> (String, String) {
        let name = |rules: &[mrule_compiler::hir::Rule], i: u32| {
            rules.get(i as usize).map_or_else(|| format!("#{i}"), |r| r.name.clone())
        };
        let range = match verdict.start..verdict.end {
            range if range.is_empty() => "nothing".to_owned(),
            range => format!("{}..{}", range.start, range.end),
        };
        let mut words = format!("{range} {}", name(&self.program.rules, verdict.rule));
        if verdict.limit != NO_LIMIT {
            words += &format!(", cut by {}", name(&self.program.limits, verdict.limit));
        }
        let station =
            self.program.stations.get(station).map_or_else(|| format!("#{station}"), |s| s.name.clone());
        (station, words)
    }
}

impl Case {
    fn run(&self) -> Result<Vec<String>, String> {
        let mut files = vec![("case.mrule", self.rules.as_str())];
        files.extend(self.files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        let packets = self.packet.iter().map(|p| (p.is.as_str(), p.copies.clone()));
        let mut trial = Trial::new(&files, &self.set, packets)?;
        let mut now = 0;
        for (time, packet) in trial.times.iter_mut().zip(&self.packet) {
            *time = packet.ms.unwrap_or(now);
            now = *time + 1;
        }
        for (trigger, keys) in &self.raise {
            let id = trial.program.triggers.iter().position(|t| t.name == *trigger);
            let id =
                mrule_compiler::hir::TriggerId(id.ok_or_else(|| format!("no trigger `{trigger}`"))? as u32);
            for key in keys {
                trial.environment.raise(id, &key_of(key)?).map_err(|e| e.to_string())?;
            }
        }
        let (mut wrong, told) = trial.run()?;
        for (at, packet) in self.packet.iter().enumerate() {
            let Some(expected) = &packet.fires else { continue };
            let got: Vec<&str> =
                told.events.iter().filter(|(of, _)| *of == at).map(|(_, event)| event.as_str()).collect();
            if got != *expected {
                wrong.push(format!("{}: expected to do {expected:?}, does {got:?}", packet.is));
            }
        }
        let tallies = [
            ("matched", &self.matched, &trial.program.rules, &told.matched),
            ("limited", &self.limited, &trial.program.limits, &told.limited),
        ];
        for (what, expected, rules, got) in tallies {
            for (name, count) in expected {
                let at = rules.iter().position(|r| r.name == *name);
                let got = at.and_then(|at| got.get(at));
                if got != Some(count) {
                    wrong.push(format!("{what} of {name}: expected {count}, got {got:?}"));
                }
            }
        }
        Ok(wrong)
    }
}

/// A trigger's key: addresses, numbers or words, parted by commas.
fn key_of(text: &str) -> Result<Vec<Value>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let value = |part: &str| -> Value {
        if let Ok(ip) = part.parse::<std::net::IpAddr>() {
            return Value::Ip(ip, if ip.is_ipv4() { 32 } else { 128 });
        }
        part.parse().map_or_else(|_| Value::Text(part.as_bytes().into()), Value::Num)
    };
    Ok(parts.map(value).collect())
}

impl ExprCase {
    /// The condition on one station, its opposite on another: each packet must get exactly the
    /// right one.
    fn run(&self) -> Result<Vec<String>, String> {
        let text = format!(
            "{}\nstation yes {{ pcapng \"yes\" }}\nstation no {{ pcapng \"no\" }}\n\
             rule holds {{ match {} snaplen 1 to yes }}\nrule fails {{ match not ({}) snaplen 1 to no }}\n",
            self.given, self.expr, self.expr
        );
        let expected =
            |station: &str, rule: &str| BTreeMap::from([(station.to_owned(), format!("0..1 {rule}"))]);
        let holds = self.holds.iter().map(|p| (p.as_str(), expected("yes", "holds")));
        let fails = self.fails.iter().map(|p| (p.as_str(), expected("no", "fails")));
        let mut trial = Trial::new(&[("case.mrule", &text)], &self.set, holds.chain(fails))?;
        if trial.packets.is_empty() {
            return Err("no packets".into());
        }
        // Of an empty frame there is nothing to copy; the counts below tell.
        trial.packets.iter_mut().filter(|(_, built, _)| built.bytes.is_empty()).for_each(|p| p.2.clear());
        let (mut wrong, told) = trial.run()?;
        // Rules are sorted by name: `fails`, `holds`.
        let counts = [self.fails.len() as u64, self.holds.len() as u64];
        if told.matched != counts {
            wrong.push(format!("expected to fail and hold {counts:?} times, got {:?}", told.matched));
        }
        match (&self.open, wrong.is_empty()) {
            (None, _) => Ok(wrong),
            (Some(_), false) => Ok(Vec::new()),
            (Some(open), true) => Err(format!("is right now: take `open = '{open}'` away")),
        }
    }
}

impl LengthCase {
    /// The length in a rule for one station, and in a limit of a whole copy for another: the same
    /// bytes.
    fn run(&self) -> Result<Vec<String>, String> {
        let text = format!(
            "{}\nstation raised {{ pcapng \"raised\" }}\nstation lowered {{ pcapng \"lowered\" }}\n\
             rule asks {{ match any snaplen {length} to raised }}\nrule all {{ match any snaplen full to lowered }}\n\
             limit cuts {{ match any snaplen {length} to lowered }}\n",
            self.given,
            length = self.length
        );
        let mut packets = Vec::new();
        for (packet, range) in &self.gives {
            let whole = format!("0..{}", build(packet).map_err(|e| format!("{packet}: {e}"))?.bytes.len());
            let lowered = match range.as_str() {
                "none" => "nothing all, cut by cuts".to_owned(),
                range if range == whole => format!("{range} all"),
                range => format!("{range} all, cut by cuts"),
            };
            let mut expected = BTreeMap::from([("lowered".to_owned(), lowered)]);
            if range != "none" {
                expected.insert("raised".to_owned(), format!("{range} asks"));
            }
            packets.push((packet.as_str(), expected));
        }
        if packets.is_empty() {
            return Err("no packets".into());
        }
        Ok(Trial::new(&[("case.mrule", &text)], &self.set, packets)?.run()?.0)
    }
}
