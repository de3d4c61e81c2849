//! The functions that generated code calls. Each shim rebuilds safe references from its words and
//! does the rest in safe code. The invariants: shims are total (V5), since a panic may not unwind
//! into generated code and would abort the process. No shim makes a reference to the whole context,
//! only to its members, so that a later read through its pointer invalidates nothing. (Rejected:
//! calling Rust functions of other ABIs through transmuted pointers.)
#![expect(unsafe_code, reason = "the JIT's calling boundary")]

use super::nodes::{Node, Scene};
use crate::abi::{Context, Cut, Head, NO_LIMIT, Packet, Verdict};
use crate::context::PacketContext;
use crate::dissect;
use crate::environment::{Environment, Scratch};
use crate::eval::Eval;
use crate::hir::Program;
use crate::length;

/// The data that shims read besides the context. The engine builds it for each batch from its own
/// and the worker's data.
pub struct Host<'a> {
    pub environment: &'a Environment,
    pub scratch: &'a mut Scratch,
    pub nodes: &'a [Node],
    /// The program, for its rules without code.
    pub program: &'a Program,
    pub cuts: &'a mut [Cut],
    pub stations: usize,
    /// The serial number of the packet that the scratch's memory belongs to.
    pub scratch_serial: u64,
    /// The context of the first packet.
    pub seen: PacketContext<'a>,
    /// Whether its heads are to be used.
    pub tracked: bool,
    /// The serial number of the first packet.
    pub serial: u64,
    /// How many windows write an event for each packet.
    pub windows: usize,
}

/// A shim: its name, its address, its number of arguments, and whether it returns a word.
pub struct Shim {
    pub name: &'static str,
    pub address: *const u8,
    pub parameters: usize,
    pub returns: bool,
}

/// All shims, in the order in which the code generator names them.
pub fn table() -> [Shim; 9] {
    let shim = |name, address, parameters, returns| Shim { name, address, parameters, returns };
    [
        shim("mrule_dissect", dissect as *const u8, 3, false),
        shim("mrule_test", test as *const u8, 4, true),
        shim("mrule_number", number as *const u8, 4, true),
        shim("mrule_search", search as *const u8, 3, true),
        shim("mrule_ask", ask as *const u8, 7, true),
        shim("mrule_settle", settle as *const u8, 3, false),
        shim("mrule_cut", cut as *const u8, 6, false),
        shim("mrule_finish", finish as *const u8, 3, false),
        shim("mrule_interpret", interpret as *const u8, 8, true),
    ]
}

impl<'a> Host<'a> {
    /// The context of a packet of the call.
    fn seen(&self, serial: u64) -> PacketContext<'a> {
        let on = serial.saturating_sub(self.serial) as usize;
        self.seen.on(on, self.windows)
    }
}

/// The host of a call.
///
/// # Safety `context` is the context of generated code's call, and no other reference to its host
/// is in use.
unsafe fn host<'h, 'a>(context: *mut Context<'a>) -> &'h mut Host<'a> {
    // SAFETY: V4, V6: `host` was made from a live `Host` for this call, and nothing else uses it
    // while a shim runs.
    unsafe { &mut *(*context).host.cast::<Host<'a>>() }
}

/// Dissects the packet into the context's head, unless that was done already, and returns the head.
///
/// # Safety `context` is the context of generated code's call, and no reference to its `head` is in
/// use.
unsafe fn see<'c>(context: *mut Context, host: &Host, packet: &Packet, serial: u64) -> &'c Head {
    // SAFETY: V4: the context is live, and nothing else uses its `head` and `head_serial` while a
    // shim runs.
    let (head, head_serial) = unsafe { (&mut (*context).head, &mut (*context).head_serial) };
    if *head_serial != serial {
        match host.seen(serial).head().filter(|_| host.tracked) {
            Some(found) => *head = *found,
            None => dissect::dissect_into(packet, head),
        }
        *head_serial = serial;
    }
    head
}

unsafe extern "C" fn dissect<'a>(context: *mut Context<'a>, packet: *const Packet<'a>, serial: u64) {
    // SAFETY: V6: generated code passes the context and packet of its own call. Both are live, and
    // nothing else uses them.
    unsafe { see(context, host(context), &*packet, serial) };
}

