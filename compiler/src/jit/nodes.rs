//! The parts of a program that generated code leaves to helpers: byte strings, options, tables. The
//! code here is safe; a node is found by the index that the code generator gave it. The invariant:
//! the functions are total for any index. Generated code has tested a node's guards and computed
//! the parts of its key. (Rejected: a shim per kind of node with the node's constants as words;
//! that is a second encoding of the typed program.)

use crate::abi::{Head, MAX_KEY, Packet};
use crate::context::PacketContext;
use crate::environment::{Environment, Scratch};
use crate::eval::Eval;
use crate::fields::Hash;
use crate::helpers::{self, SearchId};
use crate::hir::{Bytes, CompareOp, Key, Num, NumKind, Pred, PredKind};
use crate::table::KeyValue;

/// A part of the program that helpers evaluate. Generated code passes its index.
#[derive(Debug, Clone)]
pub enum Node {
    /// A condition. The parts of its key, if it has one, are in `Context::key`.
    Test(Pred),
    /// A number. The parts of its key, if it has one, are in `Context::key`.
    Number(Num),
    /// A search for a pattern, already resolved.
    Search(SearchId),
    /// A whole condition, for the interpreter.
    Whole(Pred),
}

impl Node {
    /// A condition as a node.
    pub fn test(pred: &Pred, environment: &Environment) -> Node {
        let search = match pred.kind() {
            PredKind::Contains(bytes, needle) => environment.searches().contains(bytes, *needle),
            PredKind::Matches(bytes, regex) => environment.searches().matches(bytes, *regex),
            _ => None,
        };
        search.map_or_else(|| Node::Test(pred.clone()), Node::Search)
    }
}

/// The inputs of a node's evaluation.
pub struct Scene<'a> {
    /// Tables, patterns, triggers.
    pub environment: &'a Environment,
    /// The worker's memory for searches.
    pub scratch: &'a mut Scratch,
    /// The packet.
    pub packet: &'a Packet<'a>,
    /// The places of its headers.
    pub head: &'a Head,
    /// The context of its flow.
    pub seen: PacketContext<'a>,
    /// The parts of the key, as far as generated code computes them.
    pub key: &'a [[u64; 2]; MAX_KEY],
    /// The program's nodes.
    pub nodes: &'a [Node],
}

impl<'a> Scene<'a> {
    /// Whether a condition node holds.
    pub fn test(&mut self, node: u64) -> bool {
        match self.nodes.get(node as usize) {
            Some(Node::Test(pred)) => self.holds(pred),
            Some(Node::Search(search)) => {
                helpers::finds(self.environment, self.scratch, self.packet, self.head, *search)
            }
            Some(Node::Whole(pred)) => {
                let (environment, packet, head, seen) = (self.environment, self.packet, self.head, self.seen);
                Eval::resume(environment, self.scratch, packet, head, seen).holds(pred)
            }
            Some(Node::Number(_)) | None => false,
        }
    }

    /// The value of a number node.
    pub fn number(&mut self, node: u64) -> u64 {
        let Some(Node::Number(num)) = self.nodes.get(node as usize) else { return 0 };
        let value = match num.kind() {
            NumKind::Byte(bytes) => self.bytes(bytes).and_then(|b| b.first().copied()).map(u64::from),
            NumKind::Len(bytes) => self.bytes(bytes).map(|b| b.len() as u64),
            NumKind::Option(option) => helpers::tcp_option(self.packet, self.head, *option),
            NumKind::Hash(Hash::Packet) => Some(helpers::packet_hash(self.packet)),
            NumKind::Hash(Hash::Flow) => helpers::flow_hash(self.packet, self.head),
            NumKind::Lookup { table, key } => {
                let now = self.packet.time;
                self.with_key(key, |environment, key| helpers::lookup_num(environment, *table, key, now))
                    .flatten()
            }
            // Generated code computes these itself.
            NumKind::Const(_)
            | NumKind::Param(_)
            | NumKind::ParamHigh(_)
            | NumKind::Load(_)
            | NumKind::Slot { .. }
            | NumKind::Flow { .. }
            | NumKind::Window(_)
            | NumKind::Else(..)
            | NumKind::FrameLen
            | NumKind::FrameCapLen
            | NumKind::Arith(..) => None,
        };
        value.unwrap_or(0)
    }

