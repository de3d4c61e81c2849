//! Runs the store on a separate thread. The invariants: jobs have the order of the changes; a
//! change waits for its job after the control plane's lock is released, and is answered after that;
//! each job has a time limit; a failed job waits with all later jobs behind it, and is tried again,
//! so that the disk never has half of the changes; meanwhile the file `binding` names the policies
//! with missing changes. (Rejected: writing after the answer; an answered change must be on the
//! disk. Waiting under the lock; a hung directory would stop the control plane. Stopping after an
//! error; a restart would accept an older state.)

use super::backlog::{Backlog, SIZE};
use super::marker::Mark;
use super::store::{Kept, Store, Unusable};
use mrule_dataplane::confine::Confinement;
use mrule_dataplane::patience::OPENING;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time limit of a job.
const JOB: Duration = Duration::from_secs(3);

/// The number of rows for which a job gets one more second.
const ROWS: usize = 10_000;

/// The time limit of a job when the run ends.
const ENDING: Duration = Duration::from_millis(500);

/// The time between two checks of whether the run ends.
const LOOK: Duration = Duration::from_millis(50);

/// The largest number of changes that wait for the disk.
pub(super) const WAITING: usize = 10_000;

pub(super) type Work = Box<dyn FnMut(&mut Store) -> rusqlite::Result<()> + Send>;

/// A transaction to write to the disk.
pub(super) struct Change {
    /// Its number in the store.
    pub number: u64,
    /// The policy that would copy more without it.
    pub lessens: Option<String>,
    /// Its approximate size in bytes.
    pub size: usize,
    pub work: Work,
}

enum Task {
    Write(Change),
    /// Only writes the file `binding`.
    Mark(String, Mark, SyncSender<Result<(), String>>),
    /// Checks that the files exist.
    Look,
    /// Records the database's number in the file `binding`.
    Note,
}

struct Job {
    limit: Duration,
    task: Task,
    /// Why earlier changes were not accepted, and the policies with missing changes.
    lost: Option<(String, BTreeSet<String>)>,
}

impl Job {
    fn size(&self) -> usize {
        match &self.task {
            Task::Write(change) => change.size,
            Task::Mark(..) | Task::Look | Task::Note => 0,
        }
    }
}

/// The progress of the thread.
#[derive(Debug, Default)]
struct Progress {
    /// The number of jobs that have been tried.
    done: u64,
    /// The approximate size of the other jobs in bytes.
    entry: usize,
    /// The deadline of the running job, and its time limit.
    running: Option<(Instant, Duration)>,
    /// A message if the directory does not answer.
    hung: Option<String>,
    /// Why changes wait.
    failing: Option<String>,
    /// Why nothing is saved any more.
    lost: Option<String>,
    /// The store is closed.
    closed: bool,
}

impl Progress {
    /// Records that the running job takes too long, or that the thread has ended.
    fn check(&mut self, directory: &Path) {
        match self.running {
            Some((until, limit)) if Instant::now() >= until && self.hung.is_none() => {
                let (directory, seconds) = (directory.display(), limit.as_secs());
                self.hung = Some(format!(
                    "the state directory `{directory}` does not answer (for more than {seconds} s); changes are not \
                     kept until it does"
                ));
            }
            _ if self.closed => {
                self.lose("the state cannot be written: its thread ended");
            }
            _ => {}
        }
    }

    fn lose(&mut self, why: &str) {
        self.lost.get_or_insert_with(|| {
            format!("{why}; changes are not kept any more, until mirrorc is restarted")
        });
    }

    fn trouble(&self) -> Option<String> {
        self.lost.as_ref().or(self.hung.as_ref()).or(self.failing.as_ref()).cloned()
    }
}

#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
    confinement: Arc<Confinement>,
    directory: PathBuf,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, progress: MutexGuard<'a, Progress>) -> MutexGuard<'a, Progress> {
        self.changed.wait_timeout(progress, LOOK).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Runs an operation that may hang, and records its result.
    fn run(&self, limit: Duration, (jobs, size): (u64, usize), what: impl FnOnce() -> Outcome) {
        self.lock().running = Some((Instant::now() + limit, limit));
        let outcome = what();
        let mut progress = self.lock();
        progress.running = None;
        // A late operation is done nevertheless.
        progress.hung = None;
        progress.done += jobs;
        progress.entry = progress.entry.saturating_sub(size);
        match outcome {
            Outcome::Unknown => {}
            Outcome::Good => progress.failing = None,
            Outcome::Waits(why) => {
                progress.failing =
                    Some(format!("{why}; changes wait and are not kept yet, it is tried again"));
            }
            Outcome::Lost(why) => progress.lose(&why),
        }
        self.changed.notify_all();
    }
}

/// The result of an operation.
pub(super) enum Outcome {
    /// It shows nothing about the database.
    Unknown,
    /// All changes are on the disk.
    Good,
    /// Changes wait, for this reason.
    Waits(String),
    /// Too many changes wait.
    Lost(String),
}

