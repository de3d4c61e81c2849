//! Real programs over a bridge, by both forwarders: downloads by curl with TCP's own count of
//! retransmissions, a shell by ssh, a VLAN with its own addresses, multicast; and a soak of mixed
//! traffic over rotating files in which nothing may grow. (Rejected: traffic that the test makes
//! itself; it has none of the habits of kernels and clients.)

use crate::MIRRORC;
use mrule_tests::frames::read;
use mrule_tests::wire::{Tool, Wire, until, with_wire, write_rules};
use rustix::net::sockopt;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const RULES: &str =
    "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match any  snaplen headers  to lake }\n";

/// Serves a directory on the right, at port 80; what says so is there when this returns.
fn web_server(wire: &Wire, dir: &Path) -> Tool {
    let command =
        ["python3", "-m", "http.server", "80", "--bind", "::", "--directory", dir.to_str().unwrap()];
    let server = wire.start(&wire.right, &command);
    until("a web server", || {
        wire.try_run(&wire.right, &["curl", "-sf", "-o", "/dev/null", "http://[::1]/"]).status.success()
    });
    server
}

/// How many segments the right had to send again.
fn sent_again(wire: &Wire) -> u64 {
    let said = wire.run(&wire.right, &["cat", "/proc/net/snmp"]);
    let mut lines = said.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|name| name == "RetransSegs").unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

/// Gets a file from the right; whether it is that one.
fn downloads(wire: &Wire, host: &str, file: &[u8], to: &Path) {
    let url = format!("http://{host}/file");
    wire.run(&wire.left, &["curl", "-sf", "-m", "60", "-o", to.to_str().unwrap(), &url]);
    assert!(std::fs::read(to).unwrap() == file, "{host}: another file arrived");
}

fn real_programs(wire: &Wire, forward: &str) {
    let dir = tempfile::tempdir().unwrap();
    let rules = write_rules(dir.path(), RULES);
    let file: Vec<u8> = (0..6_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(dir.path().join("file"), &file).unwrap();
    let run = wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0", "--forward", forward]);
    let vlan = has_vlan(wire);
    let server = web_server(wire, dir.path());
    let got = dir.path().join("got");
    let before = sent_again(wire);
    downloads(wire, "10.1.0.2", &file, &got);
    downloads(wire, "[fd01::2]", &file, &got);
    if vlan {
        downloads(wire, "10.7.0.2", &file, &got);
    }
    // Some, because the virtual cable swaps what two processors send, which TCP can take for a
    // loss.
    let again = sent_again(wire) - before;
    eprintln!("by the {forward}: {again} segments sent again");
    assert!(forward != "kernel" || again < 20, "{again} segments sent again");
    drop(server);
    multicast(wire);
    let shell = shell(wire, dir.path());
    let sums = run.stop();
    let copies = read(&dir.path().join("lake.pcapng"));
    assert_eq!(Some(copies.len() as u64), sums["packets"].as_u64(), "one copy a packet, cut to its headers");
    for port in sums["ports"].as_array().unwrap() {
        assert!(forward != "kernel" || port["redirect"]["failed"] == 0, "{port}");
    }
    let tagged = copies.iter().filter(|copy| copy.bytes.get(12..16) == Some(&[0x81, 0, 0, 7]));
    assert_eq!(tagged.count() > 600, vlan, "what the VLAN carried");
    let port = |number: u16| {
        let number = number.to_be_bytes();
        copies
            .iter()
            .filter(|c| c.bytes.get(12..14) == Some(&[8, 0]) && c.bytes.get(36..38) == Some(&number))
            .count()
    };
    assert_eq!(port(22) > 10, shell, "what ssh sent");
    assert!(port(5000) >= 5, "multicast");
}

/// Gives both hosts addresses in VLAN 7; false where the kernel has no such devices.
fn has_vlan(wire: &Wire) -> bool {
    for (ns, link, host) in [(&wire.left, "l0", "1"), (&wire.right, "r0", "2")] {
        let vlan = format!("{link}.7");
        let command = ["ip", "link", "add", "link", link, "name", &vlan, "type", "vlan", "id", "7"];
        if !wire.try_run(ns, &command).status.success() {
            eprintln!(
                "SKIPPED: downloads over a VLAN: this kernel has no VLAN devices (frames with tags are compared elsewhere)"
            );
            return false;
        }
        wire.ip(ns, &["addr", "add", &format!("10.7.0.{host}/24"), "dev", &vlan]);
        wire.ip(ns, &["link", "set", &vlan, "up"]);
    }
    true
}

/// Datagrams to a group that the right is in.
fn multicast(wire: &Wire) {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let taker = wire.inside(&wire.right, || {
        let taker = UdpSocket::bind(("0.0.0.0", 5000)).unwrap();
        taker.join_multicast_v4(&group, &Ipv4Addr::new(10, 1, 0, 2)).unwrap();
        taker.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        taker
    });
    wire.inside(&wire.left, || {
        let sender = UdpSocket::bind(("10.1.0.1", 0)).unwrap();
        sockopt::set_ip_multicast_if(&sender, &Ipv4Addr::new(10, 1, 0, 1)).unwrap();
        for number in 0..5_u8 {
            sender.send_to(&[number; 9], (group, 5000)).unwrap();
        }
    });
    for number in 0..5_u8 {
        let mut bytes = [0; 32];
        let length = taker.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], &[number; 9]);
    }
}

