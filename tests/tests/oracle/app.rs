//! Holds what is said of applications against tshark: which one a flow carries, and which frames
//! complete a message that says something; in every shipped capture (and those in
//! `MRULE_CAPTURES`), by the command, both engines. tshark puts streams together, in any order of
//! packets, as ours do; what is known to be told otherwise is listed here. (Rejected: tshark by
//! ports alone, which calls whatever runs on port 80 HTTP; where it does, the makers of the
//! captures say what ran there.)

use mrule_compiler::fields;
use mrule_tests::frames::{captures, read};
use mrule_tests::mirrored::{ENGINES, selected};
use mrule_tests::oracle::{self, Numbers, ask, installed, stem};
use mrule_tests::recut;
use mrule_tests::streams::{heads, segments};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Conditions that mean the same here and there.
const MESSAGES: &[&str] = &[
    r#"http.request.method == "GET""#,
    r#"http.request.method == "HEAD""#,
    r#"http.request.method == "PUT""#,
    r#"http.request.method == "POST""#,
    r#"http.request.uri contains "img""#,
    r#"http.host contains "shop""#,
    r#"http.host contains "example""#,
    r#"http.user_agent contains "pipe""#,
    r#"http.cookie contains "evil""#,
    "http.response.code == 200",
    "http.response.code == 201",
    "http.response.code == 304",
    "http.response.code == 404",
    r#"http.content_type contains "png""#,
    r#"tls.handshake.extensions_server_name == "www.example""#,
    r#"tls.handshake.extensions_server_name contains "example""#,
    "tls.handshake.version == 0x0303",
    r#"tls.handshake.extensions_alpn_str == "h2""#,
    "quic.version == 1",
    "quic.version == 0x6b3343cf",
    r#"dns.qry.name == "web.example""#,
    r#"dns.qry.name contains "wild""#,
    "dns.qry.type == 28",
    "dns.flags.rcode == 3",
    "dns.flags.response == 1",
    "dns.flags.response == 0",
];

/// tshark sees a message's head as soon as it is complete; but it loses its way in the bodies, and
/// misses messages behind them.
const HEADS: &[&str] = &[
    "-o",
    "tcp.reassemble_out_of_order:TRUE",
    "-o",
    "http.desegment_body:FALSE",
    "--disable-protocol",
    "png",
    "--disable-protocol",
    "mime_multipart",
];
/// tshark sees a message once it is whole, and all of them.
const WHOLE: &[&str] = &[
    "-o",
    "tcp.reassemble_out_of_order:TRUE",
    "-o",
    "http.desegment_body:TRUE",
    "--disable-protocol", // broken pictures: it then does not say of which segments a message is
    "png",
    "--disable-protocol",
    "mime_multipart",
];

/// What tshark calls each application; none: no captured program speaks it.
const APPLICATIONS: &[(&str, &[&str])] = &[
    ("http", &["http"]),
    ("http2", &["http2"]),
    ("tls", &["tls"]),
    ("quic", &["quic"]),
    ("dns", &["dns", "mdns"]),
    ("ssh", &["ssh"]),
    ("smtp", &["smtp"]),
    ("ftp", &["ftp"]),
    ("imap", &["imap"]),
    ("pop3", &["pop"]),
    ("rdp", &["rdp"]),
    ("smb", &["smb", "smb2"]),
    ("mqtt", &["mqtt"]),
    ("postgres", &["pgsql"]),
    ("mysql", &["mysql"]),
    ("redis", &["resp"]),
    ("ntp", &["ntp"]),
    ("dhcp", &["dhcp"]),
    ("sip", &["sip"]),
    ("bittorrent", &["bittorrent"]),
    ("stun", &["stun"]),
    ("rtsp", &["rtsp"]),
    ("ldap", &["ldap"]),
    ("snmp", &["snmp"]),
    ("git", &["git"]),
];