/// The inputs of a node's evaluation.
///
/// # Safety `context` and `packet` are the arguments of generated code's call, and no other scene
/// is in use.
unsafe fn scene<'a>(context: *mut Context<'a>, packet: *const Packet<'a>, serial: u64) -> Scene<'a> {
    // SAFETY: V6: generated code passes the context and packet of its own call. Both are live.
    let (host, packet) = unsafe { (host(context), &*packet) };
    // SAFETY: V4: as above. Nothing else writes the head and the key while the scene is in use.
    let (head, key) = unsafe { (see(context, host, packet, serial), &(*context).key) };
    if host.scratch_serial != serial {
        host.scratch.begin();
        host.scratch_serial = serial;
    }
    let seen = host.seen(serial);
    Scene { environment: host.environment, scratch: host.scratch, packet, head, seen, key, nodes: host.nodes }
}

unsafe extern "C" fn test<'a>(
    context: *mut Context<'a>,
    packet: *const Packet<'a>,
    serial: u64,
    node: u64,
) -> u64 {
    // SAFETY: as generated code calls it.
    let mut scene = unsafe { scene(context, packet, serial) };
    u64::from(scene.test(node))
}

unsafe extern "C" fn number<'a>(
    context: *mut Context<'a>,
    packet: *const Packet<'a>,
    serial: u64,
    node: u64,
) -> u64 {
    // SAFETY: as generated code calls it.
    let mut scene = unsafe { scene(context, packet, serial) };
    scene.number(node)
}

unsafe extern "C" fn search(parts: *const u64, count: u64, value: u64) -> u64 {
    // SAFETY: V6: the code generator put `count` pairs there, in the pool, which outlives the call.
    let parts = unsafe { std::slice::from_raw_parts(parts.cast::<[u64; 2]>(), count as usize) };
    let at = parts.partition_point(|&[low, _]| low <= value);
    u64::from(at.checked_sub(1).and_then(|i| parts.get(i)).is_some_and(|&[_, high]| value <= high))
}

/// The verdict of a station of packet `index` of the batch.
///
/// # Safety `context` is the context of generated code's call. `index` is below the batch's size
/// and `station` below the program's number of stations. No other reference to the verdict is in
/// use.
unsafe fn verdict<'c>(context: *mut Context, stations: usize, index: u64, station: u32) -> &'c mut Verdict {
    // SAFETY: V4: the context is live; the batch has `stations` verdicts for each packet, and only
    // generated code and its shims use them now.
    unsafe { &mut *(*context).verdicts.add(index as usize * stations + station as usize) }
}

fn each(mut stations: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let station = stations.trailing_zeros();
        stations &= stations.wrapping_sub(1);
        (station < 64).then_some(station)
    })
}

/// Covers a range. Until `settle`, `Verdict::limit` holds the longest single range, or [`NO_LIMIT`]
/// if inline code wrote the verdict. In that case all ranges are prefixes, and the verdict itself
/// is the longest.
unsafe extern "C" fn ask(
    context: *mut Context,
    index: u64,
    asked: u64,
    stations: u64,
    start: u64,
    end: u64,
    rule: u64,
) -> u64 {
    // SAFETY: as generated code calls it.
    let host = unsafe { host(context) };
    let (start, end, rule) = (start as u32, end as u32, rule as u32);
    let length = end.saturating_sub(start);
    for station in each(stations) {
        // SAFETY: the station is one of the program's, and the packet one of the batch's.
        let verdict = unsafe { verdict(context, host.stations, index, station) };
        if asked & 1 << station == 0 {
            *verdict = Verdict { start, end, rule, limit: length };
            continue;
        }
        let longest = if verdict.limit == NO_LIMIT { verdict.end } else { verdict.limit };
        if length > longest || length == longest && rule < verdict.rule {
            verdict.limit = length;
            verdict.rule = rule;
        }
        verdict.start = verdict.start.min(start);
        verdict.end = verdict.end.max(end);
    }
    asked | stations
}

unsafe extern "C" fn settle(context: *mut Context, index: u64, asked: u64) {
    // SAFETY: as generated code calls it.
    let host = unsafe { host(context) };
    for station in each(asked) {
        // SAFETY: the station is one of the program's, and the packet one of the batch's.
        let verdict = unsafe { verdict(context, host.stations, index, station) };
        verdict.limit = NO_LIMIT;
        if let Some(cut) = host.cuts.get_mut(station as usize) {
            let (start, end) = (verdict.start, verdict.end);
            *cut = Cut { start, end, least: end.saturating_sub(start), limit: NO_LIMIT };
        }
    }
}

