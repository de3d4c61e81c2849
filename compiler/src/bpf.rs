//! A filter for the kernel: a program of classic BPF (SO_ATTACH_FILTER). It keeps every packet of
//! which a rule could want a copy, or which could change the state of a trigger or flow, and
//! returns how many of its bytes must be kept. It depends on the program alone, so changes of
//! params, tables and triggers need no new filter. The invariants: it returns 0 only if no engine
//! asks for a copy and nothing is counted, raised or tracked, whatever the environment. If it
//! returns fewer bytes than the packet has, decisions about this head equal decisions about the
//! whole packet, and no work on the packet was left to a network card: neither its checksum nor its
//! segmentation. A filter that is too long is widened, never refused. (Rejected: eBPF, which needs
//! privileges and depends on a verifier; libpcap's compiler, which knows neither our fields nor the
//! facts about all packets of a kind.)
//!
//! - `kind`: the packets that it knows, and the places of their numbers; `over`: conditions as
//!   formulas; `want`: which packets the program wants.
//! - `formula`: conditions of a filter; `code`: instructions.

mod code;
mod formula;
mod kind;
mod over;
mod want;

pub use code::{Insn, meta, op};
pub use want::LONGEST_HEAD;

use crate::abi::Link;
use crate::dissect::{SHIMS, TUNNEL_PORTS, TUNNELS};
use crate::hir::Program;
use code::{Assembler, Label, OUTGOING};
use formula::{Formula, NO, Word, YES, load};
use kind::{Carried, Kind, LEAST, NETS, Net};
use want::{Reach, Want, Wants};

/// The default greatest number of instructions. A packet executes far fewer, but the kernel's
/// memory for filters (`net.core.optmem_max`) may be small.
pub const MOST: usize = 1024;

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    code: Vec<Insn>,
}

/// The return value that keeps a packet whole.
const WHOLE: u32 = u32::MAX;

/// Bounds of formulas, tried in turn: alternatives of an `or`, ranges of a set.
const LEVELS: [(usize, usize); 6] = [(48, 512), (24, 128), (12, 32), (6, 8), (3, 3), (1, 1)];

/// Makes the filter of a program for packets of this link layer that enter an interface, in at most
/// `most` instructions. If even the widest formulas do not fit, the filter keeps every packet that
/// enters.
pub fn compile(program: &Program, link: Link, most: usize) -> Filter {
    let wants = Wants::of(program);
    if wants.nothing() {
        return Filter { code: vec![Insn { code: op::RET, jt: 0, jf: 0, k: 0 }] };
    }
    if link != Link::Ethernet {
        return Filter::everything();
    }
    let plans: Vec<Plan> = [false, true]
        .into_iter()
        .flat_map(|tagged| NETS.map(|net| Plan::of(&wants, Kind { net, tagged, sound: true })))
        .collect();
    for (width, ranges) in LEVELS {
        let plans = plans.iter().map(|plan| plan.coarsen(width, ranges)).collect();
        let mut writer =
            Writer { code: Assembler::default(), plans, most, tunnels: wants.tunnels, head: wants.head() };
        let start = writer.all();
        if writer.code.len() <= most {
            return Filter { code: writer.code.finish(start) };
        }
    }
    Filter::everything()
}

impl Filter {
    /// The filter that keeps every packet that enters.
    pub fn everything() -> Filter {
        let mut code = Assembler::default();
        let drop = code.ret(0);
        let whole = code.ret(WHOLE);
        let start = enters(&mut code, whole, drop);
        Filter { code: code.finish(start) }
    }

    /// Its instructions.
    pub fn code(&self) -> &[Insn] {
        &self.code
    }

    /// Whether it keeps every packet that enters, with all its bytes.
    pub fn is_everything(&self) -> bool {
        *self == Filter::everything()
    }

    /// In the form of `tcpdump -d`.
    pub fn listing(&self) -> String {
        code::listing(&self.code)
    }
}

/// Continues only with packets that enter: a tap does not see what the host sends.
fn enters(code: &mut Assembler, next: Label, drop: Label) -> Label {
    let is = code.jump(op::JEQ, OUTGOING, drop, next);
    code.op(op::LD_ABS_WORD, meta::TYPE, is)
}

/// The formulas for the packets of a kind.
#[derive(Debug, Clone)]
struct Plan {
    kind: Kind,
    /// No such packet is wanted, not even one with inconsistent headers.
    unwanted: bool,
    /// The formulas are only valid for consistent headers.
    believed: bool,
    /// If this holds, all bytes are needed.
    whole: Formula,
    /// If this holds, the head is enough,
    head: Formula,
    /// unless this holds.
    but: Formula,
}

