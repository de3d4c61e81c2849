//! Names of applications, and words of tables: `app == http`, `roles[net.src] in {admin, user}`.
//! Beside `app`, a name is first an application's, even if a `let` of the program has the same
//! name. Elsewhere, a name is an application's only if nothing else has it. Beside a table's value,
//! a name is first one of the table's words. The invariant: a name that is neither is reported
//! once, with a suggestion. (Rejected: text, `app == "http"`; a misspelt name would be a condition
//! that never holds.)

use super::Checker;
use super::names::Entry;
use super::suggest::{did_you_mean, nearest};
use super::value::{Bound, Const, Kind, Term, TermTy, Value};
use crate::fields::{App, Ty};
use crate::hir::{Pred, TableId};
use mrule_grammar::ast::{Expr, ExprKind};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::sync::Arc;

/// Other names of applications: Wireshark's, and common other spellings.
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

/// The application with this name or alias.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    let own = App::NAMES.iter().copied().find(|name| *name == word);
    own.or_else(|| ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, name)| *name))
}

/// `a`, `b` and all other names, for help texts.
pub(super) fn list() -> String {
    format!("applications are {}", App::NAMES.join(", "))
}

/// The kind of words that a name can be, beside an expression whose values are words.
#[derive(Debug, Clone, Copy)]
pub(super) enum Words {
    /// `app`
    Apps,
    /// `table[key]`
    Table(TableId),
}

impl Checker<'_> {
    /// The two sides of a comparison, where the values of either side may be words.
    pub fn sides(&mut self, left: &Expr, right: &Expr) -> (Value, Value) {
        match (self.words_of(left), self.words_of(right)) {
            (None, words @ Some(_)) => (self.beside_words(words, left), self.value(right)),
            (words, _) => (self.value(left), self.beside_words(words, right)),
        }
    }

    /// Which words are the values of an expression, or of the `let` that it names.
    fn words_of(&self, expr: &Expr) -> Option<Words> {
        let of = |kind: &Kind| match kind {
            Kind::Term(Term { ty: TermTy::Field(Ty::App), .. }) => Some(Words::Apps),
            Kind::Term(Term { ty: TermTy::Word(table), .. }) => Some(Words::Table(*table)),
            _ => None,
        };
        match &expr.kind {
            ExprKind::Path(path) if path == "app" => Some(Words::Apps),
            ExprKind::Path(path) => self.named_let(path).and_then(of),
            ExprKind::Paren(inner) => self.words_of(inner),
            ExprKind::Index(base, _) => match &base.kind {
                ExprKind::Path(path) => match self.names.values.get(path.as_str()) {
                    Some((Entry::Table(table), _)) => {
                        let words = self.tables.get(table.index()).is_some_and(|t| !t.words.is_empty());
                        words.then_some(Words::Table(*table))
                    }
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// An expression beside one whose values are words: a name in it is such a word.
    pub fn beside_words(&mut self, words: Option<Words>, expr: &Expr) -> Value {
        let Some(words) = words else { return self.value(expr) };
        match &expr.kind {
            ExprKind::Paren(inner) => Value { span: expr.span, ..self.beside_words(Some(words), inner) },
            ExprKind::Set(elements) => self.set_literal(elements, expr.span, Some(words)),
            ExprKind::Path(path) => {
                let word = match words {
                    Words::Apps => App::number(path).map(Const::App),
                    Words::Table(table) => self.word(table, path).map(|n| Const::Word(table, n)),
                };
                match word {
                    Some(word) => Value::new(expr.span, Kind::Const(word)),
                    None if self.is_known(path) => self.path(path, expr.span),
                    None => {
                        match words {
                            Words::Apps => self.unknown_app(path, expr.span),
                            Words::Table(table) => self.unknown_word(table, path, expr.span),
                        }
                        Value::poison(expr.span)
                    }
                }
            }
            _ => self.value(expr),
        }
    }

    /// The number of a word of a table.
    pub fn word(&self, table: TableId, word: &str) -> Option<u64> {
        let words = &self.tables.get(table.index())?.words;
        words.iter().position(|w| w == word).map(|at| at as u64)
    }

    /// Reports a name that is not one of a table's words.
    pub fn unknown_word(&mut self, table: TableId, name: &str, span: Span) {
        let (table_name, words) = self.words(table);
        let message = format!("table `{table_name}` has no value `{name}`");
        let finding = Diagnostic::new(codes::UNKNOWN, message).at(span, "unknown word");
        let near = nearest(name, words.iter().map(String::as_str));
        let list = format!("its values are {}", crate::table::text::list(&words));
        let finding = finding.help(match did_you_mean(&near) {
            Some(question) => format!("{question} {list}"),
            None => list,
        });
        self.report(match near.as_slice() {
            [only] => finding.fix(span, *only),
            _ => finding,
        });
    }

    /// Reports a constant that is compared with a table's words and is not a word.
    pub fn no_word(&mut self, table: TableId, bound: &Bound) {
        let (name, words) = self.words(table);
        let written = self.text(bound.span);
        let message = format!("`{written}` is no word of table `{name}`");
        let finding = Diagnostic::new(codes::TYPES, message).at(bound.span, "not one of its values");
        let bare = written.trim_matches('"');
        let quoted = bare != written && words.iter().any(|word| word == bare);
        self.report(match quoted {
            true => finding.help(format!("write `{bare}` without quotes")).fix(bound.span, bare),
            false => finding.help(format!("its values are {}", crate::table::text::list(&words))),
        });
    }

    fn words(&self, table: TableId) -> (String, Arc<[String]>) {
        let name = self.names.tables.get(table.index()).map_or("", |t| t.name.node.as_str());
        (name.to_owned(), self.tables.get(table.index()).map(|t| t.words.clone()).unwrap_or_default())
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

    /// Reports an application's name in a place where a condition must stand.
    pub fn bare_app(&mut self, span: Span) -> Pred {
        let name = self.text(span);
        let message = format!("`{name}` is the name of an application, not a condition");
        let finding =
            Diagnostic::new(codes::NOT_A_CONDITION, message).at(span, "a condition must stand here");
        let finding = finding.help(format!("write `app == {name}` for every packet of such a flow"));
        // There is no fix if the text is the name of a `let`.
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
