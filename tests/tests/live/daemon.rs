//! A daemon that is started by a call, as `examples/daemon.rs` does: it forwards, counts, answers
//! at its control socket, reloads, and leaves nothing behind. The invariant: no process of mirrorc
//! is started; threads are told apart from those of other tests by their network namespace.
//! (Rejected: counting the threads of the process; tests run side by side.)

use mrule_control::daemon::{Daemon, DaemonError, Ending, Notice, Observer, Options, Rules, Silent};
use mrule_dataplane::Error;
use mrule_tests::cli::mirrorc;
use mrule_tests::frames::read;
use mrule_tests::wire::{Wire, until, with_wire, write_rules};
use serde_json::Value;
use std::fs::{File, read_dir, read_link};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[path = "../../../examples/daemon.rs"]
mod example;

const RULES: &str =
    "station lake { pcapng \"DIR/lake.pcapng\" }\nrule pings { match icmp  snaplen full  to lake }\n";

/// Threads of this process in the machine's namespace, by their names, but for the calling one.
fn threads(wire: &Wire) -> Vec<String> {
    let inode = File::open(format!("/run/netns/{}", wire.here)).unwrap().metadata().unwrap().ino();
    let its = format!("net:[{inode}]");
    let here = rustix::thread::gettid().as_raw_nonzero().to_string();
    let tasks = read_dir("/proc/self/task").unwrap().map(|task| task.unwrap());
    let others = tasks.filter(|task| task.file_name() != here.as_str()).map(|task| task.path());
    // One may end while it is looked at.
    let inside = others.filter(|task| read_link(task.join("ns/net")).is_ok_and(|ns| ns == Path::new(&its)));
    inside.filter_map(|task| std::fs::read_to_string(task.join("comm")).ok()).collect()
}

/// Nothing of a daemon is left on the machine.
fn assert_gone(wire: &Wire, socket: &Path) {
    until("its threads end", || threads(wire).is_empty());
    assert!(!socket.exists(), "the control socket");
    // A child of another test has the sockets of this process until it executes its program.
    let said = |file: &str| wire.run(&wire.here, &["cat", file]);
    until("its packet sockets go", || said("/proc/net/packet").lines().count() == 1);
    until("it owns no interface", || !said("/proc/net/unix").contains("mirrorc/bridge"));
    let filters = wire.run(&wire.here, &["tc", "filter", "show", "dev", "in0", "ingress"]);
    assert_eq!(filters, "", "redirects");
}

/// What a daemon has said.
#[derive(Default)]
struct Heard(Vec<String>);

impl Observer for Heard {
    fn notice(&mut self, notice: Notice<'_>) -> io::Result<()> {
        self.0.push(match notice {
            Notice::Started { workers, user } => format!("started {workers} {}", user.is_some()),
            Notice::Reloaded(done) => format!("reloaded {}", done.version),
            Notice::Errors(compiled) => format!("errors: {}", compiled.diagnostics[0].message),
            other => format!("{other:?}"),
        });
        Ok(())
    }
}

impl Heard {
    fn has(&self, what: &str) -> bool {
        self.0.iter().any(|said| said.contains(what))
    }
}

/// A command that asks it, which succeeds.
fn ask(socket: &Path, words: &[&str]) -> Value {
    let run = mirrorc(&[words, &["--json", "--to", socket.to_str().unwrap()]].concat());
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{words:?}: {}{}", run.stdout, run.stderr))
}

