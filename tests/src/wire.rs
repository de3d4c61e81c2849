//! Two hosts and a machine between them, each a network namespace: `left` (10.1.0.1, fd01::1) has
//! l0, whose other end is `in0` of the machine; `right` (10.1.0.2, fd01::2) has r0, whose other end
//! is `out0`; m0 of the machine leads to mon of `right`. MTU 9000. And a mirrorc on the machine, a
//! process of its own. The invariants: names hold the process and a count, so tests run side by
//! side; everything goes when the value does, also in a panic. (Rejected: one machine with two
//! interfaces and rules that keep its own stack out; here nothing but mirrorc connects the hosts.)

use crate::netns;
use mrule_dataplane::sys::frame::OFFLOAD;
use mrule_dataplane::sys::interface::Interfaces;
use mrule_dataplane::sys::packet::Socket;
use mrule_dataplane::sys::send::{Outgoing, send};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A machine between two hosts.
pub struct Wire {
    /// The namespace on the left.
    pub left: String,
    /// The machine.
    pub here: String,
    /// The namespace on the right.
    pub right: String,
}

/// Runs a test with a machine between two hosts, where that is allowed.
pub fn with_wire(test: &str, body: impl FnOnce(&Wire)) {
    if netns::is_allowed(test) {
        body(&Wire::make());
    }
}

