//! Values that do not fit together: a constant of another type, a constant that is too large, or a
//! constant in the wrong notation beside a slice. The invariant: the caret is on the constant. The
//! message names the type of the field and the type of the constant. A fix is given where only one
//! replacement makes sense. (Rejected: "type mismatch".)

use super::Checker;
use super::apps;
use super::constant::{colons, unquoted};
use super::sets::Wanted;
use super::value::{Alt, Bound, BoundKind, Const, Form, Kind, Number, Term, TermTy, Unit, Value};
use crate::fields::Ty;
use crate::hir::ParamId;
use mrule_grammar::codes::{later, names as codes, oddities};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::net::IpAddr;

/// The help for a constant, and the text that replaces it.
type Advice = (String, Option<String>);

impl Checker<'_> {
    /// Adds the field's place if the constant is elsewhere: in a `let`.
    fn beside(&self, finding: Diagnostic, constant: Span, field: Span) -> Diagnostic {
        let near = constant.file == field.file && constant.start.abs_diff(field.start) < 2000;
        if near { finding } else { finding.at(field, "used here") }
    }

    /// Reports a constant of another type than the term's.
    pub fn misfit(&mut self, term: &Term, at: Span, bound: &Bound) {
        let constant = match &bound.kind {
            BoundKind::Const(constant) => constant,
            BoundKind::Param(id) => return self.param_misfit(term, at, bound, *id),
        };
        let field = self.text(at);
        let bytes = matches!(term.field_ty(), Some(Ty::Bytes | Ty::String));
        if let (Const::Number(_), true) = (constant, bytes) {
            return self.number_beside_bytes(term, at, bound);
        }
        let (written, kind) = (self.text(bound.span), constant.describe());
        let code = match (term.field_ty(), constant) {
            (Some(Ty::Bool), Const::Number(_)) => codes::OUT_OF_RANGE,
            _ => codes::TYPES,
        };
        let message = format!("`{field}` is {}; `{written}` is {kind}", term.ty.describe());
        let finding = Diagnostic::new(code, message).at(bound.span, format!("this is {kind}"));
        let mut finding = self.beside(finding, bound.span, at);
        let (help, replacement) = advice(term, &field, constant);
        if let Some(other) = other_family(term, &field, constant) {
            finding = finding.fix(at, other);
        } else if let Some(text) = replacement {
            finding = finding.fix(bound.span, text);
        }
        if !help.is_empty() {
            finding = finding.help(help);
        }
        self.report(finding);
    }

    /// Reports a number that is larger than the field can hold.
    pub fn too_wide(&mut self, term: &Term, at: Span, bound: &Bound) {
        let (field, written) = (self.text(at), self.text(bound.span));
        let most = term.width.unwrap_or(u64::MAX);
        let message = format!("`{field}` is a number from 0 to {most}; it is never `{written}`");
        let finding =
            Diagnostic::new(codes::OUT_OF_RANGE, message).at(bound.span, format!("more than {most}"));
        let finding = self.beside(finding, bound.span, at);
        self.report(finding.help(format!("write a number from 0 to {most}")));
    }

    /// Reports a decimal number beside a slice, on either side. Wireshark reads it as hexadecimal.
    pub fn beside_slice(&mut self, left: &Value, right: &Value) {
        for (term, constant) in [(left, right), (right, left)] {
            if let (Kind::Term(term), Kind::Const(value)) = (&term.kind, &constant.kind) {
                let kind = BoundKind::Const(value.clone());
                self.beside_slice_bound(term, &Bound { span: constant.span, kind });
            }
        }
    }

    /// Reports a decimal number beside a slice.
    pub fn beside_slice_bound(&mut self, term: &Term, bound: &Bound) {
        let (true, BoundKind::Const(Const::Number(Number { value, unit: Unit::None, hex: false }))) =
            (term.hex, &bound.kind)
        else {
            return;
        };
        // One digit means the same in both notations. A slice of several bytes has its own
        // diagnostic.
        if *value < 10 || *value > 255 || matches!(term.form, Form::Slice(len) if len != Some(1)) {
            return;
        }
        let other = u64::from_str_radix(&value.to_string(), 16).unwrap_or(*value);
        let message = format!(
            "`{value}` beside a slice could be {value} or {other}: Wireshark reads it as hexadecimal, 0x{value}"
        );
        let finding =
            Diagnostic::new(codes::DECIMAL_BESIDE_SLICE, message).at(bound.span, "decimal or hexadecimal?");
        let help = format!("write `0x{value:02x}` for {value}, or `0x{value}` for what Wireshark reads");
        self.report(finding.help(help).fix(bound.span, format!("0x{value:02x}")));
    }

    /// Reports a number beside a slice that is not one byte, or a number that does not fit in one
    /// byte.
    pub fn number_beside_bytes(&mut self, term: &Term, at: Span, bound: &Bound) {
        let BoundKind::Const(Const::Number(number)) = &bound.kind else { return };
        let (field, written) = (self.text(at), self.text(bound.span));
        let len = if let Form::Slice(len) = term.form { len } else { None };
        let what = match len {
            Some(1) => "one byte".to_owned(),
            Some(n) => format!("{n} bytes"),
            None => "bytes".to_owned(),
        };
        let message = format!("`{field}` is {what}; `{written}` is a number");
        let digits = number.value.to_be_bytes();
        let needed = (8 - number.value.leading_zeros() as usize / 8).max(1);
        let width =
            len.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= 8).unwrap_or(needed).max(needed);
        let text = digits.get(8 - width..).map(colons).unwrap_or_default();
        let finding = Diagnostic::new(codes::NUMBER_BESIDE_BYTES, message).at(bound.span, "a number");
        let finding = self.beside(finding, bound.span, at);
        let finding = match (width, len) {
            (1, _) => finding.help("compare with text (`\"A\"`), or take one byte: `x[0] == 0x41`"),
            (_, Some(1)) => finding.help(format!("take {width} bytes, and compare with `{text}`")),
            _ => finding.help(format!("write bytes: `{text}`")).fix(bound.span, text),
        };
        self.report(finding);
    }

    /// Warns of bytes that a slice never equals because the lengths differ.
    pub fn slice_lengths(&mut self, term: &Term, at: Span, wanted: &Wanted, place: Span) {
        let Form::Slice(Some(len)) = term.form else { return };
        for text in wanted.texts.iter().filter(|text| text.len() as u64 != len) {
            let (slice, n) = (self.text(at), text.len());
            let s = |n: u64| if n == 1 { "" } else { "s" };
            let message =
                format!("`{slice}` is {len} byte{}; it never equals {n} byte{}", s(len), s(n as u64));
            let finding = Diagnostic::new(oddities::LENGTHS_DIFFER, message)
                .at(place, format!("{n} byte{}", s(n as u64)));
            self.report(finding.help("give the slice and the bytes the same length"));
        }
    }

    /// Reports a param beside a field of tags.
    pub fn no_tag_param(&mut self, field: Span, place: Span) {
        let what = format!("comparing `{}` with a param or another field", self.text(field));
        self.not_yet(
            later::TABLES,
            place,
            &what,
            "write the number, or look it up in a table: `vlan.id in t`",
        );
    }

    /// Reports two terms whose values cannot be compared yet.
    pub fn not_comparable_yet(&mut self, a: &Alt, b: &Alt, span: Span) {
        if matches!(a, Alt::Facet(_)) || matches!(b, Alt::Facet(_)) {
            let what = "comparing a message field with a param or another field";
            return self.facet_not_yet(
                span,
                what,
                "compare it with constants: `http.response.code in {400..499}`",
            );
        }
        if matches!(a, Alt::Tag(_)) || matches!(b, Alt::Tag(_)) {
            return self.no_tag_param(span, span);
        }
        let help = "compare the value with constants: `users[net.src] == \"alice\"`";
        self.not_yet(later::TABLES, span, "comparing the texts or addresses of a table with fields", help);
    }

    /// Reports a param of another type than the term's.
    pub fn param_misfit(&mut self, term: &Term, at: Span, bound: &Bound, id: ParamId) {
        let (field, name) = (self.text(at), self.text(bound.span));
        let ty = self.params.get(id.index()).map_or("param", |p| p.ty_name());
        let message = format!("`{field}` is {}; `{name}` is a param of type `{ty}`", term.ty.describe());
        let finding = Diagnostic::new(codes::TYPES, message).at(bound.span, format!("of type `{ty}`"));
        let finding = self.beside(finding, bound.span, at);
        self.report(finding.help("compare with a param of the field's own type"));
    }
}

