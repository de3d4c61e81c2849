//! The generated function: a loop over a batch of packets. For each packet it runs the rules' plan,
//! and, if a rule asked for a copy, the limits' plan. The invariant: `asked[i]` is written for
//! every packet, a verdict for every station whose bit is set there, and a rule is counted once a
//! packet. (Rejected: a call per packet; a call costs as much as a small program.)

use super::emit::{Emit, Helpers, Regions};
use super::needs::Needs;
use super::nodes::Node;
use crate::abi::offset;
use crate::environment::Environment;
use crate::hir::{Length, NumKind, Pred, PredKind, Program};
use crate::plan::{Class, Group, HASH_MULTIPLIER, HASH_ROTATE, Plan};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{BlockCall, InstBuilder, JumpTableData, Value};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::FunctionBuilder;

/// Programs with at most this many asks merge verdicts inline; larger programs use a helper, to
/// keep the code small.
const MAX_INLINE_ASKS: usize = 512;
/// A rule with more stations than this is merged by a helper.
pub const MAX_INLINE_STATIONS: u32 = 2;

/// A condition with at least this many parts has its own block for failure.
const MANY_EDGES: usize = 16;

/// Whether a plan's classes are rules or limits.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Rules,
    Limits,
}

/// How verdicts are merged; the same for a whole program.
#[derive(Clone, Copy)]
pub struct Style {
    /// Every rule asks for a prefix, so a verdict's length is its end.
    pub prefixes: bool,
    /// Inline code merges them.
    pub inline: bool,
    /// Verdicts hold working values until `settle`.
    settle: bool,
    /// The program has a single ask: there is nothing to merge with.
    pub single: bool,
    limits: bool,
    rules: u32,
}

/// The constants of a rule's lengths, read from its entry.
pub struct Given {
    /// The address of the entry.
    pub entry: Value,
    /// The offset of the next constant in the entry, in bytes.
    pub next: i32,
}

/// The inputs of code generation for a function.
pub struct Ground<'a> {
    /// The program.
    pub program: &'a Program,
    /// The environment that resolves its patterns.
    pub environment: &'a Environment,
    /// The plan of its rules.
    pub rules: &'a Plan,
    /// The plan of its limits.
    pub limits: &'a Plan,
    /// Bytes of code that the conditions of its triggers may take.
    pub left: u64,
    /// The functions that its code can call.
    pub helpers: Helpers,
    /// The memory regions that its code can access.
    pub regions: Regions,
}

