//! Flows by name on a running mirrorc: a session is pinned while it runs and the rest of it arrives
//! in full, others do not; flows are shown and ranked; what is not there, and what may be several,
//! is refused. (Rejected: one worker; then nobody would see that all are asked.)

use crate::MIRRORC;
use mirrorc::Exit;
use mrule_tests::control::ControlledRun;
use mrule_tests::copies;
use mrule_tests::http::ask;
use mrule_tests::packet_text::build;
use mrule_tests::wire::{Wire, until, with_wire, write_rules};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

const RULES: &str = "station lake { pcapng \"DIR/lake.pcapng\" }
    trigger keep by flow { external  hold flow }
    trigger brief by flow { external  hold 1h }
    rule heads { match any                    snaplen headers  to lake }
    rule keep  { match keep                   snaplen full     to lake }
    rule brief { match brief and app != http  snaplen full     to lake }\n";

/// Sends back each line that comes.
const SERVER: &str = "
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(('10.1.0.2', 7000), Echo).serve_forever()
";

/// Says its port, then sends each line that it is told and waits for the answer.
const CLIENT: &str = "
import socket, sys
s = socket.create_connection(('10.1.0.2', 7000), timeout=20)
f = s.makefile('rwb')
print(s.getsockname()[1], flush=True)
for line in sys.stdin.buffer:
    f.write(line); f.flush()
    assert f.readline() == line
    print('answered', flush=True)
";

/// A program that ends with the test.
struct Python(Child);

impl Drop for Python {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

/// A session with the server.
struct Session {
    python: Python,
    lines: BufReader<std::process::ChildStdout>,
    name: String,
    port: u16,
}

fn python(ns: &str, program: &str) -> Python {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", ns, "python3", "-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Python(command.spawn().expect("python3"))
}

impl Session {
    fn start(wire: &Wire) -> Session {
        let mut python = python(&wire.left, CLIENT);
        let mut lines = BufReader::new(python.0.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("the client's port");
        Session { python, lines, name: format!("tcp 10.1.0.1:{port} 10.1.0.2:7000"), port }
    }

    /// Sends so many bytes and waits until they are back.
    fn say(&mut self, bytes: usize) {
        let mut line = vec![b'x'; bytes - 1];
        line.push(b'\n');
        let input = self.python.0.stdin.as_mut().unwrap();
        input.write_all(&line).unwrap();
        input.flush().unwrap();
        let mut answer = String::new();
        self.lines.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), "answered");
    }
}

/// An echo server, and sessions with it.
fn sessions(wire: &Wire, count: usize) -> (Python, Vec<Session>) {
    let server = python(&wire.right, SERVER);
    until("the server listens", || wire.run(&wire.right, &["ss", "-ltn"]).contains(":7000"));
    (server, (0..count).map(|_| Session::start(wire)).collect())
}

fn flow(place: &ControlledRun, name: &str) -> Value {
    place.json(&["flow", "show", name])
}

/// Waits until a flow is known with at least so many packets.
fn seen(place: &ControlledRun, name: &str, packets: u64) {
    until(&format!("{name} with {packets} packets"), || {
        let run = ask(&place.socket, "get", &format!("/v1/flows/{}", name.replace(' ', "%20")), "", b"");
        run.status == 200 && run.json()["packets"].as_u64().unwrap() >= packets
    });
}