/// The help and the replacement for a constant.
fn advice(term: &Term, field: &str, constant: &Const) -> Advice {
    let none = (String::new(), None);
    if let (Const::Text(text), Some(ty)) = (constant, term.field_ty())
        && let Some((meant, text)) = unquoted(text)
        && fits(ty, &meant, term.width)
    {
        return (format!("write {text} without quotes"), Some(text));
    }
    match (term.ty, constant) {
        (TermTy::Field(Ty::App), Const::Text(text)) => {
            let name = std::str::from_utf8(text).ok().and_then(|t| apps::meant(&t.to_ascii_lowercase()));
            match name {
                Some(name) => (format!("write `{name}` without quotes"), Some(name.to_owned())),
                None => (format!("applications are named without quotes: {}", apps::list()), None),
            }
        }
        (TermTy::Field(Ty::App), _) => {
            (format!("applications are named, as in `app == http`: {}", apps::list()), None)
        }
        (_, Const::App(_)) => ("applications are tested with `app`: `app == http`".to_owned(), None),
        (TermTy::Field(Ty::Uint(_)), Const::Number(Number { unit: Unit::Duration, .. })) => {
            ("`s`, `m` and `h` are time; sizes are written 1500, 8KiB, 5MB".to_owned(), None)
        }
        (TermTy::Field(Ty::Uint(_)), Const::Bytes(b)) if b.len() <= 8 => {
            let digits: String = b.iter().map(|b| format!("{b:02x}")).collect();
            (format!("write it as a number: `0x{digits}`"), Some(format!("0x{digits}")))
        }
        (TermTy::Field(Ty::Uint(_)), Const::Ipv4(_) | Const::Ipv6(_) | Const::Cidr(..)) => {
            ("addresses are compared with `ip.src`, `ipv6.dst`, `net.addr` and the like".to_owned(), None)
        }
        (TermTy::Field(Ty::Uint(_)), _) => ("numbers are written 80 or 0x50".to_owned(), None),
        (TermTy::Field(Ty::Bool), _) => ("a flag is compared with 0, 1, true or false".to_owned(), None),
        (TermTy::Duration, Const::Number(_)) => ("durations have a unit: 100ms, 5m, 2h".to_owned(), None),
        (TermTy::Field(Ty::Ipv4 | Ty::Ipv6 | Ty::Ip), Const::Text(_)) => {
            ("names are not resolved; write the address: 192.0.2.1".to_owned(), None)
        }
        (
            TermTy::Field(Ty::Ipv4 | Ty::Ipv6),
            Const::Ipv4(_) | Const::Ipv6(_) | Const::Cidr(..) | Const::Bytes(_),
        ) if constant_family(constant).is_some() => {
            let other = if constant_family(constant) == Some(true) { "ip" } else { "ipv6" };
            (format!("write a field of `{other}`, or one of `net`, which has both families"), None)
        }
        (TermTy::Field(Ty::Ipv4 | Ty::Ipv6 | Ty::Ip), _) => {
            ("addresses are written 192.0.2.1, 2001:db8::1, networks 10.0.0.0/8".to_owned(), None)
        }
        (TermTy::Field(Ty::Mac), Const::Bytes(b)) if b.len() < 6 => {
            let sliced = format!("{field}[0:{}]", b.len());
            (format!("a MAC address has six bytes; to compare a part, write `{sliced} == ...`"), None)
        }
        (TermTy::Field(Ty::Mac), _) => ("MAC addresses are written 00:26:0b:31:07:33".to_owned(), None),
        (TermTy::Field(Ty::Bytes), Const::Ipv4(ip)) => {
            let bytes = colons(&ip.octets());
            (format!("write bytes: `{bytes}`"), Some(bytes))
        }
        (TermTy::Field(Ty::Bytes), Const::Ipv6(ip)) => {
            let bytes = colons(&ip.octets());
            (format!("write bytes: `{bytes}`"), Some(bytes))
        }
        (TermTy::Field(Ty::Bytes | Ty::String), _) => {
            ("write text (`\"GET \"`) or bytes (`47:45:54:20`)".to_owned(), None)
        }
        (TermTy::Field(Ty::Protocol), _) => {
            (format!("write `{field} contains \"...\"`, or compare a slice: `{field}[0:2] == 00:50`"), None)
        }
        _ => none,
    }
}

