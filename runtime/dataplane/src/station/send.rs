//! Sends one packet from a station's thread. Invariant: it waits at most a few milliseconds when
//! the system has no room, so that a burst is not lost and a stalled link is noticed. (Rejected: a
//! blocking socket, which waits for ever on a stalled link.)

use rustix::io::Errno;
use rustix::net::{self, SendFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Number of retries when there is no room.
const TRIES: u32 = 20;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_micros(250);

/// Sends a packet on a connected or bound socket.
pub(super) fn patiently(socket: BorrowedFd<'_>, packet: &[u8]) -> io::Result<()> {
    patiently_by(|| Ok(net::send(socket, packet, SendFlags::DONTWAIT).map(|_whole| ())?))
}

/// Sends a packet by a call that does not block.
pub(super) fn patiently_by(send: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut tries = 0;
    loop {
        let Err(error) = send() else { return Ok(()) };
        match Errno::from_io_error(&error) {
            Some(Errno::INTR) => {}
            Some(Errno::AGAIN | Errno::NOBUFS) if tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            _ => return Err(error),
        }
    }
}
