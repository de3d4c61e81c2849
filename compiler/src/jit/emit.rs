//! Numbers and conditions to CLIF. A condition is emitted as jumps: `emit(pred, yes, no)` ends the
//! current block. The invariant: a header load is emitted only in a block that the test of its
//! presence bits dominates. Loads are not marked movable, so the optimiser keeps them there. A test
//! that takes more than a few instructions is a call to a total helper. (Rejected: values instead
//! of jumps, which would evaluate the parts that a short circuit skips.)

use super::member::is_small;
use super::nodes::Node;
use super::shape::{Fact, Facts};
use crate::abi::offset;
use crate::environment::Environment;
use crate::fields::{Layer, Load, Slot};
use crate::hir::{Address, ArithOp, CompareOp, Key, Num, NumKind, Pred, PredKind};
use crate::plan::cost;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{AliasRegion, Block, FuncRef, InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::{FunctionBuilder, Variable};

/// The helpers that generated code calls.
#[derive(Clone, Copy)]
pub struct Helpers {
    /// Dissects the packet into `Context::head`.
    pub dissect: FuncRef,
    /// Evaluates a condition node.
    pub test: FuncRef,
    /// Evaluates a number node.
    pub number: FuncRef,
    /// Looks a number up in sorted intervals.
    pub search: FuncRef,
    /// Adds a rule's range to the verdicts.
    pub ask: FuncRef,
    /// Prepares the verdicts for limits.
    pub settle: FuncRef,
    /// Cuts verdicts.
    pub cut: FuncRef,
    /// Writes the verdicts after the limits.
    pub finish: FuncRef,
    /// Decides rules that have no code.
    pub interpret: FuncRef,
}

/// Alias regions: memory that generated code writes is neither frame nor constants.
#[derive(Clone, Copy)]
pub struct Regions {
    pub frame: AliasRegion,
    pub pool: AliasRegion,
    pub state: AliasRegion,
}

/// The state of code generation inside the loop over packets.
pub struct Emit<'a> {
    pub b: FunctionBuilder<'a>,
    pub helpers: Helpers,
    pub regions: Regions,
    /// The constants. When the code runs, they are at `pool_base`.
    pub pool: &'a mut Vec<u64>,
    /// The environment that resolves patterns.
    pub environment: &'a Environment,
    /// The nodes that helpers evaluate.
    pub nodes: &'a mut Vec<Node>,
    pub context: Value,
    pub pool_base: Value,
    pub counters: Value,
    pub seen: Value,
    pub packet: Value,
    /// The packet's index in the batch.
    pub index: Value,
    /// The address of the packet's verdicts.
    pub verdicts: Value,
    pub data: Value,
    pub cap_len: Value,
    pub serial: Value,
    /// The address of the packet's window values.
    pub windows: Value,
    /// The address of the packet's flow.
    pub flow: Value,
    /// The address of the packet's words of found patterns.
    pub found: Value,
    /// The stations for which a copy was asked so far.
    pub asked: Variable,
    /// Bytes of code that further conditions of triggers may take.
    pub left: u64,
    pub facts: Facts,
}

