//! Alarms as receivers that are not ours get them: signed webhooks over HTTP and TLS, syslog over
//! UDP, TCP and a local socket, through failures, a receiver that hangs, and the end of the run.
//! (Rejected: asking the senders' functions; what counts is what arrives.)

use crate::MIRRORC;
use hmac::{Hmac, KeyInit, Mac};
use mirrorc::Exit;
use mrule_tests::cli::mirrorc;
use mrule_tests::control::ControlledRun;
use mrule_tests::http::ask;
use mrule_tests::receiver::{Post, Receiver};
use mrule_tests::syslog::{Message, parse};
use mrule_tests::wire::{Wire, until, with_wire};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const RULES: &str = "
    trigger attack by net.dst { external  hold 1h }
    trigger pings by net.src { when count(icmp) per 1h > 2  hold 1h }
    station lake { pcapng \"DIR/lake.pcapng\" }
    station mon  { interface m0 }
    rule r { match attack[net.addr] or pings  snaplen full  to lake }
    rule m { match icmp  snaplen headers  to mon }\n";

const SECRET: &str = "correct horse battery staple";

fn listener(wire: &Wire) -> TcpListener {
    wire.inside(&wire.here, || TcpListener::bind("127.0.0.1:0").unwrap())
}

/// Asks a mirrorc to raise a trigger.
fn raise(place: &ControlledRun, key: &str) {
    let body = json!({ "key": key }).to_string();
    let path = "/v1/policies/main/triggers/attack/raise";
    assert_eq!(ask(&place.socket, "post", path, "application/json", body.as_bytes()).status, 200);
}

fn events(taken: &[Value]) -> Vec<&str> {
    taken.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// Checks a post as a receiver should that knows the secret.
fn check(post: &Post, path: &str) {
    assert_eq!(post.line, format!("POST {path} HTTP/1.1"));
    assert_eq!(post.headers["content-type"], "application/json");
    assert!(post.headers["user-agent"].starts_with("mirrorc/") && post.headers["host"].contains("127.0.0.1"));
    let time = &post.headers["x-mirrorc-timestamp"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(time.parse().unwrap()) < 60, "{time} is not now");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(&post.body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(post.headers["x-mirrorc-signature"], format!("sha256={hex}"));
    let body: Value = serde_json::from_slice(&post.body).unwrap();
    assert_eq!(body["version"], 1);
    assert!(!body["host"].as_str().unwrap().is_empty() && !post.events().is_empty());
}

/// What became of alarms adds up, and this is what.
fn became(alarms: &Value, to: &str) -> [u64; 5] {
    let of = alarms.as_array().unwrap().iter().find(|of| of["to"].as_str().unwrap().contains(to));
    let of = of.unwrap_or_else(|| panic!("no {to} in {alarms}"));
    let counts = ["notified", "sent", "failed", "dropped", "waiting"].map(|name| of[name].as_u64().unwrap());
    let [told, sent, failed, dropped, waiting] = counts;
    assert_eq!(told, sent + failed + dropped + waiting, "{of}");
    counts
}

#[test]
fn webhooks_are_signed_and_tried_again() {
    with_wire("webhooks_are_signed_and_tried_again", |wire| {
        let (first, second) = (listener(wire), listener(wire));
        let later = second.local_addr().unwrap();
        // Nobody there yet.
        drop(second);
        let receiver = Receiver::on(first);
        receiver.answers(&[500, 429]);
        let secrets = tempfile::tempdir().unwrap();
        let secret = secrets.path().join("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let [one, two] = [receiver.address, later].map(|at| format!("http://{at}/hook?token=hidden"));
        let words = ["--webhook", &one, "--webhook", &two, "--webhook-secret-file", secret.to_str().unwrap()];
        let place = ControlledRun::start(wire, MIRRORC, RULES, &words);
        raise(&place, "10.1.0.9");
        place
            .run
            .says(&format!("webhook http://{} does not accept alarms: the answer is 500", receiver.address));
        place.run.says(&format!("webhook http://{later} does not accept alarms"));
        // They wait, and come together.
        for n in 1..=20 {
            raise(&place, &format!("10.3.0.{n}"));
        }
        until("it takes them", || receiver.taken().len() == 21);
        place.run.says(&format!("webhook http://{} accepts alarms again", receiver.address));
        let posts = receiver.posts();
        posts.iter().for_each(|post| check(post, "/hook?token=hidden"));
        let statuses: Vec<u16> = posts.iter().filter_map(|post| post.status).collect();
        assert_eq!(statuses[..3], [500, 429, 200]);
        assert!(posts.iter().any(|post| post.events().len() > 5), "several are sent in one request");
        let keys: Vec<Value> = receiver.taken().iter().map(|event| event["key"][0].clone()).collect();
        let expected = (1..=20).map(|n| json!(format!("10.3.0.{n}")));
        assert_eq!(
            keys,
            std::iter::once(json!("10.1.0.9")).chain(expected).collect::<Vec<_>>(),
            "in order, once"
        );

        let status = place.status().1;
        assert_eq!(status["status"], "degraded", "one of them is down");
        assert_eq!(became(&status["alarms"], &receiver.address.to_string())[..3], [21, 21, 0]);
        let [told, sent, _, _, waiting] = became(&status["alarms"], &later.to_string());
        assert_eq!((told, sent, waiting), (21, 0, 21), "they wait for it");
        assert!(!status.to_string().contains("hidden") && !place.run.said().contains("hidden"));
        // Then it is there.
        let late = Receiver::on(wire.inside(&wire.here, || TcpListener::bind(later).unwrap()));
        until("it takes them, too", || late.taken().len() == 21);
        late.posts().iter().for_each(|post| check(post, "/hook?token=hidden"));

        // All kinds.
        place.command(&["trigger", "clear", "attack"]);
        assert!(wire.pings(&["10.1.0.2"]));
        let site = "station s { pcapng \"DIR/s.pcapng\" }\nrule r { match tcp  snaplen 60  to s }\n";
        let site = place.write("site.mrule", site);
        place.command(&["load", &site, "--as", "site"]);
        place.command(&["unload", "site"]);
        place.refused(&["rollback", "main", "--version", "9"]);
        wire.ip(&wire.here, &["link", "set", "m0", "down"]);
        wire.pings(&["10.1.0.2"]);
        place.run.says("station mon is down");
        wire.ip(&wire.here, &["link", "set", "m0", "up"]);
        until("it is up", || {
            wire.pings(&["10.1.0.2"]);
            place.run.said().contains("station mon is up again")
        });
        for to in [&receiver, &late] {
            let kinds = ["cleared", "raised", "loaded", "unloaded", "refused", "station_down", "station_up"];
            until("all kinds", || {
                let taken = to.taken();
                kinds.iter().all(|kind| events(&taken[21..]).contains(kind))
            });
            let taken = to.taken();
            let of = |kind: &str| taken.iter().skip(21).find(|event| event["event"] == kind).unwrap().clone();
            assert_eq!(
                (&of("raised")["trigger"], &of("raised")["key"]),
                (&"pings".into(), &json!(["10.1.0.1"]))
            );
            assert!(of("raised")["reason"].as_str().unwrap().contains("per 1h is 3"));
            assert_eq!(
                (&of("station_down")["station"], &of("loaded")["policy"]),
                (&"mon".into(), &"site".into())
            );
            assert!(
                !events(&taken).iter().any(|kind| ["change", "note"].contains(kind)),
                "those are no alarms"
            );
        }
        let metrics = ask(&place.socket, "get", "/v1/metrics", "", b"").body;
        let line = format!("mirrorc_alarms_total{{to=\"webhook http://{later}\",result=\"sent\"}} ");
        assert!(metrics.contains(&line), "{metrics}");
        let said = place.run.said();
        assert_eq!(
            said.matches(&format!("webhook http://{later} does not accept alarms")).count(),
            1,
            "told once: {said}"
        );
        let last = place.run.stop();
        assert_eq!(became(&last["alarms"], &later.to_string())[2..], [0, 0, 0]);
    });
}

#[test]
fn a_receiver_that_hangs_or_refuses_costs_only_its_own_alarms() {
    with_wire("a_receiver_that_hangs_or_refuses_costs_only_its_own_alarms", |wire| {
        let [hanging, refusing, well] = [0; 3].map(|_| Receiver::on(listener(wire)));
        hanging.hangs();
        refusing.answers(&[404; 5000]);
        let urls = [&hanging, &refusing, &well].map(|to| format!("http://{}/", to.address));
        let words = ["--webhook", &urls[0], "--webhook", &urls[1], "--webhook", &urls[2]];
        let place = ControlledRun::start(wire, MIRRORC, RULES, &words);
        let all = 1500;
        for n in 0..all {
            raise(&place, &format!("10.4.{}.{}", n / 200, n % 200));
        }
        until("one takes them", || well.taken().len() == all);
        let alarms = place.status().1["alarms"].clone();
        let [told, sent, failed, dropped, waiting] = became(&alarms, &hanging.address.to_string());
        // Up to a hundred are on their way, beside those that wait.
        assert_eq!((told, sent, failed), (all as u64, 0, 0));
        assert!((1024..=1124).contains(&waiting) && dropped == told - waiting, "{alarms}");
        until("the other one refuses all", || {
            let alarms = place.status().1["alarms"].clone();
            became(&alarms, &refusing.address.to_string())[2] == all as u64
        });
        assert!(wire.pings(&["10.1.0.2"]), "nothing waits for them");
        let said = place.run.said();
        let once = |what: &str| assert_eq!(said.matches(what).count(), 1, "{what}: {said}");
        once("alarms for webhook");
        once("refuses alarms: the answer is 404");
        let begun = Instant::now();
        let last = place.run.stop();
        assert!(begun.elapsed() < Duration::from_secs(15), "it ends all the same");
        let [told, sent, failed, dropped, waiting] = became(&last["alarms"], &hanging.address.to_string());
        assert_eq!((sent, failed, dropped, waiting), (0, 0, told, 0), "what is left is dropped");
    });
}

/// A receiver behind TLS, with a certificate of its own making; and the file of that certificate.
fn behind_tls(listener: TcpListener, place: &std::path::Path) -> (Receiver, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = place.join("ca.pem");
    std::fs::write(&path, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let receiver = Receiver::behind(listener, move |stream| {
        let tls = rustls::ServerConnection::new(config.clone()).unwrap();
        Box::new(rustls::StreamOwned::new(tls, stream))
    });
    (receiver, path.to_str().unwrap().to_owned())
}

#[test]
fn webhooks_over_tls_are_checked() {
    with_wire("webhooks_over_tls_are_checked", |wire| {
        let files = tempfile::tempdir().unwrap();
        let (receiver, known) = behind_tls(listener(wire), files.path());
        let url = format!("https://{}/hook", receiver.address);
        let dir = tempfile::tempdir().unwrap();
        let rules = mrule_tests::wire::write_rules(dir.path(), RULES);
        let socket = dir.path().join("control");
        let words =
            [&rules, "--bridge", "in0:out0", "--control", socket.to_str().unwrap(), "--webhook", &url];
        let run = wire.mirrorc_with(&[("SSL_CERT_FILE", &known)], MIRRORC, &words);
        let place = ControlledRun { dir, run, socket };
        raise(&place, "10.1.0.9");
        until("it arrives", || receiver.taken().len() == 1);
        let ControlledRun { dir, run, socket } = place;
        run.stop();
        // Whoever does not know the certificate says nothing.
        let (other, _) = behind_tls(listener(wire), files.path());
        let unknown = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem();
        let file = files.path().join("other.pem");
        std::fs::write(&file, unknown).unwrap();
        let url = format!("https://{}/hook", other.address);
        let words =
            [&rules, "--bridge", "in0:out0", "--control", socket.to_str().unwrap(), "--webhook", &url];
        let run = wire.mirrorc_with(&[("SSL_CERT_FILE", file.to_str().unwrap())], MIRRORC, &words);
        let place = ControlledRun { dir, run, socket };
        raise(&place, "10.1.0.9");
        place.run.says("does not accept alarms");
        assert!(place.run.said().contains("certificate"), "{}", place.run.said());
        assert!(other.posts().is_empty());
        place.run.stop();
    });
}

/// Collects messages of a TCP stream: lengths before them (RFC 6587, 3.4.1).
fn octet_counted(listener: TcpListener) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let messages: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let to = messages.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut length = String::new();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                if byte[0] == b' ' {
                    assert!(!length.starts_with('0'), "a length without leading zeros");
                    let mut message = vec![0; length.parse().expect("a length")];
                    stream.read_exact(&mut message).unwrap();
                    to.lock().unwrap().push(message);
                    length.clear();
                    // The fourth one is the last on this connection.
                    if to.lock().unwrap().len() == 4 {
                        break;
                    }
                } else {
                    length.push(char::from(byte[0]));
                }
            }
        }
    });
    messages
}

