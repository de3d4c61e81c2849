//! The budgets of compilations: nodes, code, time; one at a time, off the API's threads, cancelled
//! with its client.

use super::{mirrorc, rules, told};
use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::with_wire;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

const SMALL: &str =
    "station lake { pcapng \"DIR/lake.pcapng\" }\nrule all { match any  snaplen 60  to lake }\n";

/// Rules of one form, and rules of which no two share their code.
fn alike(count: usize) -> String {
    let address = |i: usize| format!("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255);
    (0..count)
        .map(|i| {
            format!(
                "rule r{i} {{ match ip.src == {} and tcp.dstport == {}  snaplen full  to s }}\n",
                address(i),
                i % 60_000
            )
        })
        .collect()
}

fn different(count: usize) -> String {
    let rule = |i: usize| {
        let (a, b, c) = (i + 2, i % 7, i % 1400);
        format!(
            "rule r{i} {{ match frame.len % {a} == {b} and (tcp.window_size_value > {c} or udp.length < {c})  snaplen headers + {c}  to s }}\n"
        )
    };
    (0..count).map(rule).collect()
}

/// A request; what was answered, or nothing when that does not come in time.
fn ask(socket: &Path, request: &str, body: &str, time: Duration) -> Option<String> {
    let mut stream = send(socket, request, body);
    stream.set_read_timeout(Some(time)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn send(socket: &Path, request: &str, body: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: m\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

#[test]
fn ten_large_dry_runs_leave_the_api_answering_and_go_with_their_clients() {
    with_wire("robust_budget_compile", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, SMALL, &["--no-seccomp"]);
        let before = place.run.memory();
        let text =
            format!("station s {{ pcapng \"{}/s.pcapng\" }}\n{}", place.dir.path().display(), alike(20_000));
        let clients: Vec<UnixStream> = (0..10)
            .map(|i| send(&place.socket, &format!("PUT /v1/policies/p{i}?dry_run=true"), &text))
            .collect();
        let mut slowest = Duration::ZERO;
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let begun = Instant::now();
            let answer =
                ask(&place.socket, "GET /v1/health", "", Duration::from_secs(20)).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            slowest = slowest.max(begun.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
        // 100 ms on an idle machine; others may have this one's processors.
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        // Ten at once would take ten times what one takes.
        let grown = place.run.memory() - before;
        assert!(grown < 600 << 20, "{} MiB more", grown >> 20);
        drop(clients);
        // Nine that wait take a minute or more in a debug build, unless they have gone with their
        // clients.
        let begun = Instant::now();
        let small = place.write("small.mrule", &SMALL.replace("lake", "pond"));
        place.command(&["load", &small, "--as", "small"]);
        println!(
            "health within {slowest:?}, {} MiB more, a load after them in {:?}",
            grown >> 20,
            begun.elapsed()
        );
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        place.run.stop();
    });
}

#[test]
fn a_program_over_the_budget_of_nodes_or_time_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let terms: Vec<String> = (0..300).map(|i| format!("frame.len != {i}")).collect();
    let text = alike(100) + &format!("rule large {{ match {}  snaplen full  to s }}\n", terms.join(" and "));
    let path = rules(dir.path(), "large.mrule", &text);
    let (says, code) = told(&mirrorc(&["check", &path, "--compile-nodes", "500"]));
    assert_eq!(code, 1, "{says}");
    assert!(
        says.contains("E0401") && says.contains("rule large") && says.contains("--compile-nodes"),
        "{says}"
    );
    let (says, code) = told(&mirrorc(&["check", &path, "--compile-nodes", "5000"]));
    assert_eq!(code, 0, "{says}");
    let (says, code) = told(&mirrorc(&["check", &path, "--compile-time", "1ns"]));
    assert_eq!(code, 1, "{says}");
    assert!(says.contains("E0402") && says.contains("--compile-time"), "{says}");
    with_wire("robust_budget_nodes", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, SMALL, &["--compile-nodes", "500"]);
        let text = std::fs::read_to_string(&path).unwrap();
        let answer = ask(&place.socket, "PUT /v1/policies/x", &text, Duration::from_secs(30)).unwrap();
        assert!(answer.contains(" 422 ") && answer.contains("E0401"), "{answer}");
        assert!(!place.command(&["list"]).contains('x'), "nothing was loaded");
        place.run.stop();
    });
}

