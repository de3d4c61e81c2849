//! Sets and single constants, converted to the type of the tested term: intervals of numbers,
//! intervals of IPv6 addresses, byte strings, and params. The invariant: every element is checked
//! against the type, and each misfit is reported at its own place. (Rejected: a test per element; a
//! set of ten thousand ports is one interval set.)

use super::Checker;
use super::value::{
    Alt, Bound, BoundKind, Const, Element, Form, Kind, Number, Term, TermTy, Unit, Value, network,
};
use crate::fields::Ty;
use crate::hir::{AddressSet, Num, NumSet, ParamId, Pred, TextTest};
use crate::sets::{Intervals, Point};
use mrule_grammar::ast::CompareOp;
use mrule_grammar::codes::{names as codes, oddities};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// The values that a term is tested for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Numbers, flags, MACs, IPv4 addresses.
    nums: NumSet,
    v6: AddressSet,
    pub texts: Vec<Arc<[u8]>>,
    /// Ranges with a param at one end or both.
    params: Vec<(Num, Num)>,
    ip_params: Vec<ParamId>,
}

/// A set of a `let` and the type that it was converted to. The set is identified by its address,
/// which the `let` keeps alive.
pub(super) type CacheKey = (*const Element, TermTy, Option<u64>, bool, bool);

/// A set under construction.
#[derive(Default)]
struct Building {
    nums: Vec<(u64, u64)>,
    v6: Vec<(u128, u128)>,
    texts: Vec<Arc<[u8]>>,
    params: Vec<(Num, Num)>,
    ip_params: Vec<ParamId>,
}

impl Building {
    fn finish(self) -> Wanted {
        let mut texts = self.texts;
        texts.sort_unstable();
        texts.dedup();
        Wanted {
            nums: Arc::new(Intervals::new(self.nums)),
            v6: Arc::new(Intervals::new(self.v6)),
            texts,
            params: self.params,
            ip_params: self.ip_params,
        }
    }
}

/// An end of a range of numbers.
enum End {
    Const(u64),
    Param(Num),
}

impl Wanted {
    /// The alternative is present and its value is in the set.
    pub fn hit(&self, alt: &Alt) -> Pred {
        match alt {
            Alt::Num(num) => Pred::or(
                [Pred::test(num.clone(), self.nums.clone())]
                    .into_iter()
                    .chain(self.params.iter().map(|(low, high)| within(num, low, high))),
            ),
            Alt::V4(num) => {
                let params = self.ip_params.iter().map(|id| super::addresses::is_param(alt, *id));
                Pred::or([Pred::test(num.clone(), self.nums.clone())].into_iter().chain(params))
            }
            Alt::V6(address) => {
                let params = self.ip_params.iter().map(|id| super::addresses::is_param(alt, *id));
                Pred::or([Pred::address_in(*address, self.v6.clone())].into_iter().chain(params))
            }
            Alt::Tag(part) => Pred::tag_in(*part, self.nums.clone()),
            Alt::Bytes(bytes) => {
                let number = Pred::test(Num::byte(bytes.clone()), self.nums.clone());
                let number = if self.nums.is_empty() { Pred::never() } else { number };
                Pred::or([number].into_iter().chain(
                    self.texts.iter().map(|t| Pred::bytes_compare(CompareOp::Eq, bytes.clone(), t.clone())),
                ))
            }
            Alt::Text(table, key) => {
                Pred::or(self.texts.iter().map(|t| Pred::lookup_is(*table, key.clone(), t.clone())))
            }
            Alt::IpParam(_) => Pred::never(),
            Alt::Facet(facet) => Pred::or(
                [Pred::facet_in(*facet, self.nums.clone())].into_iter().chain(
                    self.texts
                        .iter()
                        .map(|t| Pred::facet_text(*facet, TextTest::Compare(CompareOp::Eq, t.clone()))),
                ),
            ),
        }
    }

    /// The number of extra conditions for each alternative.
    pub fn listed(&self) -> usize {
        self.texts.len() + self.params.len() + self.ip_params.len()
    }

