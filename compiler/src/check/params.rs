//! Params: their types, defaults, bounds, and the values that `--set` gives them. The invariant: a
//! param's value has its type and is within its bounds, whatever its source. (Rejected: clamping
//! values to the bounds; a typo would run.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use super::tables::type_name;
use super::value::{Alt, Const, Form, Kind, Number, Term, TermTy, Unit, Value};
use crate::fields::Ty;
use crate::hir::{self, Num, ParamId, ValueTy};
use mrule_grammar::ast::{self, Expr, ExprKind, Item};
use mrule_grammar::codes::settings as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{FileId, Span};
use std::net::IpAddr;

/// A declared param.
pub(super) struct ParamInfo {
    pub hir: hir::Param,
    /// `None`: its type is reported.
    ty: Option<ValueTy>,
    /// The place of its bounds in the text.
    range: Option<Span>,
}

impl ParamInfo {
    /// Its type's name.
    pub fn ty_name(&self) -> &'static str {
        self.ty.map_or("unknown", type_name)
    }
}

/// The types that a param can have.
const TYPES: &[ValueTy] =
    &[ValueTy::Uint, ValueTy::Size, ValueTy::Duration, ValueTy::Bool, ValueTy::Ip, ValueTy::Mac];

/// The greatest MAC address.
const MAC_MAX: u64 = (1 << 48) - 1;

/// A constant as a value of a type; `None` if it does not fit.
pub(super) fn typed(ty: ValueTy, constant: &Const) -> Option<hir::Value> {
    let number = match (ty, constant) {
        (ValueTy::Bool, Const::Bool(value)) => Some(u64::from(*value)),
        (
            ValueTy::Uint | ValueTy::Size,
            Const::Number(Number { value, unit: Unit::None | Unit::Size, .. }),
        ) => Some(*value),
        (ValueTy::Duration, Const::Number(Number { value, unit: Unit::Duration, .. })) => Some(*value),
        (ValueTy::Duration, Const::Number(Number { value: 0, .. })) => Some(0),
        (ValueTy::Mac, constant) => constant.as_mac(),
        _ => None,
    };
    if let Some(number) = number {
        return Some(hir::Value::Num(number));
    }
    match (ty, constant) {
        (ValueTy::Ip | ValueTy::Cidr, Const::Ipv4(ip)) => Some(hir::Value::Ip(IpAddr::V4(*ip), 32)),
        (ValueTy::Cidr, Const::Cidr(ip, prefix)) => Some(hir::Value::Ip(*ip, *prefix)),
        (ValueTy::Ip | ValueTy::Cidr, constant) => {
            constant.as_ipv6().map(|ip| hir::Value::Ip(IpAddr::V6(ip), 128))
        }
        (ValueTy::String, Const::Text(text)) => Some(hir::Value::Text(text.clone())),
        _ => None,
    }
}

/// An example of a value of a type, for help texts.
pub(super) fn example(ty: ValueTy) -> &'static str {
    match ty {
        ValueTy::Bool => "true or false",
        ValueTy::Uint => "a number: 80, 0x50",
        ValueTy::Size => "a size: 1500, 8KiB, 10MB",
        ValueTy::Duration => "a duration: 100ms, 5m, 2h",
        ValueTy::Ip => "an address: 192.0.2.1, 2001:db8::1",
        ValueTy::Cidr => "a network or address: 10.0.0.0/8, 2001:db8::/32",
        ValueTy::Mac => "a MAC address: 00:26:0b:31:07:33",
        ValueTy::String => "text in quotes: \"alice\"",
        ValueTy::Word => "one of the table's words",
    }
}

