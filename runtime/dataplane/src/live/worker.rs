//! A worker: one thread, one ring of each port, one slot for each policy. It takes the packets of
//! all its ports in the order of their times, so that an answer never comes before its question.
//! Invariants: the worker waits only for packets; copies are offered after frames were forwarded;
//! when it must stop, it first decides each frame that the kernel has counted for it. (Rejected:
//! one thread per port, which would decide both directions of a flow at once.)

use super::bounds::Bounds;
use super::counts::PortCounts;
use super::flow_query::{FlowQuery, QueryQueue};
use super::port::{PacketRef, Port};
use super::pulse::Pulse;
use super::slot::{PolicySlot, SlotCommand};
use crate::sys::packet::Socket;
use crate::sys::tap::Tap;
use mrule_compiler::abi::Packet;
use mrule_engine::decider::Observer;
use mrule_engine::policy::Policy;
use mrule_engine::totals::{Intake, RetiredTotals, Totals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Number of packets that are decided together.
pub(super) const BATCH: usize = 256;

/// How long packets wait for earlier packets of another port. The kernel hands a block over after
/// at most two of its timeouts (1 ms each, or a tick where its timers are coarse).
const HOLD: Duration = Duration::from_millis(8);

/// How long blocks gather while frames come fast: as long as a block that is not full would wait.
const GATHER: Duration = Duration::from_millis(1);

/// How often counters are published.
const PUBLISH: Duration = Duration::from_millis(100);

/// How often ended suppressions are searched for.
const SUPPRESSIONS: Duration = Duration::from_secs(1);

/// How long draining waits for frames that the kernel has counted and that do not come.
const DRAIN: Duration = Duration::from_millis(500);

/// Number of batches, and the time, before a worker reads commands: a ring that never runs empty
/// must not delay a load.
const PASS: usize = 64;
const PASS_TIME: Duration = Duration::from_millis(10);

/// A worker's next step.
enum Next {
    /// There may be more packets to decide.
    More,
    /// Nothing can be decided before new blocks come, or before this moment.
    Wait(Option<Instant>),
}

/// How many checks in a row, a millisecond apart, must find nothing: a frame may have passed the
/// filter and not be counted yet.
const QUIET: u32 = 3;

/// A command to a worker.
pub(super) enum Command {
    /// The sockets of this port, whose interface is there.
    Port(usize, Tap),
    /// The socket for forwarding this port's frames, whose other interface is there.
    Out(usize, Socket),
    /// A policy is loaded, changed or unloaded.
    PolicySlot(SlotCommand),
    /// A query about flows.
    Query(Box<FlowQuery>),
}

/// A worker's counters.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub ports: Vec<PortCounts>,
    /// Counters of packets, without counters of policies.
    pub totals: Totals,
    pub slots: Vec<SlotCounts>,
    /// Sums of unloaded policies.
    pub gone: RetiredTotals,
}

/// A worker's counters for one policy.
#[derive(Debug, Clone)]
pub(super) struct SlotCounts {
    pub id: u64,
    pub policy: Arc<Policy>,
    pub summary: Totals,
}

pub(super) struct Worker {
    /// The worker's number, from 0.
    pub number: usize,
    /// Receives the effects on triggers.
    pub lines: Option<Arc<dyn Observer>>,
    pub slots: Vec<PolicySlot>,
    pub ports: Vec<Port>,
    pub totals: Totals,
    /// Sums of unloaded policies.
    pub gone: RetiredTotals,
    /// An eventfd that signals commands.
    pub wakeup: Arc<OwnedFd>,
    /// When the worker last woke up.
    pub woken: Instant,
    pub commands: Receiver<Command>,
    pub stop: Arc<AtomicBool>,
    pub pulse: Pulse,
    pub published: Arc<Mutex<Counts>>,
    /// The packets to decide next, and the bytes of packets that were cut out of super-frames.
    pub parts: Vec<PacketRef>,
    pub arena: Vec<u8>,
    /// Which of these packets a policy copied.
    pub copied: Vec<bool>,
    /// What binding policies leave of these packets.
    pub bounds: Bounds,
    /// Queries about flows.
    pub queries: QueryQueue,
}