    /// The alternative is present and its value is not in the set. For tags and messages: at least
    /// one value is not in the set. For messages, the set has one value.
    pub fn miss(&self, alt: &Alt) -> Pred {
        match alt {
            Alt::Num(num) if self.params.is_empty() => Pred::test(num.clone(), self.nums.complement()),
            Alt::V4(num) if self.ip_params.is_empty() => Pred::test(num.clone(), self.nums.complement()),
            Alt::V6(address) if self.ip_params.is_empty() => Pred::address_in(*address, self.v6.complement()),
            Alt::Tag(part) => Pred::tag_in(*part, self.nums.complement()),
            // A value differs. Of a text: it is less or greater.
            Alt::Facet(facet) if facet.is_number() => Pred::facet_in(*facet, self.nums.complement()),
            Alt::Facet(facet) => Pred::and(self.texts.iter().map(|text| {
                let other = |op| Pred::facet_text(*facet, TextTest::Compare(op, text.clone()));
                Pred::or([other(CompareOp::Lt), other(CompareOp::Gt)])
            })),
            Alt::Bytes(bytes) if self.texts.is_empty() => {
                Pred::test(Num::byte(bytes.clone()), self.nums.complement())
            }
            _ => Pred::and([alt.present(), Pred::not(self.hit(alt))]),
        }
    }
}

fn within(num: &Num, low: &Num, high: &Num) -> Pred {
    if low == high {
        return Pred::compare(CompareOp::Eq, num.clone(), low.clone());
    }
    Pred::and([
        Pred::compare(CompareOp::Ge, num.clone(), low.clone()),
        Pred::compare(CompareOp::Le, num.clone(), high.clone()),
    ])
}