unsafe extern "C" fn cut(context: *mut Context, index: u64, stations: u64, start: u64, end: u64, limit: u64) {
    // SAFETY: as generated code calls it.
    let host = unsafe { host(context) };
    for station in each(stations) {
        // SAFETY: the station is one of the program's, and the packet one of the batch's.
        let verdict = unsafe { verdict(context, host.stations, index, station) };
        if let Some(cut) = host.cuts.get_mut(station as usize) {
            cut.limit_to((verdict.start, verdict.end), (start as u32, end as u32), limit as u32);
        }
    }
}

unsafe extern "C" fn finish(context: *mut Context, index: u64, asked: u64) {
    // SAFETY: as generated code calls it.
    let host = unsafe { host(context) };
    for station in each(asked) {
        // SAFETY: the station is one of the program's, and the packet one of the batch's.
        let verdict = unsafe { verdict(context, host.stations, index, station) };
        if let Some(cut) = host.cuts.get(station as usize)
            && cut.limit != NO_LIMIT
        {
            let empty = cut.start >= cut.end;
            verdict.start = if empty { 0 } else { cut.start };
            verdict.end = if empty { 0 } else { cut.end };
            verdict.limit = cut.limit;
        }
    }
}

/// Decides rules or limits without code, as the interpreter does. The list has `count` words, each
/// with the number of a rule or limit in its low half. A rule is counted once a packet, however
/// often it is found.
unsafe extern "C" fn interpret<'a>(
    context: *mut Context<'a>,
    packet: *const Packet<'a>,
    serial: u64,
    index: u64,
    asked: u64,
    list: *const u64,
    count: u64,
    limits: u64,
) -> u64 {
    // SAFETY: V6: the code generator put `count` words there, in the pool, which outlives the call.
    let list = unsafe { std::slice::from_raw_parts(list, count as usize) };
    // SAFETY: as generated code calls it; the reference to the host ends when the program's is
    // copied out.
    let program: &'a Program = unsafe { host(context) }.program;
    let first = if limits != 0 { program.rules.len() } else { 0 };
    let all = if limits != 0 { &program.limits } else { &program.rules };
    let mut asked = asked;
    for word in list {
        let number = (word & 0xffff_ffff) as usize;
        let Some(rule) = all.get(number) else { continue };
        for at in 0..=rule.asks.len() {
            // SAFETY: as generated code calls it; the scene ends before the verdicts are written.
            let scene = unsafe { scene(context, packet, serial) };
            let mut eval =
                Eval::resume(scene.environment, scene.scratch, scene.packet, scene.head, scene.seen);
            let Some(at) = at.checked_sub(1) else {
                // SAFETY: V4: there is a word for each rule and limit of the program.
                if !eval.holds(&rule.matches) || !unsafe { count_match(context, first + number, serial) } {
                    break;
                }
                continue;
            };
            let Some(range) = rule.asks.get(at).and_then(|ask| eval.ask(ask)) else { continue };
            let (start, end) = (u64::from(range.0), u64::from(range.1));
            if limits != 0 {
                // SAFETY: as generated code calls it.
                unsafe { cut(context, index, rule.stations & asked, start, end, number as u64) };
            } else if length::size(range) > 0 {
                // SAFETY: as generated code calls it.
                asked = unsafe { ask(context, index, asked, rule.stations, start, end, number as u64) };
            }
        }
    }
    asked
}

/// Counts a rule or limit that holds; false if it was already counted for this packet.
///
/// # Safety `context` is the context of generated code's call. `at` is the number of a rule, or the
/// number of rules plus the number of a limit.
unsafe fn count_match(context: *mut Context, at: usize, serial: u64) -> bool {
    // SAFETY: V4: the batch has a word for each rule and limit in both, and only generated code and
    // shims use them now.
    let (seen, counters) = unsafe { (&mut *(*context).seen.add(at), &mut *(*context).counters.add(at)) };
    let first = *seen != serial;
    if first {
        *seen = serial;
        *counters = counters.wrapping_add(1);
    }
    first
}

#[cfg(test)]
mod tests;
