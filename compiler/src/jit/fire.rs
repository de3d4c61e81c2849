//! The generated function that finds out which triggers one packet raises: for each trigger its `when`, then its
//! `unless`. The invariant: it writes one byte for each trigger that has conditions, and reads states as they are before
//! the packet. (Rejected: firing inside the loop that decides; states change between one packet and the next, and who
//! changes them is the runtime.)

use super::decide::Ground;
use super::emit::Emit;
use super::needs::Needs;
use super::nodes::Node;
use crate::abi::offset;
use crate::sight::Fired;
use cranelift_codegen::ir::InstBuilder;
use cranelift_codegen::ir::types::{I8, I64};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::FunctionBuilder;

/// Emits the whole function body. `b` stands in a new function with the signature (context, packet, 1).
pub fn emit(
    b: FunctionBuilder<'_>,
    ground: &Ground<'_>,
    pool: &mut Vec<u64>,
    nodes: &mut Vec<Node>,
    frontend: TargetFrontendConfig,
) {
    let mut b = b;
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let &[context, packet, _] = b.block_params(entry) else { return };
    let asked = b.declare_var(I64);
    let mut e = Emit::new(b, (ground.helpers, ground.regions, ground.world), pool, nodes, context, asked);
    let zero = e.constant(0);
    e.packet(packet, zero);
    let needs = Needs::of_triggers(ground.program.triggers.iter());
    e.look(ground.program, &needs);
    let flags = e.state_flags();
    let fired = e.b.ins().load(I64, flags, context, offset::CONTEXT_FIRED);
    for (at, trigger) in (0i32..).zip(&ground.program.triggers) {
        let Some(when) = &trigger.when else { continue };
        let (holds, raised, vetoed, next) =
            (e.b.create_block(), e.b.create_block(), e.b.create_block(), e.b.create_block());
        e.emit(when, holds, next);
        e.enter(holds);
        e.emit(&trigger.unless, vetoed, raised);
        for (block, what) in [(raised, Fired::Raised), (vetoed, Fired::Vetoed)] {
            e.enter(block);
            let flags = e.state_flags();
            let what = e.b.ins().iconst(I8, what as i64);
            e.b.ins().store(flags, what, fired, at);
            e.b.ins().jump(next, &[]);
        }
        e.enter(next);
    }
    e.end(frontend);
}
