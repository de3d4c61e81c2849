//! Finds triggers, tables, params and stations of a program by name. The invariant: the error of an
//! unknown name lists the known names. (Rejected: an index without the part; each caller would look
//! the part up again, and need an error for an index without a part.)

use mrule_compiler::hir::{Param, ParamId, Program, Table, TableId, Trigger};

/// A name that the program does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{name}`{}", alternatives(.known))]
pub struct UnknownName {
    pub(super) what: &'static str,
    pub(super) name: String,
    pub(super) known: Vec<String>,
}

fn alternatives(names: &[String]) -> String {
    match names {
        [] => ": the program has none".to_owned(),
        names => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("; the program has {}", names.join(", "))
        }
    }
}

/// The trigger with a name, and its index.
pub(crate) fn trigger_named<'p>(
    program: &'p Program,
    name: &str,
) -> Result<(usize, &'p Trigger), UnknownName> {
    find("trigger", name, &program.triggers, |trigger| &trigger.name)
}

/// The table with a name.
pub(crate) fn table_named<'p>(program: &'p Program, name: &str) -> Result<(TableId, &'p Table), UnknownName> {
    let (at, table) = find("table", name, &program.tables, |table| &table.name)?;
    Ok((TableId(at as u32), table))
}

/// The param with a name.
pub(crate) fn param_named<'p>(program: &'p Program, name: &str) -> Result<(ParamId, &'p Param), UnknownName> {
    let (at, param) = find("param", name, &program.params, |param| &param.name)?;
    Ok((ParamId(at as u32), param))
}

/// The part with a name, and its index.
pub(crate) fn find<'p, T>(
    what: &'static str,
    name: &str,
    all: &'p [T],
    name_of: impl Fn(&T) -> &String,
) -> Result<(usize, &'p T), UnknownName> {
    all.iter().enumerate().find(|(_, one)| name_of(one) == name).ok_or_else(|| UnknownName {
        what,
        name: name.to_owned(),
        known: all.iter().map(|one| name_of(one).clone()).take(8).collect(),
    })
}
