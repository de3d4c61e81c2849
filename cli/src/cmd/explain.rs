//! `mirrorc explain`: shows why one packet of a capture got its verdict. The reference interpreter
//! gives the reasons; this file only prints them. The invariant: text and JSON show the same facts.
//! (Rejected: explaining from the verdict of the native code, which has the result but not the
//! reasons.)

use crate::exit::{Exit, Failure};
use crate::format::Format;
use crate::memory::Memory;
use crate::packet;
use crate::rules::Rules;
use crate::screen::{BAD, BOLD, DIM, GOOD, Look, Screen, printable, wrap};
use crate::summary;
use mrule_compiler::abi::Packet;
use mrule_compiler::context::PacketContext;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_compiler::explain::{AskExplanation, Explanation, RuleExplanation, Test, explain};
use mrule_compiler::hir::Program;
use mrule_compiler::length::Range;
use mrule_dataplane::capture::{BATCH, Broken, Reader};
use mrule_engine::decider::Decider;
use mrule_engine::policy::Policy;
use mrule_grammar::span::SourceMap;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// The arguments of `mirrorc explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  mirrorc explain web.mrule --read office.pcapng --frame 42

Frames are counted from 1, as in Wireshark. The command first processes all earlier packets, so
flows, streams and triggers are as in a run; tables are as at the start of a run.")]
pub struct Args {
    #[command(flatten)]
    rules: Rules,
    /// A capture file: pcap or pcapng, also compressed with gzip or zstd; `-` is standard input.
    /// Several files are one stream, in the given order
    #[arg(long, value_name = "FILE", required = true)]
    read: Vec<PathBuf>,
    /// The frame number of the packet, from 1, counted through all captures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frame: u64,
    #[command(flatten)]
    memory: Memory,
    /// Output format
    #[arg(long, value_enum, default_value_t, help_heading = None)]
    format: Format,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    args.rules.with_captures(&args.read)?;
    let checked = match args.rules.program(false, screen)? {
        Ok(checked) => checked,
        Err(exit) => return Ok(exit),
    };
    let program = Arc::new(checked.program);
    let environment = Environment::new(&program).map_err(|e| Failure::usage(e.to_string()))?;
    // The earlier packets create the packet's flow and stream, and raise triggers.
    let engine = Engine::new(EngineKind::Interp, program.clone(), &environment);
    let engine = engine.map_err(|e| Failure::usage(e.to_string()))?;
    let policy = Policy::repeatable(Arc::new(engine), environment);
    let mut decider = Decider::new(&policy, &args.memory.limits(), BATCH)?;
    let mut reader = Reader::open_all(&args.read, &Arc::default())?;
    let uses = program.uses();
    let (mut passed, tracked) = (0, uses.flows || uses.triggers);
    while let Some(batch) = reader.next_batch() {
        let wanted = usize::try_from(args.frame - passed - 1).unwrap_or(usize::MAX);
        let before = batch.packets.get(..=wanted).unwrap_or(&batch.packets);
        if tracked {
            decider.decide(&policy, before);
        }
        if let Some(packet) = batch.packets.get(wanted) {
            let checked = Explained { program: &program, sources: &checked.sources };
            return tell(args, &checked, policy.environment(), (packet, decider.seen(wanted)), screen);
        }
        passed += batch.packets.len() as u64;
    }
    let name = summary::captures(&args.read);
    Err(match reader.all_broken() {
        [] => Failure::usage(format!("{name} has no frame {}: its last frame is {passed}", args.frame)),
        [broken, ..] if args.read.len() > 1 => {
            let Broken { path, at } = broken;
            Failure::capture(format!("{name} have {passed} readable packets; `{}`: {at}", path.display()))
        }
        [broken, ..] => Failure::capture(format!("{name} has {passed} readable packets: {}", broken.at)),
    })
}

/// The program to explain, and its source texts.
struct Explained<'a> {
    program: &'a Program,
    sources: &'a SourceMap,
}

fn tell(
    args: &Args,
    checked: &Explained<'_>,
    environment: &Environment,
    (packet, seen): (&Packet<'_>, PacketContext<'_>),
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    let head = seen.head_of(packet);
    let told = explain(checked.program, environment, packet, &head, seen);
    let lines = packet::describe(packet, &head);
    match args.format {
        Format::Json => {
            let whole = serde_json::to_string_pretty(&as_json(args.frame, packet, &lines, &told));
            writeln!(screen.out, "{}", whole.map_err(io::Error::from)?)?;
        }
        Format::Text => {
            let look = screen.out_look;
            let name = match args.read.as_slice() {
                [one] => printable(&one.display().to_string()).into_owned(),
                all => summary::captures(all),
            };
            writeln!(screen.out, "{} {} of {name}", look.paint(BOLD, "frame"), args.frame)?;
            for line in &lines {
                // A line breaks between headers, not inside one: no-break spaces hold a header
                // together while the line is wrapped.
                let line = printable(line).replace(' ', "\u{a0}").replace(",\u{a0}", ", ");
                for (i, part) in wrap(&line, look.width.saturating_sub(4)).iter().enumerate() {
                    let indent = if i == 0 { "" } else { "  " };
                    writeln!(screen.out, "  {indent}{}", part.replace('\u{a0}', " "))?;
                }
            }
            let page =
                Page { look, length: packet.len, captured: packet.cap_len(), sources: checked.sources };
            page.all("rules", "asks for", &told.rules, screen.out)?;
            page.all("limits", "allows", &told.limits, screen.out)?;
            page.verdict(checked, &told, screen.out)?;
        }
    }
    Ok(Exit::Clean)
}