/// Emits the whole function body. `b` is at the start of a new function with the signature
/// (context, packets, count).
pub fn emit(
    b: FunctionBuilder<'_>,
    ground: &Ground<'_>,
    pool: &mut Vec<u64>,
    nodes: &mut Vec<Node>,
    frontend: TargetFrontendConfig,
) {
    let &Ground { program, environment, rules, limits, helpers, regions, .. } = ground;
    let mut b = b;
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let &[context, packets, count] = b.block_params(entry) else { return };
    let asked = b.declare_var(I64);
    let chained = rules.chain.iter().filter_map(|&id| program.rules.get(id as usize)).map(|r| r.asks.len());
    let grouped = rules.groups.iter().flat_map(|g| &g.classes).map(|c| c.asks.len());
    let sites: usize = chained.chain(grouped).sum();
    let inline = sites <= MAX_INLINE_ASKS;
    let prefix = |length: &Length| !matches!(length, Length::Slice(m, _) if m.kind() != &NumKind::Const(0));
    let prefixes = program.rules.iter().flat_map(|r| &r.asks).all(|a| prefix(&a.length));
    let has_limits = !program.limits.is_empty();
    let crowded = program.rules.iter().any(|r| r.stations.count_ones() > MAX_INLINE_STATIONS);
    let style = Style {
        prefixes,
        inline,
        settle: has_limits || !prefixes || !inline || crowded || interprets(rules),
        single: sites == 1 && rules.groups.is_empty() && rules.rest.is_empty(),
        limits: has_limits,
        rules: program.rules.len() as u32,
    };
    let mut e = Emit::new(b, (helpers, regions, environment), pool, nodes, context, asked);
    let zero = e.constant(0);
    let flags = e.state_flags();
    e.counters = e.b.ins().load(I64, flags, context, offset::CONTEXT_COUNTERS);
    e.seen = e.b.ins().load(I64, flags, context, offset::CONTEXT_SEEN);
    let asked_base = e.b.ins().load(I64, flags, context, offset::CONTEXT_ASKED);
    let verdicts_base = e.b.ins().load(I64, flags, context, offset::CONTEXT_VERDICTS);

    // The loop over packets: index, packet record, its verdicts.
    let (header, body, done, finish) =
        (e.b.create_block(), e.b.create_block(), e.b.create_block(), e.b.create_block());
    let params: Vec<Value> = (0..3).map(|_| e.b.append_block_param(header, I64)).collect();
    e.b.ins().jump(header, &[zero.into(), packets.into(), verdicts_base.into()]);
    e.enter(header);
    let &[index, packet, verdicts] = params.as_slice() else { return };
    let more = e.b.ins().icmp(IntCC::UnsignedLessThan, index, count);
    e.branch(more, body, done);
    e.enter(body);
    e.verdicts = verdicts;
    e.packet(packet, index);
    e.b.def_var(asked, zero);
    let needs = Needs::of(program.rules.iter().chain(&program.limits));
    e.look(program, &needs);

    e.plan(program, rules, Role::Rules, style);
    if style.settle {
        let asked_now = e.b.use_var(asked);
        let narrow = e.b.create_block();
        e.branch(asked_now, narrow, finish);
        e.enter(narrow);
        e.call(helpers.settle, &[context, index, asked_now]);
        if style.limits {
            e.plan(program, limits, Role::Limits, style);
            let asked_now = e.b.use_var(asked);
            e.call(helpers.finish, &[context, index, asked_now]);
        }
    }
    e.b.ins().jump(finish, &[]);
    e.enter(finish);
    let asked_now = e.b.use_var(asked);
    let offset = e.b.ins().ishl_imm_s(index, 3);
    let place = e.b.ins().iadd(asked_base, offset);
    e.b.ins().store(flags, asked_now, place, 0);
    let index = e.b.ins().iadd_imm_s(index, 1);
    let packet = e.b.ins().iadd_imm_s(packet, offset::PACKET_SIZE);
    let verdicts = e.b.ins().iadd_imm_s(verdicts, offset::VERDICT_SIZE * program.stations.len() as i64);
    e.b.ins().jump(header, &[index.into(), packet.into(), verdicts.into()]);
    e.enter(done);
    e.end(frontend);
}

/// Whether some rules get no code.
fn interprets(plan: &Plan) -> bool {
    !plan.rest.is_empty() || plan.groups.iter().any(|group| group.native < group.classes.len())
}