#[test]
fn a_pinned_session_arrives_in_full() {
    with_wire("a_pinned_session_arrives_in_full", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--workers", "2"]);
        let (_server, mut all) = sessions(wire, 6);
        for session in &mut all {
            session.say(1000);
        }
        for session in &all {
            // SYN, SYN+ACK, ACK, a line and its answer at least.
            seen(&place, &session.name, 5);
        }
        let pinned = all[2].name.clone();
        let several = place.refused(&["flow", "pin", &pinned]).1;
        assert!(
            several.contains("--trigger") && several.contains("keep") && several.contains("brief"),
            "{several}"
        );
        let told = place.command(&["flow", "pin", &pinned, "--trigger", "keep"]);
        assert!(told.contains("trigger keep is active for this flow"), "{told}");
        assert!(place.command(&["flow", "pin", &pinned, "--trigger", "keep"]).contains("already"));
        // The parts of the name as words, the ends in the other order; and one that holds for a
        // time.
        let port = all[4].port.to_string();
        let other = ["tcp", "10.1.0.2", "7000", "10.1.0.1", &port];
        let told = place.command(&[&["trigger", "raise", "brief"], &other[..], &["--for", "10m"]].concat());
        assert!(told.contains("raised"), "{told}");
        for session in &mut all {
            session.say(2000);
        }
        for session in &all {
            seen(&place, &session.name, 8);
        }
        let shown = flow(&place, &pinned);
        assert_eq!(shown["triggers"], serde_json::json!(["keep"]), "{shown}");
        assert_eq!(shown["flow"], pinned.as_str(), "the client's end first");
        assert_eq!((&shown["client"]["port"], &shown["server"]["port"]), (&all[2].port.into(), &7000.into()));
        assert!(shown["client"]["bytes"].as_u64().unwrap() > 3000 && shown["established"] == true, "{shown}");
        assert_eq!(flow(&place, &all[4].name)["triggers"], serde_json::json!(["brief"]));
        assert_eq!(flow(&place, &all[0].name)["triggers"], serde_json::json!([]));
        let told = place.command(&["flow", "unpin", &pinned, "--trigger", "keep"]);
        assert!(told.contains("no longer"), "{told}");
        all[2].say(3000);
        seen(&place, &pinned, 11);
        let sums = place.run.stop();
        assert_eq!(sums["tracked"]["flows"]["packets"], sums["packets"]);
        let copies = copies::labelled_copies(&place.dir.path().join("lake.pcapng"));
        let whole = copies.iter().filter(|copy| copy.captured > 500);
        let (bytes, rules): (Vec<usize>, Vec<&str>) =
            whole.map(|copy| (copy.captured, copy.rule.as_str())).unzip();
        let bytes: usize = bytes.iter().sum();
        // The lines of 2000 bytes of two sessions and their echoes, and nothing of the line after
        // the pin was taken back.
        assert!((8000..8800).contains(&bytes), "{bytes} {rules:?}");
        assert!(rules.contains(&"keep") && rules.contains(&"brief"), "{rules:?}");
    });
}

#[test]
fn a_suppression_that_ends_with_its_flow_is_told() {
    with_wire("a_suppression_that_ends_with_its_flow_is_told", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--workers", "2"]);
        let (_server, mut all) = sessions(wire, 2);
        for session in &mut all {
            session.say(1000);
            seen(&place, &session.name, 5);
            let words: Vec<&str> = session.name.split(' ').collect();
            place.command(&[&["trigger", "suppress", "keep"], &words[..], &["--reason", "ours"]].concat());
        }
        let ended = all.remove(0).name;
        until("its end is told", || {
            let told = place.command(&["events", "--history", "--kind", "suppression_ended", "--json"]);
            assert!(!told.contains(&all[0].name), "the other one goes on: {told}");
            told.contains("its flow has ended") && told.contains(&ended)
        });
        place.run.stop();
    });
}

