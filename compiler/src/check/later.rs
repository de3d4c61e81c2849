//! What the language will say and cannot say yet: flows and streams, windows and holds, what applications speak. Each is
//! refused with an honest word and what to write today. The invariant: everything here is part of the language's
//! grammar, so that a program written against it will be read when it lands. (Rejected: "unknown field `http.host`".)

use super::Checker;
use mrule_grammar::codes::{Code, later as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// Protocols whose fields are to come, and what to write until then.
const APPLICATIONS: &[(&str, &str)] = &[
    (
        "http",
        "write where it is and what it looks like: `tcp.port == 80 and tcp.payload matches \"^(GET|POST) \"`",
    ),
    ("tls", "write what a record looks like: `tcp.payload[0:2] == 16:03` is a TLS handshake"),
    ("dns", "write where it is: `udp.port == 53 and udp.payload contains \"google\"`"),
    ("quic", "write where it is: `udp.port == 443 and udp.payload[0] & 0x80`"),
];

const STREAM: &str =
    "write about single packets: `tcp.payload contains \"session=evil\"`, `snaplen payload ..1KiB`";
const FLOW: &str = "write about single packets, by address or port; to take whole flows by chance, write `flow.hash % 100 == 0`";

/// Whether a name is kept for fields that are to come.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(name, "flow" | "stream" | "app") || APPLICATIONS.iter().any(|(protocol, _)| *protocol == name)
}

/// Says of a name whether it is to come: what it is, its code, and what to write today.
fn find(path: &str) -> Option<(String, Code, &'static str)> {
    let path = path.strip_prefix("inner.").unwrap_or(path);
    let first = path.split('.').next()?;
    if let Some((_, help)) = APPLICATIONS.iter().find(|(protocol, _)| *protocol == first) {
        return Some((format!("`{path}`"), codes::APPLICATION, help));
    }
    match first {
        "stream" => Some(("what streams contain".to_owned(), codes::FLOWS, STREAM)),
        "app" => Some(("the application of a flow (`app`)".to_owned(), codes::FLOWS, FLOW)),
        "flow" => Some((format!("`{path}`"), codes::FLOWS, FLOW)),
        _ if path == "tcp.isn" => Some((
            "`tcp.isn`".to_owned(),
            codes::FLOWS,
            "in the packet that opens a connection (`tcp.flags.syn == 1`), `tcp.seq_raw` is the initial sequence number",
        )),
        _ => None,
    }
}

impl Checker<'_> {
    /// Reports what is not available yet.
    pub fn not_yet(&mut self, code: Code, span: Span, what: &str, help: &str) {
        self.report(
            Diagnostic::new(code, format!("{what} is not available yet"))
                .at(span, "not available yet")
                .help(help),
        );
    }

    /// Reports a name that is to come; false when it is none.
    pub fn later_name(&mut self, path: &str, span: Span) -> bool {
        let Some((what, code, help)) = find(path) else { return false };
        self.not_yet(code, span, &what, help);
        true
    }

    /// Reports a test of streams.
    pub fn later_stream(&mut self, span: Span) {
        self.not_yet(codes::FLOWS, span, "looking into streams", STREAM);
    }

    /// Reports a key or hold that is a flow.
    pub fn later_flow(&mut self, span: Span, what: &str) {
        let help =
            "name the key by addresses, such as `by (net.src, net.dst)`, and give a time, such as `hold 10m`";
        self.not_yet(codes::FLOWS, span, what, help);
    }

    /// Reports a window.
    pub fn later_window(&mut self, span: Span, what: &str) {
        let help = "an external trigger can be raised by a program that counts: `trigger t by net.src { external hold 10m }`";
        self.not_yet(codes::WINDOWS, span, what, help);
    }
}
