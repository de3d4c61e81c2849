//! Constants: literals with their units, and arithmetic on them. The invariant: a number is held in
//! its base unit, bytes or nanoseconds, and knows that unit; a network has no host bits. (Rejected:
//! floating point; `1.5KiB` is 1536.)

use super::Checker;
use super::value::{Const, Number, Unit, network};
use crate::hir::build;
use mrule_grammar::ast::{ArithOp, Literal};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use mrule_grammar::units::{UnitKind, unit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

impl Checker<'_> {
    /// The constant of a literal. `None`: reported.
    pub fn literal(&mut self, literal: &Literal, span: Span) -> Option<Const> {
        Some(match literal {
            Literal::Bool(value) => Const::Bool(*value),
            Literal::Number { value, unit: name, hex } if name.is_empty() => {
                Const::Number(Number { value: *value, unit: Unit::None, hex: *hex })
            }
            Literal::Number { value, unit: name, hex } => {
                let Some(unit) = unit(name) else {
                    let message = format!("`{name}` is no unit");
                    let help = "sizes are written 1500, 8KiB, 10MB; durations 100ms, 5m, 2h";
                    self.report(Diagnostic::new(codes::ARITHMETIC, message).at(span, "here").help(help));
                    return None;
                };
                let Some(value) = value.checked_mul(unit.scale) else {
                    let base = if unit.kind == UnitKind::Size { "bytes" } else { "nanoseconds" };
                    let message = format!("`{value}{name}` is more than 2^64 {base}");
                    self.report(
                        Diagnostic::new(codes::ARITHMETIC, message)
                            .at(span, "too large")
                            .help("write a smaller number"),
                    );
                    return None;
                };
                let unit = if unit.kind == UnitKind::Size { Unit::Size } else { Unit::Duration };
                Const::Number(Number { value, unit, hex: *hex })
            }
            Literal::String(text) => Const::Text(Arc::from(text.as_slice())),
            Literal::Bytes(bytes) => Const::Bytes(Arc::from(bytes.as_slice())),
            Literal::Ipv4(ip) => Const::Ipv4(*ip),
            Literal::Ipv6(ip) => Const::Ipv6(*ip),
            Literal::Cidr(ip, prefix) => {
                let (low, _) = network(*ip, *prefix);
                let ip = match ip {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(low as u32)),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(low)),
                };
                Const::Cidr(ip, *prefix)
            }
        })
    }

    /// Arithmetic on two constants. `None`: reported.
    pub fn const_arith(
        &mut self,
        op: ArithOp,
        left: &(Const, Span),
        right: &(Const, Span),
        span: Span,
    ) -> Option<Const> {
        let mut number = |(value, span): &(Const, Span)| match value {
            Const::Number(n) => Some(*n),
            other => {
                let message = format!("`{}` is {}, not a number", self.text(*span), other.describe());
                let help = "`& | + - * / %` work on numbers";
                self.report(Diagnostic::new(codes::ARITHMETIC, message).at(*span, "not a number").help(help));
                None
            }
        };
        let (a, b) = (number(left)?, number(right)?);
        let Some(unit) = unit_of(op, a.unit, b.unit) else {
            let message = format!("{} and {} do not go together here", left.0.describe(), right.0.describe());
            self.report(
                Diagnostic::new(codes::ARITHMETIC, message)
                    .at(span, "different units")
                    .help("sizes add to sizes and numbers, durations to durations"),
            );
            return None;
        };
        match build::eval(op, a.value, b.value) {
            Some(value) => Some(Const::Number(Number { value, unit, hex: a.hex || b.hex })),
            None => {
                let (what, help) = match op {
                    ArithOp::Div | ArithOp::Rem => ("division by zero", "divide by another number"),
                    ArithOp::Sub => ("the result is below zero", "numbers start at 0"),
                    _ => ("the result is more than 2^64 - 1", "write smaller numbers"),
                };
                self.report(
                    Diagnostic::new(codes::ARITHMETIC, what).at(span, "this has no value").help(help),
                );
                None
            }
        }
    }
}

/// The unit of a result, if it has one.
fn unit_of(op: ArithOp, a: Unit, b: Unit) -> Option<Unit> {
    use ArithOp::{Add, And, Div, Mul, Or, Rem, Sub};
    match (op, a, b) {
        (_, Unit::None, Unit::None) => Some(Unit::None),
        (Mul, Unit::None, unit) | (Mul | Div | Rem, unit, Unit::None) => Some(unit),
        (Div, a, b) if a == b => Some(Unit::None),
        (Add | Sub | Rem, a, b) if a == b => Some(a),
        (Mul | And | Or, Unit::Size, Unit::Size) => Some(Unit::Size),
        (Add | Sub | And | Or, Unit::Size, Unit::None)
        | (Add | Sub | And | Or | Div | Rem, Unit::None, Unit::Size) => Some(Unit::Size),
        _ => None,
    }
}

/// The literal that the author of a text may mean: `80`, `10.0.0.1`, `2001:db8::1`. It can replace
/// the text.
pub(super) fn unquoted(text: &[u8]) -> Option<(Const, String)> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Ok(value) = text.parse::<u64>() {
        return Some((Const::Number(Number { value, unit: Unit::None, hex: false }), text.to_owned()));
    }
    if let Some(value) = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        return Some((Const::Number(Number { value, unit: Unit::None, hex: true }), text.to_owned()));
    }
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    if let Ok(ip) = address.parse::<IpAddr>() {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        return match (ip, prefix) {
            (_, Some(prefix)) if prefix > most => None,
            (_, Some(prefix)) => Some((Const::Cidr(ip, prefix), text.to_owned())),
            (IpAddr::V4(ip), None) => Some((Const::Ipv4(ip), text.to_owned())),
            (IpAddr::V6(ip), None) => Some((Const::Ipv6(ip), text.to_owned())),
        };
    }
    crate::table::text::mac(text).map(|bytes| (Const::Bytes(Arc::from(bytes.as_slice())), colons(&bytes)))
}

/// `47:45:54`
pub(super) fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn quoted_literals_are_recognised() {
        assert_eq!(unquoted(b"80").unwrap().1, "80");
        assert!(matches!(unquoted(b"10.0.0.0/8").unwrap().0, Const::Cidr(..)));
        assert!(matches!(unquoted(b"2001:db8::1").unwrap().0, Const::Ipv6(_)));
        assert_eq!(unquoted(b"00-26-0b-31-07-33").unwrap().1, "00:26:0b:31:07:33");
        assert_eq!(unquoted(b"10.0.0.0/99"), None);
        assert_eq!(unquoted(b"GET "), None);
        assert_eq!(crate::table::text::mac("0026.0b31.0733"), Some([0, 0x26, 0x0b, 0x31, 7, 0x33]));
        assert_eq!(crate::table::text::mac("00:26:0b:31:07"), None);
    }

    #[test]
    fn units_mix_only_where_it_makes_sense() {
        use ArithOp::{Add, Div, Mul};
        assert_eq!(unit_of(Add, Unit::Size, Unit::None), Some(Unit::Size));
        assert_eq!(unit_of(Mul, Unit::None, Unit::Duration), Some(Unit::Duration));
        assert_eq!(unit_of(Div, Unit::Duration, Unit::Duration), Some(Unit::None));
        assert_eq!(unit_of(Add, Unit::Size, Unit::Duration), None);
        assert_eq!(unit_of(Add, Unit::Duration, Unit::None), None);
    }
}