    fn holds(&mut self, pred: &Pred) -> bool {
        match pred.kind() {
            PredKind::HasOption(option) => helpers::tcp_option(self.packet, self.head, *option).is_some(),
            PredKind::HasBytes(bytes) => self.bytes(bytes).is_some(),
            PredKind::BytesCompare(op, bytes, value) => {
                self.bytes(bytes).is_some_and(|b| ordered(*op, b, value))
            }
            PredKind::ConstCompare(op, value, bytes) => {
                self.bytes(bytes).is_some_and(|b| ordered(*op, value, b))
            }
            PredKind::BytesBytes(op, a, b) => match (self.bytes(a), self.bytes(b)) {
                (Some(a), Some(b)) => ordered(*op, a, b),
                _ => false,
            },
            PredKind::TagInTable(part, table) => {
                helpers::tag_in_table(self.environment, self.packet, self.head, part, *table)
            }
            PredKind::InTable { table, key } => {
                let now = self.packet.time;
                self.with_key(key, |environment, key| helpers::in_table(environment, *table, key, now))
                    .unwrap_or(false)
            }
            PredKind::LookupIs { table, key, text } => {
                let now = self.packet.time;
                let is = |environment: &Environment, key: &[KeyValue]| {
                    helpers::lookup_is(environment, *table, key, text, now)
                };
                self.with_key(key, is).unwrap_or(false)
            }
            PredKind::Active { trigger, key } => {
                let now = self.packet.time;
                self.with_key(key, |environment, key| helpers::active(environment, *trigger, key, now))
                    .unwrap_or(false)
            }
            PredKind::HasFacet(facet) => self.seen.facets(*facet).next().is_some(),
            PredKind::FacetIn(facet, set) => helpers::facet_in(self.seen, *facet, set),
            PredKind::FacetText(facet, test) => {
                helpers::facet_text(self.environment, self.seen, *facet, test)
            }
            PredKind::FacetInTable(facet, table) => {
                helpers::facet_in_table(self.environment, self.seen, *facet, *table, self.packet.time)
            }
            PredKind::AddressIn(_, set) => self.key.first().is_some_and(|&words| set.contains(wide(words))),
            // Searches are separate nodes, and generated code tests the other conditions itself.
            PredKind::Contains(..)
            | PredKind::Matches(..)
            | PredKind::Const(_)
            | PredKind::FlowActive(_)
            | PredKind::Stream(_)
            | PredKind::Bits { .. }
            | PredKind::Not(_)
            | PredKind::And(_)
            | PredKind::Or(_)
            | PredKind::In(..)
            | PredKind::Compare(..)
            | PredKind::AddressCompare(..)
            | PredKind::TagIn(..) => false,
        }
    }

    fn bytes(&self, bytes: &Bytes) -> Option<&'a [u8]> {
        helpers::bytes(self.packet, self.head, bytes)
    }

    /// Runs `f` on the key, unless the packet lacks bytes that are part of it.
    fn with_key<T>(&self, key: &[Key], f: impl FnOnce(&Environment, &[KeyValue]) -> T) -> Option<T> {
        let mut values = [KeyValue::Num(0); MAX_KEY];
        let values = values.get_mut(..key.len())?;
        for ((value, part), &words) in values.iter_mut().zip(key).zip(self.key) {
            let [_, low] = words;
            *value = match part {
                Key::Num(_) => KeyValue::Num(low),
                Key::Ipv4(_) => KeyValue::V4(low as u32),
                Key::Ipv6(_) => KeyValue::V6(wide(words)),
                Key::Bytes(bytes) => KeyValue::Bytes(self.bytes(bytes)?),
                Key::Text(text) => KeyValue::Bytes(text),
                Key::Facet(facet) => helpers::first_facet(self.seen, *facet)?,
            };
        }
        Some(f(self.environment, values))
    }
}

fn wide([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// The three comparisons of a typed program, on byte strings.
fn ordered(op: CompareOp, a: &[u8], b: &[u8]) -> bool {
    let order = a.cmp(b);
    match op {
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Eq | CompareOp::AllEq => order.is_eq(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
        CompareOp::Ne | CompareOp::AnyNe => order.is_ne(),
    }
}