/// A session with a shell on the right; false where sshd is not to be had.
fn shell(wire: &Wire, dir: &Path) -> bool {
    if !Path::new("/usr/sbin/sshd").exists() || std::env::var_os("MIRRORC_TEST_NAMESPACE").is_some() {
        eprintln!("SKIPPED: ssh over a bridge: needs sshd, and root outside of user namespaces");
        return false;
    }
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    for name in ["host", "id"] {
        wire.run(&wire.right, &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &path(name)]);
    }
    let config = format!(
        "Port 22\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\n",
        path("host"),
        path("id.pub")
    );
    std::fs::write(dir.join("sshd"), config).unwrap();
    // A /run of its own, with the directory that sshd wants.
    let script =
        format!("mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -f {}", path("sshd"));
    let _server = wire.start(&wire.right, &["unshare", "--mount", "sh", "-c", &script]);
    let key = path("id");
    let ssh = [
        "ssh",
        "-q",
        "-F",
        "none",
        "-i",
        &key,
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ];
    let ask = [
        &ssh[..],
        &["-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "root@10.1.0.2", "echo through the bridge"],
    ]
    .concat();
    until("a shell", || {
        let answer = wire.try_run(&wire.left, &ask);
        String::from_utf8_lossy(&answer.stdout) == "through the bridge\n"
    });
    true
}

#[test]
fn real_programs_by_the_kernel() {
    with_wire("real_programs_by_the_kernel", |wire| real_programs(wire, "kernel"));
}

#[test]
fn real_programs_by_the_workers() {
    with_wire("real_programs_by_the_workers", |wire| real_programs(wire, "userspace"));
}

/// Flows, streams, triggers, and files that are soon full.
const SOAK: &str = "
    station lake { pcapng \"DIR/lake.pcapng\" rotate 4MiB keep 4 }
    station mon  { interface m0  limit 20Mbit }
    trigger busy  by net.src { when count(tcp.flags.syn == 1) per 2s > 20  hold 5s  keys 1000 }
    trigger marked by flow   { when stream contains \"GET /file\"  hold flow }
    rule all    { match any                    snaplen headers      to lake }
    rule first  { match tcp                    snaplen stream 0..2KiB to lake, mon }
    rule more   { match busy                   snaplen full         to mon }
    rule marked { match marked and http.host   snaplen full         to lake }";

/// Seconds of it; ten minutes, say, by `MIRRORC_SOAK=600`.
fn soak_seconds() -> u64 {
    std::env::var("MIRRORC_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

/// Memory in bytes, open descriptors, and files of the ring, at one moment.
type Sample = (u64, usize, usize);

/// How many descriptors more than at rest may be open for a moment. A file ring that rotates has
/// three: the directory, and two of the walk from there to the root, or the new file beside the old
/// one. The table of interfaces, which the kernel gives as a file, is one more.
const TRANSIENT: usize = 4;

#[test]
fn nothing_grows() {
    with_wire("nothing_grows", |wire| {
        let dir = tempfile::tempdir().unwrap();
        let served = tempfile::tempdir().unwrap();
        std::fs::write(served.path().join("file"), vec![b'x'; 30_000]).unwrap();
        let rules = write_rules(dir.path(), SOAK);
        let more = ["--flows", "4096", "--stream-pool", "8MiB"];
        let run = wire.mirrorc(MIRRORC, &[&[&rules, "--bridge", "in0:out0"], &more[..]].concat());
        let _server = web_server(wire, served.path());
        let seconds = soak_seconds();
        let over = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                while !over.load(Relaxed) {
                    wire.tcp("20M", &["-b", "300M"]);
                    wire.tcp("10M", &["-b", "300M", "-R"]);
                    wire.tcp("3M", &["-u", "-b", "100M"]);
                    assert!(wire.pings(&["-s", "20000", "10.1.0.2"]));
                    // Many short connections, each a flow.
                    let urls = ["http://10.1.0.2/file"; 30];
                    let curl = [
                        &["curl", "-s", "--no-keepalive", "-H", "Connection: close", "-o", "/dev/null"],
                        &urls[..],
                    ];
                    wire.run(&wire.left, &curl.concat());
                }
            });
            let mut seen: Vec<Sample> = Vec::new();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(seconds) {
                std::thread::sleep(Duration::from_millis(100));
                let files = std::fs::read_dir(dir.path()).unwrap().count() - 1;
                let open = std::fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().count();
                seen.push((run.memory(), open, files));
            }
            over.store(true, Relaxed);
            load.join().unwrap();
            seen
        });
        // The first third is warming up; the second is what the last is compared with.
        let third = seen.len() / 3;
        let (warm, middle, last) = (&seen[third..], &seen[third..2 * third], &seen[2 * third..]);
        let least = |samples: &[Sample]| samples.iter().map(|s| s.1).min().unwrap();
        let memory = warm.iter().map(|s| s.0);
        let (low, high) = (memory.clone().min().unwrap(), memory.max().unwrap());
        let (before, after) = (least(middle), least(last));
        let most = warm.iter().map(|s| s.1).max().unwrap();
        let files = seen.iter().map(|s| s.2).max().unwrap();
        eprintln!(
            "{seconds} s: memory {low} to {high} bytes, descriptors {before}, then {after}, at most {most}, \
             at most {files} files"
        );
        assert!(high < low + low / 8 + (4 << 20), "memory grows: {low} to {high}");
        // What is open at rest shows in the least of many samples.
        assert_eq!(before, after, "descriptors are left open");
        assert!(most <= after + TRANSIENT, "{most} descriptors, {after} at rest");
        assert!((2..=5).contains(&files), "{files} files");
        let sums = run.stop();
        assert!(sums["tracked"]["flows"]["created"].as_u64() > Some(30), "{sums}");
        let lake = &sums["stations"][0];
        assert!(lake["sent"].as_u64() > Some(1000) && lake["dropped"]["write"] == 0, "{lake}");
    });
}
