//! Which worker gets a packet: a classic BPF program that the kernel runs for each packet of a port
//! (PACKET_FANOUT_CBPF, packet(7)). Its result modulo the number of workers is the worker. The
//! kernel's own hash (PACKET_FANOUT_HASH) looks into tunnels and hashes ports where a packet has
//! them. So the fragments of a datagram and the two directions of a tunnel go to different workers.
//! Invariants: two packets of one flow (`flow/key.rs`) get the same result, whatever their
//! direction, tags and fragments. All ports and policies of a run have one program. Each process
//! has its own seed, so an outsider cannot choose addresses that all go to one worker.
//!
//! With [`Spread::Addresses`], the result depends only on the outermost IP addresses, or on the
//! Ethernet addresses where the program finds no IP. [`Spread::Ports`] adds the ports of whole TCP,
//! UDP and SCTP packets. (Rejected: eBPF, which needs another system call and privilege. Rejected:
//! passing packets from worker to worker, which loses their order. Rejected: ports in general; a
//! program without memory does not know the ports of a later fragment.)

use super::Live;
use crate::error::Error;
use mrule_compiler::abi::Link;
use mrule_compiler::bpf::Insn;
use mrule_engine::policy::Policy;
use std::sync::Arc;

/// The header fields by which packets are spread over workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spread {
    /// Addresses while a policy tracks flows; otherwise ports, too.
    #[default]
    Auto,
    /// The outermost IP addresses: all packets of a flow reach one worker, with fragments and
    /// tunnels.
    Addresses,
    /// The ports of TCP, UDP and SCTP, too: a few pairs of hosts spread over the workers, and a
    /// fragment may miss its flow.
    Ports,
}

impl Spread {
    /// Whether packets are spread by ports, too, while these policies decide.
    pub(super) fn by_ports<'p>(self, mut policies: impl Iterator<Item = &'p Policy>) -> bool {
        match self {
            Spread::Auto => policies.all(|policy| !policy.program().uses().flows),
            Spread::Addresses => false,
            Spread::Ports => true,
        }
    }
}

/// The parameters of a run's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spreading {
    spread: Spread,
    by_ports: bool,
    seed: u64,
}

impl Spreading {
    /// The parameters of a run that begins with these policies.
    pub fn new(spread: Spread, policies: &[(String, Arc<Policy>)]) -> Spreading {
        let by_ports = spread.by_ports(policies.iter().map(|(_, policy)| &**policy));
        Spreading { spread, by_ports, seed: seed() }
    }

    /// The program for ports with this link.
    pub fn program(self, link: Link) -> Vec<Insn> {
        program(link, self.by_ports, self.seed)
    }
}

impl Live {
    /// Spreads packets as these policies need it. Call it before workers take a policy that tracks
    /// flows, so that all packets of a flow reach one worker from the policy's first packet on.
    pub(super) fn spread_for<'p>(&mut self, policies: impl Iterator<Item = &'p Policy>) -> Result<(), Error> {
        let now = self.prefilter.spreading();
        let by_ports = now.spread.by_ports(policies);
        if by_ports == now.by_ports {
            return Ok(());
        }
        let set = self.prefilter.spread(Spreading { by_ports, ..now });
        set.map_err(super::open::failed("changing how packets are spread over workers"))
    }
}

/// Number of link headers (tags, label stacks, sessions) that are read before IP, and number of
/// labels in a stack.
const HEADERS: usize = 4;
const LABELS: usize = 6;

// Codes of classic BPF (linux/bpf_common.h).
const LD_IMM: u16 = 0x00;
const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_W_X: u16 = 0x40;
const LD_H_X: u16 = 0x48;
const LD_B_X: u16 = 0x50;
const LD_MEM: u16 = 0x60;
const LDX_MEM: u16 = 0x61;
const LDX_IMM: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const MUL: u16 = 0x24;
const AND: u16 = 0x54;
const LSH: u16 = 0x64;
const RSH: u16 = 0x74;
const XOR_X: u16 = 0xac;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JSET: u16 = 0x45;
const RET_A: u16 = 0x16;

/// The kernel's Ethernet type of the packet, behind a tag that the kernel took out
/// (SKF_AD_PROTOCOL).
const PROTOCOL: u32 = 0xffff_f000;
/// From here on, offsets count from the Ethernet header (SKF_LL_OFF).
const LINK: u32 = 0xffe0_0000;

/// Words of the program's memory: where the network packet begins, a word under construction, the
/// result so far.
const AT: u32 = 0;
const WORD: u32 = 1;
const SUM: u32 = 2;

