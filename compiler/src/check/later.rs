//! Parts of the language that are planned and not available yet: windows and holds, fields of
//! applications that are not read, some uses of message fields. Each is refused with a clear
//! message that says what to write today. The invariant: all of these parse, so a program written
//! for them will compile when they become available. (Rejected: "unknown field `http.referer`".)

use super::{Checker, apps};
use crate::fields::FIELDS;
use mrule_grammar::codes::{Code, later as codes, names};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// Applications whose messages are read, or will be.
const READ: &[&str] = &["http", "tls", "dns", "quic"];

/// Whether a name is reserved for planned fields.
pub(super) fn is_reserved(name: &str) -> bool {
    READ.contains(&name) && !FIELDS.iter().any(|f| f.name.split('.').next() == Some(name))
}

/// The fields of an application, for help texts.
fn fields_of(protocol: &str) -> Vec<&'static str> {
    FIELDS.iter().map(|f| f.name).filter(|name| name.split('.').next() == Some(protocol)).collect()
}

impl Checker<'_> {
    /// Reports a part that is not available yet.
    pub fn not_yet(&mut self, code: Code, span: Span, what: &str, help: &str) {
        self.report(
            Diagnostic::new(code, format!("{what} is not available yet"))
                .at(span, "not available yet")
                .help(help),
        );
    }

    /// Reports a use of a message field that is not available yet.
    pub fn facet_not_yet(&mut self, span: Span, what: &str, help: &str) {
        self.not_yet(codes::APPLICATION, span, what, help);
    }

    /// Reports the name of a planned field, or a name that is not a field by itself; false for any
    /// other name.
    pub fn later_name(&mut self, path: &str, span: Span) -> bool {
        let alone = match path {
            "stream" => {
                "look into it (`stream contains \"x\"`, `stream matches \"^GET \"`), or test `stream.offset` and `stream.len`"
            }
            "flow" => {
                "test its fields, such as `flow.packets <= 10`; triggers `by flow` are active for the rest of a flow"
            }
            _ => "",
        };
        if !alone.is_empty() {
            let finding = Diagnostic::new(names::UNKNOWN, format!("`{path}` alone is no field"));
            self.report(finding.at(span, "what of it?").help(alone));
            return true;
        }
        let outer = path.strip_prefix("inner.").unwrap_or(path);
        let protocol = outer.split('.').next().unwrap_or(outer);
        if !READ.contains(&protocol) {
            return false;
        }
        let known = fields_of(protocol);
        if outer == path && !super::suggest::nearest(path, known.iter().copied()).is_empty() {
            return false;
        }
        let help = match (outer == path, known.as_slice()) {
            (false, _) => "only messages of the outer flow are read; leave out `inner.`".to_owned(),
            (true, []) => format!("`app == {protocol}` is every packet of such a flow"),
            (true, known) => {
                let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                format!("`app == {protocol}` is every packet of such a flow; there are {}", names.join(", "))
            }
        };
        self.not_yet(codes::APPLICATION, span, &format!("`{path}`"), &help);
        true
    }

    /// Reports the application of a Wireshark protocol; false if there is none.
    pub fn app_instead(&mut self, path: &str, span: Span) -> bool {
        let protocol = path.split('.').next().unwrap_or(path);
        // `undecided` and `other` are not protocols.
        let known = |app: &&str| !matches!(*app, "undecided" | "other") && !READ.contains(&protocol);
        let Some(app) = apps::meant(protocol).filter(known) else { return false };
        let message = format!("`{protocol}` is recognised, and its messages are not read");
        let finding = Diagnostic::new(names::WIRESHARK, message).at(span, "not a field here");
        let finding = finding.help(format!("`app == {app}` is every packet of such a flow"));
        self.report(if path == protocol { finding.fix(span, format!("app == {app}")) } else { finding });
        true
    }
}
