//! Operations of more than a few instructions, defined once: the interpreter calls them directly,
//! native code through its shims. [`extract`](crate::extract) has the operations on the packet
//! alone; this module has those that read the environment. The invariant: each is total, safe, and
//! allocates nothing; a value that the packet lacks is `None` or `false`. (Rejected: letting each
//! engine read tables and patterns in its own way.)

use crate::abi::{Head, Packet};
use crate::environment::{Environment, Scratch};
use crate::hir::{Bytes, NeedleId, RegexId, TableId, TagPart, Value};
use crate::table::KeyValue;

mod facets;

pub use crate::environment::SearchId;
pub use crate::extract::{address, bytes, flow_hash, load, packet_hash, slice, stack, tags_any, tcp_option};
pub use facets::{facet_in, facet_in_table, facet_text, first_facet};

/// Whether the bytes contain a needle of the program.
pub fn contains(
    environment: &Environment,
    scratch: &mut Scratch,
    packet: &Packet,
    head: &Head,
    bytes: &Bytes,
    needle: NeedleId,
) -> bool {
    let search = environment.searches().contains(bytes, needle);
    search.is_some_and(|search| finds(environment, scratch, packet, head, search))
}

/// Whether a regular expression of the program matches somewhere in the bytes.
pub fn matches(
    environment: &Environment,
    scratch: &mut Scratch,
    packet: &Packet,
    head: &Head,
    bytes: &Bytes,
    regex: RegexId,
) -> bool {
    let search = environment.searches().matches(bytes, regex);
    search.is_some_and(|search| finds(environment, scratch, packet, head, search))
}

/// Whether a resolved search of [`Searches`](crate::environment::Searches) finds its pattern.
pub fn finds(
    environment: &Environment,
    scratch: &mut Scratch,
    packet: &Packet,
    head: &Head,
    search: SearchId,
) -> bool {
    environment.searches().finds(scratch, packet, head, search)
}

/// Whether a table holds a key at a time.
pub fn in_table(environment: &Environment, table: TableId, key: &[KeyValue], now: i64) -> bool {
    environment.table(table).is_some_and(|table| table.contains(key, now))
}

/// The number of a map for a key at a time; `None` if there is none.
pub fn lookup_num(environment: &Environment, table: TableId, key: &[KeyValue], now: i64) -> Option<u64> {
    match environment.table(table)?.get(key, now)? {
        Value::Num(n) => Some(*n),
        Value::Ip(..) | Value::Text(_) => None,
    }
}

/// Whether a map has this text for a key at a time.
pub fn lookup_is(environment: &Environment, table: TableId, key: &[KeyValue], text: &[u8], now: i64) -> bool {
    let value = environment.table(table).and_then(|table| table.get(key, now));
    matches!(value, Some(Value::Text(value)) if value.as_ref() == text)
}

/// Whether a trigger is active for a key.
pub fn active(environment: &Environment, trigger: crate::hir::TriggerId, key: &[KeyValue], now: i64) -> bool {
    environment.active(trigger, key, now)
}

/// Whether a part of any tag is a key of a table.
pub fn tag_in_table(
    environment: &Environment,
    packet: &Packet,
    head: &Head,
    part: &TagPart,
    table: TableId,
) -> bool {
    let Some(table) = environment.table(table) else { return false };
    tags_any(packet, head, part, |value| table.contains(&[KeyValue::Num(value)], packet.time))
}
