//! How fast streams are searched for patterns: GB/s on one core, for 1, 10 and 100 patterns, half
//! of them `contains` and half `matches` (caseless). The data are HTTP (requests of a browser,
//! pages of this project's documentation) and random bytes, in segments of 1,448 bytes. Method: 32
//! MB, scanned eleven times through one state for each 64 segments; the median is printed, with the
//! fastest. The time is the thread's own processor time (Linux's schedstat), so other load does not
//! count. Patterns that repeat a class (`[a-z]{16}`) or have an open end (`.*`) are left out: each
//! multiplies the number of states, and an automaton of a hundred patterns has room for few of
//! them. A match occurs about once in 17 kB of text. Run: `cargo bench -p mrule-compiler --bench
//! streams`. (Rejected: a library for benchmarks; the figure is one division.)
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark is read by a human")]

use mrule_compiler::hir::{Num, Program, StreamKind, StreamPattern};
use mrule_compiler::pattern;
use std::time::Instant;

const BYTES: usize = 32 << 20;
const SEGMENT: usize = 1448;

/// Typical patterns of rules: names of tools, paths, markers, forms of tokens.
const WORDS: &[&str] = &[
    "session=evil",
    "cmd.exe",
    "/etc/passwd",
    "wget http",
    "powershell",
    "/bin/sh",
    "eval(base64",
    "union select",
    "../../..",
    "<script>alert",
    "mimikatz",
    "X-Exploit:",
    "jndi:ldap",
    "phpinfo()",
    "nc -e",
    "/wp-admin/setup",
    "sqlmap/",
    "nikto",
    "masscan",
    "zgrab",
    "Authorization: NTLM",
    "whoami",
    "DROP TABLE",
    "xp_cmdshell",
    "ysoserial",
    "rundll32",
    "regsvr32",
    "certutil",
    "bitsadmin",
    "schtasks",
    "vssadmin",
    "psexec",
    "meterpreter",
    "beacon.dll",
    "cobaltstrike",
    "stratum+tcp",
    "xmrig",
    "monero",
    "onion.to",
    "torproject",
    "pastebin.com/raw",
    "ngrok.io",
    "AKIAIOSFODNN7",
    "BEGIN RSA PRIVATE",
    "ssh-rsa AAAA",
    "id_rsa",
    ".htpasswd",
    "web.config",
    "win.ini",
    "boot.ini",
];

const SHAPES: &[&str] = &[
    "session=[a-f0-9]evil",
    r"cmd=[a-z]\.exe",
    "/etc/(?:passwd|shadow|group)",
    "wget +https?://[0-9]",
    "powershell +-e(?:nc)?",
    "/bin/(?:ba|da|z)?sh -c",
    r"eval\((?:base64|gz)",
    "union[ +]+all[ +]+select",
    r"\.\./\.\./",
    "<script[^>]>alert",
    "mimi(?:katz|lib)",
    "x-exploit: [0-9]+",
    r"\$\{jndi:[a-z]+",
    r"phpinfo\(",
    "nc -[el] [0-9]",
    "/wp-(?:admin|login)x",
    "sqlmap/[0-9]",
    "nikto/[0-9]",
    "masscan/[0-9]",
    "zgrab/[0-9]",
    "authorization: basic YWRt",
    "whoami[;&|]",
    "drop +table +[a-z]",
    "xp_(?:cmdshell|dirtree)",
    "ysoserial[./]",
    "rundll32 [a-z]",
    "regsvr32 /",
    "certutil +-url",
    "bitsadmin +/",
    "schtasks +/",
    "vssadmin +del",
    r"psexec(?:64)?\.exe",
    "meterpreter[/_]",
    r"beacon\.(?:dll|x64)",
    "cobalt ?strike",
    r"stratum\+(?:tcp|ssl)",
    "xm(?:rig|r-stak)",
    "monero[a-z]pool",
    r"[a-z2-7]\.onion",
    "torproject",
    r"pastebin\.com/raw/[a-z0-9]",
    r"[0-9a-f]\.ngrok",
    "akia[0-9a-z]",
    "begin (?:rsa|dsa|ec) private",
    "ssh-(?:rsa|ed25519) aaaa",
    r"id_(?:rsa|ed25519)\b",
    r"\.ht(?:passwd|access)\b",
    r"web\.config",
    r"win\.ini",
    r"boot\.ini",
];

