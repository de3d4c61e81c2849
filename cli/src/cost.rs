//! `mirrorc check --cost`: shows how much memory a program needs, before it runs. The invariant:
//! the numbers are those of the runtime. (Rejected: showing them in every `check`; most users only
//! want to know whether the rules are correct.)

use crate::exit::Failure;
use crate::screen::Screen;
use crate::table::{Table, grouped, size};
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program;
use mrule_engine::cost::{Cost, Setting, cost};

/// The memory of a program, counted as `run` counts it before it allocates anything.
///
/// # Errors
/// The patterns are too large together.
pub fn count(program: &Program, setting: &Setting) -> Result<Cost, Failure> {
    let environment = Environment::new(program).map_err(|e| Failure::usage(e.to_string()))?;
    Ok(cost(program, &environment, setting)?)
}

/// Prints the memory of a program.
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
        "\nfor each packet, at most: {} trigger keys, {} windows, {} lookups in tables and triggers, {} stream patterns",
        grouped(cost.keys),
        grouped(cost.windows),
        grouped(cost.look_ups),
        grouped(cost.patterns)
    )?;
    Ok(())
}