/// Where tshark has to be told what is spoken: without a well-known port it does not know ssh, nor
/// HTTP/2 without TLS; and what is on another's port.
const TOLD: &[(&str, &str)] = &[
    ("ssh", "tcp.port==2222,ssh"),
    ("demo", "tcp.port==2222,ssh"),
    ("vlan", "tcp.port==2222,ssh"),
    ("qinq", "tcp.port==2222,ssh"),
    ("mpls", "tcp.port==2222,ssh"),
    ("pppoe", "tcp.port==2222,ssh"),
    ("cooked1", "tcp.port==2222,ssh"),
    ("cooked2", "tcp.port==2222,ssh"),
    ("bigendian", "tcp.port==2222,ssh"),
    ("midstream", "tcp.port==2022,ssh"),
    ("scan", "udp.port==9,dns"), // dig asks there, in vain
    ("scan", "udp.port==123,dns"),
    ("scan", "udp.port==161,dns"),
    ("apps", "tcp.port==8082,http2"),
    ("sessions", "tcp.port==8082,http2"),
];

/// Servers on ports that tshark takes for something else, and what is said of their flows: in
/// `ssh`, one client speaks HTTP to the ssh server, so both are right for that server.
const SERVERS: &[(&str, &str, &[&str])] = &[
    ("apps", "10.0.0.22:80", &["ssh"]),
    ("ssh", "10.0.0.22:80", &["ssh", "http"]),
    ("multicast", "255.255.255.255:67", &["other", "undecided"]),
];

/// Applications that some flow of the shipped captures must have.
const SPOKEN: &[&str] = &[
    "http", "http2", "tls", "dns", "ssh", "smtp", "ftp", "imap", "pop3", "smb", "mqtt", "postgres", "redis",
    "ntp", "rtsp", "ldap", "git",
];

/// Captures in which payload is cut: what a message says may lie beyond.
const CUT: &[&str] = &["bulk", "snap64", "bigendian", "ipv6", "qinq", "mpls", "pppoe"];

fn asked(cut: bool) -> Vec<PathBuf> {
    let wanted = |c: &PathBuf| {
        let name = stem(c);
        // Crafted packets belong to no program; in tunnels and fragments tshark looks further than
        // the first flow.
        !name.starts_with("odd")
            && !["geneve", "gre", "ipip", "vxlan", "fragments"].contains(&name)
            && (cut || !CUT.contains(&name))
    };
    captures().into_iter().filter(wanted).collect()
}

/// What tshark has to be told for this capture.
fn told(capture: &Path) -> Vec<&'static str> {
    TOLD.iter().filter(|t| t.0 == stem(capture)).flat_map(|t| ["-d", t.1]).collect()
}

/// For each frame that ends a message of several segments, the frames of those.
fn pieces(capture: &Path) -> BTreeMap<usize, Numbers> {
    let output = Command::new("tshark")
        .args(["-n", "-Y", "tcp.segment", "-T", "fields", "-e", "frame.number", "-e", "tcp.segment"])
        .args(WHOLE)
        .arg("-r")
        .arg(capture)
        .output()
        .expect("tshark");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (number, segments) = line.split_once('\t').unwrap();
        (number.parse().unwrap(), segments.split(',').map(|n| n.parse().unwrap()).collect())
    };
    text.lines().map(line).collect()
}

/// Whether a text ends with the head of an answer that says this. tshark takes the answer to a
/// pipelined HEAD for one with a body, and then misses the heads that it takes for that body.
fn answers(condition: &str, text: &str) -> bool {
    let head = text.rsplit("HTTP/1.1 ").next().unwrap_or("");
    let word = condition.rsplit(' ').next().unwrap_or("").trim_matches('"');
    match condition.split(' ').next() {
        Some("http.response.code") => head.starts_with(word),
        Some("http.content_type") => {
            head.lines().any(|line| line.starts_with("Content-Type: ") && line.contains(word))
        }
        _ => false,
    }
}

