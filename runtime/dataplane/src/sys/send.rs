//! Sends frames in batches (sendmmsg(2)), each with its virtio header in front. Invariant: the
//! kernel gets pointers into slices that live through the call, and each frame is reported as sent
//! or failed exactly once. (Rejected: a transmit ring; veth copies twice, and super-frames do not
//! fit its slots.)

#![expect(unsafe_code, reason = "sendmmsg has no safe wrapper")]

use super::frame::OFFLOAD;
use super::packet::Socket;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Number of frames in one call to the kernel.
pub const BATCH: usize = 64;

/// A frame to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The frame's virtio header, for a socket with offloads.
    pub offload: [u8; OFFLOAD],
    /// The frame.
    pub bytes: &'a [u8],
}

/// Sends frames in order. Calls `failed` with the place and the error of each frame that could not
/// be sent. The frames behind a failure are still sent.
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

/// Sends the first of at most [`BATCH`] frames and as many of the next as possible. Returns the
/// number of sent frames.
fn send_some(socket: &Socket, frames: &[Outgoing<'_>]) -> io::Result<usize> {
    let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut parts = [[nothing; 2]; BATCH];
    // SAFETY: an all-zero `mmsghdr` is valid: null pointers and zero lengths.
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
    // through the call, and the kernel only reads what the parts point to.
    let sent = unsafe {
        libc::sendmmsg(socket.as_fd().as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}