fn program(patterns: usize) -> Program {
    let kind = |i: usize| match i % 2 {
        0 => StreamKind::Contains(WORDS[i / 2].as_bytes().into()),
        _ => StreamKind::Matches(pattern::translate(SHAPES[i / 2]).unwrap()),
    };
    let pattern = |i| StreamPattern { kind: kind(i), depth: Num::constant(u64::MAX) };
    Program { streams: (0..patterns).map(pattern).collect(), ..Program::default() }
}

/// The processor time of this thread, in seconds.
fn clock() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Requests of browsers, and answers with pages of this project's documentation.
fn http() -> Vec<u8> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let words =
        ["index", "static", "assets", "user", "profile", "search", "article", "images", "login", "session"];
    let docs = concat!(
        include_str!("../../docs/language.md"),
        include_str!("../../docs/diagnostics.md"),
        include_str!("../../docs/architecture.md"),
        include_str!("../../docs/fields.md"),
    );
    let pages: Vec<&[u8]> = docs.as_bytes().chunks(4000).collect();
    let mut bytes = Vec::with_capacity(BYTES + (1 << 16));
    while bytes.len() < BYTES {
        let mut word = || words[dice.next() as usize % words.len()];
        let request = format!(
            "GET /{}/{}.html?id={}&{}={} HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux \
             x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml,application/\
             xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, \
             deflate, br\r\nConnection: keep-alive\r\nCookie: {}={}; theme=dark\r\nReferer: https://www.example.org/{}\
             \r\n\r\n",
            word(),
            word(),
            word().len() * 7919,
            word(),
            word(),
            word(),
            word(),
            word(),
        );
        bytes.extend_from_slice(request.as_bytes());
        let page = pages[dice.next() as usize % pages.len()];
        let answer = format!(
            "HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: \
             max-age=3600\r\nContent-Length: {}\r\n\r\n",
            page.len()
        );
        bytes.extend_from_slice(answer.as_bytes());
        bytes.extend_from_slice(page);
        if dice.next().is_multiple_of(25) {
            bytes.extend_from_slice(WORDS[dice.next() as usize % WORDS.len()].as_bytes());
        }
    }
    bytes.truncate(BYTES);
    bytes
}

fn random() -> Vec<u8> {
    let mut dice = Dice(88_172_645_463_325_252);
    (0..BYTES / 8).flat_map(|_| dice.next().to_le_bytes()).collect()
}

fn main() {
    let texts = [("http", http()), ("random", random())];
    for patterns in [1, 10, 100] {
        let start = Instant::now();
        let automaton = program(patterns).automaton().unwrap();
        let built = start.elapsed();
        let (states, kib) = (automaton.states(), automaton.memory() >> 10);
        println!("{patterns} patterns: {states:?} states, {kib} KiB, built in {built:?}");
        for (name, text) in &texts {
            let mut speeds = Vec::new();
            let mut found = 0;
            for _ in 0..11 {
                let start = clock();
                for flow in text.chunks(SEGMENT * 64) {
                    let mut state = automaton.start(true);
                    let mut offset = 0;
                    for segment in flow.chunks(SEGMENT) {
                        automaton.scan(&mut state, segment, offset, &mut |_, _| found += 1);
                        offset += segment.len() as u64;
                    }
                }
                speeds.push(text.len() as f64 / (clock() - start) / 1e9);
            }
            speeds.sort_by(f64::total_cmp);
            println!("  {name:<7} {:.2} GB/s (fastest {:.2}), {} found", speeds[5], speeds[10], found / 11);
        }
    }
}
