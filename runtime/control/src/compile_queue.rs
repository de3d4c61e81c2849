//! One compilation at a time, on a thread of its own. The invariants: the queue is bounded, for all
//! clients and for each; the owner of the control socket comes before all others, and these take
//! turns; a job whose client goes away leaves the queue or is told to stop, and the next one
//! begins; a job never runs on a thread that answers requests. (Rejected: a thread for each
//! request; ten large programs then take the processors and ten times the memory.)

use mrule_compiler::budget::{CompileBudget, DEFAULT_CODE, DEFAULT_NODES, Stop};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How many compilations of all clients wait at most, beside the one that runs.
pub const WAITING: usize = 32;

/// How many compilations of one client wait at most.
pub const WAITING_OF_ONE: usize = 4;

/// How long a compilation may take unless the options say otherwise.
pub const DEFAULT_TIME: Duration = Duration::from_secs(30);

/// What each compilation of a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Nodes of the typed program.
    pub nodes: u64,
    /// Bytes of native code; what does not fit is interpreted.
    pub code: u64,
    /// From its first text to its last byte of code.
    pub time: Duration,
}

impl Default for CompileLimits {
    fn default() -> CompileLimits {
        CompileLimits { nodes: DEFAULT_NODES, code: DEFAULT_CODE, time: DEFAULT_TIME }
    }
}

impl CompileLimits {
    /// A budget for a compilation that begins now.
    pub fn budget(&self) -> CompileBudget {
        self.cancelled_by(Arc::default())
    }

    fn cancelled_by(&self, cancelled: Arc<AtomicBool>) -> CompileBudget {
        let (begun, time) = (Instant::now(), self.time);
        let stop = move || match cancelled.load(Relaxed) {
            true => Some(Stop::Cancelled),
            false => (begun.elapsed() > time).then_some(Stop::Time(time)),
        };
        CompileBudget::new(self.nodes, self.code).until(Arc::new(stop))
    }
}

/// Why a compilation is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many wait.
    #[error("{WAITING} programs already wait to be compiled, the largest number allowed; try again later")]
    All,
    /// Too many of this client wait.
    #[error(
        "{0} programs of this client already wait to be compiled, the largest number allowed; wait for their answers"
    )]
    One(usize),
    /// No thread is to be had for compiling.
    #[error("cannot start a thread to compile; try again later")]
    NoThread,
    /// No more are compiled.
    #[error("the run has ended")]
    Ended,
}

type Work = Box<dyn FnOnce(&CompileBudget) + Send>;

struct Job {
    id: u64,
    cancelled: Arc<AtomicBool>,
    work: Work,
}

#[derive(Default)]
struct State {
    /// The owner's.
    first: VecDeque<Job>,
    /// Of each other client that has any, in whose turn it is.
    others: VecDeque<(String, VecDeque<Job>)>,
    last_id: u64,
    /// The flag of the compilation that runs.
    running: Option<Arc<AtomicBool>>,
    /// Started by the first compilation.
    thread: Option<JoinHandle<()>>,
    ended: bool,
}

impl State {
    fn waiting(&self) -> usize {
        self.first.len() + self.others.iter().map(|(_, jobs)| jobs.len()).sum::<usize>()
    }

    /// The jobs of a client that wait, the owner's without a name.
    fn of(&self, client: Option<&str>) -> usize {
        let Some(name) = client else { return self.first.len() };
        self.others.iter().find(|(other, _)| other == name).map_or(0, |(_, jobs)| jobs.len())
    }

    fn push(&mut self, client: Option<&str>, job: Job) {
        let Some(name) = client else { return self.first.push_back(job) };
        match self.others.iter_mut().find(|(other, _)| other == name) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.others.push_back((name.to_owned(), VecDeque::from([job]))),
        }
    }

    fn next(&mut self) -> Option<Job> {
        if let Some(job) = self.first.pop_front() {
            return Some(job);
        }
        let (name, mut jobs) = self.others.pop_front()?;
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            self.others.push_back((name, jobs));
        }
        job
    }

    fn remove(&mut self, id: u64) -> Option<Job> {
        let lanes = std::iter::once(&mut self.first).chain(self.others.iter_mut().map(|(_, jobs)| jobs));
        let found = lanes.into_iter().find_map(|jobs| {
            let at = jobs.iter().position(|job| job.id == id)?;
            jobs.remove(at)
        });
        self.others.retain(|(_, jobs)| !jobs.is_empty());
        found
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wakeup: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue and its thread, which the first compilation starts and which ends when this is
/// dropped.
pub struct CompileQueue {
    shared: Arc<Shared>,
    limits: CompileLimits,
}

/// An answer that is awaited. When it is dropped before, the compilation is cancelled.
pub struct Ticket<T> {
    answer: oneshot::Receiver<T>,
    _cancel: Cancel,
}

struct Cancel {
    shared: Arc<Shared>,
    id: u64,
    cancelled: Arc<AtomicBool>,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.cancelled.store(true, Relaxed);
        let job = self.shared.lock().remove(self.id);
        // What it holds is dropped without the lock.
        drop(job);
    }
}