/// Records the end of the thread, also after a panic.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// Runs jobs until no more can come.
fn serve(store: &mut Store, inbox: &Receiver<Job>, shared: &Shared) {
    let mut backlog = Backlog::default();
    loop {
        let next = match backlog.is_due() {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match next {
            Ok(job) => {
                shared.run(job.limit, (1, job.size()), || {
                    if let Some((why, missed)) = &job.lost {
                        backlog.lose(store, why.clone(), missed);
                    }
                    carry_out(store, &mut backlog, job.task)
                });
            }
            Err(RecvTimeoutError::Timeout) => shared.run(JOB, (0, 0), || backlog.retry(store)),
            Err(RecvTimeoutError::Disconnected) => {
                shared.run(JOB, (0, 0), || {
                    let end = backlog.is_due().map_or(Outcome::Unknown, |_| backlog.retry(store));
                    let _next_start_believes_less = store.marker().note();
                    end
                });
                return;
            }
        }
    }
}

fn carry_out(store: &mut Store, backlog: &mut Backlog, task: Task) -> Outcome {
    match task {
        Task::Write(change) => backlog.take(store, change),
        Task::Look => backlog.look(store),
        Task::Note => {
            let _tried_again = store.marker().note();
            Outcome::Unknown
        }
        Task::Mark(policy, mark, answer) => {
            let marked = store.marker().mark(&policy, mark);
            let marked = marked.map_err(|error| format!("the file `binding` cannot be written: {error}"));
            let _nobody_waits = answer.send(marked);
            Outcome::Unknown
        }
    }
}

/// A job whose caller waits.
#[derive(Debug)]
#[must_use]
pub(super) struct Pending {
    shared: Arc<Shared>,
    number: u64,
}

impl Pending {
    /// Waits until the job is on the disk, or waits for the disk; [`StoreThread::trouble`] then has
    /// the reason.
    pub fn wait(self) {
        let _told_by_trouble = self.tried();
    }

    /// The same.
    ///
    /// # Errors
    /// Why it was not tried.
    fn tried(&self) -> Result<(), String> {
        let mut ending = None;
        let mut progress = self.shared.lock();
        while progress.done < self.number {
            progress.check(&self.shared.directory);
            // What is lost for other reasons is done all the same: its policies are marked first.
            let ended = progress.lost.as_ref().filter(|_| progress.closed);
            if let Some(why) = ended.or(progress.hung.as_ref()) {
                return Err(why.clone());
            }
            if self.shared.confinement.is_stopping() {
                let now = Instant::now();
                if now >= *ending.get_or_insert(now + ENDING) {
                    let why = "the state was not written: the run ends";
                    progress.lose(why);
                    return Err(why.to_owned());
                }
            }
            progress = self.shared.wait(progress);
        }
        Ok(())
    }
}

/// A record in the file `binding` whose caller waits.
#[derive(Debug)]
#[must_use]
pub(super) struct Marked {
    pending: Pending,
    answer: Receiver<Result<(), String>>,
}

impl Marked {
    /// Waits until it is on the disk.
    ///
    /// # Errors
    /// Why it is not.
    pub fn wait(self) -> Result<(), String> {
        self.pending.tried()?;
        self.answer
            .try_recv()
            .unwrap_or_else(|_| Err("the state cannot be written: its thread ended".to_owned()))
    }
}

/// What the thread says while it opens the store.
enum Opening {
    /// It migrates a database of an earlier schema, and gets on with it.
    GoesOn,
    Ready(Vec<Kept>, u64),
    Failed(Unusable),
}

/// Sends jobs to the thread.
#[derive(Debug)]
pub(super) struct StoreThread {
    jobs: Option<Sender<Job>>,
    /// The number of sent jobs.
    sent: u64,
    /// The number of the last change in the store.
    numbered: u64,
    /// The number of the last job that checked the file.
    looked: u64,
    /// Policies with refused changes that the thread does not know yet.
    refused: BTreeSet<String>,
    shared: Arc<Shared>,
}

impl StoreThread {
    /// Opens the store in a directory, and reads the saved policies.
    ///
    /// # Errors
    /// Why the store cannot be used. A directory that hangs may contain a state.
    pub fn open(
        directory: &Path,
        confinement: &Arc<Confinement>,
    ) -> Result<(StoreThread, Vec<Kept>), Unusable> {
        let (confinement, path) = (confinement.clone(), directory.to_owned());
        let (progress, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { progress, changed, confinement, directory: path.clone() });
        let ((jobs, inbox), (opened, opening)) = (channel::<Job>(), channel());
        let of_thread = shared.clone();
        let body = move || {
            let closing = Closing(of_thread);
            let goes_on = || drop(opened.send(Opening::GoesOn));
            let read = Store::open(&path, &goes_on).and_then(|mut store| match store.read(super::now()) {
                Ok((kept, numbered)) => Ok((store, kept, numbered)),
                Err(why) => Err(Unusable { why, is_new: false }),
            });
            let (mut store, kept, numbered) = match read {
                Ok(read) => read,
                Err(unusable) => {
                    let _nobody_waits = opened.send(Opening::Failed(unusable));
                    return;
                }
            };
            // The receiver is gone if opening took too long: then no job comes.
            let _nobody_waits = opened.send(Opening::Ready(kept, numbered));
            serve(&mut store, &inbox, &closing.0);
            drop(store);
        };
        let failed = |what: &str| {
            let why = format!("the state in `{}` cannot be used: {what}", directory.display());
            Unusable { why, is_new: false }
        };
        let thread = std::thread::Builder::new().name("state".into()).spawn(body);
        thread.map_err(|error| failed(&format!("no thread can be started: {error}")))?;
        let mut until = Instant::now() + OPENING;
        loop {
            match opening.recv_timeout(LOOK) {
                Ok(Opening::GoesOn) => until = Instant::now() + OPENING,
                Ok(Opening::Ready(kept, numbered)) => {
                    let (jobs, refused) = (Some(jobs), BTreeSet::new());
                    let store_thread = StoreThread { jobs, sent: 0, numbered, looked: 0, refused, shared };
                    return Ok((store_thread, kept));
                }
                Ok(Opening::Failed(unusable)) => return Err(unusable),
                Err(RecvTimeoutError::Disconnected) => return Err(failed("its thread ended")),
                Err(RecvTimeoutError::Timeout) if shared.confinement.is_stopping() => {
                    return Err(failed("the run ends"));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= until => {
                    let seconds = OPENING.as_secs();
                    return Err(failed(&format!("its file system has not answered for {seconds} s")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Sends the thread a job that writes a number of rows, without waiting. `lessens` is the
    /// policy that would copy more without this change, `size` the approximate size of the job in
    /// bytes.
    pub fn send(
        &mut self,
        rows: usize,
        size: usize,
        lessens: Option<String>,
        work: impl FnMut(&mut Store) -> rusqlite::Result<()> + Send + 'static,
    ) -> Option<Pending> {
        self.numbered += 1;
        let of = lessens.clone();
        let change = Change { number: self.numbered, lessens, size, work: Box::new(work) };
        let given = self.give(rows, Task::Write(change));
        if given.is_none() {
            self.refused.extend(of);
        }
        given
    }

    /// Records the database's number in the file `binding`. Nobody waits for it.
    pub fn note(&mut self) {
        let _nobody_waits = self.give(0, Task::Note);
    }

    /// Records in the file `binding` what a policy binds, whether or not the database can be
    /// written, without waiting.
    pub fn mark(&mut self, policy: &str, mark: Mark) -> Option<Marked> {
        let (send, answer) = sync_channel(1);
        let pending = self.give(0, Task::Mark(policy.to_owned(), mark, send))?;
        Some(Marked { pending, answer })
    }

    /// A load has ended: the current version is binding with this number, or not binding.
    pub fn over(&mut self, policy: &str, version: Option<u64>) -> Option<Marked> {
        self.mark(policy, Mark::Over(version, self.numbered))
    }

    fn give(&mut self, rows: usize, task: Task) -> Option<Pending> {
        let limit = JOB + Duration::from_secs((rows / ROWS) as u64);
        let mut job = Job { limit, task, lost: None };
        {
            let mut progress = self.shared.lock();
            progress.check(&self.shared.directory);
            let are_many = self.sent - progress.done >= WAITING as u64;
            let is_much = progress.entry > 0 && progress.entry.saturating_add(job.size()) > SIZE;
            if progress.hung.is_some() && (are_many || is_much) {
                let megabytes = SIZE >> 20;
                progress.lose(&format!(
                    "no more than {WAITING} changes or {megabytes} MiB wait for the state directory"
                ));
            }
            if progress.closed || progress.lost.is_some() && progress.hung.is_some() {
                return None;
            }
            progress.entry += job.size();
            let lost = progress.lost.clone().filter(|_| !self.refused.is_empty());
            job.lost = lost.map(|why| (why, std::mem::take(&mut self.refused)));
        }
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            return None;
        }
        self.sent += 1;
        Some(Pending { shared: self.shared.clone(), number: self.sent })
    }

    /// Checks without waiting that the file is in its place and that the thread does not hang;
    /// results of the thread are known at the next check.
    pub fn look(&mut self) {
        let done = {
            let mut progress = self.shared.lock();
            progress.check(&self.shared.directory);
            progress.done
        };
        if done >= self.looked && self.give(0, Task::Look).is_some() {
            self.looked = self.sent;
        }
    }

    /// Why changes are not saved.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().trouble()
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        if !self.refused.is_empty() {
            let _nobody_waits = self.give(0, Task::Look);
        }
        self.jobs = None;
        let until = Instant::now() + JOB;
        let mut progress = self.shared.lock();
        while !progress.closed && progress.hung.is_none() && Instant::now() < until {
            progress.check(&self.shared.directory);
            progress = self.shared.wait(progress);
        }
    }
}

#[cfg(test)]
mod tests;
