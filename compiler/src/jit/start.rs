//! How each generated function begins and ends, and how it goes from packet to packet. The
//! invariant: before a condition is emitted, the packet's facts, flow and serial number are loaded.
//! (Rejected: separate code in each function; only the loop bodies differ.)

use super::decide::Ground;
use super::emit::{Emit, Helpers, Regions};
use super::needs::Needs;
use super::nodes::Node;
use super::shape::Facts;
use crate::abi::offset;
use crate::environment::Environment;
use crate::hir::Program;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, Variable};

impl<'a> Emit<'a> {
    /// The state at the start: the pool is loaded, there is no packet yet.
    pub fn new(
        b: FunctionBuilder<'a>,
        (helpers, regions, environment): (Helpers, Regions, &'a Environment),
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
            environment,
            nodes,
            context,
            pool_base: zero,
            counters: zero,
            seen: zero,
            packet: zero,
            index: zero,
            verdicts: zero,
            data: zero,
            cap_len: zero,
            serial: zero,
            windows: zero,
            flow: zero,
            found: zero,
            asked,
            left: 0,
            facts: Facts::default(),
        };
        let flags = emit.state_flags();
        emit.pool_base = emit.b.ins().load(I64, flags, context, offset::CONTEXT_POOL);
        emit
    }

    /// Emits the whole function body of (context, packets, count): `body` for each packet, after
    /// its facts are loaded.
    pub fn each_packet(
        b: FunctionBuilder<'a>,
        ground: &Ground<'a>,
        (pool, nodes): (&'a mut Vec<u64>, &'a mut Vec<Node>),
        frontend: TargetFrontendConfig,
        needs: &Needs,
        body: impl FnOnce(&mut Emit<'a>),
    ) {
        let mut b = b;
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let &[context, packets, count] = b.block_params(entry) else { return };
        let asked = b.declare_var(I64);
        let outside = (ground.helpers, ground.regions, ground.environment);
        let mut e = Emit::new(b, outside, pool, nodes, context, asked);
        e.left = ground.left;
        let (header, each, done) = (e.b.create_block(), e.b.create_block(), e.b.create_block());
        let (index, packet) = (e.b.append_block_param(header, I64), e.b.append_block_param(header, I64));
        let first = e.constant(0);
        e.b.ins().jump(header, &[first.into(), packets.into()]);
        e.enter(header);
        let more = e.b.ins().icmp(IntCC::UnsignedLessThan, index, count);
        e.branch(more, each, done);
        e.enter(each);
        e.packet(packet, index);
        e.look(ground.program, needs);
        body(&mut e);
        let index = e.b.ins().iadd_imm_s(index, 1);
        let packet = e.b.ins().iadd_imm_s(packet, offset::PACKET_SIZE);
        e.b.ins().jump(header, &[index.into(), packet.into()]);
        e.enter(done);
        e.end(frontend);
    }

    /// The address of the current packet's row in an array of the context. `base` is the array's
    /// offset in the context, `bytes` the size of a row.
    pub fn row(&mut self, base: i32, bytes: i64) -> Value {
        let flags = self.state_flags();
        let base = self.b.ins().load(I64, flags, self.context, base);
        let offset = self.b.ins().imul_imm_s(self.index, bytes);
        self.b.ins().iadd(base, offset)
    }

    /// Loads the facts that are read of the packet.
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

    /// Continues with a packet and its index in the batch.
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