/// Collects datagrams.
fn collected(
    mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize> + Send + 'static,
) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let messages: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let to = messages.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length) = receive(&mut buffer) {
            to.lock().unwrap().push(buffer[..length].to_vec());
        }
    });
    messages
}

#[test]
fn syslog_is_as_the_standard_has_it() {
    with_wire("syslog_is_as_the_standard_has_it", |wire| {
        let (udp, tcp) = wire.inside(&wire.here, || {
            (
                UdpSocket::bind("127.0.0.1:0").unwrap(),
                TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap(),
            )
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let local = UnixDatagram::bind(&path).unwrap();
        let to_udp = format!("udp://{}", udp.local_addr().unwrap());
        let to_tcp = format!("tcp://{}", tcp.local_addr().unwrap());
        let to_unix = format!("unix:{}", path.display());
        let by_udp = collected(move |buffer| udp.recv(buffer));
        let by_unix = collected(move |buffer| local.recv(buffer));
        let by_tcp = octet_counted(tcp);
        let words = ["--syslog", &to_udp, "--syslog", &to_tcp, "--syslog", &to_unix];
        let place = ControlledRun::start(wire, MIRRORC, RULES, &words);
        place.command(&["trigger", "raise", "attack", "10.1.0.9"]);
        assert!(wire.pings(&["10.1.0.2"]));
        let all = [&by_udp, &by_tcp, &by_unix];
        let read = |of: &Arc<Mutex<Vec<Vec<u8>>>>| -> Vec<Message> {
            let of = of.lock().unwrap().clone();
            of.iter()
                .map(|m| parse(m).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(m))))
                .collect()
        };
        // Of pings and of their answers.
        until("three arrive", || all.iter().all(|of| of.lock().unwrap().len() == 3));
        place.command(&["trigger", "clear", "attack", "10.1.0.9"]);
        until("four arrive", || all.iter().all(|of| of.lock().unwrap().len() == 4));
        // By now, the receiver of TCP has hung up.
        std::thread::sleep(Duration::from_millis(300));
        place.refused(&["rollback", "main"]);
        let odd = place.write(
            "odd.mrule",
            "station s { pcapng \"DIR/lake.pcapng\" }\nrule r { match tcp  snaplen 9  to s }\n",
        );
        place.refused(&["load", &odd, "--as", "odd"]);
        until("more arrive", || all.iter().all(|of| of.lock().unwrap().len() >= 6));
        let last = place.run.stop();
        for (of, to) in all.iter().zip([&to_udp, &to_tcp, &to_unix]) {
            let messages = read(of);
            let [raised, pings, cleared] = [&messages[0], &messages[1], &messages[3]];
            assert_eq!(
                (raised.priority, raised.app.as_str(), raised.id.as_str()),
                ((3, 4), "mirrorc", "raised")
            );
            assert!(raised.process.parse::<u32>().is_ok() && raised.host != "-");
            let data = &raised.data["mirrorc@32473"];
            assert_eq!((data["trigger"].as_str(), data["key"].as_str()), ("attack", "10.1.0.9"));
            assert_eq!((data["policy"].as_str(), data["reason"].as_str()), ("main", "from outside"));
            assert!(pings.data["mirrorc@32473"]["reason"].contains("per 1h is 3"), "{pings:?}");
            assert_eq!((cleared.priority, cleared.id.as_str()), ((3, 5), "cleared"));
            let refused = messages.iter().find(|m| m.id == "refused").unwrap();
            assert_eq!(
                (refused.priority, refused.data["mirrorc@32473"]["policy"].as_str()),
                ((3, 4), "main")
            );
            let [told, sent, failed, dropped, _] = became(&last["alarms"], to);
            assert_eq!((sent, failed, dropped, messages.len() as u64), (told, 0, 0, told));
        }
    });
}