impl Emit<'_> {
    fn plan(&mut self, program: &Program, plan: &Plan, role: Role, style: Style) {
        let rules = if role == Role::Rules { &program.rules } else { &program.limits };
        for group in &plan.groups {
            self.group(group, role, style);
        }
        for &id in &plan.chain {
            let Some(rule) = rules.get(id as usize) else { continue };
            let class = Class {
                residual: rule.matches.clone(),
                asks: rule.asks.iter().map(|a| (a.when.clone(), a.length.clone())).collect(),
                stations: rule.stations,
                once: false,
            };
            let next = self.b.create_block();
            let id = self.constant(u64::from(id));
            self.class(&class, (id, None), role, style, next);
            self.enter(next);
        }
        if !plan.rest.is_empty() {
            let list: Vec<u64> = plan.rest.iter().map(|id| u64::from(*id)).collect();
            let (list, count) = (self.pooled(&list), self.constant(plan.rest.len() as u64));
            self.interpret(list, count, role);
        }
    }

    /// Lets the interpreter decide the rules of this list. The list has `count` words, each with a
    /// rule's number in its low half.
    fn interpret(&mut self, list: Value, count: Value, role: Role) {
        let asked = self.b.use_var(self.asked);
        let limits = self.constant(u64::from(role == Role::Limits));
        let arguments = [self.context, self.packet, self.serial, self.index, asked, list, count, limits];
        if let Some(asked) = self.call(self.helpers.interpret, &arguments) {
            self.b.def_var(self.asked, asked);
        }
    }

    /// Looks the packet's key up and runs the classes of the rules found. Continues in a new block.
    fn group(&mut self, group: &Group, role: Role, style: Style) {
        let done = self.b.create_block();
        let bits = [
            (crate::fields::Layer::Outer, group.signature.outer),
            (crate::fields::Layer::Inner, group.signature.inner),
        ];
        for (layer, bits) in bits.into_iter().filter(|(_, bits)| *bits != 0) {
            let next = self.b.create_block();
            self.emit(&Pred::bits(layer, bits), next, done);
            self.enter(next);
        }
        let key = self.key_of(group);
        let mut h = self.constant(0);
        for (i, &word) in key.iter().enumerate() {
            let mixed = if i == 0 {
                word
            } else {
                let turned = self.b.ins().rotl_imm_s(h, i64::from(HASH_ROTATE));
                self.b.ins().bxor(turned, word)
            };
            let multiplier = self.constant(HASH_MULTIPLIER);
            h = self.b.ins().imul(mixed, multiplier);
        }
        if group.filter_log2 > 0 {
            let filter = self.pooled(&group.filter);
            let at = self.b.ins().ushr_imm_s(h, i64::from(64 - group.filter_log2));
            let known = self.bit_at(filter, at);
            let next = self.b.create_block();
            self.branch(known, next, done);
            self.enter(next);
        }
        let table = self.pooled(&group.table);
        let entries = self.pooled(&group.entries);
        let flags = self.pool_flags();
        let slot_size = (key.len() as i64 + 1) * 8;
        let (probe, filled, found, walk) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block(), self.b.create_block());
        let slot = self.b.append_block_param(probe, I64);
        let first = self.b.ins().ushr_imm_s(h, i64::from(64 - group.slots_log2));
        self.b.ins().jump(probe, &[first.into()]);
        self.enter(probe);
        let offset = self.b.ins().imul_imm_s(slot, slot_size);
        let place = self.b.ins().iadd(table, offset);
        let payload = self.b.ins().load(I64, flags, place, (slot_size - 8) as i32);
        self.branch(payload, filled, done);
        self.enter(filled);
        let next_slot = self.b.ins().iadd_imm_s(slot, 1);
        let next_slot = self.b.ins().band_imm_s(next_slot, (1i64 << group.slots_log2) - 1);
        for (i, &word) in key.iter().enumerate() {
            let held = self.b.ins().load(I64, flags, place, (i * 8) as i32);
            let same = self.b.ins().icmp(IntCC::Equal, held, word);
            let next = if i + 1 == key.len() { found } else { self.b.create_block() };
            self.b.ins().brif(same, next, &[], probe, &[next_slot.into()]);
            self.enter(next);
        }
        // The loop over the run of entries with this key.
        let (at, left) = (self.b.append_block_param(walk, I64), self.b.append_block_param(walk, I64));
        let low = self.b.ins().band_imm_s(payload, 0xffff_ffff);
        let entry_size = group.stride() as i64 * 8;
        let offset = self.b.ins().imul_imm_s(low, entry_size);
        let place = self.b.ins().iadd(entries, offset);
        let count = self.b.ins().ushr_imm_s(payload, 32);
        self.b.ins().jump(walk, &[place.into(), count.into()]);
        self.enter(walk);
        let entry = self.b.ins().load(I64, flags, at, 0);
        let rule = self.b.ins().band_imm_s(entry, 0xffff_ffff);
        let latch = self.b.create_block();
        let found = (rule, (group.given > 0).then_some(at));
        if let ([class], 1) = (group.classes.as_slice(), group.native) {
            self.class(class, found, role, style, latch);
        } else {
            let id = self.b.ins().ushr_imm_s(entry, 32);
            let id = self.b.ins().ireduce(I32, id);
            let native = group.classes.get(..group.native).unwrap_or(&[]);
            let blocks: Vec<_> = native.iter().map(|_| self.b.create_block()).collect();
            let other = self.b.create_block();
            let pool = &mut self.b.func.dfg.value_lists;
            let calls: Vec<BlockCall> = blocks.iter().map(|&b| BlockCall::new(b, [], pool)).collect();
            let default = BlockCall::new(other, [], pool);
            let jumps = self.b.create_jump_table(JumpTableData::new(default, &calls));
            self.b.ins().br_table(id, jumps);
            for (class, block) in native.iter().zip(blocks) {
                self.enter(block);
                self.class(class, found, role, style, latch);
            }
            self.enter(other);
            if native.len() < group.classes.len() {
                let one = self.constant(1);
                self.interpret(at, one, role);
            }
            self.b.ins().jump(latch, &[]);
        }
        self.enter(latch);
        let at = self.b.ins().iadd_imm_s(at, entry_size);
        let left = self.b.ins().iadd_imm_s(left, -1);
        self.b.ins().brif(left, walk, &[at.into(), left.into()], done, &[]);
        self.enter(done);
    }

    fn key_of(&mut self, group: &Group) -> Vec<Value> {
        let mut words: Vec<Value> = Vec::new();
        for (part, (word, shift)) in group.signature.parts.iter().zip(group.signature.places()) {
            let mut value = self.header(&part.load);
            if part.mask != part.load.mask {
                value = self.b.ins().band_imm_s(value, part.mask.cast_signed());
            }
            if shift > 0 {
                value = self.b.ins().ishl_imm_s(value, i64::from(shift));
            }
            match words.get(word).copied() {
                Some(have) => {
                    let both = self.b.ins().bor(have, value);
                    words.truncate(word);
                    words.push(both);
                }
                None => words.push(value),
            }
        }
        words
    }

    /// Tests the residual, counts the rule and evaluates its asks. Ends with a jump to `next`.
    /// `found` is the rule's number and, if the entry has the constants of its lengths, the entry's
    /// address.
    fn class(
        &mut self,
        class: &Class,
        found: (Value, Option<Value>),
        role: Role,
        style: Style,
        next: cranelift_codegen::ir::Block,
    ) {
        let (rule, entry) = found;
        let mut given = entry.map(|entry| Given { entry, next: 8 });
        self.when_holds(&class.residual, next);
        let counter =
            if role == Role::Rules { rule } else { self.b.ins().iadd_imm_s(rule, i64::from(style.rules)) };
        let offset = self.b.ins().ishl_imm_s(counter, 3);
        let flags = self.state_flags();
        if class.once {
            let place = self.b.ins().iadd(self.seen, offset);
            let last = self.b.ins().load(I64, flags, place, 0);
            let again = self.b.ins().icmp(IntCC::Equal, last, self.serial);
            let first = self.b.create_block();
            self.branch(again, next, first);
            self.enter(first);
            self.b.ins().store(flags, self.serial, place, 0);
        }
        let place = self.b.ins().iadd(self.counters, offset);
        let count = self.b.ins().load(I64, flags, place, 0);
        let count = self.b.ins().iadd_imm_s(count, 1);
        self.b.ins().store(flags, count, place, 0);
        for (when, length) in &class.asks {
            let behind = self.b.create_block();
            self.when_holds(when, behind);
            let (start, end) = self.range(length, &mut given);
            match role {
                Role::Rules => self.ask(class.stations, (start, end), rule, style, behind),
                Role::Limits => {
                    let asked = self.b.use_var(self.asked);
                    let stations = self.b.ins().band_imm_s(asked, class.stations.cast_signed());
                    self.call(self.helpers.cut, &[self.context, self.index, stations, start, end, rule]);
                    self.b.ins().jump(behind, &[]);
                }
            }
            self.enter(behind);
        }
        self.b.ins().jump(next, &[]);
    }

    /// Continues where a condition holds, else at `other`. The tests of a long condition lead to an
    /// extra block without parameters. `other` has a parameter, the stations asked so far, and with
    /// thousands of edges into it the register allocator takes time quadratic in their number.
    fn when_holds(&mut self, condition: &Pred, other: cranelift_codegen::ir::Block) {
        let holds = self.b.create_block();
        let parts = match condition.kind() {
            PredKind::And(parts) | PredKind::Or(parts) => parts.len(),
            PredKind::Not(_) => MANY_EDGES,
            _ => 0,
        };
        if parts < MANY_EDGES {
            self.emit(condition, holds, other);
        } else {
            let fails = self.b.create_block();
            self.emit(condition, holds, fails);
            self.enter(fails);
            self.b.ins().jump(other, &[]);
        }
        self.enter(holds);
    }
}