fn messages(capture: &Path) -> Vec<String> {
    // tshark loses its way where segments are late, doubled and overlapping all at once: it is
    // shown the streams in order.
    let (frames, segments) = (read(capture), segments(capture).segments);
    let placed = recut::in_order(&frames, &segments);
    let dir = tempfile::tempdir().unwrap();
    let ordered = dir.path().join("ordered.pcap");
    recut::save_placed(&ordered, &frames, &placed);
    let complete =
        |numbers: &Numbers| -> Numbers { numbers.iter().map(|n| placed[n - 1].complete).collect() };
    // What ICMP quotes is no message.
    let theirs: Vec<String> = MESSAGES.iter().map(|m| format!("{m} and not icmp and not icmpv6")).collect();
    let theirs: Vec<&str> = theirs.iter().map(|t| &**t).collect();
    let ask =
        |options: &[&str]| oracle::selected(&ordered, &theirs, &[options, &told(capture)].concat()).frames;
    let (early, whole, pieces) = (ask(HEADS), ask(WHOLE), pieces(&ordered));
    // From the middle on, HTTP is known to tshark by its port only.
    let joined: Numbers = flows(capture).into_iter().filter(|f| !f.begun).flat_map(|f| f.frames).collect();
    let texts = heads(&segments, &frames);
    let ends: Numbers = texts.keys().copied().collect();
    let mut lines = Vec::new();
    for engine in ENGINES {
        let ours = match selected(MESSAGES, capture, engine) {
            Ok(ours) => ours,
            Err(error) => return vec![format!("{}, {engine}: {error}", stem(capture))],
        };
        for (i, condition) in MESSAGES.iter().enumerate() {
            let around = |frame: &usize| {
                let mut frames = pieces.get(frame).cloned().unwrap_or_default();
                frames.insert(*frame);
                complete(&frames)
            };
            let seen = complete(&early[i]);
            let allowed: Numbers = whole[i].iter().flat_map(around).chain(seen.iter().copied()).collect();
            let plain =
                |n: &usize| texts.get(n).is_some_and(|t| t.iter().any(|text| answers(condition, text)));
            let missed: Numbers = &(&seen - &ours[i]) - &joined;
            let invented: Numbers = (&ours[i] - &allowed).into_iter().filter(|n| !plain(n)).collect();
            let missing = |around: &Numbers| around.is_disjoint(&ours[i]) && around.is_disjoint(&joined);
            let unseen: Vec<Numbers> = whole[i].iter().map(around).filter(missing).collect();
            // And exactly there, as far as heads end with an empty line.
            let before = if condition.starts_with("http") { &ours[i] - &ends } else { Numbers::new() };
            let mut say = |what: &str, numbers: &dyn std::fmt::Debug, is_empty: bool| {
                if !is_empty {
                    lines.push(format!("{}, {engine}, `{condition}`: {what}: {numbers:?}", stem(capture)));
                }
            };
            say("not here", &missed, missed.is_empty());
            say("only here", &invented, invented.is_empty());
            say("in no frame of", &unseen, unseen.is_empty());
            say("before the end of a head", &before, before.is_empty());
        }
    }
    lines
}

#[test]
fn messages_are_seen_where_tshark_sees_them() {
    if !installed("tshark") {
        return;
    }
    let lines: Vec<String> = ask(&asked(false), |capture| messages(capture)).concat();
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_field_of_messages_is_asked_for() {
    let of_messages = |f: &&fields::Field| matches!(f.source, fields::Source::Facet(_));
    let missing = fields::FIELDS.iter().filter(of_messages).map(|f| f.name);
    let missing: Vec<_> = missing.filter(|name| MESSAGES.iter().all(|m| !m.starts_with(name))).collect();
    assert!(missing.is_empty(), "no condition has {missing:?}");
}

#[test]
fn every_message_condition_selects_something() {
    if !installed("tshark") {
        return;
    }
    let told = ask(&asked(false), |capture| oracle::selected(capture, MESSAGES, WHOLE).frames);
    let idle = (0..MESSAGES.len()).filter(|&i| told.iter().all(|frames| frames[i].is_empty()));
    let idle: Vec<_> = idle.map(|i| MESSAGES[i]).collect();
    assert!(idle.is_empty(), "no capture has {idle:#?}");
}

/// A TCP stream or a UDP conversation, by tshark's numbers.
#[derive(Debug, Default)]
struct Flow {
    frames: Numbers,
    /// Both ends.
    ends: BTreeSet<String>,
    protocols: BTreeSet<String>,
    /// Whether any frame has payload.
    payload: bool,
    /// Whether its beginning was captured: not so when TCP's first segment has no SYN.
    begun: bool,
}

fn flows(capture: &Path) -> Vec<Flow> {
    let fields = ["frame.number", "tcp.stream", "udp.stream", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst"];
    let more = [
        "tcp.srcport",
        "udp.srcport",
        "tcp.dstport",
        "udp.dstport",
        "tcp.flags.syn",
        "tcp.len",
        "udp.length",
    ];
    let fields = fields.iter().chain(&more).chain(&["frame.protocols"]);
    let output = Command::new("tshark")
        .args(["-n", "-T", "fields"])
        .args(WHOLE)
        .args(told(capture))
        .args(fields.flat_map(|f| ["-e", f]))
        .arg("-r")
        .arg(capture)
        .output()
        .expect("tshark");
    let mut flows: BTreeMap<(bool, String), Flow> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let either = |a: usize, b: usize| if words[a].is_empty() { words[b] } else { words[a] };
        let protocols: Vec<&str> = words[14].split(':').collect();
        // What ICMP quotes is no packet of that flow.
        if either(1, 2).is_empty() || protocols.iter().any(|p| p.starts_with("icmp")) {
            continue;
        }
        let is_tcp = !words[1].is_empty();
        let flow = flows
            .entry((is_tcp, either(1, 2).to_owned()))
            .or_insert_with(|| Flow { begun: !is_tcp || words[11] == "1", ..Flow::default() });
        flow.frames.insert(words[0].parse().unwrap());
        flow.ends.insert(format!("{}:{}", either(3, 4), either(7, 8)));
        flow.ends.insert(format!("{}:{}", either(5, 6), either(9, 10)));
        flow.protocols.extend(protocols.into_iter().map(str::to_owned));
        flow.payload |= if is_tcp { words[12] != "0" } else { words[13] != "8" };
    }
    flows.into_values().collect()
}

/// What may be said of a flow in the end.
fn expected(capture: &Path, flow: &Flow) -> BTreeSet<&'static str> {
    let server = SERVERS.iter().find(|s| s.0 == stem(capture) && flow.ends.contains(s.1));
    if let Some(server) = server {
        return server.2.iter().copied().collect();
    }
    let names = |(_, theirs): &&(&str, &[&str])| theirs.iter().any(|t| flow.protocols.contains(*t));
    let mut said: BTreeSet<&str> = APPLICATIONS.iter().filter(names).map(|a| a.0).collect();
    if !flow.payload {
        return BTreeSet::from(["undecided"]);
    }
    // From the middle on, or of payload that was cut, nobody can be held to know more than that
    // there is something.
    if said.is_empty() || !flow.begun || CUT.contains(&stem(capture)) {
        said.extend(["other", "undecided"]);
    }
    said
}