/// A place in the program that becomes known later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// Assembles a program from its beginning. Far jumps are `ja`, whose distance has 32 bits.
#[derive(Default)]
struct Assembler {
    code: Vec<Insn>,
    places: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    fn here(&mut self, label: Label) {
        if let Some(place) = self.places.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    fn put(&mut self, code: u16, k: u32) {
        self.code.push(Insn { code, jt: 0, jf: 0, k });
    }

    fn goto(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.put(JA, 0);
    }

    /// Jumps to `label` if the test of the accumulator holds.
    fn goto_if(&mut self, test: u16, k: u32, label: Label) {
        self.code.push(Insn { code: test, jt: 0, jf: 1, k });
        self.goto(label);
    }

    /// Jumps to `label` if the test does not hold.
    fn goto_unless(&mut self, test: u16, k: u32, label: Label) {
        self.code.push(Insn { code: test, jt: 1, jf: 0, k });
        self.goto(label);
    }

    fn finish(mut self) -> Vec<Insn> {
        for (at, label) in self.jumps {
            let to = self.places.get(label.0).copied().flatten().unwrap_or(at + 1);
            if let Some(insn) = self.code.get_mut(at) {
                insn.k = (to - at - 1) as u32;
            }
        }
        self.code
    }

    /// Advances the index.
    fn advance(&mut self, bytes: u32) {
        self.put(TXA, 0);
        self.put(ADD, bytes);
        self.put(TAX, 0);
    }

    /// Loads a value at an offset from the index, and advances the index.
    fn pass(&mut self, load: u16, at: u32, bytes: u32) {
        self.put(load, at);
        self.put(ST, WORD);
        self.advance(bytes);
        self.put(LD_MEM, WORD);
    }

    /// Combines the accumulator and [`WORD`] to one word; other words may follow.
    fn chain(&mut self, multiplier: u32, first: bool) {
        if !first {
            self.put(LDX_MEM, WORD);
            self.put(ADD_X, 0);
        }
        self.put(MUL, multiplier);
        self.put(ST, WORD);
        self.put(LDX_MEM, AT);
    }

    /// Mixes the accumulator and adds it to the result. The order of the ends does not matter.
    fn add_mixed(&mut self, multiplier: u32) {
        self.put(MUL, multiplier);
        self.put(TAX, 0);
        self.put(RSH, 15);
        self.put(XOR_X, 0);
        self.put(MUL, multiplier.rotate_left(16) | 1);
        self.put(LDX_MEM, SUM);
        self.put(ADD_X, 0);
        self.put(ST, SUM);
        self.put(LDX_MEM, AT);
    }

    /// Mixes the result and returns it. The kernel takes it modulo the number of workers.
    fn ret(&mut self) {
        self.put(LD_MEM, SUM);
        self.put(TAX, 0);
        self.put(RSH, 16);
        self.put(XOR_X, 0);
        self.put(MUL, 0x7feb_352d);
        self.put(TAX, 0);
        self.put(RSH, 15);
        self.put(XOR_X, 0);
        self.put(RET_A, 0);
    }
}

/// The seed of this process.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// The program for ports with this link. A load past the end of a packet ends the program with 0:
/// such a packet belongs to no flow.
fn program(link: Link, by_ports: bool, seed: u64) -> Vec<Insn> {
    let multiplier = seed as u32 | 1;
    let chained = (seed >> 32) as u32 | 1;
    let mut a = Assembler::default();
    let [ip, other] = [(); 2].map(|()| a.label());
    a.put(LDX_IMM, 0);
    a.put(STX, SUM);
    a.put(STX, AT);
    if link == Link::Ethernet {
        a.put(LD_W_ABS, PROTOCOL);
        for _ in 0..HEADERS {
            header(&mut a, ip, other);
        }
        a.goto_if(JEQ, 0x0800, ip);
        a.goto_if(JEQ, 0x86dd, ip);
        a.goto(other);
    }
    a.here(ip);
    a.put(STX, AT);
    internet(&mut a, other, by_ports, multiplier, chained);
    a.here(other);
    if link == Link::Ethernet {
        for address in [0, 6] {
            a.put(LD_W_ABS, LINK + address);
            a.chain(chained, true);
            a.put(LD_H_ABS, LINK + address + 4);
            a.put(LDX_MEM, WORD);
            a.put(ADD_X, 0);
            a.add_mixed(multiplier);
        }
    }
    a.ret();
    a.finish()
}

/// Reads one header before IP; the accumulator has its type. Afterwards the accumulator has the
/// type of what follows, and the index its place.
fn header(a: &mut Assembler, ip: Label, other: Label) {
    let [tag, labels, session, next] = [(); 4].map(|()| a.label());
    for kind in [0x0800, 0x86dd] {
        a.goto_if(JEQ, kind, ip);
    }
    for kind in [0x8100, 0x88a8, 0x9100] {
        a.goto_if(JEQ, kind, tag);
    }
    for kind in [0x8847, 0x8848] {
        a.goto_if(JEQ, kind, labels);
    }
    a.goto_if(JEQ, 0x8864, session);
    a.goto_if(JGT, 1500, other);
    // A length, or the kernel's value for it: LLC, perhaps SNAP.
    let snap = a.label();
    a.put(LD_H_X, 0);
    a.goto_if(JEQ, 0xaaaa, snap);
    a.put(RSH, 8);
    a.goto_unless(JEQ, 0x06, other);
    a.put(LD_B_X, 2);
    a.goto_unless(JEQ, 3, other);
    a.advance(3);
    a.goto(ip);
    a.here(snap);
    a.pass(LD_H_X, 6, 8);
    a.goto(next);
    a.here(tag);
    a.pass(LD_H_X, 2, 4);
    a.goto(next);
    a.here(labels);
    for _ in 0..LABELS {
        a.pass(LD_B_X, 2, 4);
        a.goto_if(JSET, 1, ip);
    }
    a.goto(other);
    a.here(session);
    let [long, labelled, plain] = [(); 3].map(|()| a.label());
    a.put(LD_B_X, 6);
    a.goto_unless(JSET, 1, long);
    a.goto_if(JEQ, 0x21, plain);
    a.goto_unless(JEQ, 0x57, other);
    a.here(plain);
    a.advance(7);
    a.goto(ip);
    a.here(long);
    a.pass(LD_H_X, 6, 8);
    a.goto_if(JEQ, 0x0021, ip);
    a.goto_if(JEQ, 0x0057, ip);
    a.goto_if(JEQ, 0x0281, labelled);
    a.goto_unless(JEQ, 0x0283, other);
    a.here(labelled);
    a.put(LD_IMM, 0x8847);
    a.here(next);
}

/// Reads the network packet at the index: its version, then its addresses.
fn internet(a: &mut Assembler, other: Label, by_ports: bool, multiplier: u32, chained: u32) {
    let [four, six, done] = [(); 3].map(|()| a.label());
    a.put(LD_B_X, 0);
    a.put(RSH, 4);
    a.goto_if(JEQ, 4, four);
    a.goto_if(JEQ, 6, six);
    a.goto(other);

    a.here(four);
    for address in [12, 16] {
        a.put(LD_W_X, address);
        a.add_mixed(multiplier);
    }
    if by_ports {
        let carried = a.label();
        a.put(LD_H_X, 6);
        a.goto_if(JSET, 0x3fff, done);
        a.put(LD_B_X, 9);
        with_ports(a, carried);
        a.goto(done);
        a.here(carried);
        a.put(LD_B_X, 0);
        a.put(AND, 0xf);
        a.put(LSH, 2);
        a.put(ADD_X, 0);
        a.put(TAX, 0);
        ports(a, multiplier);
    }
    a.goto(done);

    a.here(six);
    for address in [8, 24] {
        for word in 0..3 {
            a.put(LD_W_X, address + 4 * word);
            a.chain(chained, word == 0);
        }
        a.put(LD_W_X, address + 12);
        a.put(LDX_MEM, WORD);
        a.put(ADD_X, 0);
        a.add_mixed(multiplier);
    }
    if by_ports {
        let carried = a.label();
        a.put(LD_B_X, 6);
        with_ports(a, carried);
        a.goto(done);
        a.here(carried);
        a.advance(40);
        ports(a, multiplier);
    }
    a.here(done);
    a.ret();
}

/// Jumps to `carried` if packets of the protocol in the accumulator begin with ports.
fn with_ports(a: &mut Assembler, carried: Label) {
    for protocol in [6, 17, 132] {
        a.goto_if(JEQ, protocol, carried);
    }
}

/// Adds the ports at the index.
fn ports(a: &mut Assembler, multiplier: u32) {
    a.put(STX, AT);
    for port in [0, 2] {
        a.put(LD_H_X, port);
        a.add_mixed(multiplier);
    }
}

#[cfg(test)]
#[path = "spread/tests.rs"]
mod tests;
