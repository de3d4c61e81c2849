//! The generated function that determines which triggers packets raise: for each packet and
//! trigger, it tests `when`, then `unless`. The invariant: it writes one byte for each packet and
//! trigger. It reads the triggers' states at the time of the call. The result holds for each packet
//! as long as no packet of the call raises a trigger that another packet reads. (Rejected: raising
//! triggers inside the loop that decides; states change between packets, and the runtime changes
//! them.)

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

/// Emits the whole function body. `b` is at the start of a new function with the signature
/// (context, packets, count).
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