/// Whether a constant is of this type.
fn fits(ty: Ty, constant: &Const, width: Option<u64>) -> bool {
    match (ty, constant) {
        (Ty::Uint(_), Const::Number(n)) => width.is_none_or(|most| n.value <= most),
        (Ty::Bool, Const::Number(n)) => n.value <= 1,
        (Ty::Ipv4, Const::Ipv4(_) | Const::Cidr(IpAddr::V4(_), _)) => true,
        (Ty::Ipv6, Const::Ipv6(_) | Const::Cidr(IpAddr::V6(_), _)) => true,
        (Ty::Ip, Const::Ipv4(_) | Const::Ipv6(_) | Const::Cidr(..)) => true,
        (Ty::Mac, constant) => constant.as_mac().is_some(),
        _ => false,
    }
}

/// Whether an address is IPv4; `None`: the constant is not an address.
fn constant_family(constant: &Const) -> Option<bool> {
    match constant {
        Const::Ipv4(_) | Const::Cidr(IpAddr::V4(_), _) => Some(true),
        Const::Cidr(IpAddr::V6(_), _) => Some(false),
        other => other.as_ipv6().map(|_| false),
    }
}

/// `ipv6.src` for `ip.src` beside an IPv6 address, and the reverse.
fn other_family(term: &Term, field: &str, constant: &Const) -> Option<String> {
    let v4 = constant_family(constant)?;
    let (inner, base) = match field.strip_prefix("inner.") {
        Some(base) => ("inner.", base),
        None => ("", field),
    };
    let other = match (term.field_ty()?, v4) {
        (Ty::Ipv4, false) => base.strip_prefix("ip.").map(|rest| format!("ipv6.{rest}")),
        (Ty::Ipv6, true) => base.strip_prefix("ipv6.").map(|rest| format!("ip.{rest}")),
        _ => None,
    }?;
    crate::fields::find(&other).map(|_| format!("{inner}{other}"))
}
