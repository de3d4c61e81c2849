//! A path in an expression: a name of the program, a field, or an unknown name. The invariant: an
//! unknown name is reported once, with the best explanation: a planned field, a name of Wireshark,
//! or a similar name. (Rejected: resolving names while parsing; later files are not known then.)

use super::names::Entry;
use super::suggest::did_you_mean;
use super::terms::field_term;
use super::value::{Const, Kind, Value};
use super::{Checker, hints};
use crate::fields::{App, FIELDS, Layer, Source, Ty};
use crate::hir::Pred;
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// After this many findings, unknown names are no longer compared with all others.
const MAX_SUGGESTIONS: usize = 200;

impl Checker<'_> {
    /// The value of a path.
    pub fn path(&mut self, path: &str, span: Span) -> Value {
        if let Some((entry, _)) = self.names.values.get(path) {
            return match *entry {
                Entry::Let(index) => self.use_let(index, span),
                Entry::Param(id) => self.use_param(id, span),
                Entry::Table(id) => Value::new(span, Kind::Table(id)),
                Entry::Trigger(id) => Value::new(span, Kind::Trigger(id)),
                Entry::Broken => Value::poison(span),
            };
        }
        if path == "any" {
            return Value::new(span, Kind::Pred(Pred::always()));
        }
        let (base, layer) = match path.strip_prefix("inner.") {
            Some(base) => (base, Layer::Inner),
            None => (path, Layer::Outer),
        };
        match self.fields.get(base).copied() {
            Some(field) if layer == Layer::Outer || field.has_inner() => {
                Value::new(span, Kind::Term(field_term(field, layer)))
            }
            Some(field) => {
                let whole = match field.source {
                    Source::Flow { .. } | Source::Sided(_) => "the outer packet's flow",
                    Source::Facet(_) => "messages of the outer packet's flow",
                    _ => "the whole frame",
                };
                let message = format!("there is no `{path}`: `{base}` is a field of {whole}");
                let finding = Diagnostic::new(codes::UNKNOWN, message).at(span, "nothing inside a tunnel");
                self.report(finding.help(format!("write `{base}`")).fix(span, base));
                Value::poison(span)
            }
            None => {
                if let Some(number) = App::number(path) {
                    return Value::new(span, Kind::Const(Const::App(number)));
                }
                if !self.later_name(path, span) {
                    self.unknown(path, span);
                }
                Value::poison(span)
            }
        }
    }

    /// Whether a field or an item has this name.
    pub fn is_known(&self, path: &str) -> bool {
        self.names.values.contains_key(path) || self.fields.contains_key(path) || path == "any"
    }

    fn unknown(&mut self, path: &str, span: Span) {
        let inner = if path.starts_with("inner.") { "inner." } else { "" };
        if let Some(hint) = hints::hint(path) {
            let tcpdump = !path.contains('.');
            let (code, message) = match tcpdump {
                true => (codes::OTHER_LANGUAGE, format!("`{path}` means nothing here")),
                false => (codes::WIRESHARK, format!("Wireshark's `{path}` is not available")),
            };
            let finding = Diagnostic::new(code, message).at(span, "not a field here");
            let finding = match hint.replacement {
                "" => finding.help(hint.help),
                name => {
                    finding.help(format!("{} `{inner}{name}`", hint.help)).fix(span, format!("{inner}{name}"))
                }
            };
            return self.report(finding);
        }
        if self.app_instead(path, span) {
            return;
        }
        if let Some((protocol, filter)) = hints::application(path) {
            let message = format!("`{protocol}` is not dissected");
            return self.report(
                Diagnostic::new(codes::WIRESHARK, message)
                    .at(span, "not a field here")
                    .help(format!("write where it usually is: `{filter}`")),
            );
        }
        let finding = Diagnostic::new(codes::UNKNOWN, format!("there is no field or name `{path}`"))
            .at(span, "unknown");
        let near = if self.diagnostics.len() < MAX_SUGGESTIONS { self.near_values(path) } else { Vec::new() };
        let own = sibling_fields(path);
        let protocol = path.split('.').next().unwrap_or(path);
        // A protocol with few fields lists them: `ip.flags` is no `vxlan.flags`.
        let of_protocol = |name: &str| name.split('.').next() == Some(protocol);
        let fits = |name: &&str| own.is_none() || of_protocol(name) || path.ends_with(&format!(".{name}"));
        let near: Vec<&str> = near.iter().map(String::as_str).filter(fits).collect();
        let dotted = path.contains('.');
        // `ff`, `c0a8`: bytes, as Wireshark reads them beside a slice.
        let hexadecimal = path.len().is_multiple_of(2) && path.bytes().all(|b| b.is_ascii_hexdigit());
        let finding = match did_you_mean(&near) {
            None if hexadecimal && path.len() == 2 => finding.help(format!("a byte is written `0x{path}`")),
            None if hexadecimal => finding.help("bytes are written with colons: `c0:a8`"),
            Some(help) if dotted => finding.help(help),
            Some(help) => finding.help(format!("{help} text stands in quotes: `\"{path}\"`")),
            None if dotted => {
                finding.help(own.unwrap_or_else(|| "`mirrorc fields` lists all fields".to_owned()))
            }
            None => finding.help(format!(
                "declare it (`let {path} = ...`), or see `mirrorc fields`; text stands in quotes: `\"{path}\"`"
            )),
        };
        let finding = match near.as_slice() {
            // There is no fix for other names: `eth0` is near to `eth` and means something else.
            [only] if dotted || self.names.values.contains_key(only) => finding.fix(span, *only),
            _ => finding,
        };
        self.report(finding);
    }
}

/// The greatest number of fields of a protocol that a help text lists.
const MAX_LISTED: usize = 6;

/// The fields of the protocol of an unknown field, and where its other bytes are. `None`: it is no
/// protocol, or has too many fields to list.
fn sibling_fields(path: &str) -> Option<String> {
    let (protocol, _) = path.split_once('.')?;
    let all = || FIELDS.iter().filter(|field| field.name.split('.').next() == Some(protocol));
    let bytes = all().find(|field| field.name == protocol && field.ty == Ty::Protocol)?;
    let names: Vec<String> = all().map(|field| format!("`{}`", field.name)).collect();
    let other = match bytes.source {
        Source::Protocol { header: Some(_), .. } => format!("`{protocol}[4:2]`"),
        _ => "`frame[38:4]`".to_owned(),
    };
    (names.len() <= MAX_LISTED)
        .then(|| format!("its protocol has {}; other bytes are slices, such as {other}", names.join(", ")))
}
