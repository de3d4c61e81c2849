//! The process that takes over from this one. Invariants: at most one process at a time takes over.
//! A process that hangs up before this run has begun to end has taken nothing over, and the run
//! continues. After that, no process can take over any more. (Rejected: a flag set with the answer;
//! the asking process may be dead when the flag is read, and then no process would mirror.)

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;

/// A check without waiting.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The state of a take-over.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// The successor's process, and the connection by which both processes see each other end.
    successor: Option<(i32, UnixStream)>,
    ending: bool,
}

impl Succession {
    /// Whether a process may take over now; if not, the reason.
    pub fn may_begin(&mut self) -> Result<(), String> {
        match (self.ending, self.taken_over()) {
            (true, _) => Err("it is ending: start without `--take-over` when it has ended".to_owned()),
            (false, Some(pid)) => Err(format!("process {pid} is taking over already")),
            (false, None) => Ok(()),
        }
    }

    /// Notes that a process takes over.
    pub fn begin(&mut self, pid: i32, connection: UnixStream) {
        self.successor = Some((pid, connection));
    }

    /// The process that takes over and is still there.
    pub fn taken_over(&mut self) -> Option<i32> {
        if !self.ending {
            self.successor.take_if(|(_, connection)| has_hung_up(connection));
        }
        self.successor.as_ref().map(|(pid, _)| *pid)
    }

    /// Ends the run. Returns the process that has taken over by now.
    pub fn conclude(&mut self) -> Option<i32> {
        self.ending = true;
        self.taken_over()
    }
}

/// Whether the other side is gone. If this cannot be found out, it counts as present.
fn has_hung_up(connection: &UnixStream) -> bool {
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut polled = [PollFd::new(connection, PollFlags::RDHUP)];
    poll(&mut polled, Some(&NOW)).is_ok() && polled.iter().any(|polled| polled.revents().intersects(gone))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn one_that_hangs_up_has_taken_nothing_over() {
        let mut succession = Succession::default();
        for pid in [7, 8] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            succession.may_begin().unwrap();
            succession.begin(pid, ours);
            assert_eq!(succession.taken_over(), Some(pid));
            assert!(succession.may_begin().unwrap_err().contains(&format!("process {pid}")));
            drop(theirs);
            assert_eq!(succession.taken_over(), None);
        }
    }

    #[test]
    fn a_run_that_ends_hands_nothing_over_any_more() {
        let mut succession = Succession::default();
        assert_eq!(succession.conclude(), None);
        assert!(succession.may_begin().unwrap_err().starts_with("it is ending"));

        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut succession = Succession::default();
        succession.begin(7, ours);
        drop(theirs);
        // The run has begun to end: the kernel must continue to forward.
        assert_eq!((succession.conclude(), succession.taken_over()), (Some(7), Some(7)));
        assert!(succession.may_begin().is_err());
    }
}