#[test]
fn flows_are_shown_ranked_and_refused() {
    with_wire("flows_are_shown_ranked_and_refused", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--workers", "2"]);
        let (_server, mut all) = sessions(wire, 5);
        for (i, session) in all.iter_mut().enumerate() {
            session.say(1000 * (i + 1));
        }
        for session in &all {
            seen(&place, &session.name, 5);
        }
        let top = place.json(&["top", "--limit", "3"]);
        let names: Vec<&str> = top.as_array().unwrap().iter().map(|f| f["flow"].as_str().unwrap()).collect();
        assert_eq!(names, [4, 3, 2].map(|i| all[i].name.as_str()), "{top}");
        for flow in top.as_array().unwrap() {
            let sum =
                |what: &str| flow["client"][what].as_u64().unwrap() + flow["server"][what].as_u64().unwrap();
            assert_eq!(flow["bytes"].as_u64(), Some(sum("bytes")));
            assert_eq!(flow["packets"].as_u64(), Some(sum("packets")));
            assert_eq!((&flow["app"], &flow["protocol"]), (&"other".into(), &"tcp".into()));
            assert!(flow["first"].as_str() <= flow["last"].as_str());
        }
        // Beside what hosts say by themselves.
        let all_flows = place.json(&["top", "--by", "packets"]);
        let tcp = all_flows.as_array().unwrap().iter().filter(|flow| flow["protocol"] == "tcp");
        assert_eq!(tcp.count(), 5, "{all_flows}");
        let text = place.command(&["top"]);
        assert!(text.contains(&all[4].name) && text.contains("from client"), "{text}");
        let text = place.command(&["flow", "show", &all[0].name]);
        assert!(text.contains("have sent packets") && text.contains(&all[0].name), "{text}");

        let name = &all[0].name;
        let words: Vec<&str> = name.split(' ').collect();
        let done =
            place.json(&[&["trigger", "suppress", "keep"], &words[..], &["--reason", "ours"]].concat());
        assert_eq!(done["effect"], "done");
        let suppressed = flow(&place, name)["suppressed"].clone();
        assert_eq!((&suppressed[0]["trigger"], &suppressed[0]["reason"]), (&"keep".into(), &"ours".into()));
        let raised = place.json(&["flow", "pin", name, "--trigger", "keep"]);
        assert_eq!(raised["effect"], "suppressed");
        assert_eq!(place.json(&[&["trigger", "unsuppress", "keep"], &words[..]].concat())["effect"], "done");
        assert_eq!(place.json(&["flow", "pin", name, "--trigger", "keep"])["effect"], "raised");
        assert_eq!(place.json(&["flow", "pin", &all[1].name, "--trigger", "keep"])["effect"], "raised");
        let cleared = place.json(&["trigger", "clear", "keep"]);
        assert_eq!((&cleared["effect"], &cleared["keys"]), (&"cleared".into(), &2.into()));

        for (words, what) in [
            (
                &["flow", "show", "tcp 10.1.0.1:1 10.1.0.2:2"][..],
                "there is no flow `tcp 10.1.0.1:1 10.1.0.2:2`",
            ),
            (&["flow", "pin", "tcp 10.1.0.1:1 10.1.0.2:2", "--trigger", "keep"], "there is no flow"),
            (&["flow", "pin", "10.1.0.1", "--trigger", "keep"], "no protocol"),
            (&["flow", "pin", name, "--trigger", "keep", "--for", "5m"], "remove `for`"),
            (&["flow", "pin", name, "--trigger", "heads"], "no trigger `heads`"),
            (&["flow", "show", name, "--policy", "site"], "there is no policy `site`"),
            (&["trigger", "list", "keep"], "mirrorc flow show"),
        ] {
            let (exit, said) = place.refused(words);
            assert!(exit == Exit::Usage && said.contains(what), "{words:?}: {said}");
        }
        let get = |path: &str| ask(&place.socket, "get", path, "", b"");
        let statuses = [
            ("/v1/flows/tcp%2010.1.0.1%3A1%2010.1.0.2%3A2", 404),
            ("/v1/flows/tcp", 400),
            ("/v1/flows/top?by=age", 400),
            ("/v1/flows/top?most=x", 400),
            ("/v1/flows/top?policy=nobody", 404),
        ];
        for (path, status) in statuses {
            let answer = get(path);
            assert_eq!((answer.status, answer.kind.as_str()), (status, "application/problem+json"), "{path}");
        }
        // A policy that keeps no flows.
        let plain = place.write(
            "plain.mrule",
            "station x { pcapng \"DIR/x.pcapng\" }\nrule r { match tcp  snaplen 60  to x }\n",
        );
        place.command(&["load", &plain, "--as", "plain"]);
        assert_eq!(get("/v1/flows/top?policy=plain").status, 409);
        let (_, said) = place.refused(&["top", "--policy", "plain"]);
        assert!(said.contains("tracks no flows"), "{said}");
        let (_, said) = place.refused(&["flow", "pin", name, "--policy", "plain"]);
        assert!(said.contains("trigger keep by flow { external  hold flow }"), "{said}");
        place.run.stop();
    });
}

