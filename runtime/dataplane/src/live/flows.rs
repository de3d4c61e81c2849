//! Queries all workers about flows. Invariant: while a caller waits, it holds nothing that workers
//! or other callers need, except for changes that take a moment. (Rejected: asking one worker after
//! the other.)

use super::Live;
use super::flow_query::{Answer, FlowQuery, Question};
use super::worker::Command;
use mrule_compiler::hir::Program;
use mrule_engine::change::FlowRefusal;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long workers may take to answer. The scan of a full table takes a second or two when they
/// are busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers that workers will send.
pub struct Answers {
    /// The number of workers that were asked.
    workers: usize,
    answers: Receiver<Answer>,
    /// The workers continue as long as this lives.
    _waits: Arc<()>,
}

impl Live {
    /// Asks the workers about flows of a policy that was seen with this program, at a moment in
    /// nanoseconds since the Unix epoch. Returns `None` if no policy has this name.
    pub fn ask(
        &self,
        policy: &str,
        program: &Arc<Program>,
        question: &Question,
        now: i64,
    ) -> Option<Answers> {
        let loaded = self.policies.loaded.iter().find(|loaded| loaded.is(policy))?;
        let (to, answers) = channel();
        let waits = Arc::new(());
        let mut workers = 0;
        for handle in &self.workers {
            let query = FlowQuery {
                id: loaded.id(),
                program: program.clone(),
                question: question.clone(),
                now,
                answer: to.clone(),
                waits: Arc::downgrade(&waits),
            };
            // A worker that has died is found at the end.
            workers += usize::from(handle.tell(Command::Query(Box::new(query))));
        }
        Some(Answers { workers, answers, _waits: waits })
    }
}

impl Answers {
    /// Waits for all answers.
    ///
    /// # Errors
    /// Workers are too busy, or another program has replaced the program that was asked about.
    pub fn wait(self) -> Result<Answer, FlowRefusal> {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Answer::default();
        for _ in 0..self.workers {
            let left = deadline.saturating_duration_since(Instant::now());
            all.add(self.answers.recv_timeout(left).map_err(|_| FlowRefusal::Busy)?);
        }
        if all.changed { Err(FlowRefusal::Changed) } else { Ok(all) }
    }
}
