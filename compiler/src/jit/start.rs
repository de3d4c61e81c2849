//! How each generated function begins and ends, and how it goes from packet to packet. The invariant: before a condition is
//! emitted, the packet's facts, flow and serial number are at hand. (Rejected: each function on its own; they
//! differ only in what stands between.)

use super::decide::Ground;
use super::emit::{Emit, Helpers, Regions};
use super::needs::Needs;
use super::nodes::Node;
use super::shape::Facts;
use crate::abi::offset;
use crate::hir::Program;
use crate::world::World;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, Variable};

impl<'a> Emit<'a> {
    /// Starts: the pool is at hand, no packet yet.
    pub fn new(
        b: FunctionBuilder<'a>,
        (helpers, regions, world): (Helpers, Regions, &'a World),
        pool: &'a mut Vec<u64>,
        nodes: &'a mut Vec<Node>,
        context: Value,
        asked: Variable,
    ) -> Emit<'a> {
        let mut b = b;
        let zero = b.ins().iconst(I64, 0);
        let mut emit = Emit {
            b,
            helpers,
            regions,
            pool,
            world,
            nodes,
            context,
            pool_base: zero,
            tally: zero,
            seen: zero,
            packet: zero,
            index: zero,
            verdicts: zero,
            data: zero,
            cap_len: zero,
            serial: zero,
            flow: zero,
            found: zero,
            asked,
            facts: Facts::default(),
        };
        let flags = emit.state_flags();
        emit.pool_base = emit.b.ins().load(I64, flags, context, offset::CONTEXT_POOL);
        emit
    }

    /// Starts a function of (context, packet, 1), with what it reads of the packet at hand.
    pub fn one_packet(
        b: FunctionBuilder<'a>,
        ground: &Ground<'a>,
        pool: &'a mut Vec<u64>,
        nodes: &'a mut Vec<Node>,
        needs: &Needs,
    ) -> Option<Emit<'a>> {
        let mut b = b;
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let &[context, packet, _] = b.block_params(entry) else { return None };
        let asked = b.declare_var(I64);
        let outside = (ground.helpers, ground.regions, ground.world);
        let mut emit = Emit::new(b, outside, pool, nodes, context, asked);
        let first = emit.constant(0);
        emit.packet(packet, first);
        emit.look(ground.program, needs);
        Some(emit)
    }

    /// Gets what is read of the packet.
    pub fn look(&mut self, program: &Program, needs: &Needs) {
        if program.uses().flows {
            self.locate_flow(program.streams.len());
            self.recall(needs);
        } else {
            self.dissect(needs);
        }
    }

    /// Ends the function.
    pub fn end(mut self, frontend: TargetFrontendConfig) {
        self.b.ins().return_(&[]);
        self.b.seal_all_blocks();
        self.b.finalize(frontend);
    }

    /// Goes on with a packet, and its index in the batch.
    pub fn packet(&mut self, packet: Value, index: Value) {
        let flags = self.state_flags();
        (self.packet, self.index) = (packet, index);
        let first = self.b.ins().load(I64, flags, self.context, offset::CONTEXT_SERIAL);
        self.serial = self.b.ins().iadd(first, index);
        self.data = self.b.ins().load(I64, flags, packet, offset::PACKET_DATA);
        let cap_len = self.b.ins().load(I32, flags, packet, offset::PACKET_CAP_LEN);
        self.cap_len = self.b.ins().uextend(I64, cap_len);
    }
}
