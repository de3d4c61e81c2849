//! Network namespaces for tests: `a` and `b` with two veth pairs between: a0 to b0 with 10.9.0.1
//! and fd00:9::1, .2 and ::2; a1 to b1 without any address, on which nothing is ever said but by
//! the test. The invariants: a test's own thread moves into `a`, so the threads it starts are
//! there, too, and no other test is; names hold the process and a count, so tests run side by side;
//! namespaces go when the value does, also in a panic. (Rejected: the host's interfaces, which are
//! not ours.)

use rustix::net::{self, AddressFamily, SocketType, ipproto, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Says to the child of a test that it is in a user namespace.
const INSIDE: &str = "MIRRORC_TEST_NAMESPACE";

/// Two namespaces and what is between.
pub struct Pair {
    a: String,
    b: String,
    /// There once [`Pair::host_behind`] was called.
    c: String,
}

/// The same for a test that listens with tcpdump, which wants to be root outside of user
/// namespaces, too.
pub fn with_listener(test: &str, body: impl FnOnce(&Pair) + Send) {
    if rustix::process::geteuid().is_root() {
        with_pair(test, body);
    } else {
        eprintln!("SKIPPED: {test}: tcpdump listens for root only");
    }
}

/// Whether network namespaces can be made here: by root, or in the user namespace of a process of
/// its own, in which the test is run again. Where neither is to be had, says so loudly.
pub fn is_allowed(test: &str) -> bool {
    if rustix::process::geteuid().is_root() || std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let exe = std::env::current_exe().expect("this test");
    let path = path_of(&exe, test);
    let script = "mount -t tmpfs none /run && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"])
        .arg(exe)
        .args([&path, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) if status.code().is_some_and(|code| code != 1) => panic!("{test} failed: {status}"),
        _ => eprintln!("SKIPPED: {test}: neither root nor user namespaces are to be had here"),
    }
    false
}

/// The path of a test in its executable, which is what `--exact` compares with.
fn path_of(exe: &Path, test: &str) -> String {
    let listed = Command::new(exe).args(["--list", "--format", "terse"]).output().expect("a list of tests");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut paths = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let found = paths.find(|path| path.rsplit("::").next() == Some(test));
    found.unwrap_or_else(|| panic!("no test is called {test}")).to_owned()
}