/// Rules beyond the code budget are interpreted, and decide the same.
#[test]
fn a_program_over_the_code_budget_runs_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = rules(dir.path(), "many.mrule", &different(200));
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcap/demo.pcapng");
    let run = |more: &[&str]| {
        let words = ["run", &path, "--read", capture.to_str().unwrap(), "--stats", "json"];
        let output = mirrorc(&[&words[..], more].concat());
        let warned = String::from_utf8_lossy(&output.stderr).contains("W0961");
        (String::from_utf8(output.stdout).unwrap(), output.status.code(), warned)
    };
    let (native, code, warned) = run(&["--compile-code", "4MiB"]);
    assert!(code == Some(0) && !warned && native.contains("\"matched\""), "{native}");
    for budget in ["0", "2KiB", "20KiB"] {
        let (told, code, warned) = run(&["--compile-code", budget]);
        assert_eq!((code, warned), (Some(0), true), "{budget}");
        assert_eq!(told, native, "{budget}");
    }
}

/// The time that a condition takes grows with its terms and not with their square; a square of
/// 8,000 took half a minute.
#[test]
fn long_chains_compile_in_linear_time() {
    let dir = tempfile::tempdir().unwrap();
    let chain = |word: &str, count: usize| {
        let terms: Vec<String> = (0..count).map(|i| format!("frame.len != {i}")).collect();
        format!("rule r {{ match {}  snaplen full  to s }}\n", terms.join(word))
    };
    for (name, text) in [("and", chain(" and ", 8_000)), ("or", chain(" or ", 8_000))] {
        let path = rules(dir.path(), &format!("{name}.mrule"), &text);
        let begun = Instant::now();
        let words = ["run", &path, "--read", "/dev/null", "--compile-time", "60s"];
        let (says, _) = told(&mirrorc(&words));
        println!("{name}: 8,000 terms in {:?}", begun.elapsed());
        assert!(!says.contains("E0402") && !says.contains("took more than"), "{name}: {says}");
    }
}

/// What nests deeply or is very long is refused or compiled, and never ends the process.
#[test]
fn hostile_shapes_end_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let match_of = |condition: &str| format!("rule r {{ match {condition}  snaplen full  to s }}\n");
    let nested_sum = format!("{}1{} > 3", "(1 + ".repeat(50_000), ")".repeat(50_000));
    let alternating = (0..60).fold("tcp".to_owned(), |inner, i| match i % 2 {
        0 => format!("(frame.len > {i} and {inner})"),
        _ => format!("(frame.len < {i} or {inner})"),
    });
    let lets = (1..60).fold("let a0 = tcp.port == 1 or udp\n".to_owned(), |text, i| {
        format!("{text}let a{i} = a{} or (a{} and frame.len > {i})\n", i - 1, i - 1)
    });
    for (name, text) in [
        ("not", match_of(&format!("{}tcp", "not ".repeat(100_000)))),
        ("brackets", match_of(&format!("{}tcp{}", "(".repeat(100_000), ")".repeat(100_000)))),
        ("sum", match_of(&nested_sum)),
        ("alternating", match_of(&alternating)),
        ("lets", lets + &match_of("a59")),
        ("flat sum", match_of(&format!("{} > 3", vec!["frame.len"; 5_000].join(" + ")))),
        (
            "slices",
            match_of(&(0..3000).map(|i| format!("frame[{i}:1] == 00")).collect::<Vec<_>>().join(" and ")),
        ),
        (
            "set",
            match_of(&format!(
                "frame.len in {{{}}}",
                (0..30_000).map(|i| (2 * i).to_string()).collect::<Vec<_>>().join(", ")
            )),
        ),
    ] {
        let path = rules(dir.path(), "hostile.mrule", &text);
        let begun = Instant::now();
        let (says, code) = told(&mirrorc(&["run", &path, "--read", "/dev/null", "--compile-time", "20s"]));
        println!("{name}: {code} after {:?}", begun.elapsed());
        assert!((1..=3).contains(&code), "{name}: {code} {says}");
        assert!(!says.contains("panicked"), "{name}: {says}");
    }
}