impl Emit<'_> {
    pub fn constant(&mut self, value: u64) -> Value {
        self.b.ins().iconst(I64, value.cast_signed())
    }

    pub fn frame_flags(&self) -> MemFlagsData {
        MemFlagsData::new().with_notrap().with_alias_region(Some(self.regions.frame))
    }

    pub fn pool_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_readonly().with_alias_region(Some(self.regions.pool))
    }

    pub fn state_flags(&self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.regions.state))
    }

    /// Puts words into the pool and returns their address.
    pub fn pooled(&mut self, words: &[u64]) -> Value {
        let at = self.pool.len() * 8;
        self.pool.extend_from_slice(words);
        self.b.ins().iadd_imm_s(self.pool_base, at as i64)
    }

    /// Continues in a block whose predecessors are all known.
    pub fn enter(&mut self, block: Block) {
        self.b.switch_to_block(block);
    }

    pub fn branch(&mut self, condition: Value, yes: Block, no: Block) {
        self.b.ins().brif(condition, yes, &[], no, &[]);
    }

    pub fn call(&mut self, helper: FuncRef, arguments: &[Value]) -> Option<Value> {
        let call = self.b.ins().call(helper, arguments);
        self.b.inst_results(call).first().copied()
    }

    /// A fact of the current packet.
    pub fn fact(&mut self, fact: Fact) -> Value {
        match self.facts.get(fact) {
            Some(value) => value,
            // Unreachable: `Needs` has collected every fact that the program reads.
            None => self.constant(0),
        }
    }

    /// The address of a slot.
    pub fn place(&mut self, layer: Layer, slot: Slot) -> Value {
        let offset = self.fact(Fact::Slot(layer, slot));
        self.b.ins().iadd(self.data, offset)
    }

    /// A big-endian load of 1, 2, 4 or 8 bytes, extended to 64 bits.
    pub fn load(&mut self, base: Value, at: i32, width: u8) -> Value {
        let raw = self.load_raw(base, at, width);
        self.widen(raw, width)
    }

    /// A load in memory order, in its own width.
    pub fn load_raw(&mut self, base: Value, at: i32, width: u8) -> Value {
        let flags = self.frame_flags();
        self.b.ins().load(int(width), flags, base, at)
    }

    fn widen(&mut self, raw: Value, width: u8) -> Value {
        let ordered = if width == 1 { raw } else { self.b.ins().bswap(raw) };
        if width == 8 { ordered } else { self.b.ins().uextend(I64, ordered) }
    }

    /// A loaded number, shifted and masked.
    pub fn shift_mask(&mut self, value: Value, width: u8, shift: i8, mask: u64) -> Value {
        let value = match shift {
            0 => value,
            1.. => self.b.ins().ushr_imm_s(value, i64::from(shift)),
            _ => self.b.ins().ishl_imm_s(value, -i64::from(shift)),
        };
        let left = 64 - (8 * i64::from(width)) + i64::from(shift);
        let bits = if left <= 0 { u64::MAX } else { u64::MAX >> left.min(63) };
        if bits & !mask == 0 { value } else { self.b.ins().band_imm_s(value, mask.cast_signed()) }
    }

    /// A header number. Its presence bits have been tested.
    pub fn header(&mut self, load: &Load) -> Value {
        let base = self.place(load.layer, load.slot);
        let value = self.load(base, i32::from(load.at), load.width);
        self.shift_mask(value, load.width, load.shift, load.mask)
    }

    /// A number. Its guard has been tested.
    pub fn number(&mut self, num: &Num) -> Value {
        match num.kind() {
            NumKind::Const(value) => self.constant(*value),
            NumKind::Param(id) => self.param(id.index() * 2 + 1),
            NumKind::ParamHigh(id) => self.param(id.index() * 2),
            NumKind::Load(load) => self.header(load),
            NumKind::Slot { layer, slot, .. } => self.fact(Fact::Slot(*layer, *slot)),
            NumKind::Flow { slot, .. } => self.flow_word(slot.offset()),
            NumKind::FrameLen => self.wire_len(),
            NumKind::FrameCapLen => self.cap_len,
            NumKind::Byte(_) | NumKind::Len(_) | NumKind::Option(_) | NumKind::Hash(_) => {
                self.ask_helper(num)
            }
            NumKind::Lookup { key, .. } => {
                self.key(key);
                self.ask_helper(num)
            }
            NumKind::Window(window) => {
                let flags = self.state_flags();
                self.b.ins().load(I64, flags, self.windows, (window.0 * 8).cast_signed())
            }
            NumKind::Else(first, second) => self.choose(first, |e| e.number(second)),
            NumKind::Arith(op, a, b) => {
                let (a, b) = (self.number(a), self.divisor(*op, b));
                let ins = self.b.ins();
                match op {
                    ArithOp::And => ins.band(a, b),
                    ArithOp::Or => ins.bor(a, b),
                    ArithOp::Add => ins.iadd(a, b),
                    ArithOp::Sub => ins.isub(a, b),
                    ArithOp::Mul => ins.imul(a, b),
                    ArithOp::Div => ins.udiv(a, b),
                    ArithOp::Rem => ins.urem(a, b),
                }
            }
        }
    }

    /// The right operand. It is never zero for a division, whatever its guard says.
    fn divisor(&mut self, op: ArithOp, num: &Num) -> Value {
        let value = self.number(num);
        if !matches!(op, ArithOp::Div | ArithOp::Rem) || matches!(num.kind(), NumKind::Const(1..)) {
            return value;
        }
        let one = self.constant(1);
        self.b.ins().umax(value, one)
    }

    /// A number, or 0 where it does not exist.
    pub fn number_or_zero(&mut self, num: &Num) -> Value {
        let guard = num.guard();
        if guard.as_const() == Some(true) {
            return self.number(num);
        }
        self.choose(num, |e| e.constant(0))
    }

    /// A number if it exists, else another value.
    fn choose(&mut self, num: &Num, other: impl FnOnce(&mut Self) -> Value) -> Value {
        let guard = num.guard();
        let (there, absent, join) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(join, I64);
        self.emit(&guard, there, absent);
        self.enter(absent);
        let other = other(self);
        self.b.ins().jump(join, &[other.into()]);
        self.enter(there);
        let value = self.number(num);
        self.b.ins().jump(join, &[value.into()]);
        self.enter(join);
        result
    }

    /// The length on the wire.
    pub fn wire_len(&mut self) -> Value {
        let flags = self.state_flags();
        let len = self.b.ins().load(I32, flags, self.packet, offset::PACKET_LEN);
        self.b.ins().uextend(I64, len)
    }

    /// A word of the packet's flow.
    fn flow_word(&mut self, at: i32) -> Value {
        let flags = self.state_flags();
        self.b.ins().load(I64, flags, self.flow, at)
    }

    /// The addresses of the packet's flow and of its pattern words. Only programs that read flows
    /// need them.
    pub fn locate_flow(&mut self, patterns: usize) {
        let flags = self.state_flags();
        let flows = self.b.ins().load(I64, flags, self.context, offset::CONTEXT_FLOWS);
        let at = self.b.ins().imul_imm_s(self.index, offset::FLOW_SIZE);
        self.flow = self.b.ins().iadd(flows, at);
        if patterns > 0 {
            let found = self.b.ins().load(I64, flags, self.context, offset::CONTEXT_FOUND);
            let at = self.b.ins().imul_imm_s(self.index, 8 * patterns.div_ceil(64) as i64);
            self.found = self.b.ins().iadd(found, at);
        }
    }

    /// Jumps by one bit of a word.
    fn branch_bit(&mut self, word: Value, bit: u32, yes: Block, no: Block) {
        let held = self.b.ins().band_imm_s(word, (1u64 << (bit % 64)).cast_signed());
        self.branch(held, yes, no);
    }

    fn param(&mut self, word: usize) -> Value {
        let flags = self.state_flags();
        let params = self.b.ins().load(I64, flags, self.context, offset::CONTEXT_PARAMS);
        self.b.ins().load(I64, flags, params, (word * 8) as i32)
    }

    fn node(&mut self, node: Node) -> Value {
        let id = self.nodes.len() as i64;
        self.nodes.push(node);
        self.b.ins().iconst(I64, id)
    }

    fn ask_helper(&mut self, num: &Num) -> Value {
        let node = self.node(Node::Number(num.clone()));
        match self.call(self.helpers.number, &[self.context, self.packet, self.serial, node]) {
            Some(value) => value,
            None => self.constant(0),
        }
    }

    /// Stores the parts of a key where helpers read them. Their guards have been tested.
    fn key(&mut self, key: &[Key]) {
        for (i, part) in key.iter().enumerate() {
            let (high, low) = match part {
                Key::Num(n) | Key::Ipv4(n) => (None, self.number(n)),
                Key::Ipv6(address) => {
                    let (high, low) = self.address(address);
                    (Some(high), low)
                }
                Key::Bytes(_) | Key::Text(_) | Key::Facet(_) => continue,
            };
            let at = offset::CONTEXT_KEY + (i * 16) as i32;
            let flags = self.state_flags();
            if let Some(high) = high {
                self.b.ins().store(flags, high, self.context, at);
            }
            self.b.ins().store(flags, low, self.context, at + 8);
        }
    }

    /// A 128-bit address: its high and low words.
    pub fn address(&mut self, address: &Address) -> (Value, Value) {
        let base = self.place(address.layer, address.slot);
        let at = i32::from(address.at);
        (self.load(base, at, 8), self.load(base, at + 8, 8))
    }

    /// Jumps to `yes` if the condition holds, else to `no`.
    pub fn emit(&mut self, pred: &Pred, yes: Block, no: Block) {
        match pred.kind() {
            PredKind::Const(c) => {
                self.b.ins().jump(if *c { yes } else { no }, &[]);
            }
            PredKind::Not(inner) => self.emit(inner, no, yes),
            PredKind::And(parts) | PredKind::Or(parts) => {
                let all = matches!(pred.kind(), PredKind::And(_));
                let Some((last, before)) = parts.split_last() else { return };
                for part in before {
                    let next = self.b.create_block();
                    if all {
                        self.emit(part, next, no)
                    } else {
                        self.emit(part, yes, next)
                    }
                    self.enter(next);
                }
                self.emit(last, yes, no);
            }
            PredKind::Bits { layer, bits } => {
                let have = self.fact(Fact::Bits(*layer));
                let masked = self.b.ins().band_imm_s(have, bits.cast_signed());
                let held = if bits.is_power_of_two() {
                    masked
                } else {
                    self.b.ins().icmp_imm_s(IntCC::Equal, masked, bits.cast_signed())
                };
                self.branch(held, yes, no);
            }
            PredKind::In(num, set) => self.emit_in(num, set, yes, no),
            PredKind::Compare(op, a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                let held = self.b.ins().icmp(condition(*op), a, b);
                self.branch(held, yes, no);
            }
            PredKind::AddressIn(address, set) if is_small(set) => {
                self.emit_address_in(address, set, yes, no);
            }
            PredKind::AddressCompare(op, a, b) => {
                let (left, right) = (self.address(a), self.address(b));
                self.emit_wide(*op, left, right, yes, no);
            }
            PredKind::TagIn(part, set) => self.emit_tags(part, set, yes, no),
            PredKind::InTable { key, .. } | PredKind::LookupIs { key, .. } | PredKind::Active { key, .. } => {
                self.key(key);
                self.emit_helper(pred, yes, no);
            }
            PredKind::AddressIn(address, _) => {
                self.key(&[Key::Ipv6(*address)]);
                self.emit_helper(pred, yes, no);
            }
            PredKind::FlowActive(bit) => {
                let active = self.flow_word(offset::FLOW_ACTIVE);
                self.branch_bit(active, *bit, yes, no);
            }
            PredKind::Stream(pattern) => {
                let flags = self.state_flags();
                let at = (pattern.0 / 64 * 8).cast_signed();
                let word = self.b.ins().load(I64, flags, self.found, at);
                self.branch_bit(word, pattern.0, yes, no);
            }
            PredKind::HasFacet(_)
            | PredKind::FacetIn(..)
            | PredKind::FacetText(..)
            | PredKind::FacetInTable(..)
            | PredKind::TagInTable(..)
            | PredKind::HasOption(_)
            | PredKind::HasBytes(_)
            | PredKind::BytesCompare(..)
            | PredKind::ConstCompare(..)
            | PredKind::BytesBytes(..)
            | PredKind::Contains(..)
            | PredKind::Matches(..) => self.emit_helper(pred, yes, no),
        }
    }

    /// As `emit`, for a condition of any size. If the code budget has no room for it, a helper
    /// interprets it.
    pub fn emit_within(&mut self, pred: &Pred, yes: Block, no: Block) {
        let bytes = cost::of_pred(pred);
        if bytes <= self.left.min(cost::LARGEST) {
            self.left -= bytes;
            return self.emit(pred, yes, no);
        }
        let node = self.node(Node::Whole(pred.clone()));
        if let Some(held) = self.call(self.helpers.test, &[self.context, self.packet, self.serial, node]) {
            self.branch(held, yes, no);
        }
    }

    fn emit_helper(&mut self, pred: &Pred, yes: Block, no: Block) {
        let node = self.node(Node::test(pred, self.environment));
        if let Some(held) = self.call(self.helpers.test, &[self.context, self.packet, self.serial, node]) {
            self.branch(held, yes, no);
        }
    }
}

/// The processor's comparison for an operator.
pub fn condition(op: CompareOp) -> IntCC {
    match op {
        CompareOp::Eq | CompareOp::AllEq => IntCC::Equal,
        CompareOp::Ne | CompareOp::AnyNe => IntCC::NotEqual,
        CompareOp::Lt => IntCC::UnsignedLessThan,
        CompareOp::Le => IntCC::UnsignedLessThanOrEqual,
        CompareOp::Gt => IntCC::UnsignedGreaterThan,
        CompareOp::Ge => IntCC::UnsignedGreaterThanOrEqual,
    }
}

fn int(width: u8) -> Type {
    match width {
        1 => I8,
        2 => I16,
        4 => I32,
        _ => I64,
    }
}
