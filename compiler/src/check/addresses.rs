//! Addresses that are params. A param of type `ip` is two words: an IPv4 address as
//! `::ffff:a.b.c.d`, an IPv6 address unchanged. An IPv6 address of the form `::ffff:a.b.c.d` is
//! refused as a value, so the two never collide. The invariant: an IPv4 field never equals an IPv6
//! param, and an IPv6 field never equals an IPv4 param, whatever value the param gets. (Rejected: a
//! type per family; a user who wants "this host" would have to choose.)

use super::Checker;
use super::value::Alt;
use crate::fields::Load;
use crate::hir::{Num, ParamId, Pred};
use crate::sets::Intervals;
use mrule_grammar::ast::{ArithOp, CompareOp};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// The bits above the 32 bits of an IPv4 address, in the low word of a param.
pub const MAPPED: u64 = 0xffff << 32;

/// The alternative is present and equals the param.
pub(super) fn is_param(alt: &Alt, id: ParamId) -> Pred {
    let (high, low) = (Num::param_high(id), Num::param(id, u64::MAX));
    match alt {
        Alt::V4(num) => {
            let Some(mapped) = Num::arith(ArithOp::Add, num.clone(), Num::constant(MAPPED)) else {
                return Pred::never();
            };
            Pred::and([
                num.guard(),
                Pred::test(high, Intervals::one(0)),
                Pred::compare(CompareOp::Eq, mapped, low),
            ])
        }
        Alt::V6(address) => {
            let half = |at| {
                Num::load(Load {
                    layer: address.layer,
                    bits: address.bits,
                    slot: address.slot,
                    at: address.at + at,
                    width: 8,
                    shift: 0,
                    mask: u64::MAX,
                })
            };
            let v4 = Pred::and([
                Pred::test(high.clone(), Intervals::one(0)),
                Pred::test(low.clone(), Intervals::range(MAPPED, MAPPED | 0xffff_ffff)),
            ]);
            Pred::and([
                Pred::compare(CompareOp::Eq, half(0), high),
                Pred::compare(CompareOp::Eq, half(8), low),
                Pred::not(v4),
            ])
        }
        Alt::IpParam(other) => Pred::and([
            Pred::compare(CompareOp::Eq, Num::param_high(*other), high),
            Pred::compare(CompareOp::Eq, Num::param(*other, u64::MAX), low),
        ]),
        _ => Pred::never(),
    }
}

impl Checker<'_> {
    /// Compares two alternatives of which at least one is a param. `None`: reported.
    pub fn ip_param(&mut self, op: CompareOp, a: &Alt, b: &Alt, span: Span) -> Option<Pred> {
        let equal = match (a, b) {
            (Alt::IpParam(id), other) | (other, Alt::IpParam(id)) => is_param(other, *id),
            _ => return None,
        };
        match op {
            CompareOp::Eq | CompareOp::AllEq => Some(equal),
            CompareOp::Ne | CompareOp::AnyNe => Some(Pred::and([a.present(), b.present(), Pred::not(equal)])),
            _ => {
                let finding =
                    Diagnostic::new(codes::OPERATOR, "addresses are compared with params by `==` and `!=`");
                self.report(
                    finding
                        .at(span, "compared by size")
                        .help("write a range of constants: `{192.0.2.1..192.0.2.9}`"),
                );
                None
            }
        }
    }
}