impl Checker<'_> {
    /// Declares all params with their types. Their values are evaluated later.
    pub fn declare_params(&mut self) {
        for item in self.names.params.clone() {
            let ty = self.value_type(&item.ty, TYPES, "a param");
            let hir = hir::Param {
                name: item.name.node.clone(),
                span: item.name.span,
                ty: ty.unwrap_or(ValueTy::Uint),
                value: hir::Value::Num(0),
                bounds: match ty {
                    Some(ValueTy::Bool) => (0, 1),
                    Some(ValueTy::Mac) => (0, MAC_MAX),
                    _ => (0, u64::MAX),
                },
            };
            self.params.push(ParamInfo { hir, ty, range: None });
        }
    }

    /// Whether a param is of type `ip`.
    pub fn is_ip_param(&self, id: ParamId) -> bool {
        self.params.get(id.index()).is_some_and(|p| p.ty == Some(ValueTy::Ip))
    }

    /// The bounds of a param, both inclusive.
    pub fn param_range(&self, id: ParamId) -> Option<(u64, u64)> {
        self.params.get(id.index()).map(|p| p.hir.bounds)
    }

    /// A param in an expression.
    pub fn use_param(&mut self, id: ParamId, span: Span) -> Value {
        let Some(ParamInfo { ty: Some(ty), hir, .. }) = self.params.get(id.index()) else {
            return Value::poison(span);
        };
        let num = Alt::Num(Num::param(id, hir.bounds.1));
        let (ty, alt) = match ty {
            ValueTy::Duration => (TermTy::Duration, num),
            ValueTy::Bool => (TermTy::Field(Ty::Bool), num),
            ValueTy::Mac => (TermTy::Field(Ty::Mac), num),
            ValueTy::Ip => (TermTy::Field(Ty::Ip), Alt::IpParam(id)),
            _ => (TermTy::Field(Ty::Uint(64)), num),
        };
        let term = Term { ty, ..Term::one(Ty::Uint(64), alt, Form::Param(id)) };
        Value::new(span, Kind::Term(term))
    }

    /// A param in the place of a constant, beside a term. `None`: reported.
    pub fn param_end(
        &mut self,
        term: &Term,
        at: Span,
        bound: &super::value::Bound,
        id: ParamId,
    ) -> Option<Num> {
        let info = self.params.get(id.index())?;
        let (ty, (least, most)) = (info.ty?, info.hir.bounds);
        let fits = matches!(
            (ty, term.ty),
            (ValueTy::Uint | ValueTy::Size, TermTy::Field(Ty::Uint(_)))
                | (ValueTy::Duration, TermTy::Duration)
                | (ValueTy::Bool, TermTy::Field(Ty::Bool))
                | (ValueTy::Mac, TermTy::Field(Ty::Mac))
        );
        if !fits {
            self.param_misfit(term, at, bound, id);
            return None;
        }
        if term.width.is_some_and(|width| least > width) {
            self.too_wide(term, at, bound);
            return None;
        }
        Some(Num::param(id, most))
    }

    /// Evaluates a param's default and bounds.
    pub fn define_param(&mut self, index: usize, item: &ast::Param) {
        let Some(ty) = self.params.get(index).and_then(|p| p.ty) else { return };
        let value = self.typed_constant(ty, &item.value, "the default");
        let mut bounds = None;
        if let Some((low, high)) = &item.range {
            if !matches!(ty, ValueTy::Uint | ValueTy::Size | ValueTy::Duration) {
                let message = format!("a param of type `{}` has no bounds", type_name(ty));
                let finding =
                    Diagnostic::new(codes::PARAM_BOUNDS, message).at(low.span.to(high.span), "bounds");
                self.report(finding.help("leave out `in ...`"));
                return;
            }
            let ends = (
                self.typed_constant(ty, low, "the lower bound"),
                self.typed_constant(ty, high, "the upper bound"),
            );
            if let (Some(hir::Value::Num(a)), Some(hir::Value::Num(b))) = ends {
                let span = low.span.to(high.span);
                if a > b {
                    let message = format!("`{}`: the bounds are the wrong way round", self.text(span));
                    let fix = format!("{}..{}", self.text(high.span), self.text(low.span));
                    let finding = Diagnostic::new(codes::PARAM_BOUNDS, message).at(span, "holds nothing");
                    self.report(finding.help("write the lower bound first").fix(span, fix));
                    return;
                }
                bounds = Some(((a, b), span));
            }
        }
        if let (Some(hir::Value::Num(value)), Some(((low, high), span))) = (&value, bounds)
            && !(low..=high).contains(value)
        {
            let (written, range) = (self.text(item.value.span), self.text(span));
            let message = format!("the default `{written}` is not in `{range}`");
            let finding = Diagnostic::new(codes::PARAM_BOUNDS, message).at(item.value.span, "out of bounds");
            self.report(finding.at(span, "the bounds").help("change the default or the bounds"));
        }
        if let Some(hir::Value::Ip(ip, _)) = &value {
            self.no_mapped(*ip, item.value.span);
        }
        if let Some(info) = self.params.get_mut(index) {
            if let Some((bounds, span)) = bounds {
                info.hir.bounds = bounds;
                info.range = Some(span);
            }
            if let Some(value) = value {
                info.hir.value = value;
            }
        }
    }

    /// Refuses `::ffff:192.0.2.1` as the value of a param.
    fn no_mapped(&mut self, ip: IpAddr, span: Span) {
        if let IpAddr::V6(v6) = ip
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            let message = format!("`{v6}` is an IPv4 address in IPv6 notation");
            let finding = Diagnostic::new(codes::PARAM_VALUE, message).at(span, "an IPv4 address");
            self.report(finding.help(format!("write `{v4}`")).fix(span, v4.to_string()));
        }
    }

    /// An expression that must be a constant of a type. `None`: reported.
    pub fn typed_constant(&mut self, ty: ValueTy, expr: &Expr, what: &str) -> Option<hir::Value> {
        let value = self.value(expr);
        let is = match &value.kind {
            Kind::Poison => return None,
            Kind::Const(constant) => match typed(ty, constant) {
                Some(value) => return Some(value),
                None => constant.describe(),
            },
            Kind::Set(_) => "a set",
            Kind::Pred(_) | Kind::Trigger(_) => "a condition",
            Kind::Term(Term { form: Form::Param(_) | Form::ParamArith, .. }) => "made of a param",
            Kind::Term(_) => "read from the packet",
            Kind::Tuple(_) => "a tuple",
            Kind::Table(_) => "a table",
        };
        let message = format!("{what} is of type `{}`; `{}` is {is}", type_name(ty), self.text(expr.span));
        let code = if what.contains("row") || what.contains("key") { codes::ROW } else { codes::PARAM_VALUE };
        let finding = Diagnostic::new(code, message).at(expr.span, is);
        self.report(finding.help(format!("write {}", example(ty))));
        None
    }

    /// `--set NAME=VALUE`
    pub fn set_params(&mut self, sets: &[(String, String)]) {
        for (name, text) in sets {
            let Some(index) = self.params.iter().position(|p| p.hir.name == *name) else {
                let near = nearest(name, self.params.iter().map(|p| p.hir.name.as_str()));
                let help = did_you_mean(&near).unwrap_or_else(|| match self.params.len() {
                    0 => "this program has no params".to_owned(),
                    _ => {
                        let names: Vec<_> =
                            self.params.iter().take(8).map(|p| format!("`{}`", p.hir.name)).collect();
                        format!("its params: {}", names.join(", "))
                    }
                });
                let finding = Diagnostic::new(codes::UNKNOWN_SET, format!("unknown param `{name}`"));
                self.report(finding.help(help));
                continue;
            };
            self.set_param(index, name, text);
        }
    }

    fn set_param(&mut self, index: usize, name: &str, text: &str) {
        let Some(ParamInfo { ty: Some(ty), hir, range }) = self.params.get(index) else { return };
        let (ty, (low, high), range) = (*ty, hir.bounds, *range);
        let refuse = |message: String| Diagnostic::new(codes::BAD_SET, message);
        let value = self.constant_from_text(text).and_then(|constant| typed(ty, &constant));
        let Some(value) = value else {
            let message = format!("`{name}={text}`: `{name}` is of type `{}`", type_name(ty));
            return self.report(refuse(message).help(format!("give {}", example(ty))));
        };
        match value {
            hir::Value::Num(number) if !(low..=high).contains(&number) => {
                let range = range.map_or_else(|| format!("{low}..{high}"), |span| self.text(span));
                let message = format!("`{name}={text}`: the value must be in `{range}`");
                return self.report(refuse(message).help("give a value within the bounds"));
            }
            hir::Value::Ip(IpAddr::V6(ip), _) if ip.to_ipv4_mapped().is_some() => {
                let message = format!("`{name}={text}`: this is an IPv4 address in IPv6 notation");
                return self.report(refuse(message).help("give the IPv4 address"));
            }
            _ => {}
        }
        if let Some(info) = self.params.get_mut(index) {
            info.hir.value = value;
        }
    }

    /// A literal that is not in a file.
    fn constant_from_text(&mut self, text: &str) -> Option<Const> {
        let parsed = mrule_grammar::parse(FileId(u16::MAX), &format!("let x = {text}"));
        let [Item::Let(item)] = parsed.file.items.as_slice() else { return None };
        if !parsed.diagnostics.is_empty() || !parsed.file.comments.is_empty() {
            return None;
        }
        match &item.value.kind {
            ExprKind::Literal(literal) => {
                let before = self.diagnostics.len();
                let constant = self.literal(literal, item.value.span);
                // A mistake in it is reported with the name of the param, as it has no place in a
                // file.
                self.diagnostics.truncate(before);
                constant
            }
            _ => None,
        }
    }
}
