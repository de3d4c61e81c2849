//! Events for whoever listens just now: lines about triggers, and notes about interfaces, stations and policies. The
//! invariant: what is told is never waited for; a listener that is too slow loses the oldest and is told how many.
//! (Rejected: keeping events for those who come later; `--events-out` writes them down.)

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::broadcast::{Receiver, Sender, channel};

/// How many events wait for a listener.
const WAITING: usize = 1024;

/// Where events are told.
#[derive(Debug, Clone)]
pub struct Hub {
    events: Sender<Arc<str>>,
    wanted: Arc<AtomicBool>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { events: channel(WAITING).0, wanted: Arc::default() }
    }
}

impl Hub {
    /// True while somebody listens.
    pub fn wanted(&self) -> Arc<AtomicBool> {
        self.wanted.clone()
    }

    /// Tells a note: something that a user should know of.
    pub fn note(&self, text: &str) {
        let time = crate::event::time_text(crate::control::now());
        let line = serde_json::json!({ "time": time, "event": "note", "note": text });
        let _nobody_listens = self.events.send(line.to_string().into());
    }

    /// Listens from now on.
    pub(super) fn listen(&self) -> Listener {
        let events = self.events.subscribe();
        self.wanted.store(true, Relaxed);
        Listener { events, hub: self.clone() }
    }
}

/// Somebody who listens.
pub(super) struct Listener {
    pub events: Receiver<Arc<str>>,
    hub: Hub,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // This one is still counted.
        self.hub.wanted.store(self.hub.events.receiver_count() > 1, Relaxed);
    }
}

/// A writer of event lines that tells a hub, and writes to a file if there is one.
pub struct Tee {
    hub: Hub,
    file: Option<Box<dyn Write + Send>>,
    line: Vec<u8>,
}

impl Tee {
    /// To a hub and a file.
    pub fn new(hub: Hub, file: Option<Box<dyn Write + Send>>) -> Tee {
        Tee { hub, file, line: Vec::new() }
    }
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.line);
                let _nobody_listens = self.hub.events.send(line.trim_end().into());
                self.line.clear();
            }
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush())
    }
}
