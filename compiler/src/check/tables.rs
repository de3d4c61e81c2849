//! Types as written, and the types of tables. The invariant: a table with an error in its type
//! still has its name, so that its uses are not reported as well. (Rejected: tables whose types
//! follow from their rows; an empty table has no rows.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use crate::hir::{TableId, ValueTy};
use crate::table::text;
use mrule_grammar::ast::{TypeExpr, TypeKind};
use mrule_grammar::codes::settings as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Name;
use mrule_grammar::words;
use std::sync::Arc;

/// The greatest number of parts of a key.
pub const MAX_KEY: usize = 8;

/// The type of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct TableType {
    /// `None`: reported.
    pub key: Option<Vec<ValueTy>>,
    pub value: Option<ValueTy>,
    /// A key stands for both orders of a pair.
    pub unordered: bool,
    /// The words that are its values.
    pub words: Arc<[String]>,
}

/// The greatest number of words that are the values of a table.
const MAX_WORDS: usize = 256;

const NAMES: &[(&str, ValueTy)] = &[
    ("bool", ValueTy::Bool),
    ("uint", ValueTy::Uint),
    ("size", ValueTy::Size),
    ("duration", ValueTy::Duration),
    ("ip", ValueTy::Ip),
    ("cidr", ValueTy::Cidr),
    ("mac", ValueTy::Mac),
    ("string", ValueTy::String),
];

/// Names of types in other languages.
const OTHERS: &[(&str, &str)] = &[
    ("int", "uint"),
    ("integer", "uint"),
    ("number", "uint"),
    ("u8", "uint"),
    ("u16", "uint"),
    ("u32", "uint"),
    ("u64", "uint"),
    ("port", "uint"),
    ("str", "string"),
    ("text", "string"),
    ("boolean", "bool"),
    ("ipv4", "ip"),
    ("ipv6", "ip"),
    ("addr", "ip"),
    ("address", "ip"),
    ("net", "cidr"),
    ("network", "cidr"),
    ("subnet", "cidr"),
    ("prefix", "cidr"),
    ("ether", "mac"),
    ("time", "duration"),
    ("interval", "duration"),
    ("bytes", "string"),
];

const KEYS: &[ValueTy] = &[ValueTy::Uint, ValueTy::Ip, ValueTy::Cidr, ValueTy::Mac, ValueTy::String];
const VALUES: &[ValueTy] = &[
    ValueTy::Uint,
    ValueTy::Size,
    ValueTy::Duration,
    ValueTy::Bool,
    ValueTy::Ip,
    ValueTy::Mac,
    ValueTy::String,
];

/// The name of a type.
pub(super) fn type_name(ty: ValueTy) -> &'static str {
    text::name(ty)
}

