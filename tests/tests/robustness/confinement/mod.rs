//! What a client of the API can do to the files, devices and interfaces of the host. Each route
//! to a file is tried with each role. (Rejected: tests of the path check alone; what counts is
//! what the file system shows.)
//!
//! - `roles`: each target with each role. `origins`: who wrote a station is remembered.
//! - `files`: one file by two ways, modes, files of others. `hang`: opening that hangs. `full`:
//!   writes that fail.

mod files;
mod full;
mod hang;
mod origins;
mod roles;
mod shares;

use crate::MIRRORC;
use mrule_tests::control::ControlledRun;
use mrule_tests::wire::Wire;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const URL: &str = "https://10.2.0.1:8443";

/// The rules of the owner: `lake` writes into the directory of the test, outside of what is
/// granted.
const RULES: &str = "station lake { pcapng \"DIR/own/lake.pcapng\" }
    rule all { match any  snaplen 60  to lake }\n";

/// A mirrorc that clients reach over TLS from the right, and tokens for each role.
struct Host {
    place: ControlledRun,
}

/// Names of tokens, their roles, and what else they are made with.
const TOKENS: [(&str, &str, &[&str]); 7] = [
    ("vera", "viewer", &[]),
    ("otto", "operator", &[]),
    ("only", "operator", &["--policy", "main"]),
    ("anna", "author", &[]),
    ("acme", "author", &["--policy", "acme"]),
    ("adam", "admin", &[]),
    ("amos", "admin", &["--policy", "acme"]),
];

impl Host {
    /// Makes a directory with certificate, tokens, and `granted` in it.
    fn prepare(wire: &Wire) -> TempDir {
        wire.ip(&wire.here, &["addr", "add", "10.2.0.1/24", "dev", "m0"]);
        wire.ip(&wire.right, &["addr", "add", "10.2.0.2/24", "dev", "mon"]);
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let key = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let names = ["-subj", "/CN=mirrorc", "-addext", "subjectAltName=IP:10.2.0.1"];
        let kind = ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &path("key")];
        let make = ["openssl", "req", "-x509", "-newkey"];
        wire.run(&wire.here, &[&make[..], &key, &names, &kind, &["-out", &path("cert")]].concat());
        let tokens = path("tokens");
        for (name, role, more) in TOKENS {
            let made = [&[MIRRORC, "token", name, "--role", role, "--file", &tokens], more].concat();
            std::fs::write(path(name), wire.run(&wire.here, &made)).unwrap();
        }
        std::fs::create_dir(path("granted")).unwrap();
        dir
    }

    /// The options that let clients come.
    fn options(dir: &Path) -> Vec<String> {
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let listen = ["--listen", "10.2.0.1:8443", "--tls-cert", &path("cert"), "--tls-key", &path("key")];
        [&listen[..], &["--tokens", &path("tokens"), "--state", &path("state")]]
            .concat()
            .iter()
            .map(|o| (*o).to_owned())
            .collect()
    }

    fn start_in(dir: TempDir, wire: &Wire, rules: &str, more: &[&str]) -> Host {
        let options = Host::options(dir.path());
        let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Host { place: ControlledRun::start_in(dir, wire, MIRRORC, rules, &options) }
    }

    /// With the directory `granted` for clients, and what else is said.
    fn start(wire: &Wire, more: &[&str]) -> Host {
        let dir = Host::prepare(wire);
        let granted = dir.path().join("granted").to_str().unwrap().to_owned();
        Host::start_in(dir, wire, RULES, &[&["--allow-directory", &granted], more].concat())
    }

    /// Kills it and starts another one with the same files.
    fn again(self, wire: &Wire, more: &[&str]) -> Host {
        let options = Host::options(self.place.dir.path());
        let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Host { place: self.place.killed_and_started(wire, MIRRORC, &options) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// What a client is answered: the status, and the detail or the body.
    fn ask(&self, wire: &Wire, who: &str, method: &str, path: &str, body: &Value) -> (u16, String) {
        let token = std::fs::read_to_string(self.path(who)).unwrap();
        let (ca, url, body) = (self.text("cert"), format!("{URL}{path}"), body.to_string());
        let shows = format!("Authorization: Bearer {}", token.trim());
        let command = ["curl", "-s", "-m", "20", "--cacert", &ca, "-H", &shows];
        let asks =
            ["-H", "Content-Type: application/json", "-X", method, "-d", &body, "-w", "\n%{http_code}"];
        let said = wire.run(&wire.right, &[&command[..], &asks, &[&url]].concat());
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Sets a station of a policy.
    fn set(&self, wire: &Wire, who: &str, policy: &str, station: &str, is: &str) -> (u16, String) {
        let path = format!("/v1/policies/{policy}/stations/{station}");
        self.ask(wire, who, "PUT", &path, &json!({ "is": is }))
    }

    /// Puts a policy with one station `s`.
    fn put(&self, wire: &Wire, who: &str, policy: &str, is: &str) -> (u16, String) {
        self.ask(wire, who, "PUT", &format!("/v1/policies/{policy}"), &program(&[("s", is)]))
    }
}

/// A program with these stations and a rule for each.
fn program(stations: &[(&str, &str)]) -> Value {
    let text: String = stations
        .iter()
        .map(|(name, is)| {
            format!("station {name} {{ {is} }}\nrule to_{name} {{ match any  snaplen 40  to {name} }}\n")
        })
        .collect();
    json!({ "files": { "a.mrule": text }, "roots": ["a.mrule"] })
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
