//! What the control plane asks of a data plane: where packets are received, decided and forwarded.
//! The invariant: every question and every answer is a value of its own; nothing of the data plane
//! is borrowed, and no closure runs in it, so that another process could be at the other side.
//! (Rejected: the live run itself behind the control plane's lock; whatever has it depends on its
//! threads and sockets, and tests of the control plane need interfaces.)

#[cfg(test)]
mod tests;

use mrule_compiler::hir::Program;
use mrule_dataplane::error::Error;
use mrule_dataplane::live::flow_query::{Answer, Question};
use mrule_dataplane::live::{self, Live, Swap, Trouble};
use mrule_engine::change::FlowRefusal;
use mrule_engine::policy::{Label, Origin, Policy};
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// A program whose stations are to be opened.
#[derive(Debug, Clone)]
pub struct Stations {
    /// The policy under whose name it is to be loaded.
    pub policy: String,
    /// The program.
    pub program: Arc<Program>,
    /// Who wrote each station.
    pub origins: Vec<Origin>,
    /// What copies are marked with.
    pub label: Option<Label>,
}

/// A question about flows.
#[derive(Debug, Clone)]
pub struct FlowQuestion {
    /// The policy that keeps them.
    pub policy: String,
    /// The program with which it was seen.
    pub program: Arc<Program>,
    /// What is asked.
    pub question: Question,
    /// When: nanoseconds since the Unix epoch.
    pub now: i64,
}

/// What opens stations, away from the data plane, as the system may take its time.
pub type Open = Box<dyn FnOnce() -> Result<Opened, Error> + Send>;

/// What waits for an answer about flows, away from the data plane.
pub type Wait = Box<dyn FnOnce() -> Result<Answer, FlowRefusal> + Send>;

/// Stations that are open. Only the data plane that opened them knows what it is.
#[derive(Debug)]
pub struct Opened(pub Box<dyn Any + Send>);

/// Where packets are received, decided and forwarded.
pub trait Dataplane: Debug + Send {
    /// The policies at work, by name, in the order in which they were first loaded.
    fn policies(&self) -> Vec<(String, Arc<Policy>)>;

    /// One of them.
    fn policy(&self, name: &str) -> Option<Arc<Policy>>;

    /// Bytes of the rings in which packets come.
    fn ring_memory(&self) -> u64;

    /// All that is wrong with ports and workers.
    fn troubles(&self) -> Vec<Trouble>;

    /// What was counted so far.
    fn report(&mut self) -> live::Report;

    /// Looks after interfaces.
    fn watch(&mut self);

    /// Whether stations of many older programs still send what waits.
    fn is_ending_much(&mut self) -> bool;

    /// What opens the stations of a program.
    ///
    /// # Errors
    /// Too many policies; stations that may not be.
    fn open(&self, stations: Stations) -> Result<Open, Error>;

    /// Loads a policy whose stations are open.
    ///
    /// # Errors
    /// Too many policies; memory and prefilters. Then nothing has changed.
    fn load(&mut self, name: &str, policy: Arc<Policy>, opened: Opened) -> Result<Swap, Error>;

    /// Loads a policy before the first packet is read; a station that cannot be opened is tried
    /// again later.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn restore(&mut self, name: &str, policy: Arc<Policy>) -> Result<Swap, Error>;

    /// Unloads a policy; none if there is none of this name.
    fn unload(&mut self, name: &str) -> Option<Swap>;

    /// Gives a policy another environment: the same program with other tables and params.
    fn change(&mut self, name: &str, policy: Arc<Policy>) -> Option<Swap>;

    /// Withholds the copies of one policy, or of all; or lets them go again.
    fn withhold(&mut self, name: Option<&str>, withheld: bool);

    /// Gives a station no more copies, or copies again; whether there is such a one.
    fn drain(&mut self, policy: &str, station: &str, drained: bool) -> bool;

    /// Asks about flows; none if there is no such policy.
    fn ask(&self, question: FlowQuestion) -> Option<Wait>;

    /// Lets the kernel go on forwarding when the run ends.
    fn keep_forwarding(&mut self);

    /// Stops reading and forwarding, and gives the final sums.
    ///
    /// # Errors
    /// A worker has died; redirects that could not be removed.
    fn finish(self: Box<Self>) -> Result<live::Report, Error>;
}

impl Dataplane for Live {
    fn policies(&self) -> Vec<(String, Arc<Policy>)> {
        Live::policies(self).map(|(name, policy)| (name.to_owned(), policy.clone())).collect()
    }

    fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        Live::policy(self, name).cloned()
    }

    fn ring_memory(&self) -> u64 {
        Live::ring_memory(self)
    }

    fn troubles(&self) -> Vec<Trouble> {
        Live::troubles(self)
    }

    fn report(&mut self) -> live::Report {
        Live::report(self)
    }

    fn watch(&mut self) {
        Live::watch(self);
    }

    fn is_ending_much(&mut self) -> bool {
        Live::is_ending_much(self)
    }

    fn open(&self, stations: Stations) -> Result<Open, Error> {
        let Stations { policy, program, origins, label } = stations;
        let opening = self.opening(&policy, &program, origins, label)?;
        Ok(Box::new(move || Ok(Opened(Box::new(opening.open()?)))))
    }

    fn load(&mut self, name: &str, policy: Arc<Policy>, opened: Opened) -> Result<Swap, Error> {
        let opened = opened.0.downcast();
        let opened = opened.map_err(|_| Error::OtherDataplane)?;
        self.load_opened(name, policy, *opened)
    }

    fn restore(&mut self, name: &str, policy: Arc<Policy>) -> Result<Swap, Error> {
        Live::restore(self, name, policy)
    }

    fn unload(&mut self, name: &str) -> Option<Swap> {
        Live::unload(self, name)
    }

    fn change(&mut self, name: &str, policy: Arc<Policy>) -> Option<Swap> {
        self.change_environment(name, policy)
    }

    fn withhold(&mut self, name: Option<&str>, withheld: bool) {
        Live::withhold(self, name, withheld);
    }

    fn drain(&mut self, policy: &str, station: &str, drained: bool) -> bool {
        Live::drain(self, policy, station, drained)
    }

    fn ask(&self, question: FlowQuestion) -> Option<Wait> {
        let FlowQuestion { policy, program, question, now } = question;
        let answers = Live::ask(self, &policy, &program, &question, now)?;
        Some(Box::new(move || answers.wait()))
    }

    fn keep_forwarding(&mut self) {
        Live::keep_forwarding(self);
    }

    fn finish(self: Box<Self>) -> Result<live::Report, Error> {
        Live::finish(*self)
    }
}
