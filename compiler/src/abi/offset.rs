//! Byte offsets that generated code uses: the records of the parent module, member by member. The
//! invariant: no other part of the code generator knows a member's offset. (Rejected: numbers
//! beside the loads.)

use super::{Context, FlowView, Head, OwnKeyWords, Packet, Stack, Verdict, WindowEvent};
use std::mem::{offset_of, size_of};
/// `Packet::data`
pub const PACKET_DATA: i32 = offset_of!(Packet, data) as i32;
/// `Packet::cap_len`
pub const PACKET_CAP_LEN: i32 = offset_of!(Packet, cap_len) as i32;
/// `Packet::len`
pub const PACKET_LEN: i32 = offset_of!(Packet, len) as i32;
/// `Packet::link`
pub const PACKET_LINK: i32 = offset_of!(Packet, link) as i32;
/// Size of a packet record.
pub const PACKET_SIZE: i64 = size_of::<Packet>() as i64;
/// `Head::inner`
pub const HEAD_INNER: i32 = offset_of!(Head, inner) as i32;
/// `Stack::bits`
pub const STACK_BITS: i32 = offset_of!(Stack, bits) as i32;
/// `Verdict::start`
pub const VERDICT_START: i32 = offset_of!(Verdict, start) as i32;
/// `Verdict::end`
pub const VERDICT_END: i32 = offset_of!(Verdict, end) as i32;
/// `Verdict::rule`
pub const VERDICT_RULE: i32 = offset_of!(Verdict, rule) as i32;
/// `Verdict::limit`
pub const VERDICT_LIMIT: i32 = offset_of!(Verdict, limit) as i32;
/// Size of a verdict.
pub const VERDICT_SIZE: i64 = size_of::<Verdict>() as i64;
/// `Context::asked`
pub const CONTEXT_ASKED: i32 = offset_of!(Context, asked) as i32;
/// `Context::verdicts`
pub const CONTEXT_VERDICTS: i32 = offset_of!(Context, verdicts) as i32;
/// `Context::counters`
pub const CONTEXT_COUNTERS: i32 = offset_of!(Context, counters) as i32;
/// `Context::seen`
pub const CONTEXT_SEEN: i32 = offset_of!(Context, seen) as i32;
/// `Context::params`
pub const CONTEXT_PARAMS: i32 = offset_of!(Context, params) as i32;
/// `Context::pool`
pub const CONTEXT_POOL: i32 = offset_of!(Context, pool) as i32;
/// `Context::serial`
pub const CONTEXT_SERIAL: i32 = offset_of!(Context, serial) as i32;
/// `Context::key`
pub const CONTEXT_KEY: i32 = offset_of!(Context, key) as i32;
/// `Context::head`
pub const CONTEXT_HEAD: i32 = offset_of!(Context, head) as i32;
/// `Context::heads`
pub const CONTEXT_HEADS: i32 = offset_of!(Context, heads) as i32;
/// `Context::flows`
pub const CONTEXT_FLOWS: i32 = offset_of!(Context, flows) as i32;
/// `Context::found`
pub const CONTEXT_FOUND: i32 = offset_of!(Context, found) as i32;
/// `Context::fired`
pub const CONTEXT_FIRED: i32 = offset_of!(Context, fired) as i32;
/// `Context::keys`
pub const CONTEXT_KEYS: i32 = offset_of!(Context, keys) as i32;
/// `Context::events`
pub const CONTEXT_EVENTS: i32 = offset_of!(Context, events) as i32;
/// `Context::windows`
pub const CONTEXT_WINDOWS: i32 = offset_of!(Context, windows) as i32;
/// `OwnKeyWords::form`
pub const KEY_FORM: i32 = offset_of!(OwnKeyWords, form) as i32;
/// `OwnKeyWords::parts`
pub const KEY_PARTS: i32 = offset_of!(OwnKeyWords, parts) as i32;
/// Size of a key.
pub const KEY_SIZE: i32 = size_of::<OwnKeyWords>() as i32;
/// `WindowEvent::counts`
pub const EVENT_COUNTS: i32 = offset_of!(WindowEvent, counts) as i32;
/// `WindowEvent::amount`
pub const EVENT_AMOUNT: i32 = offset_of!(WindowEvent, amount) as i32;
/// Size of an event.
pub const EVENT_SIZE: i32 = size_of::<WindowEvent>() as i32;
/// Size of a head.
pub const HEAD_SIZE: i64 = size_of::<Head>() as i64;
/// Size of a flow's view.
pub const FLOW_SIZE: i64 = size_of::<FlowView>() as i64;
/// `FlowView::active`
pub const FLOW_ACTIVE: i32 = offset_of!(FlowView, active) as i32;
