//! Sending one packet from a station's thread. The invariant: it waits a few milliseconds at most
//! where the system has no room just now, so that a burst is not lost and a link that stands still
//! is noticed. (Rejected: a blocking socket, which waits for ever for a link that does not move.)

use rustix::io::Errno;
use rustix::net::{self, SendFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How often it is tried again where there is no room.
const TRIES: u32 = 20;

/// How long is waited between.
const PAUSE: Duration = Duration::from_micros(250);

/// Sends a packet on a connected or bound socket.
pub(super) fn patiently(socket: BorrowedFd<'_>, packet: &[u8]) -> io::Result<()> {
    patiently_by(|| Ok(net::send(socket, packet, SendFlags::DONTWAIT).map(|_whole| ())?))
}

/// Sends a packet by a call that does not wait.
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
