//! Programs that want few packets, by what can be seen in plain headers: for the filter that the
//! kernel gets, which has nothing to do where a program wants them all. The invariant: no condition
//! holds for most packets, but for a `not`. (Rejected: small programs alone; one wide rule of six
//! is enough to want everything.)

use super::Generator;
use crate::choices::Choices;
use crate::palette::Palette;
use mrule_compiler::fields::{Ty, find};

/// What a filter may look at, and what it must not; those are cut out of super-frames differently.
const FIELDS: &[&str] = &[
    "tcp.dstport",
    "tcp.srcport",
    "tcp.port",
    "udp.port",
    "udp.dstport",
    "l4.port",
    "ip.src",
    "ip.dst",
    "ip.addr",
    "net.addr",
    "net.src",
    "ipv6.src",
    "ipv6.addr",
    "ip.proto",
    "net.proto",
    "ipv6.nxt",
    "ip.ttl",
    "net.ttl",
    "ip.dsfield.dscp",
    "eth.type",
    "eth.src",
    "eth.addr",
    "vlan.id",
    "vlan.priority",
    "vlan.dei",
    "vlan.etype",
    "arp.opcode",
    "arp.src.proto_ipv4",
    "icmp.type",
    "icmpv6.type",
    "sctp.port",
    "tcp.flags",
    "tcp.flags.syn",
    "tcp.flags.ack",
    "tcp.flags.fin",
    "tcp.window_size_value",
    "ip.len",
    "ip.flags.df",
    "ip.frag_offset",
    "tcp.seq_raw",
    "udp.length",
    "tcp.len",
    "tcp.checksum",
    "frame.len",
    "frame.cap_len",
    "ipv6.flow",
    "ip.hdr_len",
    "mpls.label",
    "vxlan.vni",
    "tcp.options.mss_val",
];

/// Names alone.
const NAMES: &[&str] = &[
    "tcp",
    "udp",
    "icmp",
    "icmpv6",
    "arp",
    "sctp",
    "esp",
    "vlan",
    "mpls",
    "pppoes",
    "ipv6.fraghdr",
    "gre",
    "vxlan",
    "tcp.options.timestamp",
    "inner.ip",
    "inner.tcp",
    "ipv6",
    "ip",
];

/// A program of a few rules, perhaps a limit and a trigger.
pub fn narrow(choices: &mut Choices, palette: &Palette) -> String {
    let mut made = Generator::new(choices, palette);
    made.stations(2);
    if made.choices.chance(15) {
        let (counted, unless) = (made.narrow_condition(1), made.narrow_condition(1));
        let when = format!("{} and count({counted}) per 1s > 1", made.narrow_test());
        made.line(&format!("trigger g by net.src {{ when {when} unless {unless} hold 5ms keys 64 }}"));
    }
    for i in 0..=made.choices.below(3) {
        let (condition, length) = (made.narrow_condition(2), made.narrow_length());
        let station = made.choices.below(2);
        made.line(&format!("rule r{i} {{ match {condition}  snaplen {length}  to s{station} }}"));
    }
    if made.choices.chance(25) {
        let (condition, length) = (made.narrow_condition(1), made.narrow_length());
        let looks = made.choices.word_of(&["", " or frame contains \"a\"", " and l4.payload contains \"e\""]);
        made.line(&format!("limit l {{ match {condition}{looks}  snaplen {length} }}"));
    }
    made.text
}

impl Generator<'_, '_> {
    fn narrow_condition(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.narrow_test();
        }
        let parts: Vec<String> = (0..2).map(|_| self.narrow_condition(depth - 1)).collect();
        match self.choices.below(10) {
            0..=4 => format!("({})", parts.join(" and ")),
            5 | 6 => format!("({})", parts.join(" or ")),
            7 => format!("({} and not {})", parts[0], parts[1]),
            8 => format!("not ({} or {})", parts[0], parts[1]),
            _ => self.narrow_test(),
        }
    }

    fn narrow_test(&mut self) -> String {
        if self.choices.chance(20) {
            return self.choices.word_of(NAMES).to_owned();
        }
        let name = self.choices.word_of(FIELDS);
        let ty = find(name).map_or(Ty::Uint(8), |(field, _)| field.ty);
        let value = |made: &mut Self| match ty {
            Ty::Ip | Ty::Ipv4 | Ty::Ipv6 => made.network(name, ty),
            _ => made.literal(name, ty),
        };
        let one = value(self);
        match self.choices.below(5) {
            0 | 1 if ty != Ty::Bool => {
                let more: Vec<String> = (0..self.choices.below(6)).map(|_| value(self)).collect();
                format!("{name} in {{{}}}", [vec![one], more].concat().join(", "))
            }
            2 => format!("{name} != {one}"),
            3 if matches!(ty, Ty::Uint(_)) => format!("{name} < {one}"),
            _ => format!("{name} == {one}"),
        }
    }

    fn narrow_length(&mut self) -> String {
        match self.choices.below(8) {
            0 | 1 => "full".to_owned(),
            2 => format!("headers + {}", self.choices.below(300)),
            3 => format!("{}", 1 + self.choices.below(400)),
            4 => format!("bytes {}..{}", self.choices.below(60), 60 + self.choices.below(200)),
            _ => "headers".to_owned(),
        }
    }
}
