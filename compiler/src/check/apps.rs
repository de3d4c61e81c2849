//! Names of applications: `app == http`, `app in {http, tls}`. The rule for names: beside `app`, a name is an
//! application's first, also where a `let` of the program has the same; elsewhere it is one last, where nothing else has
//! it. The invariant: a name that is no application is reported once, with what it may have been meant for. (Rejected:
//! text, `app == "http"`; a misspelt name would be a condition that never holds.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use super::value::{Const, Kind, Term, TermTy, Value};
use crate::fields::{App, Ty};
use crate::hir::Pred;
use mrule_grammar::ast::{Expr, ExprKind};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// Other names of applications: Wireshark's, and what else people write.
const ALIASES: &[(&str, &str)] = &[
    ("bootp", "dhcp"),
    ("cifs", "smb"),
    ("dhcpv4", "dhcp"),
    ("ftps", "tls"),
    ("h2", "http2"),
    ("h3", "quic"),
    ("http1", "http"),
    ("http3", "quic"),
    ("https", "tls"),
    ("imaps", "tls"),
    ("none", "undecided"),
    ("pgsql", "postgres"),
    ("pop", "pop3"),
    ("postgresql", "postgres"),
    ("sftp", "ssh"),
    ("smb2", "smb"),
    ("ssl", "tls"),
    ("torrent", "bittorrent"),
    ("unknown", "other"),
];

/// The application that a word names, by its own name or another one.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    let own = App::NAMES.iter().copied().find(|name| *name == word);
    own.or_else(|| ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, name)| *name))
}

/// `a`, `b` and all others, for help texts.
pub(super) fn list() -> String {
    format!("applications are {}", App::NAMES.join(", "))
}

impl Checker<'_> {
    /// Two expressions that are compared, where either may be `app`.
    pub fn sides(&mut self, left: &Expr, right: &Expr) -> (Value, Value) {
        match (self.is_app(left), self.is_app(right)) {
            (true, _) => (self.value(left), self.beside_app(right)),
            (false, true) => (self.beside_app(left), self.value(right)),
            (false, false) => (self.value(left), self.value(right)),
        }
    }

    /// Whether an expression is `app`, or a `let` that is.
    fn is_app(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Path(path) if path == "app" => true,
            ExprKind::Path(path) => {
                matches!(self.named_let(path), Some(Kind::Term(Term { ty: TermTy::Field(Ty::App), .. })))
            }
            ExprKind::Paren(inner) => self.is_app(inner),
            _ => false,
        }
    }

    /// An expression beside `app`: a name in it is an application's.
    pub fn beside_app(&mut self, expr: &Expr) -> Value {
        match &expr.kind {
            ExprKind::Paren(inner) => Value { span: expr.span, ..self.beside_app(inner) },
            ExprKind::Set(elements) => self.set_literal(elements, expr.span, true),
            ExprKind::Path(path) => match App::number(path) {
                Some(number) => Value::new(expr.span, Kind::Const(Const::App(number))),
                None if self.is_known(path) => self.path(path, expr.span),
                None => {
                    self.unknown_app(path, expr.span);
                    Value::poison(expr.span)
                }
            },
            _ => self.value(expr),
        }
    }

    fn unknown_app(&mut self, name: &str, span: Span) {
        let finding = Diagnostic::new(codes::UNKNOWN, format!("there is no application `{name}`"));
        let finding = finding.at(span, "unknown application");
        let near = match meant(name) {
            Some(name) => vec![name],
            None => nearest(name, App::NAMES.iter().copied()),
        };
        let help = match did_you_mean(&near) {
            Some(question) => format!("{question} {}", list()),
            None => list(),
        };
        let finding = finding.help(help);
        self.report(match near.as_slice() {
            [only] => finding.fix(span, *only),
            _ => finding,
        });
    }

    /// Reports an application's name that stands where a condition must.
    pub fn bare_app(&mut self, span: Span) -> Pred {
        let name = self.text(span);
        let message = format!("`{name}` is the name of an application, not a condition");
        let finding =
            Diagnostic::new(codes::NOT_A_CONDITION, message).at(span, "a condition must stand here");
        let finding = finding.help(format!("write `app == {name}` for every packet of such a flow"));
        // A `let` of a name is not what can be replaced.
        self.report(match App::number(&name) {
            Some(_) => finding.fix(span, format!("app == {name}")),
            None => finding,
        });
        Pred::never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_is_of_an_application_and_is_none() {
        for (alias, name) in ALIASES {
            assert!(App::number(name).is_some(), "{name}");
            assert!(App::number(alias).is_none(), "{alias}");
        }
    }
}