#[test]
fn alarms_need_no_control_socket() {
    with_wire("alarms_need_no_control_socket", |wire| {
        let receiver = Receiver::on(listener(wire));
        let url = format!("http://{}/", receiver.address);
        let dir = tempfile::tempdir().unwrap();
        let rules = mrule_tests::wire::write_rules(dir.path(), RULES);
        let run = wire.mirrorc(MIRRORC, &[&rules, "--bridge", "in0:out0", "--webhook", &url]);
        assert!(wire.pings(&["10.1.0.2"]));
        until("triggers", || events(&receiver.taken()) == ["raised", "raised"]);
        run.hang_up();
        until("a policy", || events(&receiver.taken()).last() == Some(&"loaded"));
        std::fs::write(&rules, "rule r { match tcpp }").unwrap();
        run.hang_up();
        until("none", || events(&receiver.taken()).last() == Some(&"refused"));
        wire.ip(&wire.here, &["link", "set", "in0", "down"]);
        until("an interface", || events(&receiver.taken()).contains(&"interface_down"));
        // What waits when it ends is sent.
        receiver.answers(&[503]);
        wire.ip(&wire.here, &["link", "set", "in0", "up"]);
        run.says("does not accept alarms");
        let last = run.stop();
        assert_eq!(events(&receiver.taken()).last(), Some(&"interface_up"));
        let [told, sent, ..] = became(&last["alarms"], "webhook");
        assert_eq!((told, sent), (receiver.taken().len() as u64, told));
    });
}

