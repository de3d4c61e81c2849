//! Who takes over from this process. The invariants: one process at a time; one that hangs up
//! before this run has begun to end has taken nothing over, and the run goes on; once it has begun
//! to end, nobody is told that it hands over. (Rejected: a flag that is set by the answer; who
//! asked may be dead when it is looked at, and then nobody would mirror.)

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixStream;

/// A look, without a wait.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Who takes over.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// Its process, and its connection: it sees this process end, and we see it.
    successor: Option<(i32, UnixStream)>,
    ending: bool,
}

impl Succession {
    /// Whether somebody may take over now; why not.
    pub fn may_begin(&mut self) -> Result<(), String> {
        match (self.ending, self.taken_over()) {
            (true, _) => Err("it is ending: start without `--take-over` when it has ended".to_owned()),
            (false, Some(pid)) => Err(format!("process {pid} is taking over already")),
            (false, None) => Ok(()),
        }
    }

    /// Somebody takes over.
    pub fn begin(&mut self, pid: i32, connection: UnixStream) {
        self.successor = Some((pid, connection));
    }

    /// Who takes over and is still there.
    pub fn taken_over(&mut self) -> Option<i32> {
        if !self.ending {
            self.successor.take_if(|(_, connection)| has_hung_up(connection));
        }
        self.successor.as_ref().map(|(pid, _)| *pid)
    }

    /// The run ends, for who has taken over until now or for nobody.
    pub fn conclude(&mut self) -> Option<i32> {
        self.ending = true;
        self.taken_over()
    }
}

/// Whether the other side is gone; when that cannot be found out, it is there.
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
        // It has begun to end: the kernel is to forward on.
        assert_eq!((succession.conclude(), succession.taken_over()), (Some(7), Some(7)));
        assert!(succession.may_begin().is_err());
    }
}
