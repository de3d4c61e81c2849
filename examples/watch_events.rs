//! Prints what happens to triggers, stations and policies of a running mirrorc, one JSON object a
//! line: `cargo run --example watch_events -- /run/mirrorc/control`. The invariant: a line is
//! printed as soon as it comes. (Rejected: asking for the history again and again.)
//! Server-sent events: WHATWG HTML, section 9.2.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Calls `take` with each event until it says that it has enough, or the run ends.
///
/// # Errors
/// The socket cannot be reached or read.
pub fn watch(socket: &Path, mut take: impl FnMut(&str) -> bool) -> Result<(), Box<dyn Error>> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET /v1/events HTTP/1.1\r\nHost: mirrorc\r\nConnection: close\r\n\r\n")?;
    for line in BufReader::new(stream).lines() {
        if let Some(event) = line?.strip_prefix("data:")
            && !take(event.trim())
        {
            break;
        }
    }
    Ok(())
}

#[allow(dead_code, reason = "a test calls `watch`")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket] = arguments.as_slice() else {
        return Err("usage: watch_events SOCKET".into());
    };
    watch(socket.as_ref(), |event| {
        println!("{event}");
        true
    })
}
