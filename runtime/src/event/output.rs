//! What becomes of triggers, as lines of a file, a pipe or standard output. Lines are made by whoever decides and written
//! by a thread of their own behind a bounded queue. The invariant: `told = written + dropped`; whoever must not wait
//! (a live worker) drops and counts when the reader is slow, a replay waits for room.
//! (Rejected: writing where packets are decided; a slow reader would hold forwarding up.)

use super::{part_json, time_text};
use crate::change::{Change, Effect, FlowAct, FlowRefusal};
use crate::decider::{Decider, TriggerEvent};
use crate::flow::FlowName;
use crate::policy::Policy;
use crate::trigger::{Outcome, key_parts, key_values};
use mrule_compiler::abi::Packet;
use mrule_compiler::batch::Batch;
use mrule_compiler::explain;
use serde_json::{Map, Value as Json, json};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Lines that wait for the reader, at most.
const QUEUE: usize = 1 << 14;

/// What became of the lines.
#[derive(Debug, Default)]
pub struct Written {
    /// Lines that were to be written: `written + dropped`.
    pub told: u64,
    /// Lines that were written.
    pub written: u64,
    /// Lines that were not: there was no room, or writing had failed.
    pub dropped: u64,
    /// Why writing failed, if it did.
    pub error: Option<io::Error>,
}

/// A writer of event lines.
#[derive(Debug)]
pub struct EventWriter {
    queue: Option<SyncSender<String>>,
    thread: Option<JoinHandle<(u64, Option<io::Error>)>>,
    waits: bool,
    told: AtomicU64,
    /// Somebody reads; none: always.
    wanted: Option<Arc<AtomicBool>>,
}

impl EventWriter {
    /// Writes to `out`. When `waits`, telling waits for room, else what finds no room is dropped and counted.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn new(out: Box<dyn Write + Send>, waits: bool) -> io::Result<EventWriter> {
        let (queue, lines) = sync_channel(QUEUE);
        let thread =
            std::thread::Builder::new().name("events".into()).spawn(move || write_all(out, &lines))?;
        Ok(EventWriter {
            queue: Some(queue),
            thread: Some(thread),
            waits,
            told: AtomicU64::new(0),
            wanted: None,
        })
    }

    /// Tells only while this is true: for a reader that comes and goes.
    pub fn while_wanted(self, wanted: Arc<AtomicBool>) -> EventWriter {
        EventWriter { wanted: Some(wanted), ..self }
    }

    /// Whether anybody reads.
    pub fn is_wanted(&self) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.load(Relaxed))
    }

    fn tell(&self, line: &Map<String, Json>) {
        let mut text = serde_json::to_string(line).unwrap_or_default();
        text.push('\n');
        self.told.fetch_add(1, Relaxed);
        let Some(queue) = &self.queue else { return };
        // What is not taken shows in the sums of `finish`.
        let _taken = if self.waits { queue.send(text).is_ok() } else { queue.try_send(text).is_ok() };
    }

    /// Tells what a packet did to a trigger; `number` is the packet's, from 1.
    pub fn packet(&self, policy: &Policy, number: u64, event: &TriggerEvent<'_>) {
        let (program, world) = (policy.program(), policy.world());
        let Some(trigger) = program.triggers.get(event.trigger) else { return };
        let name = match event.outcome {
            Outcome::Nothing => return,
            Outcome::Raised => "raised",
            Outcome::Extended => "extended",
            Outcome::Vetoed => "vetoed",
            Outcome::Suppressed => "suppressed",
            Outcome::Full => "full",
        };
        let mut line = start(event.packet.time, name, &trigger.name, policy);
        if let Some(key) = event.key {
            line.insert("key".into(), key_parts(key).iter().map(part_json).collect());
        }
        line.insert("packet".into(), number.into());
        let head = event.seen.head_of(event.packet);
        let condition =
            if event.outcome == Outcome::Vetoed { Some(&trigger.unless) } else { trigger.when.as_ref() };
        if let Some(condition) = condition {
            let tests = explain::why(program, world, event.packet, &head, event.seen, condition);
            line.insert("reason".into(), reason(&tests).into());
        }
        self.tell(&line);
    }

    /// Tells what a change from outside did; rows and params are not told.
    pub fn change(&self, policy: &Policy, now: i64, change: &Change, effect: Effect) {
        let program = policy.program();
        let mut key = None;
        let (at, values, reason) = match change {
            Change::Flow { trigger, flow, act } => {
                key = Some(vec![Json::from(flow.to_string())]);
                let reason = match act {
                    FlowAct::Suppress { reason, .. } => reason.as_str(),
                    _ => "from outside",
                };
                (*trigger, None, reason)
            }
            Change::Raise { trigger, key, .. } => (*trigger, Some(key), "from outside"),
            Change::Clear { trigger, key } => (*trigger, key.as_ref(), "from outside"),
            Change::Suppress { trigger, key, reason, .. } => (*trigger, Some(key), reason.as_str()),
            Change::Unsuppress { trigger, key } => (*trigger, Some(key), "from outside"),
            Change::Add { .. } | Change::Remove { .. } | Change::Set { .. } => return,
        };
        let name = match (change, effect) {
            (_, Effect::Raised(Outcome::Raised)) => "raised",
            (_, Effect::Raised(Outcome::Extended)) => "extended",
            (_, Effect::Raised(Outcome::Suppressed)) => "suppressed",
            (_, Effect::Raised(Outcome::Full)) => "full",
            (_, Effect::Cleared(1..)) => "cleared",
            (Change::Suppress { .. }, Effect::Done)
            | (Change::Flow { act: FlowAct::Suppress { .. }, .. }, Effect::Done) => "suppression",
            (Change::Unsuppress { .. }, Effect::Done)
            | (Change::Flow { act: FlowAct::Unsuppress, .. }, Effect::Done) => "suppression ended",
            _ => return,
        };
        let Some(trigger) = program.triggers.get(at) else { return };
        let mut line = start(now, name, &trigger.name, policy);
        if let Some(values) = values.and_then(|key| key_values(key)) {
            key = Some(key_parts(&values).iter().map(part_json).collect());
        }
        if let Some(key) = key {
            line.insert("key".into(), key.into());
        }
        line.insert("reason".into(), reason.into());
        self.tell(&line);
    }

    /// Tells that something was not done to a flow, and why.
    pub fn refused(&self, policy: &Policy, now: i64, trigger: usize, flow: &FlowName, why: &FlowRefusal) {
        let Some(trigger) = policy.program().triggers.get(trigger) else { return };
        let mut line = start(now, "refused", &trigger.name, policy);
        line.insert("key".into(), vec![Json::from(flow.to_string())].into());
        line.insert("reason".into(), why.to_string().into());
        self.tell(&line);
    }

    /// Waits until all lines are written, and gives the sums.
    pub fn finish(mut self) -> Written {
        self.queue = None;
        let told = self.told.load(Relaxed);
        let (written, error) = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            _ => (0, Some(io::Error::other("the thread that writes events is gone"))),
        };
        Written { told, written, dropped: told.saturating_sub(written), error }
    }
}