struct Page<'a> {
    look: Look,
    length: u32,
    captured: u32,
    sources: &'a SourceMap,
}

impl Page<'_> {
    fn all(&self, title: &str, verb: &str, told: &[RuleExplanation], out: &mut dyn Write) -> io::Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", self.look.paint(BOLD, title))?;
        for one in told {
            let place = self.sources.get(one.span.file).map_or_else(String::new, |source| {
                let (line, _) = self.sources.line_column(one.span.file, one.span.start);
                format!("{}:{line}", printable(&source.name))
            });
            writeln!(out, "  {} {}  {}", self.mark(one.held), one.name, self.look.paint(DIM, &place))?;
            self.tests(&one.tests, one.held, 6, out)?;
            for ask in one.asks.iter().filter(|_| one.held) {
                let written = self.written(ask);
                if ask.held {
                    let range = self.range(ask.range);
                    let written = self.look.paint(DIM, &format!("({written})"));
                    writeln!(out, "      {} {verb} {range} for {}  {written}", self.arrow(), one.to)?;
                } else {
                    writeln!(out, "      {} {written}", self.mark(false))?;
                    self.tests(&ask.tests, false, 10, out)?;
                }
            }
        }
        Ok(())
    }

    /// A `snaplen` clause as it is written in the rule file.
    fn written(&self, ask: &AskExplanation) -> String {
        let words: Vec<&str> = self.sources.text(ask.span).split_whitespace().collect();
        if words.is_empty() {
            format!("snaplen {}", ask.length)
        } else {
            printable(&words.join(" ")).into_owned()
        }
    }

    /// The tests that decided a condition, each with the packet's value.
    fn tests(&self, tests: &[Test], held: bool, indent: usize, out: &mut dyn Write) -> io::Result<()> {
        for test in tests {
            let mut had = Vec::new();
            for (name, value) in &test.values {
                had.push(match value {
                    Some(value) => format!("{name} is {value}"),
                    None => format!("no {name} here"),
                });
            }
            let mark = self.mark(held);
            let had = if had.is_empty() { String::new() } else { format!("  ({})", had.join(", ")) };
            writeln!(
                out,
                "{:indent$}{mark} {}{}",
                "",
                printable(&test.text),
                self.look.paint(DIM, &printable(&had))
            )?;
        }
        Ok(())
    }

    fn verdict(&self, checked: &Explained<'_>, told: &Explanation, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{}", self.look.paint(BOLD, "copies"))?;
        let stations = &checked.program.stations;
        let width = stations.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
        for station in stations {
            let verdict = told.stations.iter().find(|s| s.name == station.name);
            let copied = verdict.is_some_and(|v| v.range.1 > v.range.0);
            let text = match verdict {
                None => "no copy: no rule asks for one".to_owned(),
                Some(v) => {
                    let asked = match &v.limit {
                        None => format!("rule {}", v.rule),
                        Some(limit) => {
                            format!(
                                "rule {} asks for {}, limit {limit} cuts",
                                v.rule,
                                self.range(v.requested)
                            )
                        }
                    };
                    let range = if copied { self.range(v.range) } else { "no copy".to_owned() };
                    format!("{range}: {asked}")
                }
            };
            writeln!(out, "  {} {:width$}  {text}", self.mark(copied), station.name)?;
        }
        Ok(())
    }

    fn range(&self, (start, end): Range) -> String {
        match (start, end) {
            _ if start >= end => "nothing".to_owned(),
            (0, _) if end == self.length => format!("all {end} bytes"),
            (0, _) if end == self.captured => format!("all {end} captured bytes"),
            (0, _) => format!("the first {end} of {} bytes", self.length),
            _ => format!("bytes {start}..{end} of {}", self.length),
        }
    }

    fn arrow(&self) -> &'static str {
        if self.look.unicode { "→" } else { ">" }
    }

    fn mark(&self, good: bool) -> String {
        let (style, sign) = match (good, self.look.unicode) {
            (true, true) => (GOOD, "✓"),
            (true, false) => (GOOD, "+"),
            (false, true) => (BAD, "✗"),
            (false, false) => (BAD, "-"),
        };
        self.look.paint(style, sign)
    }
}

/// The explanation as JSON; the names of its members are stable.
fn as_json(frame: u64, packet: &Packet<'_>, lines: &[String], told: &Explanation) -> Value {
    let range = |(start, end): Range| json!({ "start": start, "end": end });
    let tests = |tests: &[Test]| -> Vec<Value> {
        let values = |t: &Test| -> Vec<Value> {
            t.values.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
        };
        tests.iter().map(|t| json!({ "test": t.text, "values": values(t) })).collect()
    };
    let parts = |told: &[RuleExplanation]| -> Vec<Value> {
        let ask = |a: &AskExplanation| json!({ "snaplen": a.length, "holds": a.held, "tests": tests(&a.tests), "range": range(a.range) });
        told.iter()
            .map(|t| {
                json!({
                    "name": t.name,
                    "to": t.to,
                    "holds": t.held,
                    "tests": tests(&t.tests),
                    "asks": t.asks.iter().map(ask).collect::<Vec<_>>(),
                })
            })
            .collect()
    };
    let stations = told.stations.iter().map(|s| {
        json!({
            "station": s.name, "rule": s.rule, "limit": s.limit, "requested": range(s.requested), "range": range(s.range),
        })
    });
    json!({
        "frame": frame,
        "length": packet.len,
        "captured": packet.cap_len(),
        "packet": lines,
        "rules": parts(&told.rules),
        "limits": parts(&told.limits),
        "copies": stations.collect::<Vec<_>>(),
    })
}