impl Plan {
    fn of(wants: &Wants<'_>, kind: Kind) -> Plan {
        let tracked = Formula::Const(wants.flows && kind.carried().is_some());
        let asked = |kind: Kind, wants: &[Want<'_>], whole: bool| {
            let these = wants.iter().filter(move |want| (want.reach.of(kind) == Reach::Whole) == whole);
            let one =
                |want: &Want<'_>| Formula::and(want.when.iter().map(|pred| over::over(kind, pred, true)));
            Formula::or(these.map(one).collect::<Vec<_>>())
        };
        let [all, some] = [true, false].map(|whole| asked(kind, &wants.own, whole));
        let lying = Kind { sound: false, ..kind };
        let lies = [true, false].map(|whole| asked(lying, &wants.own, whole));
        let unwanted = tracked == NO && lies == [NO, NO];
        let limits = |kind| if some == NO { NO } else { asked(kind, &wants.limits, true) };
        let but = limits(kind);
        let believed = [&lies[0], &lies[1], &limits(lying)] != [&all, &some, &but];
        let whole = Formula::or([tracked, all]);
        let head = if whole == YES { NO } else { some };
        Plan { kind, unwanted, believed, whole, head, but }
    }

    fn coarsen(&self, width: usize, ranges: usize) -> Plan {
        let [whole, head, but] =
            [&self.whole, &self.head, &self.but].map(|formula| formula.clone().coarsen(width, ranges));
        Plan { whole, head, but, ..*self }
    }
}

struct Writer {
    code: Assembler,
    plans: Vec<Plan>,
    most: usize,
    tunnels: bool,
    head: u32,
}

/// The ends of a filter.
#[derive(Debug, Clone, Copy)]
struct Ends {
    whole: Label,
    head: Label,
    drop: Label,
}

/// Ethernet types (IANA).
mod types {
    pub const IP4: u32 = 0x0800;
    pub const IP6: u32 = 0x86dd;
    pub const ARP: [u32; 2] = [0x0806, 0x8035];
    pub const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
    /// Numbers below this are lengths.
    pub const LEAST: u32 = 0x0600;
}

