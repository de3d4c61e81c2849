//! `mirrorc check --cost`: what a program would remember, before it runs. The invariant: the numbers are the runtime's own.
//! (Rejected: adding them to `check` unasked; most who check want to know whether it is right.)

use crate::exit::Failure;
use crate::screen::Screen;
use crate::summary::{Table, grouped, size};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::hir::Program;
use mrule_compiler::world::World;
use mrule_runtime::cost::cost;
use mrule_runtime::decider::Limits;
use mrule_runtime::policy::Policy;
use std::sync::Arc;

/// Shows what a program's state takes.
///
/// # Errors
/// Its patterns are too large together, or standard output cannot be written to.
pub fn show(program: Program, limits: &Limits, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let program = Arc::new(program);
    let world = World::new(&program).map_err(|e| Failure::usage(e.to_string()))?;
    let engine = Engine::new(EngineKind::Interp, program, &world);
    let engine = engine.map_err(|e| Failure::usage(e.to_string()))?;
    let cost = cost(&Policy::repeatable(Arc::new(engine), world), limits)?;
    let mut table = Table::new(&["state", "room for", "bytes full", "bytes now", "lines/packet"]);
    for state in &cost.states {
        let name =
            if state.what == "flows" { "flows".to_owned() } else { format!("{} {}", state.what, state.name) };
        let note = if state.what == "flows" { state.name.clone() } else { String::new() };
        let cells = vec![name, grouped(state.room), size(state.bytes), size(state.now), grouped(state.lines)];
        table.row(cells, note);
    }
    let sum = vec!["all".into(), String::new(), size(cost.bytes()), String::new(), grouped(cost.lines())];
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
