//! Runs calls that may never return (a file on a hung mount), for a bounded time. Invariants: the
//! caller continues after that time, and soon after the run is to end; the thread that hangs ends
//! when the system answers, and delays nothing else. (Rejected: signals that interrupt the call; a
//! hung mount may not be interruptible.)

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How long the opening of a run's files may take at its start.
pub const OPENING: Duration = Duration::from_secs(5);

/// How long the opening of a database that another process has locked is retried. It is less than
/// [`OPENING`], so that the reason is known.
pub const LOCKED: Duration = Duration::from_secs(4);

/// How often the waiting thread checks whether the run ends.
const LOOK: Duration = Duration::from_millis(50);

/// Calls `what` on a separate thread. Returns `None` when it takes longer than `time`, when `stop`
/// is set, or when no thread can be started.
pub fn within<T: Send + 'static>(
    time: Duration,
    stop: &AtomicBool,
    what: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = sync_channel(1);
    let body = move || {
        let _nobody_waits_any_more = answer.send(what());
    };
    std::thread::Builder::new().name("opening".into()).spawn(body).ok()?;
    let until = Instant::now() + time;
    loop {
        match answered.recv_timeout(LOOK.min(until.saturating_duration_since(Instant::now()))) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if Instant::now() >= until || stop.load(Ordering::Relaxed) => {
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_left() {
        let stop = AtomicBool::new(false);
        assert_eq!(within(Duration::from_secs(60), &stop, || 7), Some(7));
        let slow = || std::thread::sleep(Duration::from_secs(2));
        assert_eq!(within(Duration::from_millis(10), &stop, slow), None);
        stop.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        assert_eq!(within(Duration::from_secs(60), &stop, slow), None);
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
