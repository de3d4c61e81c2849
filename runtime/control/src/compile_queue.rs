//! Runs one compilation at a time, on a separate thread. The invariants: the queue is bounded, for
//! all clients and for each client; the owner of the control socket comes first, the other clients
//! take turns; if a client disconnects, its job leaves the queue or is cancelled, and the next job
//! begins; no job runs on a thread that answers requests. (Rejected: a thread for each request; ten
//! large programs would use all processors and ten times the memory.)

use mrule_compiler::budget::{CompileBudget, DEFAULT_CODE, DEFAULT_NODES, Stop};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The largest number of waiting compilations of all clients, without the running one.
pub const WAITING: usize = 32;

/// The largest number of waiting compilations of one client.
pub const WAITING_OF_ONE: usize = 4;

/// The default time limit of a compilation.
pub const DEFAULT_TIME: Duration = Duration::from_secs(30);

/// The limits of each compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Nodes of the typed program.
    pub nodes: u64,
    /// Bytes of native code; rules that do not fit are interpreted.
    pub code: u64,
    /// The time from the first text to the last byte of code.
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

/// Why a compilation is not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many compilations wait.
    #[error("{WAITING} programs already wait to be compiled, the largest number allowed; try again later")]
    All,
    /// Too many compilations of this client wait.
    #[error(
        "{0} programs of this client already wait to be compiled, the largest number allowed; wait for their answers"
    )]
    One(usize),
    /// No thread can be started.
    #[error("cannot start a thread to compile; try again later")]
    NoThread,
    /// The run has ended.
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
    /// The owner's jobs.
    first: VecDeque<Job>,
    /// The jobs of each other client, in the order of their turns.
    others: VecDeque<(String, VecDeque<Job>)>,
    last_id: u64,
    /// The cancel flag of the running compilation.
    running: Option<Arc<AtomicBool>>,
    /// The thread, which the first compilation starts.
    thread: Option<JoinHandle<()>>,
    ended: bool,
}

impl State {
    fn waiting(&self) -> usize {
        self.first.len() + self.others.iter().map(|(_, jobs)| jobs.len()).sum::<usize>()
    }

    /// The number of waiting jobs of a client, or of the owner if there is no name.
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

/// The queue and its thread. The first compilation starts the thread; dropping the queue ends it.
pub struct CompileQueue {
    shared: Arc<Shared>,
    limits: CompileLimits,
}

/// A pending answer; dropping it cancels the compilation.
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
        // The contents of the jobs are dropped without the lock.
        drop(job);
    }
}

impl<T> Ticket<T> {
    /// The answer; none if the run ends first.
    pub async fn answer(mut self) -> Option<T> {
        (&mut self.answer).await.ok()
    }

    /// The same, for a thread that may block.
    pub fn wait(self) -> Option<T> {
        let Ticket { answer, _cancel } = self;
        answer.blocking_recv().ok()
    }
}

impl CompileQueue {
    /// An empty queue, with the limits of each compilation.
    pub fn new(limits: CompileLimits) -> CompileQueue {
        CompileQueue { shared: Arc::new(Shared::default()), limits }
    }

    /// Cancels running and waiting compilations, and accepts no more.
    pub fn end(&self) {
        let mut state = self.shared.lock();
        state.ended = true;
        if let Some(running) = &state.running {
            running.store(true, Relaxed);
        }
        let left = (std::mem::take(&mut state.first), std::mem::take(&mut state.others));
        drop(state);
        // The contents of the jobs are dropped without the lock.
        drop(left);
        self.shared.wakeup.notify_all();
    }

    /// The limits of each compilation.
    pub fn limits(&self) -> CompileLimits {
        self.limits
    }

    /// Queues a compilation for a client; the owner of the control socket has no name.
    ///
    /// # Errors
    /// [`Busy`]: the compilation is not queued.
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
        // Jobs of other clients use no place of the owner.
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
            // A cancelled compilation has no receiver.
            let _gone = send.send(work(budget));
        });
        state.push(client, Job { id, cancelled: cancelled.clone(), work });
        drop(state);
        self.shared.wakeup.notify_one();
        let _cancel = Cancel { shared: self.shared.clone(), id, cancelled };
        Ok(Ticket { answer, _cancel })
    }

    /// The number of waiting compilations.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting()
    }
}

/// The stack size of the thread, in bytes: the grammar limits the nesting of conditions, which
/// needs less than a tenth of it.
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
        // A panic is a bug in mirrorc: its client gets no answer, and the next program is compiled.
        let work = std::panic::AssertUnwindSafe(|| (job.work)(&limits.cancelled_by(job.cancelled)));
        let _told_by_the_hook = std::panic::catch_unwind(work);
    }
}

impl Drop for CompileQueue {
    fn drop(&mut self) {
        self.end();
        let thread = self.shared.lock().thread.take();
        // If the last compilation owned the queue, this is the queue's own thread, which cannot
        // join itself.
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
