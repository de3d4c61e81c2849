//! What one client may take of what all share, and what it may do after its token was taken back.
//! (Rejected: functions that count; the places that an author leaves to the owner are what
//! matters.)

use super::Host;
use mrule_tests::wire::with_wire;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const NOTHING: &str = "";

fn text(text: &str) -> Value {
    json!({ "files": { "a.mrule": text }, "roots": ["a.mrule"] })
}

#[test]
fn a_client_takes_its_share_of_policies_and_versions() {
    with_wire("a_client_takes_its_share_of_policies_and_versions", |wire| {
        let host = Host::start(wire, &[]);
        let put = |who: &str, name: &str| {
            host.ask(wire, who, "PUT", &format!("/v1/policies/{name}"), &text(NOTHING))
        };
        let delete =
            |name: &str| host.ask(wire, "anna", "DELETE", &format!("/v1/policies/{name}"), &Value::Null);
        let own = host.place.write("own.mrule", NOTHING);
        host.place.command(&["load", &own, "--as", "before"]);
        host.place.command(&["unload", "before"]);
        for n in 0..8 {
            assert_eq!(put("anna", &format!("p{n}")).0, 200);
        }
        let (status, said) = put("anna", "p8");
        assert!(
            status == 409 && said.contains("8 policies") && said.contains("unload one"),
            "{status} {said}"
        );
        // Going back to the owner's text takes a place, too.
        let back = |who: &str, name: &str| {
            host.ask(wire, who, "POST", &format!("/v1/policies/{name}/rollback"), &Value::Null)
        };
        let (status, said) = back("anna", "before");
        assert!(status == 409 && said.contains("8 policies"), "{status} {said}");
        assert_eq!(put("anna", "p7").0, 200, "its own is loaded anew");
        assert_eq!(put("acme", "acme").0, 200, "others have their own share");
        // Unloaded ones of a client push out its own.
        for n in 0..8 {
            assert_eq!(delete(&format!("p{n}")).0, 200);
        }
        for n in 0..crate::rounds(26, 60) {
            assert_eq!(put("anna", &format!("q{n}")).0, 200);
            assert_eq!(delete(&format!("q{n}")).0, 200);
        }
        host.place.command(&["rollback", "before"]);
        let (_, said) = host.place.refused(&["rollback", "p0"]);
        assert!(said.contains("there is no policy `p0`"), "{said}");
        // What the owner wrote stays in a policy that a client loads over and over.
        host.place.command(&["load", &own, "--as", "site"]);
        for n in 0..18 {
            let rule = format!("station s {{ pcapng \"s{n}\" }}\n");
            let rule = if n % 2 == 0 { String::new() } else { format!("# {rule}") };
            assert_eq!(host.ask(wire, "anna", "PUT", "/v1/policies/site", &text(&rule)).0, 200);
        }
        let kept: Vec<u64> = {
            let list = host.place.json(&["list"]);
            let site = list.as_array().unwrap().iter().find(|policy| policy["name"] == "site").unwrap();
            site["versions"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect()
        };
        assert!(kept[0] == 1 && kept.len() == 17, "{kept:?}");
        // Also when the client unloads it, and more than its share.
        assert_eq!(delete("site").0, 200);
        for n in 0..9 {
            assert_eq!(put("anna", &format!("r{n}")).0, 200);
            assert_eq!(delete(&format!("r{n}")).0, 200);
        }
        let host = host.again(wire, &[]);
        host.place.command(&["rollback", "site", "--version", "1"]);
        host.place.run.stop();
    });
}

#[test]
fn an_admin_of_one_policy_binds_no_others() {
    with_wire("an_admin_of_one_policy_binds_no_others", |wire| {
        let host = Host::start(wire, &[]);
        let binding = text("limit l { match icmp  snaplen 50 }\n");
        let put = |who: &str| host.ask(wire, who, "PUT", "/v1/policies/acme?binding=true", &binding);
        let (status, said) = put("amos");
        assert!(status == 403 && said.contains("a token that names no policy"), "{status} {said}");
        assert_eq!(put("adam").0, 200);
        for (method, body) in [("PUT", &binding), ("DELETE", &Value::Null)] {
            assert_eq!(host.ask(wire, "amos", method, "/v1/policies/acme", body).0, 403, "{method}");
        }
        // Nor does it release one that cannot be restored.
        let mut host = host;
        host.place.run.halt();
        let state = rusqlite::Connection::open(host.path("state").join("state.sqlite")).unwrap();
        state.execute("DELETE FROM versions WHERE policy = 'acme'", []).unwrap();
        drop(state);
        let host = host.again(wire, &[]);
        assert_eq!(host.place.reasons(), ["binding_missing"]);
        let release = |who: &str| host.ask(wire, who, "POST", "/v1/policies/acme/release", &Value::Null).0;
        assert_eq!([release("amos"), release("adam")], [403, 200]);
        assert_eq!(host.place.reasons(), [""; 0]);
        host.place.run.stop();
    });
}

#[test]
fn a_binding_policy_of_a_client_that_cannot_be_kept_is_refused() {
    with_wire("a_binding_policy_of_a_client_that_cannot_be_kept_is_refused", |wire| {
        let host = Host::start(wire, &[]);
        let binding = "limit l { match icmp  snaplen 50 }\n";
        std::fs::remove_dir_all(host.path("state")).unwrap();
        let (status, said) = host.ask(wire, "adam", "PUT", "/v1/policies/a?binding=true", &text(binding));
        assert!(status == 503 && said.contains("only the owner"), "{status} {said}");
        let site = host.place.write("site.mrule", binding);
        let done = host.place.json(&["load", &site, "--as", "a", "--binding"]);
        assert!(done["warning"].as_str().unwrap().contains("a restart goes on without it"), "{done}");
        assert_eq!(host.place.json(&["list"]).as_array().unwrap().len(), 2);
        host.place.run.kill();
    });
}

/// Has the owner's compilation at work for some seconds.
fn busy(host: &Host) -> UnixStream {
    let rule = |i: usize| {
        let (a, b, c) = (i + 2, i % 7, i % 1400);
        format!(
            "rule r{i} {{ match frame.len % {a} == {b} and tcp.window_size_value > {c}  snaplen {c}  to s }}\n"
        )
    };
    let rules: String = (0..800).map(rule).collect();
    let body = format!("station s {{ pcapng \"{}\" }}\n{rules}", host.text("busy.pcapng"));
    let mut stream = UnixStream::connect(&host.place.socket).unwrap();
    let head = "PUT /v1/policies/busy?dry_run=true HTTP/1.1\r\nhost: m\r\ncontent-length";
    write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    stream
}

#[test]
fn a_token_that_is_taken_back_while_its_load_waits_loads_nothing() {
    with_wire("a_token_that_is_taken_back_while_its_load_waits_loads_nothing", |wire| {
        let host = Host::start(wire, &[]);
        let at_work = busy(&host);
        std::thread::scope(|scope| {
            let put = scope.spawn(|| host.ask(wire, "anna", "PUT", "/v1/policies/late", &text(NOTHING)));
            let reset = scope
                .spawn(|| host.ask(wire, "anna", "DELETE", "/v1/policies/main/stations/lake", &Value::Null));
            std::thread::sleep(Duration::from_millis(700));
            assert!(!put.is_finished() && !reset.is_finished(), "both wait behind the owner's");
            let tokens = std::fs::read_to_string(host.path("tokens")).unwrap();
            let left: Vec<&str> = tokens.lines().filter(|line| !line.starts_with("anna")).collect();
            std::fs::write(host.path("tokens"), left.join("\n")).unwrap();
            host.place.run.hang_up();
            for waiting in [put, reset] {
                let (status, said) = waiting.join().unwrap();
                assert!(status == 401 && said.contains("revoked token"), "{status} {said}");
            }
        });
        drop(at_work);
        let list = host.place.json(&["list"]).to_string();
        assert!(!list.contains("late"), "{list}");
        host.place.run.stop();
    });
}
