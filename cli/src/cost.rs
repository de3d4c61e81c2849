//! `mirrorc check --cost`: what a program would remember, before it runs. The invariant: the
//! numbers are the runtime's own. (Rejected: adding them to `check` unasked; most who check want to
//! know whether it is right.)

use crate::exit::Failure;
use crate::screen::Screen;
use crate::table::{Table, grouped, size};
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program;
use mrule_engine::cost::{Cost, Setting, cost};

/// What a program takes, counted as `run` counts it before it makes anything.
///
/// # Errors
/// Its patterns are too large together.
pub fn count(program: &Program, setting: &Setting) -> Result<Cost, Failure> {
    let environment = Environment::new(program).map_err(|e| Failure::usage(e.to_string()))?;
    Ok(cost(program, &environment, setting)?)
}

/// Shows what a program takes.
///
/// # Errors
/// Standard output cannot be written to.
pub fn show(cost: &Cost, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut table = Table::new(&["part", "room for", "bytes", "lines/packet"]);
    for part in &cost.parts {
        let name = format!("{} {}", part.what, part.name);
        let cells =
            vec![name.trim_end().to_owned(), grouped(part.room), size(part.bytes), grouped(part.lines)];
        table.row(cells, part.clause.clone().unwrap_or_default());
    }
    let sum = vec!["all".into(), String::new(), size(cost.bytes()), grouped(cost.lines())];
    table.row(sum, String::new());
    table.print(table.first(), screen.out_look, screen.out)?;
    writeln!(
        screen.out,
        "\na packet: keys of triggers {}, windows {}, look-ups in tables and triggers up to {}, patterns in streams {}",
        grouped(cost.keys),
        grouped(cost.windows),
        grouped(cost.look_ups),
        grouped(cost.patterns)
    )?;
    Ok(())
}
