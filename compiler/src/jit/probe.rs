//! The generated function that finds out what one packet is to triggers: the key that each would have of it, and what each
//! window counts. The invariant: it writes only forms and counts that hold; whoever calls it has cleared the rest.
//! (Rejected: updating windows from here; generated code would write what the runtime owns.)

use super::decide::Ground;
use super::emit::Emit;
use super::needs::Needs;
use super::nodes::Node;
use crate::abi::{DISTINCT_MULTIPLIER, DISTINCT_ROTATE, offset};
use crate::hir::{Key, OwnKey, Pred, WindowKind};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, Value};
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
    let Some(mut e) = Emit::one_packet(b, ground, pool, nodes, &Needs::of_probe(ground.program)) else {
        return;
    };
    let flags = e.state_flags();
    let keys = e.b.ins().load(I64, flags, e.context, offset::CONTEXT_KEYS);
    let events = e.b.ins().load(I64, flags, e.context, offset::CONTEXT_EVENTS);
    for (at, trigger) in (0i32..).zip(&ground.program.triggers) {
        if trigger.when.is_some() {
            let at = at * offset::KEY_SIZE;
            e.forms(&trigger.own, |e, form, parts| {
                let flags = e.state_flags();
                for (i, &(high, low)) in (0i32..).zip(&parts) {
                    let part = at + offset::KEY_PARTS + i * 16;
                    e.b.ins().store(flags, high, keys, part);
                    e.b.ins().store(flags, low, keys, part + 8);
                }
                let form = e.constant(form);
                e.b.ins().store(flags, form, keys, at + offset::KEY_FORM);
            });
        }
    }
    for (at, window) in (0i32..).zip(&ground.program.windows) {
        let at = at * offset::EVENT_SIZE;
        let count = |e: &mut Emit<'_>, amount: Value| {
            let flags = e.state_flags();
            let one = e.constant(1);
            e.b.ins().store(flags, one, events, at + offset::EVENT_COUNTS);
            e.b.ins().store(flags, amount, events, at + offset::EVENT_AMOUNT);
        };
        let next = e.b.create_block();
        let when = match &window.kind {
            WindowKind::Sum(num) => Pred::and([num.guard(), window.when.clone()]),
            WindowKind::Count | WindowKind::Distinct(_) => window.when.clone(),
        };
        e.when(&when, next);
        match &window.kind {
            WindowKind::Count => {
                let none = e.constant(0);
                count(&mut e, none);
            }
            WindowKind::Sum(num) => {
                let amount = e.number(num);
                count(&mut e, amount);
            }
            WindowKind::Distinct(values) => e.forms(values, |e, _, parts| {
                let Some(&(high, low)) = parts.first() else { return };
                let multiplier = e.constant(DISTINCT_MULTIPLIER);
                let mixed = e.b.ins().imul(high, multiplier);
                let mixed = e.b.ins().rotl_imm_s(mixed, i64::from(DISTINCT_ROTATE));
                let word = e.b.ins().bxor(mixed, low);
                count(e, word);
            }),
        }
        e.b.ins().jump(next, &[]);
        e.enter(next);
    }
    e.end(frontend);
}

impl Emit<'_> {
    /// Goes on where the condition holds, else at `other`.
    fn when(&mut self, condition: &Pred, other: cranelift_codegen::ir::Block) {
        let holds = self.b.create_block();
        self.emit(condition, holds, other);
        self.enter(holds);
    }

    /// Runs `with` on the number (from 1) and the parts of the first form that the packet has; goes on behind.
    fn forms(&mut self, forms: &[OwnKey], with: impl Fn(&mut Self, u64, Vec<(Value, Value)>)) {
        let done = self.b.create_block();
        for (number, form) in (1u64..).zip(forms) {
            let next = self.b.create_block();
            self.when(&form.when, next);
            let parts = form.key.iter().map(|part| self.part(part)).collect();
            with(self, number, parts);
            self.b.ins().jump(done, &[]);
            self.enter(next);
        }
        self.b.ins().jump(done, &[]);
        self.enter(done);
    }

    fn part(&mut self, part: &Key) -> (Value, Value) {
        let zero = self.constant(0);
        match part {
            Key::Num(num) | Key::Ipv4(num) => (zero, self.number(num)),
            Key::Ipv6(address) => self.address(address),
            // Whoever keeps triggers reads them.
            Key::Bytes(_) | Key::Text(_) | Key::Facet(_) => (zero, zero),
        }
    }
}