/// Differences, and which applications flows have.
fn applications(capture: &Path) -> (Vec<String>, BTreeSet<&'static str>) {
    let names: Vec<&str> =
        ["undecided", "other"].into_iter().chain(APPLICATIONS.iter().map(|a| a.0)).collect();
    let conditions: Vec<String> = names.iter().map(|n| format!("app == {n}")).collect();
    let conditions: Vec<&str> = conditions.iter().map(|c| &**c).collect();
    let (flows, mut lines, mut spoken) = (flows(capture), Vec::new(), BTreeSet::new());
    for engine in ENGINES {
        let ours = match selected(&conditions, capture, engine) {
            Ok(ours) => ours,
            Err(error) => return (vec![format!("{}, {engine}: {error}", stem(capture))], spoken),
        };
        for flow in &flows {
            let of = |frame: &usize| (0..names.len()).find(|&i| ours[i].contains(frame)).map(|i| names[i]);
            let said: Vec<Option<&str>> = flow.frames.iter().map(of).collect();
            let decided: BTreeSet<_> = said.iter().filter(|s| **s != Some("undecided")).collect();
            let last = said.last().copied().flatten().unwrap_or("nothing");
            let expected = expected(capture, flow);
            let settled = said.iter().skip_while(|s| **s == Some("undecided")).all(|s| *s == Some(last));
            if !expected.contains(last) || decided.len() > 1 || !settled {
                let (name, ends, first) = (stem(capture), &flow.ends, flow.frames.first());
                lines.push(format!("{name}, {engine}, {ends:?} from {first:?}: {said:?}, not {expected:?}"));
            }
            spoken.insert(last);
        }
    }
    (lines, spoken)
}

#[test]
fn flows_have_the_application_that_tshark_sees() {
    if !installed("tshark") {
        return;
    }
    let told = ask(&asked(true), |capture| applications(capture));
    let spoken: BTreeSet<&str> = told.iter().flat_map(|t| t.1.iter().copied()).collect();
    let lines: Vec<String> = told.into_iter().flat_map(|t| t.0).collect();
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines.join("\n"));
    let silent: Vec<_> = SPOKEN.iter().filter(|s| !spoken.contains(*s)).collect();
    assert!(silent.is_empty(), "no flow is {silent:?}");
}
