//! The generated function that writes the packets' keys for triggers and their events for windows.
//! It writes each key once, however many triggers use it. The invariant: for each packet it writes
//! all forms and counts; it writes parts and amounts only if the form or the count holds.
//! (Rejected: updating windows here; generated code would write state that the runtime owns.)

use super::decide::Ground;
use super::emit::Emit;
use super::needs::Needs;
use super::nodes::Node;
use crate::abi::{DISTINCT_MULTIPLIER, DISTINCT_ROTATE, offset};
use crate::hir::{Key, OwnKey, Pred, Window, WindowKind};
use cranelift_codegen::ir::{InstBuilder, Value};
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
    let needs = Needs::of_probe(program);
    Emit::each_packet(b, ground, (pool, nodes), frontend, &needs, |e| {
        let groups = program.key_groups();
        let keys = e.row(offset::CONTEXT_KEYS, i64::from(offset::KEY_SIZE) * groups.len() as i64);
        for (at, (own, _)) in (0i32..).zip(groups) {
            e.own_key(own, keys, at * offset::KEY_SIZE);
        }
        let events =
            e.row(offset::CONTEXT_EVENTS, i64::from(offset::EVENT_SIZE) * program.windows.len() as i64);
        for (at, window) in (0i32..).zip(&program.windows) {
            e.event(window, events, at * offset::EVENT_SIZE);
        }
    });
}

impl Emit<'_> {
    /// Writes the packet's key.
    fn own_key(&mut self, forms: &[OwnKey], keys: Value, at: i32) {
        self.put(keys, at + offset::KEY_FORM, 0);
        self.forms(forms, |e, form, parts| {
            let flags = e.state_flags();
            for (i, &(high, low)) in (0i32..).zip(&parts) {
                let part = at + offset::KEY_PARTS + i * 16;
                e.b.ins().store(flags, high, keys, part);
                e.b.ins().store(flags, low, keys, part + 8);
            }
            e.put(keys, at + offset::KEY_FORM, form);
        });
    }

    /// Writes whether a packet counts in a window, and its amount.
    fn event(&mut self, window: &Window, events: Value, at: i32) {
        self.put(events, at + offset::EVENT_COUNTS, 0);
        let count = |e: &mut Emit<'_>, amount: Value| {
            let flags = e.state_flags();
            e.put(events, at + offset::EVENT_COUNTS, 1);
            e.b.ins().store(flags, amount, events, at + offset::EVENT_AMOUNT);
        };
        let next = self.b.create_block();
        let when = match &window.kind {
            WindowKind::Sum(num) => Pred::and([num.guard(), window.when.clone()]),
            WindowKind::Count | WindowKind::Distinct(_) => window.when.clone(),
        };
        self.when(&when, next);
        match &window.kind {
            WindowKind::Count => {
                let none = self.constant(0);
                count(self, none);
            }
            WindowKind::Sum(num) => {
                let amount = self.number(num);
                count(self, amount);
            }
            WindowKind::Distinct(values) => self.forms(values, |e, _, parts| {
                let Some(&(high, low)) = parts.first() else { return };
                let multiplier = e.constant(DISTINCT_MULTIPLIER);
                let mixed = e.b.ins().imul(high, multiplier);
                let mixed = e.b.ins().rotl_imm_s(mixed, i64::from(DISTINCT_ROTATE));
                let word = e.b.ins().bxor(mixed, low);
                count(e, word);
            }),
        }
        self.b.ins().jump(next, &[]);
        self.enter(next);
    }

    /// Writes a constant.
    fn put(&mut self, base: Value, at: i32, value: u64) {
        let (flags, value) = (self.state_flags(), self.constant(value));
        self.b.ins().store(flags, value, base, at);
    }

    /// Continues where the condition holds, else at `other`.
    fn when(&mut self, condition: &Pred, other: cranelift_codegen::ir::Block) {
        let holds = self.b.create_block();
        self.emit_within(condition, holds, other);
        self.enter(holds);
    }

    /// Runs `with` on the number (from 1) and the parts of the first form that the packet has.
    /// Continues in a new block.
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
            // The runtime reads these parts itself.
            Key::Bytes(_) | Key::Text(_) | Key::Facet(_) => (zero, zero),
        }
    }
}