#[test]
fn a_daemon_is_started_asked_and_stopped_in_a_library_call() {
    with_wire("a_daemon_is_started_asked_and_stopped_in_a_library_call", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let (rules, socket) = (write_rules(dir.path(), RULES), dir.path().join("control"));
        wire.inside(&wire.here, || {
            let mut heard = Heard::default();
            let mut options = example::options("in0", "out0", &rules, &socket);
            options.live.workers = 2;
            options.state = Some(dir.path().join("state"));
            let stop = options.stop.clone();
            let mut daemon = Daemon::start(options, &mut heard).unwrap();
            assert!(heard.has("started 2 false"), "{:?}", heard.0);
            assert!(threads(wire).len() > 3, "workers, a station, the API: {:?}", threads(wire));
            assert!(wire.pings(&["10.1.0.2"]), "it forwards");
            let mirrored = |daemon: &Daemon| daemon.report().unwrap().summary.mirrored;
            until("three pings and their answers", || {
                daemon.tick(Duration::from_millis(50), &mut heard).unwrap();
                mirrored(&daemon) == 6
            });
            let status = ask(&socket, &["status"]);
            assert_eq!(status["status"], "ok", "{status}");
            let policies = ask(&socket, &["list"]);
            assert!(
                policies.to_string().contains("pings") || policies.to_string().contains("main"),
                "{policies}"
            );

            write_rules(dir.path(), &RULES.replace("match icmp", "match icmq"));
            daemon.reload(&mut heard).unwrap();
            until("rules with an error are refused", || {
                daemon.tick(Duration::from_millis(50), &mut heard).unwrap();
                heard.has("errors: ")
            });
            write_rules(dir.path(), &RULES.replace("snaplen full", "snaplen headers"));
            daemon.reload(&mut heard).unwrap();
            until("the new rules are at work", || {
                daemon.tick(Duration::from_millis(50), &mut heard).unwrap();
                heard.has("reloaded 2")
            });
            assert!(wire.pings(&["10.1.0.2"]), "it goes on forwarding");
            until("three more", || mirrored(&daemon) == 12);

            assert_eq!(daemon.ending(), None);
            stop.store(true, Relaxed);
            assert_eq!(daemon.ending(), Some(Ending::Requested));
            let finished = daemon.stop(&mut heard).unwrap();
            finished.report.check().unwrap();
            assert_eq!(finished.report.stations[0].sent, 12);
            let redirected = finished.report.ports.iter().map(|port| port.redirect.unwrap().packets);
            assert!(redirected.clone().all(|packets| packets >= 6), "{:?}", redirected.collect::<Vec<_>>());
            assert_eq!(read(&dir.path().join("lake.pcapng")).len(), 12);
            assert_gone(wire, &socket);
            assert!(!wire.pings(&["10.1.0.2"]), "nobody forwards any more");
        });
    });
}

#[test]
fn the_example_runs_until_it_is_stopped() {
    with_wire("the_example_runs_until_it_is_stopped", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let (rules, socket) = (write_rules(dir.path(), RULES), dir.path().join("control"));
        wire.inside(&wire.here, || {
            let options = example::options("in0", "out0", &rules, &socket);
            let stop = options.stop.clone();
            let finished = std::thread::scope(|scope| {
                scope.spawn(|| {
                    until("it listens", || socket.exists());
                    until("it forwards", || wire.pings(&["10.1.0.2"]));
                    stop.store(true, Relaxed);
                });
                example::run(options, &mut Silent).unwrap()
            });
            assert!(finished.report.summary.mirrored >= 6);
            assert_gone(wire, &socket);
        });
    });
}

#[test]
fn a_daemon_that_cannot_start_says_why_and_leaves_nothing() {
    with_wire("a_daemon_that_cannot_start_says_why_and_leaves_nothing", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let (rules, socket) = (write_rules(dir.path(), RULES), dir.path().join("control"));
        wire.inside(&wire.here, || {
            let start = |options: Options| Daemon::start(options, &mut Silent).unwrap_err();
            let none = start(example::options("in0", "none0", &rules, &socket));
            assert!(matches!(none, DaemonError::Dataplane(Error::NoInterface { .. })), "{none}");
            assert_gone(wire, &socket);
            let missing = dir.path().join("missing.mrule").display().to_string();
            let unread = start(example::options("in0", "out0", &missing, &socket));
            assert!(matches!(unread, DaemonError::Unreadable(_)), "{unread}");
            let mut wrong = example::options("in0", "out0", &rules, &socket);
            wrong.rules = Rules::Text { name: "text".into(), text: "rule r { match icmq }".into() };
            let wrong = start(wrong);
            assert!(matches!(&wrong, DaemonError::Program(found) if found.program.is_none()), "{wrong}");
            let mut tiny = example::options("in0", "out0", &rules, &socket);
            tiny.memory.all = 1 << 10;
            let tiny = start(tiny);
            assert!(matches!(&tiny, DaemonError::Program(_)), "{tiny}");
            // This process has more than one thread.
            let mut given_up = example::options("in0", "out0", &rules, &socket);
            given_up.privileges = Some(Default::default());
            assert!(start(given_up).to_string().contains("privileges cannot be given up"));
            // A socket that cannot be made: its directory is missing.
            let socket = dir.path().join("none").join("control");
            let nowhere = start(example::options("in0", "out0", &rules, &socket));
            assert!(matches!(nowhere, DaemonError::Dataplane(Error::Control { .. })), "{nowhere}");
            assert_gone(wire, &socket);
            // Dropped without being stopped, it ends all the same.
            let socket = dir.path().join("control");
            drop(Daemon::start(example::options("in0", "out0", &rules, &socket), &mut Silent).unwrap());
            assert_gone(wire, &socket);
        });
    });
}
