//! Constructors of numbers. They know each number's greatest value and refuse arithmetic that could
//! exceed 64 bits, so engines need no overflow rule. (Rejected: wrapping arithmetic, which makes
//! `ip.len - 40 > 5` true for short packets.)

use super::{ArithOp, Bytes, Key, MAX_WINDOW, Num, NumKind, ParamId, TableId, TagPart, TcpOption, WindowId};
use crate::abi::bit;
use crate::fields::{FlowSlot, Hash, Layer, Load, Slot, Tags, max_of};

impl Num {
    /// Its form.
    pub fn kind(&self) -> &NumKind {
        &self.kind
    }

    /// The greatest value it can have.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// A constant.
    pub fn constant(value: u64) -> Num {
        Num { kind: NumKind::Const(value), max: value }
    }

    /// A param's value (its low word), at most `max`.
    pub fn param(id: ParamId, max: u64) -> Num {
        Num { kind: NumKind::Param(id), max }
    }

    /// The high word of a param's value.
    pub fn param_high(id: ParamId) -> Num {
        Num { kind: NumKind::ParamHigh(id), max: u64::MAX }
    }

    /// A number in a header.
    pub fn load(load: Load) -> Num {
        Num { kind: NumKind::Load(load), max: load.mask }
    }

    /// A slot's own value, of at most `width` bits.
    pub fn slot(layer: Layer, bits: u64, slot: Slot, width: u8) -> Num {
        Num { kind: NumKind::Slot { layer, bits, slot }, max: max_of(width) }
    }

    /// `frame.len`
    pub fn frame_len() -> Num {
        Num { kind: NumKind::FrameLen, max: max_of(32) }
    }

    /// `frame.cap_len`
    pub fn frame_cap_len() -> Num {
        Num { kind: NumKind::FrameCapLen, max: max_of(32) }
    }

    /// The byte of a one-byte slice.
    pub fn byte(bytes: Bytes) -> Num {
        Num { kind: NumKind::Byte(bytes), max: 255 }
    }

    /// The number of bytes.
    pub fn len(bytes: Bytes) -> Num {
        Num { kind: NumKind::Len(bytes), max: max_of(32) }
    }

    /// A number in a TCP option.
    pub fn option(option: TcpOption) -> Num {
        Num { kind: NumKind::Option(option), max: max_of(option.width.saturating_mul(8)) }
    }

    /// A hash.
    pub fn hash(hash: Hash) -> Num {
        Num { kind: NumKind::Hash(hash), max: u64::MAX }
    }

    /// A number of the packet's flow.
    pub fn flow(bits: u64, slot: FlowSlot) -> Num {
        Num { kind: NumKind::Flow { bits: bits | bit::FLOW, slot }, max: slot.max() }
    }

    /// The value of a table's row.
    pub fn lookup(table: TableId, key: Vec<Key>) -> Num {
        Num { kind: NumKind::Lookup { table, key }, max: u64::MAX }
    }

    /// The value of a window.
    pub fn window(window: WindowId) -> Num {
        Num { kind: NumKind::Window(window), max: MAX_WINDOW }
    }

    /// The first number if it exists, else the second.
    pub fn or_else(first: Num, second: Num) -> Num {
        if first.guard().as_const() == Some(true) {
            return first;
        }
        let max = first.max.max(second.max);
        Num { kind: NumKind::Else(Box::new(first), Box::new(second)), max }
    }

    /// Arithmetic; `None` if the result could exceed 64 bits, or a constant divisor is zero.
    pub fn arith(op: ArithOp, left: Num, right: Num) -> Option<Num> {
        let max = match op {
            ArithOp::And => left.max.min(right.max),
            ArithOp::Or => {
                let most = left.max.max(right.max);
                if most == 0 { 0 } else { u64::MAX >> most.leading_zeros() }
            }
            ArithOp::Add => left.max.checked_add(right.max)?,
            ArithOp::Mul => left.max.checked_mul(right.max)?,
            ArithOp::Sub => left.max,
            ArithOp::Div => match right.kind {
                NumKind::Const(divisor) => left.max.checked_div(divisor)?,
                _ => left.max,
            },
            ArithOp::Rem => left.max.min(right.max.saturating_sub(1)),
        };
        if let (&NumKind::Const(a), &NumKind::Const(b)) = (&left.kind, &right.kind) {
            return eval(op, a, b).map(Num::constant);
        }
        if matches!(op, ArithOp::Div | ArithOp::Rem) && right.kind == NumKind::Const(0) {
            return None;
        }
        Some(Num { kind: NumKind::Arith(op, Box::new(left), Box::new(right)), max })
    }
}

/// The value of an operator; `None` if there is none (below zero, division by zero, more than 64
/// bits).
pub fn eval(op: ArithOp, a: u64, b: u64) -> Option<u64> {
    match op {
        ArithOp::And => Some(a & b),
        ArithOp::Or => Some(a | b),
        ArithOp::Add => a.checked_add(b),
        ArithOp::Sub => a.checked_sub(b),
        ArithOp::Mul => a.checked_mul(b),
        ArithOp::Div => a.checked_div(b),
        ArithOp::Rem => a.checked_rem(b),
    }
}

impl TagPart {
    /// The presence bits it needs.
    pub fn present(&self) -> u64 {
        match self.tags {
            Tags::Vlan => bit::VLAN,
            Tags::Mpls => bit::MPLS,
        }
    }

    /// The least valid value. The field after a VLAN tag is an 802.3 length up to 1500; then there
    /// is no `vlan.etype` (as in Wireshark).
    pub fn least(&self) -> u64 {
        if self.tags == Tags::Vlan && self.at == 2 { 1501 } else { 0 }
    }
}