impl Checker<'_> {
    /// A value as an end of a range or an element of a set. `None`: reported.
    pub fn bound(&mut self, value: Value) -> Option<Bound> {
        let kind = match value.kind {
            Kind::Poison => return None,
            Kind::Const(constant) => BoundKind::Const(constant),
            Kind::Term(Term { form: Form::Param(id), .. }) => BoundKind::Param(id),
            _ => {
                let message = format!("`{}` cannot be in a set", self.text(value.span));
                let finding = Diagnostic::new(codes::SET, message).at(value.span, "not a constant");
                self.report(
                    finding
                        .help("sets hold constants, ranges, networks, params, and the names of other sets"),
                );
                return None;
            }
        };
        Some(Bound { span: value.span, kind })
    }

    /// Warns of a range without values.
    pub fn range_order(&mut self, element: &Element) {
        let (BoundKind::Const(low), Some(Bound { kind: BoundKind::Const(high), span })) =
            (&element.low.kind, &element.high)
        else {
            return;
        };
        let empty = match (low, high) {
            (Const::Number(a), Const::Number(b)) => a.value > b.value,
            (Const::Ipv4(a), Const::Ipv4(b)) => a > b,
            (Const::Ipv6(a), Const::Ipv6(b)) => a > b,
            (Const::Bytes(a), Const::Bytes(b)) => a.len() == b.len() && a > b,
            _ => false,
        };
        if empty {
            let whole = element.low.span.to(*span);
            let (low, high) = (self.text(element.low.span), self.text(*span));
            let message =
                format!("the range `{}` is empty: its ends are the wrong way round", self.text(whole));
            let finding = Diagnostic::new(oddities::EMPTY_RANGE, message).at(whole, "holds nothing");
            self.report(finding.help("write the lower end first").fix(whole, format!("{high}..{low}")));
        }
    }

    /// Elements converted to the type of a term. `None`: at least one was reported.
    pub fn wanted(&mut self, term: &Term, at: Span, elements: &[Element]) -> Option<Wanted> {
        let mut set = Building::default();
        let mut good = true;
        for element in elements {
            good &= self.element(term, at, element, &mut set).is_some();
        }
        good.then(|| set.finish())
    }

    /// As [`Checker::wanted`], for the set of a `let`, which may be used many times.
    pub fn wanted_shared(&mut self, term: &Term, at: Span, elements: &Rc<[Element]>) -> Option<Arc<Wanted>> {
        let one_byte = matches!(term.form, Form::Slice(Some(1)));
        let runs = term.alts.iter().any(|alt| matches!(alt, Alt::Tag(_) | Alt::Facet(_)));
        let key = (elements.as_ptr(), term.ty, term.width, one_byte, runs);
        if let Some(known) = self.sets.get(&key) {
            return known.clone();
        }
        let made = self.wanted(term, at, elements).map(Arc::new);
        self.sets.insert(key, made.clone());
        made
    }

    fn element(&mut self, term: &Term, at: Span, element: &Element, set: &mut Building) -> Option<()> {
        match term.ty {
            TermTy::Duration | TermTy::Word(_) | TermTy::Field(Ty::Duration | Ty::App) => {
                self.number_element(term, at, element, set)
            }
            TermTy::Field(Ty::Uint(_) | Ty::Bool | Ty::Mac) => self.number_element(term, at, element, set),
            TermTy::Field(Ty::Ipv4 | Ty::Ipv6 | Ty::Ip) => self.ip_element(term, at, element, set),
            TermTy::Field(Ty::Bytes | Ty::String) => self.bytes_element(term, at, element, set),
            TermTy::Field(Ty::Protocol) => {
                self.misfit(term, at, &element.low);
                None
            }
        }
    }

    fn number_element(&mut self, term: &Term, at: Span, element: &Element, set: &mut Building) -> Option<()> {
        let low = self.number_end(term, at, &element.low);
        let high = match &element.high {
            Some(high) => self.number_end(term, at, high),
            None => match &low {
                Some(End::Const(value)) => Some(End::Const(*value)),
                Some(End::Param(num)) => Some(End::Param(num.clone())),
                None => None,
            },
        };
        match (low?, high?) {
            (End::Const(low), End::Const(high)) => set.nums.push((low, high)),
            (low, high) => {
                let num = |end| match end {
                    End::Const(value) => Num::constant(value),
                    End::Param(num) => num,
                };
                if term.alts.iter().any(|alt| matches!(alt, Alt::Facet(_))) {
                    let what = "comparing a message field with a param";
                    let help = "write the numbers: `http.response.code in {400..499}`";
                    self.facet_not_yet(element.low.span, what, help);
                    return None;
                }
                if term.alts.iter().any(|alt| matches!(alt, Alt::Tag(_))) {
                    self.no_tag_param(at, element.low.span);
                    return None;
                }
                set.params.push((num(low), num(high)));
            }
        }
        Some(())
    }

    /// A constant or param that a number, flag, MAC or duration is compared with.
    fn number_end(&mut self, term: &Term, at: Span, bound: &Bound) -> Option<End> {
        let constant = match &bound.kind {
            BoundKind::Const(constant) => constant,
            BoundKind::Param(id) => return self.param_end(term, at, bound, *id).map(End::Param),
        };
        let value = match (term.ty, constant) {
            (TermTy::Duration, Const::Number(Number { value, unit: Unit::Duration, .. })) => Some(*value),
            (TermTy::Duration, Const::Number(Number { value: 0, .. })) => Some(0),
            (
                TermTy::Field(Ty::Uint(_)),
                Const::Number(Number { value, unit: Unit::None | Unit::Size, .. }),
            ) => {
                if term.width.is_some_and(|most| *value > most) {
                    self.too_wide(term, at, bound);
                    return None;
                }
                Some(*value)
            }
            (TermTy::Field(Ty::Bool), Const::Bool(value)) => Some(u64::from(*value)),
            (
                TermTy::Field(Ty::Bool),
                Const::Number(Number { value: value @ (0 | 1), unit: Unit::None, .. }),
            ) => Some(*value),
            (TermTy::Field(Ty::Mac), constant) => constant.as_mac(),
            (TermTy::Field(Ty::App), Const::App(number)) => Some(*number),
            (TermTy::Word(table), Const::Word(of, number)) if table == *of => Some(*number),
            (TermTy::Word(table), _) => {
                self.no_word(table, bound);
                return None;
            }
            _ => None,
        };
        match value {
            Some(value) => Some(End::Const(value)),
            None => {
                self.misfit(term, at, bound);
                None
            }
        }
    }

    fn ip_element(&mut self, term: &Term, at: Span, element: &Element, set: &mut Building) -> Option<()> {
        if let BoundKind::Param(id) = element.low.kind {
            if !self.is_ip_param(id) || element.high.is_some() {
                self.param_misfit(term, at, &element.low, id);
                return None;
            }
            set.ip_params.push(id);
            return Some(());
        }
        let ends = |bound: &Bound| match &bound.kind {
            BoundKind::Const(Const::Ipv4(ip)) => {
                let ip = u128::from(u32::from(*ip));
                Some((true, ip, ip))
            }
            BoundKind::Const(Const::Cidr(ip, prefix)) => {
                let (low, high) = network(*ip, *prefix);
                Some((matches!(ip, IpAddr::V4(_)), low, high))
            }
            BoundKind::Const(constant) => {
                constant.as_ipv6().map(|ip| (false, u128::from(ip), u128::from(ip)))
            }
            BoundKind::Param(_) => None,
        };
        let fits = |v4: bool| match term.field_ty() {
            Some(Ty::Ipv4) => v4,
            Some(Ty::Ipv6) => !v4,
            _ => true,
        };
        for bound in [Some(&element.low), element.high.as_ref()].into_iter().flatten() {
            if !ends(bound).is_some_and(|(v4, ..)| fits(v4)) {
                self.misfit(term, at, bound);
                return None;
            }
        }
        let (v4, low, first_high) = ends(&element.low)?;
        let high = match &element.high {
            None => first_high,
            Some(bound) => {
                let (high_v4, high_low, high) = ends(bound)?;
                if high_v4 != v4 || low != first_high || high != high_low {
                    let whole = element.low.span.to(bound.span);
                    let message = format!("`{}` is no range of addresses", self.text(whole));
                    let finding = Diagnostic::new(codes::SET, message).at(whole, "not a range");
                    self.report(
                        finding.help("both ends are addresses of one family: `192.0.2.1..192.0.2.9`"),
                    );
                    return None;
                }
                high
            }
        };
        if v4 {
            set.nums.push((low as u64, high as u64));
        } else {
            set.v6.push((low, high));
        }
        Some(())
    }

    fn bytes_element(&mut self, term: &Term, at: Span, element: &Element, set: &mut Building) -> Option<()> {
        let one_byte = matches!(term.form, Form::Slice(Some(1)));
        let number = |bound: &Bound| match &bound.kind {
            BoundKind::Const(Const::Number(n)) if one_byte && n.unit != Unit::Duration => Some(n.value),
            BoundKind::Const(Const::Text(b) | Const::Bytes(b)) if one_byte && b.len() == 1 => {
                b.first().map(|b| u64::from(*b))
            }
            _ => None,
        };
        if let Some(low) = number(&element.low) {
            let high = match &element.high {
                None => Some(low),
                Some(bound) => number(bound),
            };
            let Some(high) = high else {
                self.misfit(term, at, element.high.as_ref().unwrap_or(&element.low));
                return None;
            };
            if low.max(high) > 255 {
                let bound =
                    if low > 255 { &element.low } else { element.high.as_ref().unwrap_or(&element.low) };
                self.number_beside_bytes(term, at, bound);
                return None;
            }
            self.beside_slice_bound(term, &element.low);
            if let Some(high) = &element.high {
                self.beside_slice_bound(term, high);
            }
            set.nums.push((low, high));
            return Some(());
        }
        match (&element.low.kind, &element.high) {
            (BoundKind::Const(Const::Text(bytes) | Const::Bytes(bytes)), None) => {
                set.texts.push(bytes.clone());
                Some(())
            }
            (BoundKind::Const(Const::Text(_) | Const::Bytes(_)), Some(high)) => {
                let whole = element.low.span.to(high.span);
                let finding = Diagnostic::new(codes::SET, "ranges of bytes are not tested with `in`");
                let finding = finding.at(whole, "a range of bytes");
                self.report(finding.help("write both ends: `ip[12:2] >= c0:a8 and ip[12:2] <= c0:af`"));
                None
            }
            _ => {
                self.misfit(term, at, &element.low);
                None
            }
        }
    }

    /// The values for which `<`, `<=`, `>` or `>=` holds, for a number or address.
    pub fn limits(&mut self, op: CompareOp, term: &Term, at: Span, bound: &Bound) -> Option<Wanted> {
        let element = Element { low: bound.clone(), high: None };
        let exact = self.wanted(term, at, std::slice::from_ref(&element))?;
        let (nums, v6) = (Arc::new(beyond(op, &exact.nums)), Arc::new(beyond(op, &exact.v6)));
        Some(Wanted { nums, v6, ..exact })
    }
}

/// All numbers for which the comparison with the one number of a set holds.
fn beyond<T: Point>(op: CompareOp, exact: &Intervals<T>) -> Intervals<T> {
    let Some(&(value, _)) = exact.parts().first() else { return Intervals::new([]) };
    Intervals::new(match op {
        CompareOp::Lt => value.previous().map(|to| (T::MIN, to)),
        CompareOp::Le => Some((T::MIN, value)),
        CompareOp::Gt => value.next().map(|from| (from, T::MAX)),
        _ => Some((value, T::MAX)),
    })
}
