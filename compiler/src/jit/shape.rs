//! Dissection inside generated code. The code recognises the common shapes with a few loads:
//! Ethernet, at most two VLAN tags, IPv4 without options or IPv6 without extension headers,
//! unfragmented, TCP or UDP, nothing cut, consistent lengths. Every other packet goes to the
//! dissector. Both paths end in one block whose parameters are exactly the facts that the program
//! reads. The invariant: on a fast shape each fact has the dissector's value. (Rejected: always
//! calling the dissector, which costs several times as much as a small program.)

use super::emit::Emit;
use super::needs::Needs;
use crate::abi::{Link, bit, offset};
use crate::dissect::TUNNEL_PORTS;
use crate::fields::{Layer, Slot};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Value};

/// A fact about a packet that a program can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// The presence bits of a layer.
    Bits(Layer),
    /// A slot of a layer.
    Slot(Layer, Slot),
}

/// The facts of the current packet.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    list: Vec<(Fact, Value)>,
}

impl Facts {
    pub fn get(&self, fact: Fact) -> Option<Value> {
        self.list.iter().find(|(f, _)| *f == fact).map(|(_, value)| *value)
    }
}

/// What is known of a packet with a fast shape.
struct Shape {
    /// 6 or 17.
    proto: u8,
    /// 4 or 6.
    version: u8,
    l3: Value,
    l3_end: Value,
    link_bits: Value,
    vlans: Value,
    slow: Block,
}