impl<T> Ticket<T> {
    /// The answer; none when the run has ended before.
    pub async fn answer(mut self) -> Option<T> {
        (&mut self.answer).await.ok()
    }

    /// The same, for a thread that may wait.
    pub fn wait(self) -> Option<T> {
        let Ticket { answer, _cancel } = self;
        answer.blocking_recv().ok()
    }
}

impl CompileQueue {
    /// An empty queue; each compilation may take so much.
    pub fn new(limits: CompileLimits) -> CompileQueue {
        CompileQueue { shared: Arc::new(Shared::default()), limits }
    }

    /// Cancels what runs and what waits, and takes nothing in any more.
    pub fn end(&self) {
        let mut state = self.shared.lock();
        state.ended = true;
        if let Some(running) = &state.running {
            running.store(true, Relaxed);
        }
        let left = (std::mem::take(&mut state.first), std::mem::take(&mut state.others));
        drop(state);
        // What they hold is dropped without the lock.
        drop(left);
        self.shared.wakeup.notify_all();
    }

    /// What each compilation may take.
    pub fn limits(&self) -> CompileLimits {
        self.limits
    }

    /// Queues a compilation for a client: the owner of the control socket has no name.
    ///
    /// # Errors
    /// [`Busy`]: then it is not queued.
    pub fn submit<T: Send + 'static>(
        &self,
        client: Option<&str>,
        work: impl FnOnce(&CompileBudget) -> T + Send + 'static,
    ) -> Result<Ticket<T>, Busy> {
        let (send, answer) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut state = self.shared.lock();
        if state.ended {
            return Err(Busy::Ended);
        }
        // What the others have queued takes no place from the owner.
        let waiting = if client.is_some() { state.waiting().saturating_sub(state.first.len()) } else { 0 };
        if waiting >= WAITING {
            return Err(Busy::All);
        }
        if state.thread.is_none() {
            let (inside, limits) = (self.shared.clone(), self.limits);
            let thread = std::thread::Builder::new().name("compile".into()).stack_size(STACK);
            let thread = thread.spawn(move || run(&inside, limits)).map_err(|_| Busy::NoThread)?;
            state.thread = Some(thread);
        }
        state.last_id += 1;
        let id = state.last_id;
        let most = if client.is_some() { WAITING_OF_ONE } else { WAITING };
        if state.of(client) >= most {
            return Err(Busy::One(most));
        }
        let work: Work = Box::new(move |budget| {
            // Nobody awaits an answer to a compilation that was cancelled.
            let _gone = send.send(work(budget));
        });
        state.push(client, Job { id, cancelled: cancelled.clone(), work });
        drop(state);
        self.shared.wakeup.notify_one();
        let _cancel = Cancel { shared: self.shared.clone(), id, cancelled };
        Ok(Ticket { answer, _cancel })
    }

    /// How many compilations wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting()
    }
}

/// Bytes of the thread's stack: conditions nest at most as deep as the grammar allows, which needs
/// less than a tenth.
const STACK: usize = 16 << 20;

fn run(shared: &Shared, limits: CompileLimits) {
    loop {
        let mut state = shared.lock();
        state.running = None;
        let job = loop {
            if state.ended {
                return;
            }
            match state.next() {
                Some(job) => break job,
                None => state = shared.wakeup.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.running = Some(job.cancelled.clone());
        drop(state);
        // A panic is a fault of ours: its client is told that there is no answer, and the next
        // program is compiled.
        let work = std::panic::AssertUnwindSafe(|| (job.work)(&limits.cancelled_by(job.cancelled)));
        let _told_by_the_hook = std::panic::catch_unwind(work);
    }
}

impl Drop for CompileQueue {
    fn drop(&mut self) {
        self.end();
        let thread = self.shared.lock().thread.take();
        // The last compilation may be what kept this: its thread does not wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _panicked = thread.join();
        }
    }
}

impl std::fmt::Debug for CompileQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompileQueue").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
