//! Feeds live stations from a capture: the part of a live worker that lies between packets and
//! producers. The invariant: the packets, their numbers and their verdicts are those of a replay of
//! the same capture. (Rejected: made-up copies; what stations get is decided by rules.)

use mrule_compiler::dissect;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_compiler::helpers::flow_hash;
use mrule_compiler::hir::Program;
use mrule_dataplane::capture::{BATCH, Interface, Reader};
use mrule_dataplane::station::{Copy, Counts, Event, Events, Options, Stations};
use mrule_engine::decider::{Decider, Limits};
use mrule_engine::policy::Policy;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A program, its stations at work, and what they told.
pub struct Feed {
    program: Arc<Program>,
    stations: Stations,
    told: Arc<Mutex<Vec<String>>>,
    capture: PathBuf,
    options: Options,
}

/// The interfaces of a capture.
pub fn interfaces(capture: &Path) -> Vec<Interface> {
    let mut reader = Reader::open(capture).expect("a capture");
    while reader.next_batch().is_some() {}
    reader.interfaces().to_vec()
}

impl Feed {
    /// Opens the stations of these rules for packets of this capture.
    pub fn open(rules: &str, capture: &Path) -> Result<Feed, String> {
        Feed::with(rules, capture, Options::default())
    }

    /// The same with other queues.
    pub fn with(rules: &str, capture: &Path, options: Options) -> Result<Feed, String> {
        let program = Arc::new(crate::compile_text(rules)?);
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let of_events = told.clone();
        let events =
            Events::new(move |event: &Event| of_events.lock().expect("events").push(event.to_string()));
        let options = Options { interfaces: interfaces(capture), events, ..options };
        let stations = Stations::open(&program, &options).map_err(|e| e.to_string())?;
        Ok(Feed { program, stations, told, capture: capture.to_owned(), options })
    }

    /// Takes another program; the counts of the stations that end with the old one.
    pub fn succeed(&mut self, rules: &str) -> Vec<Counts> {
        let program = Arc::new(crate::compile_text(rules).expect("rules"));
        let heir = self.stations.succeed(&program, &self.options).expect("stations");
        self.program = program;
        let old = std::mem::replace(&mut self.stations, heir);
        old.retire(&self.stations, Instant::now() + Duration::from_secs(5))
    }

    /// Offers the copies of the whole capture once; how long the longest offer of a batch took.
    pub fn run(&self) -> Duration {
        let environment = Environment::new(&self.program).expect("an environment");
        let engine = Engine::new(EngineKind::Interp, self.program.clone(), &environment).expect("an engine");
        let policy = Policy::repeatable(Arc::new(engine), environment);
        let mut decider = Decider::new(&policy, &Limits::default(), BATCH).expect("a decider");
        let mut producers = self.stations.producers();
        let mut reader = Reader::open(&self.capture).expect("a capture");
        let (mut number, mut longest) = (0, Duration::ZERO);
        while let Some(delivered) = reader.next_batch() {
            let batch = decider.decide(&policy, &delivered.packets);
            let begun = Instant::now();
            for (i, packet) in delivered.packets.iter().enumerate() {
                number += 1;
                let flow_hash = flow_hash(packet, &dissect::dissect(packet)).unwrap_or(0);
                for (station, verdict) in batch.verdicts(i) {
                    producers[station.index()].offer(&Copy { packet, verdict, number, flow_hash });
                }
            }
            producers.iter_mut().for_each(|producer| producer.flush());
            longest = longest.max(begun.elapsed());
        }
        longest
    }

    /// Offers the capture again and again, with a pause between, until this holds; at most 30
    /// seconds.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Feed) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "never {what}: {:?} {:?}",
                self.told(),
                self.stations.counts()
            );
            self.run();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The stations.
    pub fn stations(&self) -> &Stations {
        &self.stations
    }

    /// The events so far.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().expect("events").clone()
    }

    /// Ends the stations; their sums add up.
    pub fn finish(self) -> Vec<Counts> {
        self.finish_in(Duration::from_secs(5))
    }

    /// The same with so much time for what waits.
    pub fn finish_in(self, time: Duration) -> Vec<Counts> {
        let counts = self.stations.finish(Instant::now() + time);
        for count in &counts {
            assert!(count.adds_up(), "{count:?}");
        }
        counts
    }
}
