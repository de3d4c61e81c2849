//! Tests of message fields. A packet that completes several messages has several values of a field,
//! and a test holds if it holds for any of them. The invariant: a number is never tested as text,
//! and a text never as a number. (Rejected: the first message only; the test would not see a second
//! request.)

use crate::context::{FacetValue, PacketContext};
use crate::environment::Environment;
use crate::fields::Facet;
use crate::hir::{CompareOp, NumSet, TableId, TextTest};
use crate::table::KeyValue;

/// Whether a number of this field is in the set.
pub fn facet_in(seen: PacketContext, facet: Facet, set: &NumSet) -> bool {
    seen.facets(facet).any(|value| matches!(value, FacetValue::Num(n) if set.contains(n)))
}

/// Whether a text of this field passes the test.
pub fn facet_text(environment: &Environment, seen: PacketContext, facet: Facet, test: &TextTest) -> bool {
    seen.facets(facet).any(|value| match value {
        FacetValue::Text(text) => passes(environment, text, test),
        FacetValue::Num(_) => false,
    })
}

/// Whether a number or text of this field is a key of the table at a time.
pub fn facet_in_table(
    environment: &Environment,
    seen: PacketContext,
    facet: Facet,
    table: TableId,
    now: i64,
) -> bool {
    let Some(table) = environment.table(table) else { return false };
    seen.facets(facet).any(|value| table.contains(&[key(value)], now))
}

/// The first of its values, as a part of a key.
pub fn first_facet<'a>(seen: PacketContext<'a>, facet: Facet) -> Option<KeyValue<'a>> {
    seen.facets(facet).next().map(key)
}

fn key(value: FacetValue<'_>) -> KeyValue<'_> {
    match value {
        FacetValue::Num(n) => KeyValue::Num(n),
        FacetValue::Text(text) => KeyValue::Bytes(text),
    }
}

fn passes(environment: &Environment, text: &[u8], test: &TextTest) -> bool {
    match test {
        TextTest::Compare(op, constant) => {
            let order = text.cmp(constant);
            match op {
                CompareOp::Eq | CompareOp::AllEq => order.is_eq(),
                CompareOp::Ne | CompareOp::AnyNe => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::Le => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::Ge => order.is_ge(),
            }
        }
        TextTest::Contains(needle) => environment.searches().text_contains(*needle, text),
        TextTest::Matches(regex) => environment.searches().text_matches(*regex, text),
    }
}
