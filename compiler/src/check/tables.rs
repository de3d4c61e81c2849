//! Types as written, and the types of tables. The invariant: a table that is wrong in its type is known by name, so that
//! its uses are not reported as well. (Rejected: tables whose types follow from their rows; an empty one has none.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use crate::hir::{TableId, ValueTy};
use mrule_grammar::ast::{TypeExpr, TypeKind};
use mrule_grammar::codes::settings as codes;
use mrule_grammar::diagnostic::Diagnostic;

/// The most parts that a key can have.
pub const MAX_KEY: usize = 8;

/// The type of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct TableType {
    /// None when it is reported.
    pub key: Option<Vec<ValueTy>>,
    pub value: Option<ValueTy>,
}

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

/// What users of other languages write.
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
    NAMES.iter().find(|(_, t)| *t == ty).map_or("", |(name, _)| name)
}

impl Checker<'_> {
    /// Works out the types of all tables.
    pub fn table_types(&mut self) {
        for item in self.names.tables.clone() {
            let ty = match &item.ty.kind {
                TypeKind::Set(key) => TableType { key: self.key_types(key), value: None },
                TypeKind::Map(key, value) => {
                    let key = self.key_types(key);
                    let value = self.value_type(value, VALUES, "the value of a map");
                    TableType { key: key.filter(|_| value.is_some()), value }
                }
                TypeKind::Named(_) | TypeKind::Tuple(_) => {
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

    fn key_types(&mut self, ty: &TypeExpr) -> Option<Vec<ValueTy>> {
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

    /// A type that must be one of `allowed`; none when it is reported.
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