/// Runs a test between two namespaces, where that [`is_allowed`].
pub fn with_pair(test: &str, body: impl FnOnce(&Pair) + Send) {
    if !is_allowed(test) {
        return;
    }
    // A thread of its own: it never comes back from its namespace.
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let pair = Pair::make();
            let here = File::open(format!("/run/netns/{}", pair.a)).expect("a namespace");
            move_into_link_name_space(here.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            body(&pair);
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Pair {
    fn make() -> Pair {
        let unique = format!("mirrorc{}n{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let pair = Pair { a: format!("{unique}a"), b: format!("{unique}b"), c: format!("{unique}c") };
        ip(&["netns", "add", &pair.a]);
        ip(&["netns", "add", &pair.b]);
        for ns in [&pair.a, &pair.b] {
            ip(&["-n", ns, "link", "set", "lo", "up"]);
        }
        let [a, b] = [pair.a.as_str(), pair.b.as_str()];
        ip(&["-n", a, "link", "add", "a0", "type", "veth", "peer", "name", "b0", "netns", b]);
        for (ns, link, host) in [(a, "a0", "1"), (b, "b0", "2")] {
            ip(&["-n", ns, "addr", "add", &format!("10.9.0.{host}/24"), "dev", link]);
            ip(&["-n", ns, "addr", "add", &format!("fd00:9::{host}/64"), "dev", link, "nodad"]);
            ip(&["-n", ns, "link", "set", link, "mtu", "9000", "up"]);
        }
        ip(&["-n", a, "link", "add", "a1", "type", "veth", "peer", "name", "b1", "netns", b]);
        for (ns, link) in [(a, "a1"), (b, "b1")] {
            ip(&["-n", ns, "link", "set", link, "mtu", "9000", "addrgenmode", "none", "up"]);
        }
        // Once both ends are up, neighbours are known to whoever asks first.
        pair.in_a(&["ping", "-c1", "-W2", "10.9.0.2"]);
        pair.in_a(&["ping", "-c1", "-W2", "fd00:9::2"]);
        pair
    }

    /// Puts a host behind the receiver, which routes to it over a link of this MTU: a1 goes to a
    /// third namespace, with 10.10.0.2 and fd00:10::2. It takes what comes to these ports.
    pub fn host_behind(&self, mtu: &str, ports: &[u16]) -> Vec<OwnedFd> {
        let [a, b, c] = [self.a.as_str(), self.b.as_str(), self.c.as_str()];
        ip(&["netns", "add", c]);
        ip(&["-n", a, "link", "set", "a1", "netns", c]);
        for (ns, link, host) in [(b, "b1", "1"), (c, "a1", "2")] {
            ip(&["-n", ns, "addr", "add", &format!("10.10.0.{host}/24"), "dev", link]);
            ip(&["-n", ns, "addr", "add", &format!("fd00:10::{host}/64"), "dev", link, "nodad"]);
            ip(&["-n", ns, "link", "set", link, "mtu", mtu, "up"]);
        }
        for (to, router, back) in
            [("10.10.0.0/24", "10.9.0.2", "10.10.0.1"), ("fd00:10::/64", "fd00:9::2", "fd00:10::1")]
        {
            ip(&["-n", a, "route", "add", to, "via", router]);
            ip(&["-n", c, "route", "add", "default", "via", back]);
        }
        let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding";
        let done = Command::new("ip").args(["netns", "exec", b, "sh", "-c", forward]).status();
        assert!(done.expect("ip netns exec").success(), "forwarding");
        self.takers_in(c, ports)
    }

    /// `ip` in the sender's namespace.
    pub fn ip_a(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.a], arguments].concat());
    }

    /// `ip` in the receiver's namespace.
    pub fn ip_b(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.b], arguments].concat());
    }

    /// Runs a command in the sender's namespace; whether it succeeded.
    pub fn in_a(&self, command: &[&str]) -> bool {
        let output = Command::new("ip").args(["netns", "exec", &self.a]).args(command).output();
        output.expect("ip netns exec").status.success()
    }

    /// Sockets of the receiver at these UDP ports, and one that takes GRE, of both families:
    /// nothing is refused.
    pub fn takers(&self, ports: &[u16]) -> Vec<OwnedFd> {
        self.takers_in(&self.b, ports)
    }

    fn takers_in(&self, namespace: &str, ports: &[u16]) -> Vec<OwnedFd> {
        let there = File::open(format!("/run/netns/{namespace}")).expect("a namespace");
        let make = || {
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            let mut made: Vec<OwnedFd> = Vec::new();
            for port in ports {
                made.push(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port)).expect("a port").into());
                let v6 = net::socket(AddressFamily::INET6, SocketType::DGRAM, None).expect("a socket");
                sockopt::set_ipv6_v6only(&v6, true).expect("IPv6 only");
                net::bind(&v6, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port))).expect("a port");
                made.push(v6);
            }
            for family in [AddressFamily::INET, AddressFamily::INET6] {
                made.push(net::socket(family, SocketType::RAW, Some(ipproto::GRE)).expect("a raw socket"));
            }
            made
        };
        std::thread::scope(|scope| scope.spawn(make).join().expect("sockets"))
    }

    /// Starts tcpdump on a link of the receiver, for frames of up to 9500 bytes; it listens when
    /// this returns.
    pub fn listen(&self, link: &str, to: &Path, filter: &str) -> Tcpdump {
        self.tcpdump(link, to, filter, "9500")
    }

    /// The same for frames of any length, but fewer of them.
    pub fn listen_whole(&self, link: &str, to: &Path) -> Tcpdump {
        self.tcpdump(link, to, "", "65535")
    }

    fn tcpdump(&self, link: &str, to: &Path, filter: &str, longest: &str) -> Tcpdump {
        let mut child = Command::new("ip")
            .args([
                "netns", "exec", &self.b, "tcpdump", "-n", "-U", "-Z", "root", "-s", longest, "-B", "65536",
            ])
            .args(["--time-stamp-precision=nano", "--immediate-mode", "-Q", "in", "-i", link, "-w"])
            .arg(to)
            .args(filter.split_whitespace())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump");
        let mut lines = BufReader::new(child.stderr.take().expect("its words"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(lines.read_line(&mut line).expect("its words") > 0, "tcpdump ended");
        }
        // What else it says is read, or it would wait for us.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Tcpdump { child }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for ns in [&self.a, &self.b, &self.c] {
            // The third is not always there.
            let _gone_already = Command::new("ip").args(["netns", "del", ns]).stderr(Stdio::null()).status();
        }
    }
}

/// A tcpdump at work.
pub struct Tcpdump {
    child: Child,
}

impl Tcpdump {
    /// Lets it write what has arrived, and ends it.
    pub fn stop(mut self) {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("kill");
        self.child.wait().expect("tcpdump");
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}