impl Checker<'_> {
    /// Resolves the types of all tables.
    pub fn table_types(&mut self) {
        for item in self.names.tables.clone() {
            let ty = match &item.ty.kind {
                TypeKind::Set(key) => {
                    let (key, unordered) = self.key_types(key);
                    TableType { key, unordered, ..TableType::default() }
                }
                TypeKind::Map(key, value) => {
                    let (key, unordered) = self.key_types(key);
                    let (value, words) = match &value.kind {
                        TypeKind::Words(words) => {
                            let words = self.table_words(words);
                            (words.as_ref().map(|_| ValueTy::Word), words.unwrap_or_default())
                        }
                        _ => (self.value_type(value, VALUES, "the value of a map"), Arc::default()),
                    };
                    TableType { key: key.filter(|_| value.is_some()), value, unordered, words }
                }
                TypeKind::Named(_) | TypeKind::Tuple(_) | TypeKind::Unordered(_) | TypeKind::Words(_) => {
                    let message = format!("`{}` is not the type of a table", self.text(item.ty.span));
                    let finding = Diagnostic::new(codes::TYPE_PLACE, message).at(item.ty.span, "not a table");
                    self.report(finding.help("a table is a set or a map: `set<ip>`, `map<ip, string>`"));
                    TableType::default()
                }
            };
            self.tables.push(ty);
        }
    }

    /// The types of a table's key, unless they are reported.
    pub fn table_key(&self, table: TableId) -> Option<Vec<ValueTy>> {
        self.tables.get(table.index()).and_then(|t| t.key.clone())
    }

    /// The types of a key, and whether it is a pair that stands for both orders. No types:
    /// reported.
    fn key_types(&mut self, ty: &TypeExpr) -> (Option<Vec<ValueTy>>, bool) {
        let TypeKind::Unordered(tuple) = &ty.kind else { return (self.tuple_types(ty), false) };
        let types = self.tuple_types(tuple);
        if let Some(types) = &types
            && !matches!(types.as_slice(), [a, b] if a == b)
        {
            let message = format!("`{}` is not a pair of one type", self.text(tuple.span));
            let finding =
                Diagnostic::new(codes::TYPE_PLACE, message).at(tuple.span, "not two parts of one type");
            self.report(finding.help("write `unordered (ip, ip)`, or leave `unordered` out"));
            return (None, true);
        }
        (types, true)
    }

    /// The words of a type. `None`: at least one is reported.
    fn table_words(&mut self, names: &[Name]) -> Option<Arc<[String]>> {
        let mut words: Vec<String> = Vec::with_capacity(names.len());
        let errors = self.errors;
        for name in names {
            let word = name.node.as_str();
            let taken =
                [words::RESERVED, words::OPERATORS, words::MEANINGS].iter().any(|w| w.contains(&word));
            if taken {
                let message = format!("`{word}` has a meaning of its own and cannot be a value");
                let finding =
                    Diagnostic::new(codes::TYPE_PLACE, message).at(name.span, "not a word of a table");
                self.report(finding.help(format!("take another word, such as `{word}_`")));
            } else if words.iter().any(|w| w == word) {
                let finding = Diagnostic::new(codes::TYPE_PLACE, format!("`{word}` stands here twice"));
                self.report(finding.at(name.span, "again here").help("leave one of them out"));
            } else {
                words.push(word.to_owned());
            }
        }
        if let Some(name) = names.get(MAX_WORDS) {
            let message =
                format!("a table has at most {MAX_WORDS} words for values; here are {}", names.len());
            let finding = Diagnostic::new(codes::TYPE_PLACE, message).at(name.span, "one too many");
            self.report(finding.help("make the table a map to text: `map<ip, string>`"));
        }
        (self.errors == errors).then(|| words.into())
    }

    fn tuple_types(&mut self, ty: &TypeExpr) -> Option<Vec<ValueTy>> {
        let parts = match &ty.kind {
            TypeKind::Tuple(parts) => parts.as_slice(),
            _ => std::slice::from_ref(ty),
        };
        if parts.len() > MAX_KEY {
            let message = format!("a key has at most {MAX_KEY} parts; here are {}", parts.len());
            let finding = Diagnostic::new(codes::TYPE_PLACE, message).at(ty.span, "too many");
            self.report(finding.help("leave out parts that the others decide"));
            return None;
        }
        let types: Vec<_> =
            parts.iter().map(|part| self.value_type(part, KEYS, "the key of a table")).collect();
        types.into_iter().collect()
    }

    /// A type that must be in `allowed`. `None`: reported.
    pub fn value_type(&mut self, ty: &TypeExpr, allowed: &[ValueTy], place: &str) -> Option<ValueTy> {
        let list = || {
            let names: Vec<_> = allowed.iter().map(|t| format!("`{}`", type_name(*t))).collect();
            format!("{place} is one of {}", names.join(", "))
        };
        let TypeKind::Named(name) = &ty.kind else {
            let message = format!("`{}` cannot be {place}", self.text(ty.span));
            let finding = Diagnostic::new(codes::TYPE_PLACE, message).at(ty.span, "not here");
            self.report(finding.help(list()));
            return None;
        };
        match NAMES.iter().find(|(n, _)| n == name) {
            Some((_, ty)) if allowed.contains(ty) => Some(*ty),
            Some(_) => {
                let finding = Diagnostic::new(codes::TYPE_PLACE, format!("`{name}` cannot be {place}"));
                self.report(finding.at(ty.span, "not here").help(list()));
                None
            }
            None => {
                let finding = Diagnostic::new(codes::UNKNOWN_TYPE, format!("there is no type `{name}`"));
                let finding = finding.at(ty.span, "unknown type");
                let other = OTHERS.iter().find(|(n, _)| *n == name.to_ascii_lowercase()).map(|(_, t)| *t);
                let near = match other {
                    Some(other) => vec![other],
                    None => nearest(name, allowed.iter().map(|t| type_name(*t))),
                };
                let finding = finding.help(did_you_mean(&near).unwrap_or_else(list));
                self.report(match near.as_slice() {
                    [only] => finding.fix(ty.span, *only),
                    _ => finding,
                });
                None
            }
        }
    }
}
