//! What the language will say and cannot say yet: windows and holds, fields of applications that
//! are not read, some uses of what messages say. Each is refused with an honest word and what to
//! write today. The invariant: everything here is part of the language's grammar, so that a program
//! written against it will be read when it lands. (Rejected: "unknown field `http.referer`".)

use super::{Checker, apps};
use crate::fields::FIELDS;
use mrule_grammar::codes::{Code, later as codes, names};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// Applications of whose messages something is read, or will be.
const READ: &[&str] = &["http", "tls", "dns", "quic"];

/// Whether a name is kept for fields that are to come.
pub(super) fn is_reserved(name: &str) -> bool {
    READ.contains(&name) && !FIELDS.iter().any(|f| f.name.split('.').next() == Some(name))
}

/// The fields of an application, for help texts.
fn fields_of(protocol: &str) -> Vec<&'static str> {
    FIELDS.iter().map(|f| f.name).filter(|name| name.split('.').next() == Some(protocol)).collect()
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

    /// Reports a use of what messages say that is to come.
    pub fn facet_not_yet(&mut self, span: Span, what: &str, help: &str) {
        self.not_yet(codes::APPLICATION, span, what, help);
    }

    /// Reports a name that is to come, or is no field by itself; false when it is none.
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

    /// Says of a name of Wireshark's which application its packets are of; false when there is
    /// none.
    pub fn app_instead(&mut self, path: &str, span: Span) -> bool {
        let protocol = path.split('.').next().unwrap_or(path);
        // What is not known is no protocol.
        let known = |app: &&str| !matches!(*app, "undecided" | "other") && !READ.contains(&protocol);
        let Some(app) = apps::meant(protocol).filter(known) else { return false };
        let message = format!("`{protocol}` is recognised, and its messages are not read");
        let finding = Diagnostic::new(names::WIRESHARK, message).at(span, "not a field here");
        let finding = finding.help(format!("`app == {app}` is every packet of such a flow"));
        self.report(if path == protocol { finding.fix(span, format!("app == {app}")) } else { finding });
        true
    }
}
