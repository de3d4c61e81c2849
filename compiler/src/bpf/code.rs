//! Instructions of classic BPF (Linux, Documentation/networking/filter.rst). A program is assembled
//! from its end to its beginning. The target of a jump therefore exists when the jump is made, and
//! its distance is known. A jump that is too far for its eight bits goes over an unconditional
//! jump. The invariant: every jump goes forward and lands in the program, and every path ends with
//! a return. (Rejected: labels and a pass that patches them.)

use std::fmt::{self, Write as _};

/// One instruction (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// The opcode: the constants of [`op`].
    pub code: u16,
    /// How many instructions a jump skips if its condition holds.
    pub jt: u8,
    /// How many instructions a jump skips if its condition does not hold.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// The opcodes used here (linux/bpf_common.h, linux/filter.h).
#[expect(missing_docs, reason = "each is the instruction of its name")]
pub mod op {
    pub const LD_ABS_WORD: u16 = 0x20;
    pub const LD_ABS_HALF: u16 = 0x28;
    pub const LD_ABS_BYTE: u16 = 0x30;
    pub const LD_LEN: u16 = 0x80;
    pub const ADD: u16 = 0x04;
    pub const ADD_X: u16 = 0x0c;
    pub const SUB: u16 = 0x14;
    pub const AND: u16 = 0x54;
    pub const RSH: u16 = 0x74;
    pub const MOD: u16 = 0x94;
    pub const XOR: u16 = 0xa4;
    pub const JA: u16 = 0x05;
    pub const JEQ: u16 = 0x15;
    pub const JGT: u16 = 0x25;
    pub const JGE: u16 = 0x35;
    pub const JSET: u16 = 0x45;
    pub const RET: u16 = 0x06;
    pub const TAX: u16 = 0x07;
}

/// Facts that the kernel knows of a packet besides its bytes, as load offsets (SKF_AD_OFF).
#[expect(missing_docs, reason = "each is the extension of its name in the kernel's page")]
pub mod meta {
    pub const TYPE: u32 = 0xffff_f004;
    pub const VLAN_TCI: u32 = 0xffff_f02c;
    pub const VLAN_AVAIL: u32 = 0xffff_f030;
    pub const VLAN_TPID: u32 = 0xffff_f03c;
}

/// A packet that this host sends to others (PACKET_OUTGOING): a value of [`meta::TYPE`].
pub(super) const OUTGOING: u32 = 4;

/// A place in the program: the number of instructions from this place to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program that grows at its beginning.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The last instruction comes first.
    reversed: Vec<Insn>,
}

impl Assembler {
    /// The label of the instruction that was added last.
    pub fn here(&self) -> Label {
        Label(self.reversed.len())
    }

    pub fn len(&self) -> usize {
        self.reversed.len()
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.reversed.push(Insn { code, jt, jf, k });
        self.here()
    }

    /// Ends the program: the filter keeps this many bytes of the packet.
    pub fn ret(&mut self, bytes: u32) -> Label {
        self.push(op::RET, 0, 0, bytes)
    }

    /// Adds an instruction before `next`, which need not be the instruction that was added last.
    pub fn op(&mut self, code: u16, k: u32, next: Label) -> Label {
        self.reach(next);
        self.push(code, 0, 0, k)
    }

    /// Jumps to one of two labels.
    pub fn jump(&mut self, code: u16, k: u32, holds: Label, fails: Label) -> Label {
        if holds == fails {
            return holds;
        }
        let mut to = [holds, fails];
        // An unconditional jump for one label moves the other label one instruction away.
        for _ in 0..2 {
            for label in &mut to {
                if self.reversed.len() - label.0 > usize::from(u8::MAX) {
                    *label = self.always(*label);
                }
            }
        }
        let [jt, jf] = to.map(|label| (self.reversed.len() - label.0) as u8);
        self.push(code, jt, jf, k)
    }

    /// Makes `next` the following instruction.
    fn reach(&mut self, next: Label) {
        if next != self.here() {
            self.always(next);
        }
    }

    fn always(&mut self, to: Label) -> Label {
        let distance = self.reversed.len() - to.0;
        self.push(op::JA, 0, 0, distance as u32)
    }

    /// The program from `start` on, in order.
    pub fn finish(mut self, start: Label) -> Vec<Insn> {
        self.reversed.truncate(start.0);
        self.reversed.reverse();
        self.reversed
    }
}

impl fmt::Display for Insn {
    /// In the form of `tcpdump -d`, without the instruction's number; jumps show how many
    /// instructions they skip.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text(*self, None).fmt(f)
    }
}

/// A program in the form of `tcpdump -d`.
pub(super) fn listing(code: &[Insn]) -> String {
    let mut out = String::new();
    for (at, insn) in code.iter().enumerate() {
        let _ = writeln!(out, "({at:03}) {}", text(*insn, Some(at)));
    }
    out
}

fn text(insn: Insn, at: Option<usize>) -> String {
    let k = insn.k;
    let place = |name: &str| match k {
        meta::TYPE => "ld       #type".to_owned(),
        meta::VLAN_TCI => "ld       #vlan_tci".to_owned(),
        meta::VLAN_AVAIL => "ld       #vlan_avail".to_owned(),
        meta::VLAN_TPID => "ld       #vlan_tpid".to_owned(),
        _ => format!("{name:<8} [{k}]"),
    };
    let target = |skipped: u32| match at {
        Some(at) => (at + 1 + skipped as usize).to_string(),
        None => format!("+{skipped}"),
    };
    let jump = |name: &str| {
        let operand = format!("#0x{k:x}");
        format!("{name:<8} {operand:<16} jt {}\tjf {}", target(insn.jt.into()), target(insn.jf.into()))
    };
    match insn.code {
        op::LD_ABS_WORD => place("ld"),
        op::LD_ABS_HALF => place("ldh"),
        op::LD_ABS_BYTE => place("ldb"),
        op::LD_LEN => "ld       #pktlen".to_owned(),
        op::ADD => format!("add      #{k}"),
        op::ADD_X => "add      x".to_owned(),
        op::SUB => format!("sub      #{k}"),
        op::AND => format!("and      #0x{k:x}"),
        op::RSH => format!("rsh      #{k}"),
        op::MOD => format!("mod      #0x{k:x}"),
        op::XOR => format!("xor      #0x{k:x}"),
        op::TAX => "tax".to_owned(),
        op::JA => format!("ja       {}", target(k)),
        op::JEQ => jump("jeq"),
        op::JGT => jump("jgt"),
        op::JGE => jump("jge"),
        op::JSET => jump("jset"),
        op::RET => format!("ret      #{k}"),
        code => format!(".code    0x{code:x} #0x{k:x}"),
    }
}
