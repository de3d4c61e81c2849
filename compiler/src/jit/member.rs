//! Membership to CLIF: numbers, addresses and tags in sets. The code compares small sets interval
//! by interval; a larger set is a bitmap or sorted intervals in the pool. The invariant: as in
//! `emit`, jumps end the current block, and a bitmap is read only below its size. (Rejected: a
//! helper for every set; most sets are a number, a port range or a prefix.)

use super::emit::{Emit, condition};
use super::shape::Fact;
use crate::fields::{Slot, Tags};
use crate::hir::{Address, CompareOp, Num, NumKind, TagPart};
use crate::sets::Intervals;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block, InstBuilder, Value};

/// A set with more intervals than this is looked up, not compared.
const MAX_COMPARED: usize = 6;
/// A set to look up whose numbers are all below this is a bitmap.
const MAX_BITMAP: u64 = 1 << 16;

/// Whether an address set is small enough to be compared.
pub fn is_small(set: &Intervals<u128>) -> bool {
    set.parts().len() <= MAX_COMPARED
}

impl Emit<'_> {
    /// Jumps by whether a number is in the set. The number's guard has been tested.
    pub fn emit_in(&mut self, num: &Num, set: &Intervals<u64>, yes: Block, no: Block) {
        if let (NumKind::Load(load), &[(low, high)]) = (num.kind(), set.parts())
            && load.shift == 0
            && low == high
        {
            // Equality needs no byte swap of the packet's bytes.
            let base = self.place(load.layer, load.slot);
            let raw = self.load_raw(base, i32::from(load.at), load.width);
            let masked = if load.mask == u64::MAX >> (64 - 8 * u32::from(load.width)) {
                raw
            } else {
                let mask = swapped(load.mask, load.width);
                self.b.ins().band_imm_s(raw, mask)
            };
            let held = self.b.ins().icmp_imm_s(IntCC::Equal, masked, swapped(low, load.width));
            return self.branch(held, yes, no);
        }
        let value = self.number(num);
        self.emit_member(value, num.max(), set, yes, no);
    }

    /// Jumps by whether a number, at most `max`, is in the set.
    fn emit_member(&mut self, value: Value, max: u64, set: &Intervals<u64>, yes: Block, no: Block) {
        let Some((&last, before)) = set.parts().split_last() else {
            self.b.ins().jump(no, &[]);
            return;
        };
        if before.len() < MAX_COMPARED {
            for &part in before {
                let held = self.within(value, part, max);
                let next = self.b.create_block();
                self.branch(held, yes, next);
                self.enter(next);
            }
            let held = self.within(value, last, max);
            self.branch(held, yes, no);
        } else if last.1 < MAX_BITMAP {
            let mut words = vec![0u64; (last.1 / 64 + 1) as usize];
            for v in set.parts().iter().flat_map(|&(low, high)| low..=high) {
                if let Some(word) = words.get_mut((v / 64) as usize) {
                    *word |= 1 << (v % 64);
                }
            }
            let size = words.len() as u64 * 64;
            let base = self.pooled(&words);
            if max >= size {
                let inside = self.b.create_block();
                let small = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, value, size.cast_signed());
                self.branch(small, inside, no);
                self.enter(inside);
            }
            let held = self.bit_at(base, value);
            self.branch(held, yes, no);
        } else {
            let words: Vec<u64> = set.parts().iter().flat_map(|&(low, high)| [low, high]).collect();
            let count = self.constant(set.parts().len() as u64);
            let base = self.pooled(&words);
            if let Some(held) = self.call(self.helpers.search, &[base, count, value]) {
                self.branch(held, yes, no);
            }
        }
    }

    /// The bit with this number of a bitmap in the pool, as 0 or 1.
    pub fn bit_at(&mut self, base: Value, number: Value) -> Value {
        let word = self.b.ins().ushr_imm_s(number, 6);
        let bytes = self.b.ins().ishl_imm_s(word, 3);
        let address = self.b.ins().iadd(base, bytes);
        let flags = self.pool_flags();
        let word = self.b.ins().load(I64, flags, address, 0);
        // A shift takes its count modulo 64.
        let bit = self.b.ins().ushr(word, number);
        self.b.ins().band_imm_s(bit, 1)
    }

    fn within(&mut self, value: Value, (low, high): (u64, u64), max: u64) -> Value {
        let ins = self.b.ins();
        if low == high {
            ins.icmp_imm_s(IntCC::Equal, value, low.cast_signed())
        } else if low == 0 {
            ins.icmp_imm_s(IntCC::UnsignedLessThanOrEqual, value, high.cast_signed())
        } else if high >= max {
            ins.icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, value, low.cast_signed())
        } else {
            let from = self.b.ins().iadd_imm_s(value, low.wrapping_neg().cast_signed());
            self.b.ins().icmp_imm_s(IntCC::UnsignedLessThanOrEqual, from, (high - low).cast_signed())
        }
    }

    /// Jumps by whether an address is in a small set.
    pub fn emit_address_in(&mut self, address: &Address, set: &Intervals<u128>, yes: Block, no: Block) {
        let value = self.address(address);
        for &(low, high) in set.parts() {
            let next = self.b.create_block();
            let (low_high, low_low) = ((low >> 64) as u64, low as u64);
            let (high_high, high_low) = ((high >> 64) as u64, high as u64);
            if low_low == 0 && high_low == u64::MAX {
                let held = self.within(value.0, (low_high, high_high), u64::MAX);
                self.branch(held, yes, next);
            } else if low_high == high_high {
                let rest = self.b.create_block();
                let same = self.b.ins().icmp_imm_s(IntCC::Equal, value.0, low_high.cast_signed());
                self.branch(same, rest, next);
                self.enter(rest);
                let held = self.within(value.1, (low_low, high_low), u64::MAX);
                self.branch(held, yes, next);
            } else {
                let above = self.b.create_block();
                let low = (self.constant(low_high), self.constant(low_low));
                self.emit_wide(CompareOp::Le, low, value, above, next);
                self.enter(above);
                let high = (self.constant(high_high), self.constant(high_low));
                self.emit_wide(CompareOp::Le, value, high, yes, next);
            }
            self.enter(next);
        }
        self.b.ins().jump(no, &[]);
    }

    /// Compares two 128-bit numbers; each has its high word first.
    pub fn emit_wide(&mut self, op: CompareOp, a: (Value, Value), b: (Value, Value), yes: Block, no: Block) {
        let low = self.b.create_block();
        let same = self.b.ins().icmp(IntCC::Equal, a.0, b.0);
        if op == CompareOp::Eq {
            self.branch(same, low, no);
        } else {
            let differ = self.b.create_block();
            self.branch(same, low, differ);
            self.enter(differ);
            let less = self.b.ins().icmp(IntCC::UnsignedLessThan, a.0, b.0);
            self.branch(less, yes, no);
        }
        self.enter(low);
        let held = self.b.ins().icmp(condition(op), a.1, b.1);
        self.branch(held, yes, no);
    }

    /// A loop over the tags of a run. Their presence bit has been tested, so there is at least one.
    pub fn emit_tags(&mut self, part: &TagPart, set: &Intervals<u64>, yes: Block, no: Block) {
        let (first, count) = match part.tags {
            Tags::Vlan => (Slot::Vlan, Slot::Vlans),
            Tags::Mpls => (Slot::Mpls, Slot::Labels),
        };
        let (at, count) = (self.place(part.layer, first), self.fact(Fact::Slot(part.layer, count)));
        let (header, body, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let (tag, left) = (self.b.append_block_param(header, I64), self.b.append_block_param(header, I64));
        self.b.ins().jump(header, &[at.into(), count.into()]);
        self.enter(header);
        self.branch(left, body, no);
        self.enter(body);
        let value = self.load(tag, i32::from(part.at), part.width);
        let value = self.shift_mask(value, part.width, part.shift.cast_signed(), part.mask);
        match part.least() {
            0 => self.emit_member(value, part.mask, set, yes, next),
            least => {
                let types = set.intersect(&Intervals::range(least, u64::MAX));
                self.emit_member(value, part.mask, &types, yes, next);
            }
        }
        self.enter(next);
        let (tag, left) = (self.b.ins().iadd_imm_s(tag, 4), self.b.ins().iadd_imm_s(left, -1));
        self.b.ins().jump(header, &[tag.into(), left.into()]);
    }
}

/// A constant in the byte order of the packet as a little-endian machine loads it, sign-extended as
/// an immediate of its type.
fn swapped(value: u64, width: u8) -> i64 {
    match width {
        1 => i64::from((value as u8).cast_signed()),
        2 => i64::from((value as u16).swap_bytes().cast_signed()),
        4 => i64::from((value as u32).swap_bytes().cast_signed()),
        _ => value.swap_bytes().cast_signed(),
    }
}