impl Wire {
    fn make() -> Wire {
        let unique = format!("mirrorc{}w{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let name = |part: &str| format!("{unique}{part}");
        let wire = Wire { left: name("l"), here: name("h"), right: name("r") };
        for ns in wire.all() {
            ip(&["netns", "add", ns]);
            ip(&["-n", ns, "link", "set", "lo", "up"]);
        }
        // The machine says nothing by itself.
        wire.run(&wire.here, &["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
        let pairs = [(&wire.left, "l0", "in0"), (&wire.right, "r0", "out0"), (&wire.right, "mon", "m0")];
        for (ns, there, here) in pairs {
            ip(&[
                "link", "add", there, "netns", ns, "type", "veth", "peer", "name", here, "netns", &wire.here,
            ]);
            ip(&["-n", ns, "link", "set", there, "mtu", "9000", "addrgenmode", "none", "up"]);
            ip(&["-n", &wire.here, "link", "set", here, "mtu", "9000", "up"]);
        }
        for (ns, link, host) in [(&wire.left, "l0", "1"), (&wire.right, "r0", "2")] {
            ip(&["-n", ns, "addr", "add", &format!("10.1.0.{host}/24"), "dev", link]);
            ip(&["-n", ns, "addr", "add", &format!("fd01::{host}/64"), "dev", link, "nodad"]);
        }
        wire
    }

    fn all(&self) -> [&String; 3] {
        [&self.left, &self.here, &self.right]
    }

    /// A command in one of the namespaces; gives what it wrote to standard output, and panics where
    /// it fails.
    pub fn run(&self, ns: &str, command: &[&str]) -> String {
        let output = self.try_run(ns, command);
        assert!(
            output.status.success(),
            "{command:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, but it may fail.
    pub fn try_run(&self, ns: &str, command: &[&str]) -> std::process::Output {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", ns]).args(command).env_remove("SUDO_UID").output().expect("ip netns exec")
    }

    /// `ip` in one of the namespaces.
    pub fn ip(&self, ns: &str, arguments: &[&str]) {
        ip(&[&["-n", ns], arguments].concat());
    }

    /// Whether a ping from the left to the right is answered.
    pub fn pings(&self, options: &[&str]) -> bool {
        let command = [&["ping", "-c3", "-i0.05", "-W1"], options].concat();
        self.try_run(&self.left, &command).status.success()
    }

    /// Puts a new interface in the place of `out0`, which a mirrorc reads, with this MTU on its
    /// side; the hosts reach each other by it when this returns.
    pub fn replace_out0(&self, run: &Mirrorc, mtu: &str) {
        self.ip(&self.here, &["link", "del", "out0"]);
        run.says("interface out0 is gone");
        let ends = ["out0", "type", "veth", "peer", "name", "r0", "netns", &self.right];
        self.ip(&self.here, &[&["link", "add"], &ends[..]].concat());
        self.ip(&self.here, &["link", "set", "out0", "mtu", mtu]);
        self.ip(&self.right, &["addr", "add", "10.1.0.2/24", "dev", "r0"]);
        self.ip(&self.right, &["link", "set", "r0", "up"]);
        self.ip(&self.here, &["link", "set", "out0", "up"]);
        run.says("interface out0 is back");
        // The new one has another address.
        self.ip(&self.left, &["neigh", "flush", "dev", "l0"]);
        until("it forwards on the new interface", || self.pings(&["10.1.0.2"]));
    }

    /// Runs `body` on a thread in this namespace.
    pub fn inside<T: Send>(&self, ns: &str, body: impl FnOnce() -> T + Send) -> T {
        let there = File::open(format!("/run/netns/{ns}")).expect("a namespace");
        let body = move || {
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            body()
        };
        std::thread::scope(|scope| scope.spawn(body).join().expect("a thread"))
    }

    /// Sends these frames from the left.
    pub fn say(&self, frames: &[Vec<u8>]) {
        self.inside(&self.left, || {
            let socket = Socket::open().expect("a socket");
            socket.with_offloads().expect("offloads");
            let state = Interfaces::new().expect("interfaces").get("l0").expect("l0");
            socket.bind_to_send(state.index).expect("bind");
            for frame in frames {
                let outgoing = [Outgoing { offload: [0; OFFLOAD], bytes: frame }];
                send(&socket, &outgoing, |_, error| panic!("{} bytes: {error}", frame.len()));
            }
        });
    }

    /// Sends so many bytes of TCP from left to right, or the other way round, and says how fast, in
    /// bits a second (0 for UDP that was over before its server counted).
    pub fn tcp(&self, bytes: &str, options: &[&str]) -> f64 {
        let mut server = Tool { child: self.spawn(&self.right, &["iperf3", "-s", "-1"]) };
        let command = [&["timeout", "60", "iperf3", "-J", "-c", "10.1.0.2", "-n", bytes], options].concat();
        let mut said = Value::Null;
        until("iperf3 transfers", || {
            let output = self.try_run(&self.left, &command);
            said = serde_json::from_slice(&output.stdout).unwrap_or_default();
            // Before the server is there, that is the error, and the exit code is 0 all the same.
            !said.is_null() && said.get("error").is_none()
        });
        server.child.wait().expect("iperf3");
        let received = &said["end"]["sum_received"];
        received["bits_per_second"].as_f64().unwrap_or(0.0)
    }

    /// Starts a program in one of the namespaces, which ends when the value does.
    pub fn start(&self, ns: &str, command: &[&str]) -> Tool {
        Tool { child: self.spawn(ns, command) }
    }

    fn spawn(&self, ns: &str, command: &[&str]) -> Child {
        Command::new("ip")
            .args(["netns", "exec", ns])
            .args(command)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ip netns exec")
    }

    /// Starts tcpdump; it listens when this returns.
    pub fn tcpdump(&self, ns: &str, link: &str, direction: &str, to: &Path) -> Tool {
        let mut child = Command::new("ip")
            .args(["netns", "exec", ns, "tcpdump", "-n", "-U", "-Z", "root", "-B", "65536"])
            .args(["--time-stamp-precision=nano", "--immediate-mode", "-Q", direction, "-i", link, "-w"])
            .arg(to)
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump");
        let said = follow(child.stderr.take().expect("its words"));
        until("tcpdump listens", || said.lock().expect("words").contains("listening on"));
        Tool { child }
    }

    /// Starts mirrorc on the machine; it reads when this returns.
    pub fn mirrorc(&self, binary: &str, arguments: &[&str]) -> Mirrorc {
        self.mirrorc_with(&[], binary, arguments)
    }

    /// The same with these variables in its environment.
    pub fn mirrorc_with(&self, environment: &[(&str, &str)], binary: &str, arguments: &[&str]) -> Mirrorc {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.here, binary, "run"])
            // Tests run as who runs them.
            .env_remove("SUDO_UID")
            .envs(environment.iter().copied())
            .args(arguments)
            .args(["--stats", "json", "--interval", "200ms"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mirrorc");
        let said = follow(child.stderr.take().expect("its words"));
        let counted = follow(child.stdout.take().expect("its counts"));
        let mirrorc = Mirrorc { child, said, counted };
        mirrorc.says("Ctrl-C ends");
        mirrorc
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for ns in self.all() {
            let _gone_already = Command::new("ip").args(["netns", "del", ns]).status();
        }
    }
}

/// A mirrorc at work.
pub struct Mirrorc {
    child: Child,
    said: Arc<Mutex<String>>,
    counted: Arc<Mutex<String>>,
}

impl Mirrorc {
    /// Stands for one that is not there.
    pub fn none() -> Mirrorc {
        let child = Command::new("true").spawn().expect("true");
        Mirrorc { child, said: Arc::default(), counted: Arc::default() }
    }

    /// Waits until it has said this.
    pub fn says(&self, what: &str) {
        until(what, || self.said().contains(what));
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("words").clone()
    }

    /// Waits until its last counts are so.
    pub fn counts(&self, what: &str, are: impl Fn(&Value) -> bool) {
        until(what, || self.last().is_some_and(|value| are(&value)));
    }

    fn last(&self) -> Option<Value> {
        let counted = self.counted.lock().expect("counts").clone();
        let whole = counted.rfind('\n').map(|end| &counted[..end])?;
        serde_json::from_str(whole.lines().last()?).ok()
    }

    /// Ends it as a user would and gives its final sums, which add up.
    pub fn stop(mut self) -> Value {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("kill");
        let status = self.child.wait().expect("mirrorc");
        until("the final sums", || self.last().is_some_and(|last| last["final"] == true));
        let said = self.said();
        assert!(status.success() && !said.contains("add up"), "{status} {said}");
        self.last().expect("sums")
    }

    /// Kills it, and waits until it is gone.
    pub fn halt(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("mirrorc");
    }

    /// Waits until it has ended by itself; its exit code, and what it has said.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let mut code = None;
        until("it ends", || {
            code = self.child.try_wait().expect("mirrorc");
            code.is_some()
        });
        // What it said last is on its way through a pipe, unless a child of its own keeps that
        // open.
        let begun = Instant::now();
        while Arc::strong_count(&self.said) > 1 && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        (code.and_then(|code| code.code()), self.said())
    }

    /// Has it read its rules again.
    pub fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("kill");
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How much memory it has, in bytes.
    pub fn memory(&self) -> u64 {
        crate::memory::of_process(self.child.id(), "VmRSS")
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("mirrorc");
    }
}

impl Drop for Mirrorc {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
        if std::thread::panicking() {
            eprintln!("mirrorc said:\n{}\nlast counts: {:?}", self.said(), self.last());
        }
    }
}

/// Another program at work.
pub struct Tool {
    child: Child,
}

impl Tool {
    /// Lets it do what is to be done yet, and ends it.
    pub fn stop(mut self) {
        std::thread::sleep(Duration::from_millis(300));
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("kill");
        self.child.wait().expect("a program");
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// Frames of every kind, also of kinds that nothing here should look at.
pub fn odd_frames() -> Vec<Vec<u8>> {
    let addresses = [0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    let frame = |head: &[u8], length: usize| {
        let mut frame = [&addresses[..], head].concat();
        let filling = (frame.len()..length).map(|i| (i * 7) as u8);
        frame.extend(filling);
        frame
    };
    let mut frames = vec![
        frame(&[0x88, 0xb5], 60),                                   // an experimental type
        frame(&[0x88, 0xb5], 14),                                   // nothing behind the header
        frame(&[0x81, 0x00, 0x20, 0x64, 0x08, 0x00], 200),          // VLAN 100, priority 1
        frame(&[0x88, 0xa8, 0x00, 0x05, 0x81, 0, 0, 6, 8, 0], 100), // QinQ
        frame(&[0x81, 0x00, 0x00, 0x00, 0x88, 0xb5], 64),           // VLAN 0
        frame(&[0x00, 0x26, 0x42, 0x42, 0x03], 60),                 // 802.3, spanning tree
        frame(&[0x88, 0xb5], 9014),                                 // as long as the MTU allows
        frame(&[0x81, 0x00, 0x00, 0x64, 0x88, 0xb5], 9018),         // and with a tag
        frame(&[0x08, 0x00, 0x45], 15),                             // a broken IPv4 header
    ];
    frames.push([&[1, 0, 0x5e, 0, 0, 5, 2, 0, 0, 0, 0, 2, 0x88, 0xb5][..], &[9; 50]].concat());
    frames
}

/// Writes rules into a directory, which `DIR` in them stands for; the file's path.
pub fn write_rules(dir: &Path, text: &str) -> String {
    let path = dir.join("a.mrule");
    std::fs::write(&path, text.replace("DIR", dir.to_str().expect("a path of text"))).expect("a file");
    path.to_str().expect("a path of text").to_owned()
}

/// How long is waited for what must come: a loaded machine with two processors takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Collects what comes out of a pipe.
fn follow(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let to = said.clone();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
            to.lock().expect("words").push_str(&line);
            line.clear();
        }
    });
    said
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}
