//! The remote API, over TLS with tokens, asked by curl and by mirrorc from another host: who may
//! do what, what is refused, how tokens are taken back; and a thousand listeners beside a bridge
//! that forwards. (Rejected: a client that believes any certificate; that it is the right one is
//! half of the matter.)

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::{Wire, until, with_wire};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const RULES: &str = "param head : size = 60 in 20..100\nparam tail : size = 1 in 0..9
    trigger attack by net.src { external  hold 1h }
    station lake { pcapng \"DIR/lake.pcapng\" }
    rule all  { match any  snaplen head  to lake }
    rule more { match attack and frame.len > tail  snaplen full  to lake }\n";

const URL: &str = "https://10.2.0.1:8443";

/// A mirrorc on the bridge that can be asked at [`URL`] from the right, and the secrets of its
/// tokens by name.
struct RemoteHost {
    place: ControlledRun,
}

impl RemoteHost {
    fn start(wire: &Wire) -> RemoteHost {
        wire.ip(&wire.here, &["addr", "add", "10.2.0.1/24", "dev", "m0"]);
        wire.ip(&wire.right, &["addr", "add", "10.2.0.2/24", "dev", "mon"]);
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        wire.run(
            &wire.here,
            &[
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=mirrorc",
                "-addext",
                "subjectAltName=IP:10.2.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                &path("key"),
                "-out",
                &path("cert"),
            ],
        );
        for (name, role, more) in [
            ("vera", "viewer", &[][..]),
            ("otto", "operator", &[]),
            ("anna", "author", &[]),
            ("acme", "author", &["--policy", "acme"]),
            ("ids", "station", &["--policy", "main", "--param", "head"]),
        ] {
            let tokens = path("tokens");
            let made = [&[MIRRORC, "token", name, "--role", role, "--file", &tokens], more].concat();
            std::fs::write(path(name), wire.run(&wire.here, &made)).unwrap();
        }
        let files = ["cert", "key", "tokens"].map(path);
        let [cert, key, tokens] = files.each_ref().map(String::as_str);
        let granted = path("granted");
        std::fs::create_dir(&granted).unwrap();
        let more = ["--listen", "10.2.0.1:8443", "--tls-cert", cert, "--tls-key", key, "--tokens", tokens];
        let more = [&more[..], &["--allow-directory", &granted]].concat();
        let place = ControlledRun::start_in(dir, wire, MIRRORC, RULES, &more);
        RemoteHost { place }
    }

    fn path(&self, name: &str) -> String {
        self.place.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn secret(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap().trim().to_owned()
    }

    /// What curl is answered, who shows this token.
    fn curl(&self, wire: &Wire, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let (ca, url) = (self.path("cert"), format!("{URL}{path}"));
        let shows = format!("Authorization: Bearer {token}");
        let command =
            ["curl", "-s", "-m", "20", "--cacert", &ca, "-H", &shows, "-H", "Content-Type: application/json"];
        let asks = ["-X", method, "-d", body, "-w", "\n%{http_code}", &url];
        let said = wire.run(&wire.right, &[&command[..], &asks].concat());
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// What a command is answered, by whom this token is shown.
    fn command(&self, wire: &Wire, token: &str, words: &[&str]) -> std::process::Output {
        let (ca, token) = (self.path("cert"), self.path(token));
        wire.try_run(
            &wire.right,
            &[&[MIRRORC], words, &["--to", URL, "--ca", &ca, "--token-file", &token]].concat(),
        )
    }
}

#[test]
fn each_may_do_what_its_role_says() {
    with_wire("each_may_do_what_its_role_says", |wire| {
        let remote = RemoteHost::start(wire);
        let program = "station s { pcapng \"acme.pcapng\" }\nrule r { match tcp  snaplen full  to s }";
        let program =
            serde_json::json!({ "files": { "a.mrule": program }, "roots": ["a.mrule"] }).to_string();
        let ask = |who: &str, method: &str, path: &str, body: &str| {
            let (status, said) = remote.curl(wire, &remote.secret(who), method, path, body);
            assert!(status < 400 || said.contains("\"detail\""), "{who} {method} {path}: {status} {said}");
            status
        };
        let attack = "/v1/policies/main/triggers/attack/raise";
        let address = "{\"key\": \"10.1.0.1\"}";
        for (who, method, path, body, status) in [
            ("vera", "GET", "/v1/health", "", 200),
            ("vera", "GET", "/v1/policies/main", "", 200),
            ("vera", "POST", attack, address, 403),
            ("vera", "PUT", "/v1/policies/acme", &*program, 403),
            ("otto", "POST", attack, address, 200),
            ("otto", "PUT", "/v1/policies/main/params/tail", "{\"value\": 2}", 200),
            ("otto", "PUT", "/v1/policies/acme", &program, 403),
            ("otto", "DELETE", "/v1/policies/main", "", 403),
            ("anna", "GET", "/v1/metrics", "", 200),
            ("acme", "PUT", "/v1/policies/acme?dry_run=true", &program, 200),
            ("acme", "PUT", "/v1/policies/main?dry_run=true", &program, 404),
            ("acme", "PUT", "/v1/policies/acme?dry_run=true&binding=true", &program, 403),
            ("anna", "PUT", "/v1/policies/site?binding=true", &program, 403),
            ("acme", "GET", "/v1/policies/main", "", 404),
            ("acme", "GET", "/v1/stats", "", 200),
            ("ids", "GET", "/v1/policies/main/params", "", 200),
            ("ids", "PUT", "/v1/policies/main/params/head", "{\"value\": \"80\"}", 200),
            ("ids", "PUT", "/v1/policies/main/params/head", "{\"value\": \"101\"}", 400),
            ("ids", "PUT", "/v1/policies/main/params/tail", "{\"value\": 1}", 403),
            ("ids", "DELETE", "/v1/policies/main/params/head", "", 200),
            ("ids", "PUT", "/v1/policies/main/params/%68ead", "{\"value\": 70}", 200),
            ("ids", "GET", "/v1/policies/main", "", 403),
            ("ids", "POST", attack, address, 403),
            ("vera", "GET", "/v1/nothing", "", 404),
            ("vera", "POST", "/v1/health", "", 405),
        ] {
            assert_eq!(ask(who, method, path, body), status, "{who} {method} {path}");
        }
        for token in ["", "mirrorc_0", &"x".repeat(5000), "\u{e9}"] {
            assert_eq!(remote.curl(wire, token, "GET", "/v1/health", "").0, 401, "{token}");
        }
        let huge = remote.curl(wire, &remote.secret("otto"), "POST", attack, &"x".repeat(70_000));
        assert_eq!(huge.0, 413, "{}", huge.1);

        // The same by mirrorc itself.
        let status = remote.command(wire, "vera", &["status", "--json"]);
        let health: Value = serde_json::from_slice(&status.stdout).expect("JSON");
        assert_eq!(health["status"], "ok", "{health}");
        let refused = remote.command(wire, "vera", &["trigger", "clear", "attack"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success()
                && said.contains("`vera` is viewer; this request needs the role operator"),
            "{said}"
        );
        assert!(remote.command(wire, "otto", &["trigger", "clear", "attack", "10.1.0.1"]).status.success());
        let stranger = [MIRRORC, "status", "--to", URL, "--token-file", &remote.path("vera")];
        let said = String::from_utf8_lossy(&wire.try_run(&wire.right, &stranger).stderr).into_owned();
        assert!(
            said.contains("cannot connect securely to `https://")
                && said.contains("certificate signed by unknown authority")
                && said.contains("--ca"),
            "{said}"
        );
        // Without a token, and with one that is not known: what to do.
        let ca = remote.path("cert");
        let none = [MIRRORC, "status", "--to", URL, "--ca", &ca];
        let said = String::from_utf8_lossy(&wire.try_run(&wire.right, &none).stderr).into_owned();
        assert!(said.contains("the request needs a token") && said.contains("--token-file FILE"), "{said}");
        let none = [MIRRORC, "events", "--to", URL, "--ca", &ca];
        let said = String::from_utf8_lossy(&wire.try_run(&wire.right, &none).stderr).into_owned();
        assert!(said.contains("--token-file FILE"), "{said}");
        std::fs::write(remote.path("wrong"), "mirrorc_0").unwrap();
        let said = String::from_utf8_lossy(&remote.command(wire, "wrong", &["status"]).stderr).into_owned();
        assert!(said.contains("invalid or revoked token") && said.contains("SIGHUP"), "{said}");
        // A directory that is missing is named.
        let [rules, key, tokens, no] =
            ["a.mrule", "key", "tokens", "not/there"].map(|name| remote.path(name));
        let run = [MIRRORC, "run", &rules, "--tap", "m0", "--listen", "10.2.0.1:8444", "--tls-cert", &ca];
        let run = [&run[..], &["--tls-key", &key, "--tokens", &tokens, "--allow-directory", &no]].concat();
        let said = String::from_utf8_lossy(&wire.try_run(&wire.here, &run).stderr).into_owned();
        let missing = format!("there is no directory `{}`", remote.path("not"));
        assert!(said.contains(&missing) && !said.contains("os error"), "{said}");
        // In the clear nothing is answered.
        let clear = wire.try_run(&wire.right, &["curl", "-s", "-m", "5", "http://10.2.0.1:8443/v1/health"]);
        assert!(!clear.status.success() && clear.stdout.is_empty());
        assert!(wire.pings(&["10.1.0.2"]));
        remote.place.run.stop();
    });
}

#[test]
fn tokens_are_taken_back() {
    with_wire("tokens_are_taken_back", |wire| {
        let remote = RemoteHost::start(wire);
        let secret = remote.secret("vera");
        let status = || remote.curl(wire, &secret, "GET", "/v1/health", "").0;
        assert_eq!(status(), 200);
        // The rules are read by the same signal, and one that comes before they are at work is
        // refused.
        let hang_up = |version: u32| {
            remote.place.run.hang_up();
            remote.place.run.says(&format!("version {version} of the rules"));
        };
        let tokens = std::fs::read_to_string(remote.path("tokens")).unwrap();
        assert!(!tokens.contains(secret.trim_start_matches("mirrorc_")), "secrets are not in the file");
        // What cannot be read changes nothing.
        std::fs::write(remote.path("tokens"), "vera king\n").unwrap();
        hang_up(2);
        remote.place.run.says("the tokens stay as they were");
        until("health says so", || remote.place.reasons() == ["tokens_refused"]);
        let said = remote.place.status().1["reasons"][0]["what"].to_string();
        assert!(said.contains("line 1: `king` is not a role") && said.contains("tokens"), "{said}");
        let events = |kind: &str| remote.place.command(&["events", "--history", "--kind", kind]);
        until("it is told", || events("degraded").contains("tokens were read again and refused"));
        assert_eq!(status(), 200);
        // A mode that lets others write is no better.
        std::fs::write(remote.path("tokens"), &tokens).unwrap();
        let mode = |bits| std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(remote.path("tokens"), mode(0o666)).unwrap();
        hang_up(3);
        until("health says so", || {
            remote.place.status().1["reasons"][0]["what"].to_string().contains("chmod")
        });
        std::fs::set_permissions(remote.path("tokens"), mode(0o600)).unwrap();
        // A token that is taken back does not wait for a certificate.
        let cert = std::fs::read_to_string(remote.path("cert")).unwrap();
        std::fs::write(remote.path("cert"), "none").unwrap();
        hang_up(4);
        remote.place.run.says(&format!("read 5 tokens from `{}` again", remote.path("tokens")));
        remote.place.run.says("the certificate and its key stay as they were");
        until("health says so", || remote.place.reasons() == ["certificate_refused"]);
        std::fs::write(remote.path("cert"), cert).unwrap();
        let without: Vec<&str> = tokens.lines().filter(|line| !line.starts_with("vera")).collect();
        std::fs::write(remote.path("tokens"), without.join("\n")).unwrap();
        hang_up(5);
        until("the token is not known any more", || status() == 401);
        until("it is well again", || remote.place.reasons().is_empty());
        remote.place.run.says("read 4 tokens");
        until("that is told, too", || events("recovered").contains("over: the tokens were read again"));
        let tokens = remote.path("tokens");
        let again =
            wire.try_run(&wire.here, &[MIRRORC, "token", "otto", "--role", "admin", "--file", &tokens]);
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(said.contains("already has a token for `otto`"), "{said}");
        std::fs::write(&tokens, "").unwrap();
        let rules = remote.path("a.mrule");
        let start = [MIRRORC, "run", &rules, "--tap", "in0", "--listen", "10.2.0.1:8444", "--tls-cert"];
        for (cert, key, says) in [
            ("cert", "key", "has no token, so no client could connect"),
            ("key", "key", "the certificate cannot be read: the file has none"),
            ("cert", "cert", "chmod o-r"),
            ("nothing", "key", "the certificate cannot be read"),
        ] {
            let files = [&remote.path(cert)[..], "--tls-key", &remote.path(key), "--tokens", &tokens]
                .map(str::to_owned);
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let output = wire.try_run(&wire.here, &[&start[..], &files].concat());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(2) && said.contains(says), "{says}: {said}");
        }
        remote.place.run.stop();
    });
}

#[test]
fn a_thousand_listeners_are_no_burden() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let more = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, more).unwrap();
    with_wire("a_thousand_listeners_are_no_burden", |wire| {
        let place = ControlledRun::start(wire, MIRRORC, RULES, &[]);
        assert!(wire.pings(&["10.1.0.2"]));
        let before = place.run.memory();
        let mut listeners: Vec<UnixStream> = (0..1000)
            .map(|_| {
                let mut stream = UnixStream::connect(&place.socket).unwrap();
                stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
                stream
            })
            .collect();
        for stream in &mut listeners {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut head = [0; 15];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
        }
        // They read nothing more, while a lot happens.
        for number in 0..200 {
            let address = format!("10.9.0.{number}");
            place.command(&["trigger", "raise", "attack", &address]);
        }
        assert!(wire.pings(&["10.1.0.2"]));
        wire.tcp("50M", &[]);
        assert!(wire.pings(&["10.1.0.2"]));
        let grown = place.run.memory().saturating_sub(before);
        assert!(grown < 120 << 20, "{grown} bytes for a thousand listeners");
        eprintln!("a thousand listeners take {grown} bytes");
        let heard = listeners.last_mut().unwrap();
        let mut told = String::new();
        while !told.contains("10.9.0.199") {
            let mut some = [0; 4096];
            let length = heard.read(&mut some).unwrap();
            assert!(length > 0, "{told}");
            told.push_str(&String::from_utf8_lossy(&some[..length]));
        }
        drop(listeners);
        until("they are gone", || place.run.said().is_empty() || place.status().1["status"] == "ok");
        place.run.stop();
    });
}