#[test]
fn many_flows_and_tagged_ones_are_found() {
    with_wire("many_flows_and_tagged_ones_are_found", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &["--workers", "2"]);
        let frame = |vlan: &str, port: usize, length: usize| {
            let text =
                format!("eth/{vlan}ip(src=10.9.0.1,dst=10.9.0.2)/udp(sport={port},dport=9)/zeros({length})");
            build(&text).unwrap().bytes
        };
        // More than workers look at at a time; the largest of them are known.
        let mut frames: Vec<Vec<u8>> = (1..=9000).map(|port| frame("", port, 20 + port / 10)).collect();
        frames.push(frame("vlan(5)/", 20_000, 10));
        frames.extend([frame("vlan(5)/", 20_001, 10), frame("vlan(6)/", 20_001, 10)]);
        for some in frames.chunks(100) {
            wire.say(some);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        seen(&place, "udp 10.9.0.1:20001 10.9.0.2:9 vlan 6", 1);
        let top = place.json(&["top", "--limit", "1000"]);
        let ports: Vec<u64> =
            top.as_array().unwrap().iter().map(|flow| flow["client"]["port"].as_u64().unwrap()).collect();
        assert_eq!(ports.len(), 1000);
        let largest = ports.iter().filter(|port| (8000..=9000).contains(*port)).count();
        assert!(largest > 990, "{largest} of the largest: {ports:?}");
        assert!(ports.iter().take(1).all(|port| *port >= 8990), "{ports:?}");
        // One that it can mean, several, none.
        let shown = flow(&place, "udp 10.9.0.2 9 10.9.0.1 20000");
        assert_eq!(shown["flow"], "udp 10.9.0.1:20000 10.9.0.2:9 vlan 5");
        let pin = ["flow", "pin", "--trigger", "brief", "udp 10.9.0.1:20000 10.9.0.2:9"];
        assert_eq!(place.json(&pin)["effect"], "raised");
        assert_eq!(place.json(&pin)["effect"], "extended");
        let (_, said) = place.refused(&["flow", "show", "udp 10.9.0.1:20001 10.9.0.2:9"]);
        assert!(said.contains("vlan 5`") && said.contains("vlan 6`") && said.contains("several"), "{said}");
        let (_, said) = place.refused(&["flow", "show", "udp 10.9.0.1:20002 10.9.0.2:9"]);
        assert!(said.contains("there is no flow"), "{said}");
        let raise = |port: &str| {
            place.json(&["flow", "pin", "--trigger", "keep", &format!("udp 10.9.0.1:{port} 10.9.0.2:9")])
        };
        for port in ["1", "5000", "9000"] {
            assert_eq!(raise(port)["effect"], "raised");
        }
        assert_eq!(place.json(&["trigger", "clear", "keep"])["keys"], 3);
        // What is active for a flow lives on with it when a program takes another's place.
        assert_eq!(raise("77")["effect"], "raised");
        let again = write_rules(
            place.dir.path(),
            &RULES.replace("trigger keep", "trigger first by flow { external  hold flow }\n    trigger keep"),
        );
        place.command(&["load", &again]);
        assert_eq!(flow(&place, "udp 10.9.0.1:77 10.9.0.2:9")["triggers"], serde_json::json!(["keep"]));
        place.run.stop();
    });
}
