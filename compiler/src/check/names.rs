//! Name spaces: one for lets, params, tables and triggers (the names of expressions), one for
//! stations, one for rules, one for limits. Ids are the ranks of the names in alphabetical order,
//! so they do not depend on the order of items or files. The invariant: a second declaration of a
//! name is reported, once for each further place; the name stands for the first. (Rejected: later
//! declarations win, as in scripts; order never matters here.)

use super::Checker;
use crate::abi::MAX_STATIONS;
use crate::fields::App;
use crate::hir::{ParamId, StationId, TableId, TriggerId};
use mrule_grammar::ast::{self, Item};
use mrule_grammar::codes::{names as codes, settings};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{FileId, Name, Span};
use std::collections::HashMap;
use std::collections::hash_map;

/// The greatest number of rules and of limits of a program, and of lets, params, tables and
/// triggers, each kind counted alone.
pub const MAX_RULES: usize = 1_000_000;

/// The item that a name in an expression stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Let(usize),
    Param(ParamId),
    Table(TableId),
    Trigger(TriggerId),
    /// An item that could not be read.
    Broken,
}

/// The names of a program and their items, each kind in alphabetical order.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    pub values: HashMap<&'a str, (Entry, Span)>,
    pub stations: HashMap<&'a str, Option<StationId>>,
    pub lets: Vec<&'a ast::Let>,
    pub params: Vec<&'a ast::Param>,
    pub tables: Vec<&'a ast::Table>,
    pub triggers: Vec<&'a ast::Trigger>,
    pub station_items: Vec<&'a ast::Station>,
    pub rules: Vec<&'a ast::Rule>,
    pub limits: Vec<&'a ast::Rule>,
}

/// A name space under construction.
struct Space<'a> {
    what: &'static str,
    seen: HashMap<&'a str, Span>,
}

impl<'a> Space<'a> {
    fn new(what: &'static str) -> Self {
        Space { what, seen: HashMap::new() }
    }

    /// Whether the name is new here. A second declaration is reported.
    fn declare(&mut self, name: &'a Name, diagnostics: &mut Vec<Diagnostic>) -> bool {
        match self.seen.entry(&name.node) {
            hash_map::Entry::Vacant(slot) => {
                slot.insert(name.span);
                true
            }
            hash_map::Entry::Occupied(first) => {
                let message = format!("there are two {} named `{}`", self.what, name.node);
                diagnostics.push(
                    Diagnostic::new(codes::DUPLICATE, message)
                        .at(name.span, "declared again here")
                        .at(*first.get(), "first declared here")
                        .help("all files of a program share their names: rename one of them, or remove it"),
                );
                false
            }
        }
    }
}

impl<'a> Checker<'a> {
    /// Collects all items of all files.
    pub fn collect(&mut self, files: &'a [(FileId, ast::File)]) {
        let mut values = Space::new("lets, params, tables or triggers");
        let (mut stations, mut rules, mut limits) =
            (Space::new("stations"), Space::new("rules"), Space::new("limits"));
        let mut broken = Vec::new();
        let mut names = Names::default();
        for item in files.iter().flat_map(|(_, file)| &file.items) {
            let value = match item {
                Item::Let(x) => Some(&x.name),
                Item::Param(x) => Some(&x.name),
                Item::Table(x) => Some(&x.name),
                Item::Trigger(x) => Some(&x.name),
                _ => None,
            };
            if let Some(name) = value {
                if !values.declare(name, self.diagnostics) {
                    continue;
                }
                if self.shadows(name) {
                    // A name that is reserved for fields, or that an application has, is not
                    // reported again where it is used.
                    if super::later::is_reserved(&name.node) || App::number(&name.node).is_some() {
                        broken.push(name);
                    }
                    continue;
                }
            }
            match item {
                Item::Let(x) => names.lets.push(x),
                Item::Param(x) => names.params.push(x),
                Item::Table(x) => names.tables.push(x),
                Item::Trigger(x) => names.triggers.push(x),
                Item::Station(x) if stations.declare(&x.name, self.diagnostics) => {
                    names.station_items.push(x)
                }
                Item::Rule(x) if rules.declare(&x.name, self.diagnostics) => names.rules.push(x),
                Item::Limit(x) if limits.declare(&x.name, self.diagnostics) => names.limits.push(x),
                Item::Broken(ast::Broken { name: Some(name), .. }) => broken.push(name),
                _ => {}
            }
        }
        names.finish(&broken);
        self.names = names;
        self.count();
    }