/// Decides packets, before which so many came, and tells `lines` of what they do to triggers.
pub fn decide<'d>(
    decider: &'d mut Decider,
    policy: &Policy,
    packets: &[Packet],
    before: u64,
    lines: Option<&EventWriter>,
) -> &'d Batch {
    let Some(lines) = lines.filter(|lines| lines.is_wanted()) else { return decider.decide(policy, packets) };
    let mut hear = |event: &TriggerEvent<'_>| {
        lines.packet(policy, before + event.at as u64 + 1, event);
    };
    decider.decide_and_tell(policy, packets, Some(&mut hear))
}

/// What every line begins with.
fn start(time: i64, event: &str, trigger: &str, policy: &Policy) -> Map<String, Json> {
    let line = json!({ "time": time_text(time), "event": event, "trigger": trigger });
    let mut line = match line {
        Json::Object(line) => line,
        _ => Map::new(),
    };
    if let Some(label) = policy.label() {
        line.insert("policy".into(), (*label.policy).into());
    }
    line
}

/// Writes lines as they come, and out whenever none waits.
fn write_all(out: Box<dyn Write + Send>, lines: &Receiver<String>) -> (u64, Option<io::Error>) {
    let mut out = BufWriter::new(out);
    let (mut written, mut unsure) = (0, 0);
    let mut next = lines.recv().ok();
    while let Some(line) = next {
        if let Err(error) = out.write_all(line.as_bytes()) {
            return (written, Some(error));
        }
        unsure += 1;
        next = match lines.try_recv() {
            Ok(line) => Some(line),
            Err(_) => {
                if let Err(error) = out.flush() {
                    return (written, Some(error));
                }
                written += unsure;
                unsure = 0;
                lines.recv().ok()
            }
        };
    }
    (written, out.flush().err())
}

/// The tests of a condition with the values they had: `count(tcp) per 1m > 5 (6)`.
fn reason(tests: &[explain::Test]) -> String {
    let text = |test: &explain::Test| {
        let values: Vec<String> = test
            .values
            .iter()
            .filter_map(|(name, value)| Some(format!("{name} is {}", value.as_ref()?)))
            .collect();
        match values.as_slice() {
            [] => test.text.clone(),
            values => format!("{} ({})", test.text, values.join(", ")),
        }
    };
    tests.iter().map(text).collect::<Vec<_>>().join(" and ")
}