impl Worker {
    /// Works until it must stop. Returns its counters.
    pub fn run(mut self) -> Counts {
        let (mut told, mut looked) = (Instant::now(), Instant::now());
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.apply(command);
            }
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let now = Instant::now();
            if now.duration_since(told) >= PUBLISH {
                told = now;
                super::health::fault(self.number);
                self.publish();
                if now.duration_since(looked) >= SUPPRESSIONS {
                    looked = now;
                    self.tell_suppressions_over();
                }
            }
            match self.pass(now, HOLD) {
                Next::Wait(until) if self.queries.is_empty() => self.wait(until),
                Next::More | Next::Wait(_) => {}
            }
            self.queries.step(&mut self.slots);
        }
        for port in &mut self.ports {
            port.deafen();
        }
        self.drain();
        self.counts()
    }

    /// Reports suppressions for flows that have ended with their flow or their time.
    fn tell_suppressions_over(&mut self) {
        let Some(lines) = self.lines.as_ref() else { return };
        let now = jiff::Timestamp::now().as_nanosecond();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        for slot in &mut self.slots {
            for (trigger, flow, why) in slot.decider.suppressions_over(slot.policy.program(), now) {
                lines.flow_suppression_over(&slot.policy, now, trigger, &flow, why);
            }
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Port(at, tap) => {
                // The rest of the old ring came before.
                if self.ports.get(at).is_some_and(|port| port.ring().is_some()) {
                    self.drain();
                }
                if let Some(port) = self.ports.get_mut(at) {
                    port.take(tap);
                }
            }
            Command::Out(at, out) => {
                if let Some(port) = self.ports.get_mut(at) {
                    port.take_out(out);
                }
            }
            Command::Query(query) => self.queries.take(*query, &mut self.slots),
            Command::PolicySlot(command) => {
                let begun = Instant::now();
                let (to, mut left) = command.apply(&mut self.slots, &mut self.gone);
                // Publish before the answer: a thread that adds up then finds the sums of the new
                // program.
                self.publish();
                left.took = begun.elapsed();
                let _nobody_waits = to.send(left);
            }
        }
    }

    /// Decides all frames that are in the rings and that the kernel has counted, as long as they
    /// come. The taps are deaf, so the frames end.
    fn drain(&mut self) {
        let mut deadline = Instant::now() + DRAIN;
        let (mut quiet, mut decided) = (0, self.totals.packets);
        while quiet < QUIET && Instant::now() < deadline {
            let more = matches!(self.pass(Instant::now(), Duration::ZERO), Next::More);
            if self.totals.packets > decided {
                (decided, deadline) = (self.totals.packets, Instant::now() + DRAIN);
            }
            // Each time, all ports are asked.
            let open =
                self.ports.iter_mut().map(|port| !port.is_drained()).fold(more, |any, open| any | open);
            quiet = if open { 0 } else { quiet + 1 };
            if !more {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Decides what can be decided now, at most some batches. Copies are passed on at the end, not
    /// with each batch, which would wake the stations' threads too often.
    fn pass(&mut self, now: Instant, hold: Duration) -> Next {
        self.pulse.beat();
        let next = self.decide_batches(now, hold);
        self.slots.iter_mut().for_each(PolicySlot::flush);
        next
    }

    fn decide_batches(&mut self, now: Instant, hold: Duration) -> Next {
        for _ in 0..PASS {
            for port in &mut self.ports {
                port.load(now);
            }
            let held = self.gather(now, hold);
            if self.parts.is_empty() {
                return Next::Wait(held);
            }
            self.decide();
            if now.elapsed() >= PASS_TIME {
                break;
            }
        }
        Next::More
    }

    /// Takes the next packets in the order of their times, up to one batch. While a port shows no
    /// packet, it may still have an earlier one: packets then wait for `hold` from when they were
    /// seen, unless their ring fills up. This does not apply to ports that the worker forwards: a
    /// frame that was not forwarded has no answer yet, and waiting would delay others.
    fn gather(&mut self, now: Instant, hold: Duration) -> Option<Instant> {
        self.parts.clear();
        self.arena.clear();
        while self.parts.len() < BATCH {
            // The port with the earliest packet, and the time of the next packet of another port.
            let mut earliest: Option<(i64, usize)> = None;
            let mut then = None;
            let mut silent = false;
            for (at, port) in self.ports.iter().enumerate() {
                match port.next_time() {
                    Some(time) if earliest.is_none_or(|least| (time, at) < least) => {
                        then = earliest.replace((time, at));
                    }
                    Some(time) if then.is_none_or(|least| (time, at) < least) => then = Some((time, at)),
                    Some(_) => {}
                    // A block that is used up in this batch is followed by the next one only after
                    // the batch.
                    None if port.loaded().is_some() => return None,
                    None => silent |= port.ring().is_some() && !port.forwards(),
                }
            }
            let (_, at) = earliest?;
            let port = self.ports.get_mut(at)?;
            let until = port.loaded()? + hold;
            if silent && now < until && !port.forwards() && !port.is_pressed() {
                return Some(until);
            }
            // Of two packets with the same time, the one of the first port goes first.
            let before = then.map_or(i64::MAX, |(time, other)| time.saturating_add(i64::from(at < other)));
            if !port.next(at, before, BATCH, &mut self.parts, &mut self.arena) {
                return None;
            }
        }
        None
    }

    fn decide(&mut self) {
        let Worker { slots, lines, ports, totals, parts, arena, copied, bounds, .. } = self;
        let mut packets: Vec<Packet<'_>> = Vec::with_capacity(parts.len());
        let mut intake = Intake::default();
        for part in parts.iter() {
            let Some(port) = ports.get(part.port) else { continue };
            let bytes = part.place.map_or(arena.as_slice(), |place| port.bytes(place));
            let bytes = bytes.get(part.start..part.end).unwrap_or(&[]);
            let packet = Packet::new(bytes, part.length, port.link).on(port.number, &port.name).at(part.time);
            intake.take(&packet);
            if part.clipped {
                intake.clipped_bytes += u64::from(packet.len - packet.cap_len());
            }
            packets.push(packet);
        }
        copied.clear();
        copied.resize(packets.len(), false);
        for slot in slots.iter_mut() {
            slot.decide(&packets, totals.packets, lines.as_deref());
        }
        bounds.gather(slots, packets.len());
        for slot in slots.iter_mut() {
            let mirrored = slot.offer(&packets, totals.packets, bounds, copied);
            slot.summary.intake(&intake, mirrored);
        }
        bounds.tell(slots);
        totals.intake(&intake, copied.iter().filter(|copied| **copied).count() as u64);
    }

    /// Waits for a block at a port that shows none. Where blocks are full before their timeout, it
    /// lets them gather first: waking up for each block costs more than reading it.
    fn wait(&mut self, until: Option<Instant>) {
        let busy = self.ports.iter_mut().map(Port::was_busy).fold(false, |any, busy| any | busy);
        let gathered = self.woken + GATHER;
        let now = Instant::now();
        if busy && until.is_none() && now < gathered {
            std::thread::sleep(gathered - now);
            self.woken = Instant::now();
            return;
        }
        let most = PUBLISH;
        let time = until.map_or(most, |until| until.saturating_duration_since(Instant::now()).min(most));
        let time = Timespec { tv_sec: 0, tv_nsec: time.as_nanos() as i64 };
        let rings = self.ports.iter().filter(|port| port.loaded().is_none()).filter_map(Port::ring);
        let mut waiting: Vec<PollFd<'_>> =
            rings.map(|ring| PollFd::new(ring.socket(), PollFlags::IN | PollFlags::ERR)).collect();
        waiting.push(PollFd::new(&*self.wakeup, PollFlags::IN));
        // A signal or a timeout: check again.
        let _woken = poll(&mut waiting, Some(&time));
        self.woken = Instant::now();
        if waiting.pop().is_some_and(|wakeup| wakeup.revents().contains(PollFlags::IN)) {
            let _rung = rustix::io::read(&*self.wakeup, &mut [0; 8]);
        }
        let failed: Vec<bool> = waiting.iter().map(|fd| fd.revents().contains(PollFlags::ERR)).collect();
        let rings = self.ports.iter().filter(|port| port.loaded().is_none()).filter_map(Port::ring);
        for (ring, _) in rings.zip(failed).filter(|(_, failed)| *failed) {
            // An interface went down; the watcher of interfaces reports it. The error is taken, so
            // that the next wait blocks.
            let _down = ring.socket().take_error();
        }
    }

    fn publish(&mut self) {
        for port in &mut self.ports {
            port.ask_kernel();
        }
        let counts = self.counts();
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    fn counts(&mut self) -> Counts {
        let slot_counts = |slot: &mut PolicySlot| {
            slot.summary.end(&slot.decider);
            SlotCounts { id: slot.id, policy: slot.policy.clone(), summary: slot.summary.clone() }
        };
        Counts {
            ports: self.ports.iter().map(|port| port.counts.clone()).collect(),
            totals: self.totals.clone(),
            slots: self.slots.iter_mut().map(slot_counts).collect(),
            gone: self.gone,
        }
    }
}

#[cfg(test)]
mod tests;
