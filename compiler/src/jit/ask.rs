//! What a rule that holds asks for: the byte range of a length, and its merge into the verdicts of
//! the rule's stations. The invariant: a range ends within the captured bytes, and verdicts that
//! inline code and the helper merge have the same meaning. (Rejected: always merging by the helper;
//! most rules ask for a prefix for one station.)

use super::decide::{Given, MAX_INLINE_STATIONS, Style};
use super::emit::Emit;
use crate::abi::{NO_LIMIT, offset};
use crate::hir::{Length, Num, NumKind};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{Block, InstBuilder, Value};

impl Emit<'_> {
    /// The requested byte range, within the captured bytes. Empty ranges have start >= end.
    pub fn range(&mut self, length: &Length, given: &mut Option<Given>) -> (Value, Value) {
        let zero = self.constant(0);
        let cap = self.cap_len;
        match length {
            Length::None => (zero, zero),
            Length::Full => (zero, cap),
            Length::Bytes(n) => {
                let n = self.amount(n, given);
                (zero, self.b.ins().umin(n, cap))
            }
            Length::Percent(n) => {
                let n = self.amount(n, given);
                // A percentage may have up to 64 bits; a value above 2^31 means all bytes.
                let most = self.constant(1 << 31);
                let n = self.b.ins().umin(n, most);
                let len = self.wire_len();
                let part = self.b.ins().imul(len, n);
                let part = self.b.ins().iadd_imm_s(part, 99);
                let hundred = self.constant(100);
                let part = self.b.ins().udiv(part, hundred);
                (zero, self.b.ins().umin(part, cap))
            }
            Length::Headers(n) => {
                let n = self.clipped(n, given);
                use crate::fields::{Layer, Slot};
                let headers = self.number(&Num::slot(Layer::Outer, 0, Slot::HeadersEnd, 32));
                let l3_end = self.number(&Num::slot(Layer::Outer, 0, Slot::L3End, 32));
                let wanted = self.b.ins().iadd(headers, n);
                let most = self.b.ins().umax(headers, l3_end);
                let end = self.b.ins().umin(wanted, most);
                (zero, self.b.ins().umin(end, cap))
            }
            Length::Slice(m, n) => {
                let (m, n) = (self.amount(m, given), self.amount(n, given));
                (m, self.b.ins().umin(n, cap))
            }
        }
    }

    /// A number of a length. With `given`: the entry's next constant.
    fn amount(&mut self, num: &Num, given: &mut Option<Given>) -> Value {
        match (num.kind(), given) {
            (NumKind::Const(_), Some(given)) => {
                let (flags, at) = (self.pool_flags(), given.next);
                given.next += 8;
                self.b.ins().load(I64, flags, given.entry, at)
            }
            _ => self.number_or_zero(num),
        }
    }

    /// A number of bytes, at most 2^32: a greater number means the same, and must not wrap.
    fn clipped(&mut self, num: &Num, given: &mut Option<Given>) -> Value {
        let value = self.amount(num, given);
        if num.max() <= u64::from(u32::MAX) {
            return value;
        }
        let most = self.constant(u64::from(u32::MAX));
        self.b.ins().umin(value, most)
    }

    /// Adds a range to the verdicts of some stations. Ends with a jump to `behind`.
    pub fn ask(&mut self, stations: u64, range: (Value, Value), rule: Value, style: Style, behind: Block) {
        let (start, end) = range;
        let some = self.b.create_block();
        let filled = self.b.ins().icmp(IntCC::UnsignedLessThan, start, end);
        self.branch(filled, some, behind);
        self.enter(some);
        let asked = self.b.use_var(self.asked);
        if !style.inline || !style.prefixes || stations.count_ones() > MAX_INLINE_STATIONS {
            let stations = self.constant(stations);
            let arguments = [self.context, self.index, asked, stations, start, end, rule];
            if let Some(asked) = self.call(self.helpers.ask, &arguments) {
                self.b.def_var(self.asked, asked);
            }
            self.b.ins().jump(behind, &[]);
            return;
        }
        let mut left = stations;
        while left != 0 {
            let station = left.trailing_zeros();
            left &= left - 1;
            self.ask_inline(station, end, rule, style);
        }
        let asked = self.b.use_var(self.asked);
        let asked = self.b.ins().bor_imm_s(asked, stations.cast_signed());
        self.b.def_var(self.asked, asked);
        self.b.ins().jump(behind, &[]);
    }

    /// Merges a prefix into one station's verdict.
    fn ask_inline(&mut self, station: u32, end: Value, rule: Value, style: Style) {
        let flags = self.state_flags();
        let at = (i64::from(station) * offset::VERDICT_SIZE) as i32;
        let (replace, behind) = (self.b.create_block(), self.b.create_block());
        let short_end = self.b.ins().ireduce(I32, end);
        let short_rule = self.b.ins().ireduce(I32, rule);
        if style.single {
            self.b.ins().jump(replace, &[]);
        } else {
            let asked = self.b.use_var(self.asked);
            let have = self.b.ins().band_imm_s(asked, (1u64 << station).cast_signed());
            let (merge, tie, order) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
            self.branch(have, merge, replace);
            self.enter(merge);
            let held = self.b.ins().load(I32, flags, self.verdicts, at + offset::VERDICT_END);
            let longer = self.b.ins().icmp(IntCC::UnsignedGreaterThan, short_end, held);
            self.branch(longer, replace, tie);
            self.enter(tie);
            let same = self.b.ins().icmp(IntCC::Equal, short_end, held);
            self.branch(same, order, behind);
            self.enter(order);
            let held = self.b.ins().load(I32, flags, self.verdicts, at + offset::VERDICT_RULE);
            let earlier = self.b.ins().icmp(IntCC::UnsignedLessThan, short_rule, held);
            self.branch(earlier, replace, behind);
        }
        self.enter(replace);
        let zero = self.b.ins().iconst(I32, 0);
        let none = self.b.ins().iconst(I32, i64::from(NO_LIMIT));
        for (value, field) in [
            (zero, offset::VERDICT_START),
            (short_end, offset::VERDICT_END),
            (short_rule, offset::VERDICT_RULE),
            (none, offset::VERDICT_LIMIT),
        ] {
            self.b.ins().store(flags, value, self.verdicts, at + field);
        }
        self.b.ins().jump(behind, &[]);
        self.enter(behind);
    }
}