/// Protocols whose header is followed by another header, or whose content is a packet (IANA).
const LEADING_ON: [u32; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

impl Writer {
    fn all(&mut self) -> Label {
        let drop = self.code.ret(0);
        let heads = self.plans.iter().any(|plan| plan.head != NO);
        let head = if heads { self.code.ret(self.head) } else { drop };
        let whole = self.code.ret(WHOLE);
        let ends = Ends { whole, head, drop };
        let tagged = self.by_type(true, whole, ends);
        let start = self.by_type(false, tagged, ends);
        let long = self.code.jump(op::JGE, LEAST, start, whole);
        let start = if long == whole { whole } else { self.code.op(op::LD_LEN, 0, long) };
        enters(&mut self.code, start, drop)
    }

    /// Branches by the type of Ethernet, or by the type after a tag.
    fn by_type(&mut self, tagged: bool, behind_tag: Label, ends: Ends) -> Label {
        let kind = |net| Kind { net, tagged, sound: true };
        let other = self.kind(kind(Net::Other), ends);
        let arp = self.kind(kind(Net::Arp), ends);
        let ip6 = self.ip(tagged, true, ends);
        let ip4 = self.ip(tagged, false, ends);
        let mut next = self.code.jump(op::JGE, types::LEAST, other, ends.whole);
        next = self.among(SHIMS.iter().copied(), ends.whole, next);
        next = self.among(types::TAGS, behind_tag, next);
        next = self.among(types::ARP, arp, next);
        next = self.code.jump(op::JEQ, types::IP6, ip6, next);
        next = self.code.jump(op::JEQ, types::IP4, ip4, next);
        if next == ends.whole {
            return next;
        }
        self.code.op(op::LD_ABS_HALF, if tagged { 16 } else { 12 }, next)
    }

    /// Branches by whether the accumulator is one of these values.
    fn among(&mut self, values: impl IntoIterator<Item = impl Into<u32>>, is: Label, not: Label) -> Label {
        values.into_iter().fold(not, |next, value| self.code.jump(op::JEQ, value.into(), is, next))
    }

    /// IPv4 without options, IPv6 without extension headers; no fragments.
    fn ip(&mut self, tagged: bool, six: bool, ends: Ends) -> Label {
        let kind = |carried| {
            let net = if six { Net::Ip6(carried) } else { Net::Ip4(carried) };
            Kind { net, tagged, sound: true }
        };
        let rest = self.kind(kind(Carried::Rest), ends);
        let udp = self.kind(kind(Carried::Udp), ends);
        let tcp = self.kind(kind(Carried::Tcp), ends);
        let mut next = self.among(LEADING_ON, ends.whole, rest);
        if self.tunnels {
            next = self.among(TUNNELS.iter().copied(), ends.whole, next);
        }
        next = self.code.jump(op::JEQ, 17, udp, next);
        next = self.code.jump(op::JEQ, 6, tcp, next);
        let kind = kind(Carried::Rest);
        if next == ends.whole {
            return next;
        }
        if let Some(word) = kind.protocol() {
            next = load(&mut self.code, word, next);
        }
        let byte = |at, shift, mask| Word { at: kind.l3() + at, width: 1, shift, mask };
        if six {
            next = self.long_enough(kind.l4() + 4, next, ends);
            let version = self.code.jump(op::JEQ, 6, next, ends.whole);
            return load(&mut self.code, byte(0, 4, 0xf), version);
        }
        let fragment = self.code.jump(op::JSET, 0x3fff, ends.whole, next);
        next = self.code.op(op::LD_ABS_HALF, kind.l3() + 6, fragment);
        let plain = self.code.jump(op::JEQ, 0x45, next, ends.whole);
        load(&mut self.code, byte(0, 0, 0xff), plain)
    }

    fn long_enough(&mut self, bytes: u32, next: Label, ends: Ends) -> Label {
        if bytes <= LEAST || next == ends.whole {
            return next;
        }
        let long = self.code.jump(op::JGE, bytes, next, ends.whole);
        self.code.op(op::LD_LEN, 0, long)
    }

    /// A packet of this kind. Its transport header may be inconsistent.
    fn kind(&mut self, kind: Kind, ends: Ends) -> Label {
        let Some(plan) = self.plans.iter().find(|plan| plan.kind == kind).cloned() else { return ends.whole };
        if plan.unwanted && !(self.tunnels && kind.carried() == Some(Carried::Udp)) {
            return ends.drop;
        }
        let mut next = if plan.head == NO { ends.drop } else { self.head(kind, ends) };
        // A packet that is dropped should be dropped early.
        if plan.believed {
            next = self.asked(&plan, next, ends);
            next = self.sound(kind, next, ends);
        } else {
            next = self.sound(kind, next, ends);
            next = self.asked(&plan, next, ends);
        }
        self.outside(kind, next, ends)
    }

    fn asked(&mut self, plan: &Plan, head: Label, ends: Ends) -> Label {
        let head = plan.but.ask(&mut self.code, self.most, ends.whole, head);
        let head = plan.head.ask(&mut self.code, self.most, head, ends.drop);
        plan.whole.ask(&mut self.code, self.most, ends.whole, head)
    }

    /// Continues only if the packet is not in a tunnel that is read.
    fn outside(&mut self, kind: Kind, next: Label, ends: Ends) -> Label {
        if !self.tunnels || kind.carried() != Some(Carried::Udp) || next == ends.whole {
            return next;
        }
        [2, 0].into_iter().fold(next, |next, at| {
            let port = self.among(TUNNEL_PORTS.iter().copied(), ends.whole, next);
            self.code.op(op::LD_ABS_HALF, kind.l4() + at, port)
        })
    }

    /// Continues only if the headers are consistent.
    fn sound(&mut self, kind: Kind, mut next: Label, ends: Ends) -> Label {
        let Some(carried) = kind.carried() else { return next };
        if next == ends.whole || next == ends.drop {
            return next;
        }
        let l4 = kind.l4();
        let header = match carried {
            Carried::Tcp => 20,
            Carried::Udp => 8,
            Carried::Rest => 0,
        };
        if carried == Carried::Tcp {
            let offset = self.code.jump(op::JGE, 0x50, next, ends.whole);
            next = self.code.op(op::LD_ABS_BYTE, l4 + 12, offset);
        }
        if header > 0 {
            next = self.long_enough(l4 + header, next, ends);
        }
        let (at, least) = if matches!(kind.net, Net::Ip6(_)) { (4, header) } else { (2, 20 + header) };
        if least == 0 {
            return next;
        }
        let declared = self.code.jump(op::JGE, least, next, ends.whole);
        self.code.op(op::LD_ABS_HALF, kind.l3() + at, declared)
    }

    /// The head is enough, unless the packet's checksum is incomplete. An incomplete checksum is
    /// the sum of the pseudo-header, and such a packet may be several packets in one.
    fn head(&mut self, kind: Kind, ends: Ends) -> Label {
        let (Some(carried @ (Carried::Tcp | Carried::Udp)), l3) = (kind.carried(), kind.l3()) else {
            return ends.head;
        };
        let (protocol, sum) = if carried == Carried::Tcp { (6, 16) } else { (17, 6) };
        let code = &mut self.code;
        // Two sums of ones' complement are equal if their difference is a multiple of 65535.
        let mut next = code.jump(op::JEQ, 0, ends.whole, ends.head);
        next = code.op(op::MOD, 0xffff, next);
        next = code.op(op::ADD_X, 0, next);
        next = code.op(op::XOR, 0xffff, next);
        next = code.op(op::LD_ABS_HALF, kind.l4() + sum, next);
        next = code.op(op::TAX, 0, next);
        next = code.op(op::ADD, protocol, next);
        next = code.op(op::ADD_X, 0, next);
        let (length, addresses) = match kind.net {
            Net::Ip6(_) => (l3 + 4, l3 + 8..l3 + 40),
            _ => {
                next = code.op(op::SUB, 20, next);
                (l3 + 2, l3 + 12..l3 + 20)
            }
        };
        next = code.op(op::LD_ABS_HALF, length, next);
        for at in addresses.clone().step_by(2).rev() {
            next = code.op(op::TAX, 0, next);
            if at > addresses.start {
                next = code.op(op::ADD_X, 0, next);
            }
            next = code.op(op::LD_ABS_HALF, at, next);
        }
        let long = code.jump(op::JGT, self.head, next, ends.whole);
        code.op(op::LD_LEN, 0, long)
    }
}