    /// Whether a name would hide a field. Such a name is reported.
    fn shadows(&mut self, name: &Name) -> bool {
        let starts = |field: &str| field.split('.').next() == Some(name.node.as_str());
        let what = if self.fields.contains_key(name.node.as_str()) {
            format!("`{}` is the name of a field", name.node)
        } else if let Some(field) = crate::fields::FIELDS.iter().find(|f| starts(f.name)) {
            format!("`{}` is the start of names of fields (`{}`)", name.node, field.name)
        } else if name.node == "inner" {
            "`inner` before a field means the packet inside a tunnel".to_owned()
        } else if super::later::is_reserved(&name.node) {
            format!("`{}` is kept for fields that are not available yet", name.node)
        } else {
            return false;
        };
        self.report(
            Diagnostic::new(codes::SHADOWS_FIELD, what)
                .at(name.span, "this name is taken")
                .help(format!("choose another name, such as `my_{}`", name.node)),
        );
        true
    }

    /// Refuses more items than a program may have.
    fn count(&mut self) {
        if let Some(extra) = self.names.station_items.get(MAX_STATIONS) {
            let message = format!(
                "a program has at most {MAX_STATIONS} stations; there are {}",
                self.names.station_items.len()
            );
            let finding = Diagnostic::new(settings::TOO_MANY_STATIONS, message)
                .at(extra.name.span, "one too many")
                .help("split the policy into several programs and load each of them");
            self.report(finding);
        }
        for (what, rules) in [("rules", &self.names.rules), ("limits", &self.names.limits)] {
            if let Some(extra) = rules.get(MAX_RULES) {
                let finding =
                    Diagnostic::new(codes::TOO_MANY, format!("a program has at most {MAX_RULES} {what}"))
                        .at(extra.name.span, "one too many")
                        .help("rules that differ only in a value are one rule and a table");
                return self.diagnostics.push(finding);
            }
        }
    }
}

impl<'a> Names<'a> {
    /// Sorts the items and assigns their ids.
    fn finish(&mut self, broken: &[&'a Name]) {
        self.lets.sort_by(|a, b| a.name.node.cmp(&b.name.node));
        self.params.sort_by(|a, b| a.name.node.cmp(&b.name.node));
        self.tables.sort_by(|a, b| a.name.node.cmp(&b.name.node));
        self.triggers.sort_by(|a, b| a.name.node.cmp(&b.name.node));
        self.station_items.sort_by(|a, b| a.name.node.cmp(&b.name.node));
        self.rules.sort_by(|a, b| a.name.node.cmp(&b.name.node));
        self.limits.sort_by(|a, b| a.name.node.cmp(&b.name.node));
        // The kind of a broken item is not known: its name fits everywhere. Known items overwrite
        // it.
        for name in broken {
            self.values.insert(&name.node, (Entry::Broken, name.span));
            self.stations.insert(&name.node, None);
        }
        let mut enter = |name: &'a Name, entry| self.values.insert(&name.node, (entry, name.span));
        for (i, x) in self.lets.iter().enumerate() {
            enter(&x.name, Entry::Let(i));
        }
        for (i, x) in (0..).zip(&self.params) {
            enter(&x.name, Entry::Param(ParamId(i)));
        }
        for (i, x) in (0..).zip(&self.tables) {
            enter(&x.name, Entry::Table(TableId(i)));
        }
        for (i, x) in (0..).zip(&self.triggers) {
            enter(&x.name, Entry::Trigger(TriggerId(i)));
        }
        for (i, x) in (0..).zip(&self.station_items) {
            self.stations.insert(&x.name.node, Some(StationId(i)));
        }
    }
}
