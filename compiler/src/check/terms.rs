//! From a row of the field table to a term: the loads, tags, addresses and bytes of a field. The
//! invariant: a term has the alternatives that the row names, in the row's order, each of the given
//! layer. (Rejected: a case per field; the table says it all.)

use super::Checker;
use super::value::{Alt, Form, Kind, Many, Term, TermTy, Value};
use crate::fields::{BytesSource, Field, Layer, Load, Source, Ty, max_of};
use crate::hir::{Address, Bytes, Num, Pred, TagPart, TcpOption};
use mrule_grammar::codes::names as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::{Name, Span};

/// The term of a field.
pub(super) fn field_term(field: &Field, layer: Layer) -> Term {
    let mut alts = Vec::new();
    collect(field, layer, 0, &mut alts);
    let many = match field.source {
        Source::Any(_) | Source::Tag { .. } | Source::Facet(_) => Many::Any,
        Source::Either(_) | Source::Sided(_) => Many::Either,
        _ => Many::One,
    };
    let presence = match field.source {
        Source::Protocol { bits, .. } => Some(Pred::bits(layer, bits)),
        Source::TcpOption { kind } => Some(Pred::has_option(TcpOption { layer, kind, at: 0, width: 0 })),
        _ => None,
    };
    let width = if let Ty::Uint(bits) = field.ty { Some(max_of(bits)) } else { None };
    // A flag of Wireshark alone means that it is present. Only a flag of this language can mean
    // that it is set.
    let form = if field.ty == Ty::Bool && !field.wireshark { Form::Flag } else { Form::Field };
    let ty = if field.ty == Ty::Duration { TermTy::Duration } else { TermTy::Field(field.ty) };
    Term { ty, alts, many, form, width, hex: false, presence }
}

/// The alternatives of a field, each also behind the presence bits of `also`.
fn collect(field: &Field, layer: Layer, also: u64, alts: &mut Vec<Alt>) {
    let number = |num| if field.ty == Ty::Ipv4 { Alt::V4(num) } else { Alt::Num(num) };
    let bits_of = |ty| if let Ty::Uint(bits) = ty { bits } else { 64 };
    alts.push(match field.source {
        Source::Load(load) => number(Num::load(Load { layer, bits: load.bits | also, ..load })),
        Source::Slot { bits, slot, .. } => number(Num::slot(layer, bits | also, slot, bits_of(field.ty))),
        Source::Ipv6 { bits, slot, at, .. } => Alt::V6(Address { layer, bits: bits | also, slot, at }),
        Source::Any(names) | Source::Either(names) => {
            for (part, _) in names.iter().filter_map(|name| crate::fields::find(name)) {
                collect(part, layer, also, alts);
            }
            return;
        }
        Source::Tag { tags, at, width, shift, mask } => {
            Alt::Tag(TagPart { layer, tags, at, width, shift, mask })
        }
        Source::FrameLen => Alt::Num(Num::frame_len()),
        Source::FrameCapLen => Alt::Num(Num::frame_cap_len()),
        Source::Bytes(source) => Alt::Bytes(Bytes { layer, source, slice: None }),
        Source::Protocol { header: Some(proto), .. } => {
            Alt::Bytes(Bytes { layer, source: BytesSource::Header(proto), slice: None })
        }
        Source::Protocol { header: None, .. } | Source::TcpOption { .. } => return,
        Source::TcpOptionValue { kind, at, width } => {
            Alt::Num(Num::option(TcpOption { layer, kind, at, width }))
        }
        Source::Hash(hash) => Alt::Num(Num::hash(hash)),
        Source::Flow { bits, slot } => Alt::Num(Num::flow(bits, slot)),
        Source::Sided(sides) => {
            for (name, bits) in sides {
                if let Some((part, _)) = crate::fields::find(name) {
                    collect(part, layer, also | bits, alts);
                }
            }
            return;
        }
        Source::Facet(facet) => Alt::Facet(facet),
    });
}

/// Functions of Wireshark that this language does not have, and what to write.
const FUNCTIONS: &[(&str, &str)] = &[
    ("lower", "`matches` ignores case: `tcp.payload matches \"get \"`"),
    ("upper", "`matches` ignores case: `tcp.payload matches \"get \"`"),
    ("string", "compare the number itself, or look into bytes with `matches`"),
    ("vals", "compare the number itself"),
    ("max", "write the comparisons: `tcp.srcport > 1024 or tcp.dstport > 1024`"),
    ("min", "write the comparisons: `tcp.srcport < 1024 or tcp.dstport < 1024`"),
    ("abs", "numbers have no sign here"),
    ("size", "write `len(x)`"),
];

impl Checker<'_> {
    /// `len(x)`, and calls of functions that do not exist.
    pub fn call(&mut self, name: &Name, args: &[mrule_grammar::ast::Expr], span: Span) -> Value {
        match name.node.as_str() {
            "len" => {
                let [arg] = args else {
                    let message = format!("`len` takes one argument, here are {}", args.len());
                    let finding = Diagnostic::new(codes::FUNCTION, message).at(span, "here");
                    self.report(finding.help("write `len(tcp.payload)`"));
                    return Value::poison(span);
                };
                let arg = self.value(arg);
                self.length_of(&arg, span)
            }
            "count" | "sum" | "distinct" => {
                self.no_time(&name.node, span);
                Value::poison(span)
            }
            other => {
                let mut finding = Diagnostic::new(codes::FUNCTION, format!("there is no function `{other}`"))
                    .at(name.span, "unknown function");
                finding = match FUNCTIONS.iter().find(|(f, _)| *f == other) {
                    Some((_, help)) => finding.help(*help),
                    None if other == "size_of" || super::suggest::nearest(other, ["len"]).len() == 1 => {
                        finding.help("did you mean `len`?").fix(name.span, "len")
                    }
                    None => finding.help("the only function is `len(bytes)`"),
                };
                self.report(finding);
                Value::poison(span)
            }
        }
    }

    fn length_of(&mut self, arg: &Value, span: Span) -> Value {
        let term = match &arg.kind {
            Kind::Poison => return Value::poison(span),
            Kind::Term(term) => term,
            _ => {
                self.no_length(arg, "not bytes of the packet");
                return Value::poison(span);
            }
        };
        let mut alts = Vec::new();
        for alt in &term.alts {
            match alt {
                Alt::Bytes(bytes) => alts.push(Alt::Num(Num::len(bytes.clone()))),
                Alt::Facet(_) => {
                    self.facet_not_yet(
                        span,
                        "the length of a text",
                        "compare it, or look into it: `http.cookie matches \".{1000}\"`",
                    );
                    return Value::poison(span);
                }
                _ => {
                    self.no_length(arg, &term.ty.describe());
                    return Value::poison(span);
                }
            }
        }
        if alts.is_empty() {
            self.no_bytes(arg.span);
            return Value::poison(span);
        }
        let term = Term {
            alts,
            many: term.many,
            width: Some(max_of(32)),
            ..Term::one(Ty::Uint(32), Alt::Num(Num::frame_len()), Form::Len)
        };
        Value::new(span, Kind::Term(term))
    }

    fn no_length(&mut self, arg: &Value, what: &str) {
        let message = format!("`len` needs bytes; `{}` is {what}", self.text(arg.span));
        let help = "write `len(tcp.payload)`, `len(frame)`, or `frame.len` for the length on the wire";
        self.report(Diagnostic::new(codes::FUNCTION, message).at(arg.span, "has no length").help(help));
    }
}
