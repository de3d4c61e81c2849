//! The control plane over a data plane that only takes notes: no interface, no thread, no
//! privilege. The invariant: it compiles against the trait alone, so another one could stand there.

#![allow(clippy::unwrap_used, reason = "a failed test stops")]

use super::*;
use crate::budget::MemoryLimits;
use crate::compile_queue::CompileLimits;
use crate::control::{Bundle, Control, Memory, Principal, Refusal, Start};
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::{Compiled, MemoryLoader};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_dataplane::confine::Confinement;
use mrule_dataplane::live::MAIN;
use mrule_engine::decider::Limits;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

const RULES: &str = "station s { interface m0 }\nrule r { match icmp  snaplen headers  to s }\n";

/// What was asked of a data plane.
type Said = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct Notes {
    policies: Vec<(String, Arc<Policy>)>,
    said: Said,
    /// Is asked while stations are opened.
    control: Arc<OnceLock<Arc<Control>>>,
}

impl Notes {
    fn note(&self, what: String) {
        self.said.lock().unwrap().push(what);
    }
}

impl Dataplane for Notes {
    fn policies(&self) -> Vec<(String, Arc<Policy>)> {
        self.policies.clone()
    }

    fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.policies.iter().find(|(other, _)| other == name).map(|(_, policy)| policy.clone())
    }

    fn ring_memory(&self) -> u64 {
        0
    }

    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }

    fn report(&mut self) -> live::Report {
        live::Report::default()
    }

    fn watch(&mut self) {
        self.note("watch".to_owned());
    }

    fn is_ending_much(&mut self) -> bool {
        false
    }

    fn open(&self, stations: Stations) -> Result<Open, Error> {
        let names: Vec<&str> = stations.program.stations.iter().map(|s| s.name.as_str()).collect();
        self.note(format!("open {}: {}", stations.policy, names.join(" ")));
        if names.contains(&"refused") {
            return Err(Error::OtherDataplane);
        }
        let control = self.control.clone();
        // Whoever opens holds no lock: others are answered meanwhile.
        Ok(Box::new(move || Ok(Opened(Box::new(control.get().unwrap().report().is_ok())))))
    }

    fn load(&mut self, name: &str, policy: Arc<Policy>, opened: Opened) -> Result<Swap, Error> {
        let answered = opened.0.downcast::<bool>();
        self.note(format!("load {name}, others answered: {}", answered.unwrap()));
        self.policies.retain(|(other, _)| other != name);
        self.policies.push((name.to_owned(), policy));
        Ok(Swap::default())
    }

    fn restore(&mut self, name: &str, policy: Arc<Policy>) -> Result<Swap, Error> {
        self.load(name, policy, Opened(Box::new(false)))
    }

    fn unload(&mut self, name: &str) -> Option<Swap> {
        self.note(format!("unload {name}"));
        let before = self.policies.len();
        self.policies.retain(|(other, _)| other != name);
        (self.policies.len() < before).then(Swap::default)
    }

    fn change(&mut self, name: &str, policy: Arc<Policy>) -> Option<Swap> {
        self.note(format!("change {name}"));
        let place = self.policies.iter_mut().find(|(other, _)| other == name)?;
        place.1 = policy;
        Some(Swap::default())
    }

    fn withhold(&mut self, _: Option<&str>, withheld: bool) {
        assert!(!withheld, "nothing is missing");
    }

    fn drain(&mut self, policy: &str, station: &str, drained: bool) -> bool {
        self.note(format!("drain {policy} {station} {drained}"));
        true
    }

    fn ask(&self, question: FlowQuestion) -> Option<Wait> {
        self.note(format!("ask {}", question.policy));
        Some(Box::new(|| Ok(Answer::default())))
    }

    fn keep_forwarding(&mut self) {}

    fn finish(self: Box<Self>) -> Result<live::Report, Error> {
        self.note("finish".to_owned());
        Ok(live::Report::default())
    }
}

fn read(text: &str) -> (Compiled, Bundle) {
    let files = BTreeMap::from([("a.mrule".to_owned(), text.to_owned())]);
    let mut loader = MemoryLoader::new(files);
    Bundle::read(&["a.mrule".to_owned()], &mut loader, &[], &CompileBudget::default())
}

/// A control plane over one that takes notes, and the notes.
fn control(text: &str) -> (Arc<Control>, Said) {
    let (compiled, bundle) = read(text);
    let program = Arc::new(compiled.program.unwrap());
    let environment = Environment::new(&program).unwrap();
    let engine = Engine::new(EngineKind::Interp, program, &environment).unwrap();
    let main = Policy::try_new(Arc::new(engine), environment).unwrap();
    let memory =
        Memory { limits: MemoryLimits::default(), setting: live::setting(Limits::default(), Some(1)) };
    let (limits, confinement) = (CompileLimits::default(), Arc::new(Confinement::default()));
    let mut start = Start::new(EngineKind::Interp, main, bundle, None, &confinement, limits, memory);
    let (said, asked) = (Said::default(), Arc::new(OnceLock::new()));
    let mut notes = Notes { policies: start.first(), said: said.clone(), control: asked.clone() };
    start.restore(&mut notes);
    let (control, told) = Control::new(Box::new(notes), EngineKind::Interp, start, None);
    assert_eq!(told, Vec::<String>::new());
    let control = Arc::new(control);
    asked.set(control.clone()).unwrap();
    (control, said)
}

#[test]
fn changes_reach_a_data_plane_as_messages() {
    let (control, said) = control(RULES);
    let (compiled, bundle) = read(RULES);
    assert_eq!(control.load("more", compiled, bundle, false).unwrap().version, 1);
    control.watch();
    control.drain_station("more", "s", true).unwrap();
    control.unload("more", &Principal::owner()).unwrap();
    let names: Vec<String> = control.list().unwrap().into_iter().map(|(name, _, _)| name).collect();
    assert_eq!(names, [MAIN]);
    let said = said.lock().unwrap().join("; ");
    assert_eq!(said, "open more: s; load more, others answered: true; watch; drain more s true; unload more");
}

#[test]
fn what_a_data_plane_refuses_changes_nothing() {
    let (control, said) = control(RULES);
    let (compiled, bundle) =
        read(&RULES.replace("station s", "station refused").replace("to s", "to refused"));
    let refused = control.load("more", compiled, bundle, false).unwrap_err();
    assert!(
        matches!(&refused, Refusal::Conflict(why) if why.starts_with("the stations were opened by another data plane")),
        "{refused}"
    );
    assert_eq!(control.list().unwrap().len(), 1);
    assert_eq!(*said.lock().unwrap(), ["open more: refused"]);
}

#[test]
fn a_data_plane_that_was_taken_out_is_asked_nothing() {
    let (control, said) = control(RULES);
    control.take_dataplane().unwrap().finish().unwrap();
    control.watch();
    assert!(matches!(control.report(), Err(Refusal::Ended)));
    assert!(matches!(control.list(), Err(Refusal::Ended)));
    let (compiled, bundle) = read(RULES);
    assert!(matches!(control.load("more", compiled, bundle, false), Err(Refusal::Ended)));
    assert!(control.take_dataplane().is_none());
    assert_eq!(*said.lock().unwrap(), ["finish"]);
}