impl Emit<'_> {
    /// Reads the facts from the heads of the call. A program that reads flows gets heads: flow
    /// tracking has dissected the packets.
    pub fn recall(&mut self, needs: &Needs) {
        let flags = self.state_flags();
        let heads = self.b.ins().load(I64, flags, self.context, offset::CONTEXT_HEADS);
        let at = self.b.ins().imul_imm_s(self.index, offset::HEAD_SIZE);
        let head = self.b.ins().iadd(heads, at);
        let list = needs.facts.iter().map(|&fact| (fact, self.fact_at(fact, head, 0))).collect();
        self.facts = Facts { list };
    }

    /// Determines the facts that the program reads of the packet. Continues in a block where
    /// `facts` are known.
    pub fn dissect(&mut self, needs: &Needs) {
        if needs.facts.is_empty() {
            return;
        }
        let (slow, join) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(slow);
        let list: Vec<(Fact, Value)> =
            needs.facts.iter().map(|&f| (f, self.b.append_block_param(join, I64))).collect();
        self.fast(needs, slow, join);
        self.enter(slow);
        self.call(self.helpers.dissect, &[self.context, self.packet, self.serial]);
        let values: Vec<Value> = needs.facts.iter().map(|&f| self.found(f)).collect();
        self.jump_with(join, &values);
        self.enter(join);
        self.facts = Facts { list };
    }

    fn jump_with(&mut self, block: Block, values: &[Value]) {
        let arguments: Vec<BlockArg> = values.iter().map(|&v| v.into()).collect();
        self.b.ins().jump(block, &arguments);
    }

    /// A fact in the dissector's result.
    fn found(&mut self, fact: Fact) -> Value {
        self.fact_at(fact, self.context, offset::CONTEXT_HEAD)
    }

    /// A fact of the head that begins `start` bytes after `base`.
    fn fact_at(&mut self, fact: Fact, base: Value, start: i32) -> Value {
        let flags = self.state_flags();
        let at = |layer| start + if layer == Layer::Inner { offset::HEAD_INNER } else { 0 };
        match fact {
            Fact::Bits(layer) => self.b.ins().load(I64, flags, base, at(layer) + offset::STACK_BITS),
            Fact::Slot(layer, slot) => {
                let value = self.b.ins().load(I32, flags, base, at(layer) + slot.offset());
                self.b.ins().uextend(I64, value)
            }
        }
    }

    /// Continues in a new block if the condition holds, else jumps to `other`.
    fn require(&mut self, condition: Value, other: Block) {
        let next = self.b.create_block();
        self.branch(condition, next, other);
        self.enter(next);
    }

    fn fast(&mut self, needs: &Needs, slow: Block, join: Block) {
        let flags = self.state_flags();
        let link = self.b.ins().load(I32, flags, self.packet, offset::PACKET_LINK);
        let ethernet = self.b.ins().icmp_imm_s(IntCC::Equal, link, i64::from(Link::Ethernet as u32));
        self.require(ethernet, slow);
        // Ethernet, IPv4 and TCP headers: shorter frames are rare and go to the dissector.
        let long = self.b.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, self.cap_len, 54);
        self.require(long, slow);
        let (ip, v4) = (self.b.create_block(), self.b.create_block());
        let carrier: Vec<Value> = (0..4).map(|_| self.b.append_block_param(ip, I64)).collect();
        let etype = self.load(self.data, 12, 2);
        let (plain, bits) = (self.constant(14), self.constant(bit::ETH | bit::ETH_TYPE));
        let none = self.constant(0);
        let (tagged, single, double) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let untagged = self.b.create_block();
        let is_tagged = self.b.ins().icmp_imm_s(IntCC::Equal, etype, 0x8100);
        let is_service = self.b.ins().icmp_imm_s(IntCC::Equal, etype, 0x88a8);
        let is_tagged = self.b.ins().bor(is_tagged, is_service);
        self.branch(is_tagged, tagged, untagged);
        self.enter(untagged);
        self.jump_with(ip, &[etype, plain, bits, none]);
        self.enter(tagged);
        let long = self.b.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, self.cap_len, 62);
        self.require(long, slow);
        let etype = self.load(self.data, 16, 2);
        let bits = self.constant(bit::ETH | bit::ETH_TYPE | bit::VLAN | bit::VLAN_ETYPE);
        let again = self.b.ins().icmp_imm_s(IntCC::Equal, etype, 0x8100);
        self.branch(again, double, single);
        self.enter(single);
        let (l3, one) = (self.constant(18), self.constant(1));
        self.jump_with(ip, &[etype, l3, bits, one]);
        self.enter(double);
        let etype = self.load(self.data, 20, 2);
        let (l3, two) = (self.constant(22), self.constant(2));
        self.jump_with(ip, &[etype, l3, bits, two]);

        self.enter(ip);
        let &[etype, l3, link_bits, vlans] = carrier.as_slice() else { return };
        let other = self.b.create_block();
        let is_v4 = self.b.ins().icmp_imm_s(IntCC::Equal, etype, 0x0800);
        self.branch(is_v4, v4, other);
        self.enter(v4);
        self.fast_v4(needs, (l3, link_bits, vlans), slow, join);
        self.enter(other);
        let is_v6 = self.b.ins().icmp_imm_s(IntCC::Equal, etype, 0x86dd);
        self.require(is_v6, slow);
        self.fast_v6(needs, (l3, link_bits, vlans), slow, join);
    }

    fn fast_v4(
        &mut self,
        needs: &Needs,
        (l3, link_bits, vlans): (Value, Value, Value),
        slow: Block,
        join: Block,
    ) {
        let base = self.b.ins().iadd(self.data, l3);
        let first = self.load(base, 0, 1);
        let plain = self.b.ins().icmp_imm_s(IntCC::Equal, first, 0x45);
        self.require(plain, slow);
        let fragment = self.load(base, 6, 2);
        let fragment = self.b.ins().band_imm_s(fragment, 0x3fff);
        let whole = self.b.ins().icmp_imm_s(IntCC::Equal, fragment, 0);
        self.require(whole, slow);
        let total = self.load(base, 2, 2);
        let proto = self.load(base, 9, 1);
        let (l3_end, udp) = (self.l3_end(l3, total), self.b.create_block());
        let shape = |proto| Shape { proto, version: 4, l3, l3_end, link_bits, vlans, slow };
        let is_tcp = self.b.ins().icmp_imm_s(IntCC::Equal, proto, 6);
        self.require(is_tcp, udp);
        let long = self.b.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, total, 40);
        self.require(long, slow);
        self.fast_transport(needs, &shape(6), join);
        self.enter(udp);
        let is_udp = self.b.ins().icmp_imm_s(IntCC::Equal, proto, 17);
        self.require(is_udp, slow);
        let long = self.b.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, total, 28);
        self.require(long, slow);
        self.fast_transport(needs, &shape(17), join);
    }

    fn fast_v6(
        &mut self,
        needs: &Needs,
        (l3, link_bits, vlans): (Value, Value, Value),
        slow: Block,
        join: Block,
    ) {
        // 40 bytes of IPv6 and 20 of TCP.
        let need = self.b.ins().iadd_imm_s(l3, 60);
        let long = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, self.cap_len, need);
        self.require(long, slow);
        let base = self.b.ins().iadd(self.data, l3);
        let first = self.load(base, 0, 1);
        let version = self.b.ins().ushr_imm_s(first, 4);
        let is_v6 = self.b.ins().icmp_imm_s(IntCC::Equal, version, 6);
        self.require(is_v6, slow);
        let length = self.load(base, 4, 2);
        let total = self.b.ins().iadd_imm_s(length, 40);
        let proto = self.load(base, 6, 1);
        let (l3_end, udp) = (self.l3_end(l3, total), self.b.create_block());
        let shape = |proto| Shape { proto, version: 6, l3, l3_end, link_bits, vlans, slow };
        let is_tcp = self.b.ins().icmp_imm_s(IntCC::Equal, proto, 6);
        self.require(is_tcp, udp);
        let long = self.b.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, length, 20);
        self.require(long, slow);
        self.fast_transport(needs, &shape(6), join);
        self.enter(udp);
        let is_udp = self.b.ins().icmp_imm_s(IntCC::Equal, proto, 17);
        self.require(is_udp, slow);
        let long = self.b.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, length, 8);
        self.require(long, slow);
        self.fast_transport(needs, &shape(17), join);
    }

    fn l3_end(&mut self, l3: Value, total: Value) -> Value {
        let end = self.b.ins().iadd(l3, total);
        self.b.ins().umin(end, self.cap_len)
    }

    fn fast_transport(&mut self, needs: &Needs, shape: &Shape, join: Block) {
        let l4 = self.b.ins().iadd_imm_s(shape.l3, if shape.version == 4 { 20 } else { 40 });
        let at = self.b.ins().iadd(self.data, l4);
        let mut bits = bit::NET | bit::PORTS;
        bits |= match shape.version {
            4 => bit::IP | bit::IP_VERSION | bit::IP_IHL | bit::IP_LEN | bit::IP_HDR,
            _ => bit::IP6 | bit::IP_VERSION | bit::IP6_HDR,
        };
        let mut payload = l4;
        if shape.proto == 6 {
            bits |= bit::TCP | bit::TCP_PORTS;
            if needs.transport() {
                bits |= bit::TCP_SEQ | bit::TCP_FLAGS | bit::TCP_HDR | bit::TCP_LEN;
                let offset = self.load(at, 12, 1);
                let quarter = self.b.ins().ushr_imm_s(offset, 2);
                let length = self.b.ins().band_imm_s(quarter, 0x3c);
                let sound = self.b.ins().icmp_imm_s(IntCC::UnsignedGreaterThanOrEqual, length, 20);
                self.require(sound, shape.slow);
                payload = self.b.ins().iadd(l4, length);
            }
        } else {
            bits |= bit::UDP | bit::UDP_PORTS | bit::UDP_HDR;
            payload = self.b.ins().iadd_imm_s(l4, 8);
        }
        if needs.transport() {
            // The dissector handles headers that are cut or exceed the packet's own end, and
            // lengths that disagree.
            let inside = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, payload, shape.l3_end);
            self.require(inside, shape.slow);
            if shape.proto == 17 {
                let total = self.total(shape);
                let rest = self.b.ins().iadd_imm_s(total, if shape.version == 4 { -20 } else { -40 });
                let length = self.load(at, 4, 2);
                let agree = self.b.ins().icmp(IntCC::Equal, rest, length);
                self.require(agree, shape.slow);
            }
        }
        if shape.proto == 17 && needs.tunnels() {
            for port in [0, 2] {
                let port = self.load(at, port, 2);
                for &tunnel in TUNNEL_PORTS {
                    let other = self.b.ins().icmp_imm_s(IntCC::NotEqual, port, i64::from(tunnel));
                    self.require(other, shape.slow);
                }
            }
        }
        let fixed = self.constant(bits);
        let mut have = self.b.ins().bor(fixed, shape.link_bits);
        if needs.outer & (bit::TCP_PAYLOAD | bit::UDP_PAYLOAD | bit::PAYLOAD) != 0 {
            have = self.payload_bits(have, payload, at, shape);
        }
        let values: Vec<Value> =
            needs.facts.iter().map(|&f| self.shaped(f, shape, (l4, payload, have))).collect();
        self.jump_with(join, &values);
    }

    /// The IP packet's declared length.
    fn total(&mut self, shape: &Shape) -> Value {
        let base = self.b.ins().iadd(self.data, shape.l3);
        if shape.version == 4 {
            self.load(base, 2, 2)
        } else {
            let length = self.load(base, 4, 2);
            self.b.ins().iadd_imm_s(length, 40)
        }
    }

    fn payload_bits(&mut self, have: Value, payload: Value, at: Value, shape: &Shape) -> Value {
        let filled = self.b.ins().icmp(IntCC::UnsignedLessThan, payload, shape.l3_end);
        let none = self.constant(0);
        let own = if shape.proto == 6 {
            let flags = self.load(at, 13, 1);
            let reset = self.b.ins().band_imm_s(flags, 0x04);
            let (quiet, whole) =
                (self.constant(bit::PAYLOAD), self.constant(bit::PAYLOAD | bit::TCP_PAYLOAD));
            self.b.ins().select(reset, quiet, whole)
        } else {
            self.constant(bit::PAYLOAD | bit::UDP_PAYLOAD)
        };
        let own = self.b.ins().select(filled, own, none);
        self.b.ins().bor(have, own)
    }

    /// A fact of a packet with a fast shape.
    fn shaped(&mut self, fact: Fact, shape: &Shape, (l4, payload, bits): (Value, Value, Value)) -> Value {
        match fact {
            Fact::Bits(Layer::Outer) => bits,
            Fact::Slot(Layer::Outer, slot) => match slot {
                Slot::L3 => shape.l3,
                Slot::L4 => l4,
                Slot::Payload | Slot::HeadersEnd => payload,
                Slot::PayloadEnd | Slot::L3End => shape.l3_end,
                Slot::Proto => self.constant(u64::from(shape.proto)),
                Slot::TcpLen if shape.proto == 6 => {
                    let total = self.total(shape);
                    let end = self.b.ins().iadd(shape.l3, total);
                    // A declared length beyond the end of the frame is wrong: the dissector handles
                    // it.
                    let wire = self.wire_len();
                    let end = self.b.ins().umin(end, wire);
                    self.b.ins().isub(end, payload)
                }
                // The first tag, if there is one, follows the addresses and its own type.
                Slot::Vlan => {
                    let (first, none) = (self.constant(14), self.constant(0));
                    self.b.ins().select(shape.vlans, first, none)
                }
                Slot::Vlans => shape.vlans,
                Slot::L2 | Slot::TcpLen | Slot::Mpls | Slot::Labels | Slot::Tunnel => self.constant(0),
            },
            Fact::Bits(Layer::Inner) | Fact::Slot(Layer::Inner, _) => self.constant(0),
        }
    }
}
