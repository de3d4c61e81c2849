//! The generated function that finds out which triggers packets raise: for each packet and trigger
//! its `when`, then its `unless`. The invariant: it writes one byte for each packet and trigger,
//! and reads states as they are when it is called: before each packet, as long as none of them
//! raises what another asks for. (Rejected: firing inside the loop that decides; states change
//! between one packet and the next, and who changes them is the runtime.)

use super::decide::Ground;
use super::emit::Emit;
use super::needs::Needs;
use super::nodes::Node;
use crate::abi::offset;
use crate::context::Fired;
use cranelift_codegen::ir::InstBuilder;
use cranelift_codegen::ir::types::I8;
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::FunctionBuilder;

/// Emits the whole function body. `b` stands in a new function with the signature (context,
/// packets, count).
pub fn emit(
    b: FunctionBuilder<'_>,
    ground: &Ground<'_>,
    pool: &mut Vec<u64>,
    nodes: &mut Vec<Node>,
    frontend: TargetFrontendConfig,
) {
    let program = ground.program;
    let needs = Needs::of_triggers(program.triggers.iter());
    Emit::each_packet(b, ground, (pool, nodes), frontend, &needs, |e| {
        e.windows = e.row(offset::CONTEXT_WINDOWS, 8 * program.windows.len() as i64);
        let fired = e.row(offset::CONTEXT_FIRED, program.triggers.len() as i64);
        for (at, trigger) in (0i32..).zip(&program.triggers) {
            let put = |e: &mut Emit<'_>, what: Fired| {
                let flags = e.state_flags();
                let what = e.b.ins().iconst(I8, what as i64);
                e.b.ins().store(flags, what, fired, at);
            };
            put(e, Fired::No);
            let Some(when) = &trigger.when else { continue };
            let (holds, raised, vetoed, next) =
                (e.b.create_block(), e.b.create_block(), e.b.create_block(), e.b.create_block());
            e.emit_within(when, holds, next);
            e.enter(holds);
            e.emit_within(&trigger.unless, vetoed, raised);
            for (block, what) in [(raised, Fired::Raised), (vetoed, Fired::Vetoed)] {
                e.enter(block);
                put(e, what);
                e.b.ins().jump(next, &[]);
            }
            e.enter(next);
        }
    });
}