#[test]
fn what_is_wrong_with_a_receiver_is_told() {
    let rules = "../rules/starter.mrule";
    let files = tempfile::tempdir().unwrap();
    let empty = files.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    std::fs::set_permissions(&empty, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let hook = "https://example.com/";
    let none = files.path().join("none");
    for (words, why) in [
        (vec!["--webhook", "example.com/hook"], "write a URL"),
        (vec!["--webhook", "ftp://example.com/hook"], "`ftp` is not supported"),
        (vec!["--webhook", "https://a:b@example.com/"], "--webhook-secret-file"),
        (vec!["--webhook", hook, "--webhook-secret-file", none.to_str().unwrap()], "no such file"),
        (vec!["--webhook", hook, "--webhook-secret-file", empty.to_str().unwrap()], "is empty"),
        (vec!["--webhook-secret-file", empty.to_str().unwrap()], "--webhook <URL>"),
        (vec!["--syslog", "example.com"], "udp://host:514"),
        (vec!["--syslog", "udp://example.com:0"], "from 1 to 65535"),
        (vec!["--alarm-drops", "many"], "drops in a second"),
    ] {
        let run = mirrorc(&[&["run", rules, "--tap", "lo"], &words[..]].concat());
        assert!(run.exit == Exit::Usage && run.stderr.contains(why), "{words:?}: {}", run.stderr);
    }
    let run = mirrorc(&["run", rules, "--read", "pcap/demo.pcapng", "--webhook", hook]);
    assert!(run.exit == Exit::Usage && run.stderr.contains("cannot be used with"), "{}", run.stderr);
    with_wire("what_is_wrong_with_a_receiver_is_told", |wire| {
        // What cannot be known before.
        let words = [
            "--webhook",
            "http://nowhere.invalid/",
            "--syslog",
            "udp://nowhere.invalid",
            "--syslog",
            "unix:/dev/null",
        ];
        let place = ControlledRun::start(wire, MIRRORC, RULES, &words);
        raise(&place, "10.1.0.9");
        for to in
            ["webhook http://nowhere.invalid", "syslog udp://nowhere.invalid:514", "syslog unix:/dev/null"]
        {
            place.run.says(&format!("{to} does not accept alarms: "));
        }
        std::thread::sleep(Duration::from_secs(3));
        let said = place.run.said();
        assert_eq!(said.matches("does not accept alarms").count(), 3, "each is told once: {said}");
        assert!(wire.pings(&["10.1.0.2"]));
        place.run.stop();
    });
}

#[test]
fn drops_are_an_alarm_that_ends() {
    with_wire("drops_are_an_alarm_that_ends", |wire| {
        let receiver = Receiver::on(listener(wire));
        let url = format!("http://{}/", receiver.address);
        // Nobody reads the pipe.
        let rules = "station p { pipe \"DIR/pipe\" }\nrule r { match udp  snaplen full  to p }\n";
        let place = ControlledRun::start(wire, MIRRORC, rules, &["--webhook", &url, "--alarm-drops", "50"]);
        let frame = mrule_tests::wire::odd_frames()[0].clone();
        wire.say(&[frame]);
        let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let mut datagram = Vec::new();
        builder.ipv4([10, 1, 0, 1], [10, 1, 0, 2], 64).udp(4000, 9).write(&mut datagram, b"x").unwrap();
        let begun = Instant::now();
        while !receiver.taken().iter().any(|event| event["event"] == "drops") {
            assert!(begun.elapsed() < Duration::from_secs(20), "no alarm: {}", place.run.said());
            wire.say(&vec![datagram.clone(); 200]);
        }
        until("it is over", || receiver.taken().iter().any(|event| event["event"] == "drops_cleared"));
        let taken = receiver.taken();
        let drops: Vec<&Value> =
            taken.iter().filter(|e| e["event"].as_str().unwrap().starts_with("drops")).collect();
        assert_eq!(drops.len(), 2, "one alarm, one end: {taken:?}");
        let last = place.run.stop();
        let dropped: u64 =
            last["stations"][0]["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        // What is still in the station's queue is dropped at the end.
        let of = |at: usize| drops[at]["copies"].as_u64().unwrap();
        assert!(of(0) > 0 && of(0) <= of(1) && of(1) <= dropped, "{drops:?} of {dropped}");
        assert!(drops[0]["note"].as_str().unwrap().contains("drops in a second"));
    });
}
