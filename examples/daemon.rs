//! Forwards between two interfaces and mirrors by rules, in this process, until standard input
//! ends: `cargo run --example daemon -- in0 out0 rules/web.mrule /run/mirrorc/control` (as root).
//! The invariant: the commands and the API of `mirrorc` reach it at its control socket. (Rejected:
//! starting `mirrorc` and following its output; a library says what happens as data.)

use mrule_control::daemon::{Daemon, DaemonError, Finished, Notice, Observer, Options, Rules};
use std::error::Error;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A bridge with a control socket.
pub fn options(a: &str, b: &str, rules: &str, socket: &Path) -> Options {
    let rules = Rules::Files { files: vec![rules.to_owned()], set: Vec::new() };
    let mut options = Options::new(rules, mirrorc::renderers());
    options.live.bridges = vec![(a.to_owned(), b.to_owned())];
    options.control = Some(socket.to_owned());
    options
}

/// Runs until somebody sets `stop` of the options.
///
/// # Errors
/// It cannot start, or a worker has died.
pub fn run(options: Options, observer: &mut dyn Observer) -> Result<Finished, DaemonError> {
    let mut daemon = Daemon::start(options, observer)?;
    while daemon.ending().is_none() {
        daemon.tick(Duration::from_millis(200), observer)?;
    }
    daemon.stop(observer)
}

/// Prints what happens.
struct Printer;

impl Observer for Printer {
    fn notice(&mut self, notice: Notice<'_>) -> io::Result<()> {
        match notice {
            Notice::Started { workers, .. } => println!("{workers} workers"),
            Notice::Note(what) => println!("{what}"),
            _ => {}
        }
        Ok(())
    }
}

#[allow(dead_code, reason = "a test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, a, b, rules, socket] = arguments.as_slice() else {
        return Err("usage: daemon A B RULES SOCKET".into());
    };
    let options = options(a, b, rules, socket.as_ref());
    let stop = options.stop.clone();
    std::thread::spawn(move || {
        let _until_it_ends = io::stdin().read_to_end(&mut Vec::new());
        stop.store(true, Relaxed);
    });
    let finished = run(options, &mut Printer)?;
    for port in &finished.report.ports {
        println!("{}: {} packets", port.name, port.packets());
    }
    Ok(())
}
