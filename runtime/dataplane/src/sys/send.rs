//! Sends frames by the batch (sendmmsg(2)), each with its virtio header in front. The invariant:
//! the kernel is given pointers into slices that live through the call, and each frame is told sent
//! or failed exactly once. (Rejected: a transmit ring: two copies on veth, and slots that
//! super-frames do not fit.)

#![expect(unsafe_code, reason = "sendmmsg has no safe wrapper")]

use super::frame::OFFLOAD;
use super::packet::Socket;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// How many frames go to the kernel in one call.
pub const BATCH: usize = 64;

/// A frame to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its virtio header, for a socket with offloads.
    pub offload: [u8; OFFLOAD],
    /// The frame.
    pub bytes: &'a [u8],
}

/// Sends frames in order; `failed` is told which could not be sent, and why. What follows a failure
/// is still tried.
pub fn send(socket: &Socket, frames: &[Outgoing<'_>], mut failed: impl FnMut(usize, io::Error)) {
    for (chunk, frames) in frames.chunks(BATCH).enumerate() {
        let mut done = 0;
        while let Some(rest) = frames.get(done..).filter(|rest| !rest.is_empty()) {
            match send_some(socket, rest) {
                Ok(sent) => done += sent.max(1),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failed(chunk * BATCH + done, error);
                    done += 1;
                }
            }
        }
    }
}

/// Sends the first of at most [`BATCH`] frames and as many behind it as go; gives how many went.
fn send_some(socket: &Socket, frames: &[Outgoing<'_>]) -> io::Result<usize> {
    let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut parts = [[nothing; 2]; BATCH];
    // SAFETY: an all-zero `mmsghdr` is a valid one: null pointers and zero lengths.
    let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    let mut count = 0;
    for ((frame, parts), message) in frames.iter().zip(&mut parts).zip(&mut messages) {
        let part =
            |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        *parts = [part(&frame.offload), part(frame.bytes)];
        message.msg_hdr.msg_iov = parts.as_mut_ptr();
        message.msg_hdr.msg_iovlen = parts.len();
        count += 1;
    }
    // SAFETY: `count` messages, each with two parts in `parts`, which point into `frames`; all live
    // through the call, and the kernel only reads what the parts point at.
    let sent = unsafe {
        libc::sendmmsg(socket.as_fd().as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}
