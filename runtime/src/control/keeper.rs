//! The store on a thread of its own. The invariants: the order of jobs is the order of changes; a change waits for
//! its job after the control plane's lock is released, and is answered after that; each job has a time limit; after
//! a job that failed or took too long no further job runs, so that the disk never has half of what happened.
//! (Rejected: to write after the answer; a change that was answered is on the disk. To wait under the lock; a
//! directory that hangs would stop the control plane.)

use super::store::{Kept, Store, Unusable};
use crate::confine::Confinement;
use crate::patience::OPENING;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time limit of a job.
const JOB: Duration = Duration::from_secs(3);

/// The number of rows for which a job gets one more second.
const ROWS: usize = 10_000;

/// How long a job may take when the run ends.
const ENDING: Duration = Duration::from_millis(500);

/// How often a waiting thread looks whether the run ends.
const LOOK: Duration = Duration::from_millis(50);

type Work = Box<dyn FnOnce(&mut Store) -> Result<(), String> + Send>;

struct Job {
    limit: Duration,
    work: Work,
}

/// What the thread has done.
#[derive(Debug, Default)]
struct Progress {
    /// The number of jobs that have run.
    done: u64,
    /// When the running job must be done, and its time limit.
    running: Option<(Instant, Duration)>,
    /// Why no further job runs.
    trouble: Option<String>,
    /// The store is closed.
    closed: bool,
}

impl Progress {
    fn fail(&mut self, why: &str) {
        self.trouble.get_or_insert_with(|| format!("{why}; changes are not kept any more"));
    }

    /// Fails when the running job takes too long, or the thread is gone.
    fn check(&mut self) {
        match self.running {
            Some((until, limit)) if Instant::now() >= until => {
                let seconds = limit.as_secs();
                self.fail(&format!(
                    "the state cannot be written: its file system has not answered for {seconds} s"
                ));
            }
            _ if self.closed => self.fail("the state cannot be written: its thread ended"),
            _ => {}
        }
    }
}

#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
    confinement: Arc<Confinement>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, progress: MutexGuard<'a, Progress>) -> MutexGuard<'a, Progress> {
        self.changed.wait_timeout(progress, LOOK).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Runs a job, unless an earlier one failed; whether the next one may run.
    fn run(&self, store: &mut Store, job: Job) -> bool {
        {
            let mut progress = self.lock();
            if progress.trouble.is_some() {
                return false;
            }
            progress.running = Some((Instant::now() + job.limit, job.limit));
        }
        let done = (job.work)(store);
        let mut progress = self.lock();
        // A job that took too long has failed, whatever came of it.
        progress.check();
        progress.running = None;
        progress.done += 1;
        if let Err(why) = done {
            progress.fail(&why);
        }
        self.changed.notify_all();
        progress.trouble.is_none()
    }
}

/// Says that the thread has ended, also when it panicked.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// A job that somebody waits for.
#[derive(Debug)]
#[must_use]
pub(super) struct Pending {
    shared: Arc<Shared>,
    number: u64,
}

impl Pending {
    /// Waits until the job is on the disk, or has failed: then [`Keeper::trouble`] says why.
    pub fn wait(self) {
        let mut ending = None;
        let mut progress = self.shared.lock();
        while progress.done < self.number && progress.trouble.is_none() {
            progress.check();
            if self.shared.confinement.is_stopping() {
                let now = Instant::now();
                if now >= *ending.get_or_insert(now + ENDING) {
                    progress.fail("the state was not written: the run ends");
                }
            }
            progress = self.shared.wait(progress);
        }
    }
}

/// Gives jobs to the thread.
#[derive(Debug)]
pub(super) struct Keeper {
    jobs: Option<Sender<Job>>,
    /// The number of jobs that were given.
    sent: u64,
    /// The number of the last job that looked for the file.
    looked: u64,
    shared: Arc<Shared>,
}

impl Keeper {
    /// Opens the store in a directory, and reads what was kept.
    ///
    /// # Errors
    /// Why it cannot be used, in words. A directory that hangs may have a state in it.
    pub fn open(directory: &Path, confinement: &Arc<Confinement>) -> Result<(Keeper, Vec<Kept>), Unusable> {
        let confinement = confinement.clone();
        let shared = Arc::new(Shared { progress: Mutex::default(), changed: Condvar::new(), confinement });
        let ((jobs, inbox), (opened, opening)) = (channel::<Job>(), channel());
        let (path, of_thread) = (directory.to_owned(), shared.clone());
        let body = move || {
            let closing = Closing(of_thread);
            let read = Store::open(&path).and_then(|mut store| match store.read(super::now()) {
                Ok(kept) => Ok((store, kept)),
                Err(why) => Err(Unusable { why, is_new: false }),
            });
            let (mut store, kept) = match read {
                Ok(read) => read,
                Err(unusable) => {
                    let _nobody_waits = opened.send(Err(unusable));
                    return;
                }
            };
            // The receiver is gone when opening took too long: then no job comes.
            let _nobody_waits = opened.send(Ok(kept));
            for job in inbox {
                if !closing.0.run(&mut store, job) {
                    break;
                }
            }
            drop(store);
        };
        let failed = |what: &str| {
            let why = format!("the state in `{}` cannot be used: {what}", directory.display());
            Unusable { why, is_new: false }
        };
        let thread = std::thread::Builder::new().name("state".into()).spawn(body);
        thread.map_err(|error| failed(&format!("no thread can be started: {error}")))?;
        let until = Instant::now() + OPENING;
        loop {
            match opening.recv_timeout(LOOK) {
                Ok(Ok(kept)) => return Ok((Keeper { jobs: Some(jobs), sent: 0, looked: 0, shared }, kept)),
                Ok(Err(unusable)) => return Err(unusable),
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

    /// Gives the thread a job that writes a number of rows. It does not wait.
    pub fn send(
        &mut self,
        rows: usize,
        work: impl FnOnce(&mut Store) -> rusqlite::Result<()> + Send + 'static,
    ) -> Option<Pending> {
        let work =
            |store: &mut Store| work(store).map_err(|error| format!("the state cannot be written: {error}"));
        self.give(rows, Box::new(work))
    }

    fn give(&mut self, rows: usize, work: Work) -> Option<Pending> {
        if self.trouble().is_some() {
            return None;
        }
        let limit = JOB + Duration::from_secs((rows / ROWS) as u64);
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job { limit, work }).is_ok());
        if !sent {
            self.shared.lock().check();
            return None;
        }
        self.sent += 1;
        Some(Pending { shared: self.shared.clone(), number: self.sent })
    }

    /// Looks whether the file is where it was, and whether the thread hangs. It does not wait: what the thread
    /// finds is known at the next look.
    pub fn look(&mut self) {
        let done = {
            let mut progress = self.shared.lock();
            progress.check();
            progress.done
        };
        if done >= self.looked && self.give(0, Box::new(|store| store.is_there())).is_some() {
            self.looked = self.sent;
        }
    }

    /// Why changes are not kept any more.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().trouble.clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        let until = Instant::now() + JOB;
        let mut progress = self.shared.lock();
        while !progress.closed && progress.trouble.is_none() && Instant::now() < until {
            progress = self.shared.wait(progress);
        }
    }
}
