//! The kernel's filter, run here: an interpreter of classic BPF on packets as the kernel shows
//! them, and what must hold of the filter of any program: what it drops nobody wants, under any
//! environment and any flows, and of the head that it leaves the same is said as of the packet. The
//! invariant: a load outside of the packet ends the filter with 0, as in the kernel; the tests hold
//! this interpreter against the kernel itself. (Rejected: libpcap's interpreter, which knows no
//! tags that were taken out.)

use crate::choices::Choices;
use crate::differ::{Outcome, shake};
use crate::packet_text::BuiltPacket;
use crate::run::{Decided, Raised, compile_files, run_with_context};
use mrule_compiler::abi::{Link, Packet, bit};
use mrule_compiler::bpf::{self, Filter, Insn, meta, op};
use mrule_compiler::context::{BatchContext, Fired};
use mrule_compiler::dissect::dissect;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::{Program, TriggerId};
use std::sync::Arc;

/// A packet as the kernel shows it to a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The frame.
    pub bytes: Vec<u8>,
    /// The tag that was taken out of it: type, priority and number.
    pub tag: Option<(u16, u16)>,
    /// The host itself sends it.
    pub outgoing: bool,
}

impl Shown {
    /// As a frame that enters is shown: the outer tag is taken out of it, if it is 802.1Q or
    /// 802.1ad.
    pub fn entering(frame: &[u8]) -> Shown {
        let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        let (mut bytes, mut tag) = (frame.to_vec(), None);
        if let (Some(kind @ (0x8100 | 0x88a8)), Some(tci), Some(_)) = (word(12), word(14), word(16)) {
            bytes.drain(12..16);
            tag = Some((kind, tci));
        }
        Shown { bytes, tag, outgoing: false }
    }

    /// What is read of it where a filter keeps so many bytes: the tag is put back.
    pub fn head(&self, kept: u32) -> Vec<u8> {
        let kept = self.bytes.len().min(kept as usize);
        let mut head = self.bytes[..kept].to_vec();
        if let (Some((kind, tci)), true) = (self.tag, head.len() >= 12) {
            head.splice(12..12, [kind.to_be_bytes(), tci.to_be_bytes()].into_iter().flatten());
        }
        head
    }

    /// How many bytes a filter keeps of it.
    pub fn run(&self, code: &[Insn]) -> u32 {
        self.step(code).unwrap_or(0)
    }

    fn step(&self, code: &[Insn]) -> Option<u32> {
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        loop {
            let insn = code.get(at).expect("a filter ends with a return");
            let k = insn.k;
            at += 1;
            let mut jump = |holds: bool| at += usize::from(if holds { insn.jt } else { insn.jf });
            match insn.code {
                op::LD_ABS_WORD | op::LD_ABS_HALF | op::LD_ABS_BYTE if k >= 0xffff_f000 => {
                    a = match k {
                        meta::TYPE => u32::from(self.outgoing) * 4,
                        meta::VLAN_AVAIL => self.tag.is_some().into(),
                        meta::VLAN_TCI => self.tag.map_or(0, |tag| tag.1.into()),
                        meta::VLAN_TPID => self.tag.map_or(0, |tag| tag.0.into()),
                        other => panic!("an extension that is not known: {other:#x}"),
                    };
                }
                op::LD_ABS_WORD => a = u32::from_be_bytes(*self.bytes.get(k as usize..)?.first_chunk()?),
                op::LD_ABS_HALF => {
                    a = u16::from_be_bytes(*self.bytes.get(k as usize..)?.first_chunk()?).into();
                }
                op::LD_ABS_BYTE => a = (*self.bytes.get(k as usize)?).into(),
                op::LD_LEN => a = self.bytes.len() as u32,
                op::ADD => a = a.wrapping_add(k),
                op::ADD_X => a = a.wrapping_add(x),
                op::SUB => a = a.wrapping_sub(k),
                op::AND => a &= k,
                op::RSH => a >>= k,
                op::MOD => a %= k,
                op::XOR => a ^= k,
                op::TAX => x = a,
                op::JA => at += k as usize,
                op::JEQ => jump(a == k),
                op::JGT => jump(a > k),
                op::JGE => jump(a >= k),
                op::JSET => jump(a & k != 0),
                op::RET => return Some(k),
                other => panic!("an instruction that is not known: {other:#x}"),
            }
        }
    }
}

/// Whether the transport's checksum of a frame is only the sum of its pseudo-header, as the kernel
/// leaves it to network cards; summed in the plainest way.
pub fn is_unfinished(frame: &[u8]) -> bool {
    let head = dissect(&Packet::new(frame, frame.len() as u32, Link::Ethernet)).outer;
    let (l3, l4) = (head.l3 as usize, head.l4 as usize);
    let (protocol, sum) = match head.bits & (bit::TCP_HDR | bit::UDP_HDR) {
        bit::TCP_HDR => (6, 16),
        bit::UDP_HDR => (17, 6),
        _ => return false,
    };
    let word = |at: usize| u64::from(frame[at]) << 8 | u64::from(frame[at + 1]);
    let (addresses, length) = match head.bits & bit::IP6_HDR {
        0 => (l3 + 12..l3 + 20, word(l3 + 2) - (l4 - l3) as u64),
        _ => (l3 + 8..l3 + 40, word(l3 + 4) - (l4 - l3 - 40) as u64),
    };
    let mut total = protocol + length + addresses.step_by(2).map(word).sum::<u64>();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    // Zero has two forms.
    total % 0xffff == word(l4 + sum) % 0xffff
}

/// Holds the filters of a program against what its engines say. Counts the packets of which
/// something was left out.
pub fn keeps_what_is_wanted(text: &str, packets: &[BuiltPacket], seed: u64) -> Outcome {
    let program = match compile_files(&[("a.mrule", text)], &[]) {
        Ok(program) => Arc::new(program),
        Err(errors) => return Outcome::Refused(errors),
    };
    match compare(&program, packets, seed) {
        Ok(spared) => Outcome::Agreed(spared),
        Err(wrong) => Outcome::Wrong(wrong),
    }
}

fn compare(program: &Arc<Program>, packets: &[BuiltPacket], seed: u64) -> Result<usize, String> {
    let mut choices = Choices::of_seed(seed);
    let mut environment = Environment::new(program).map_err(|e| format!("no environment: {e}"))?;
    let engine =
        |kind| Engine::new(kind, program.clone(), &environment).map_err(|e| format!("no engine: {e}"));
    let engines = [engine(EngineKind::Interp)?, engine(EngineKind::Jit)?];
    let named: Vec<(&str, Shown)> = packets
        .iter()
        .filter(|packet| packet.link == Link::Ethernet)
        .map(|packet| {
            let as_sent = Shown { bytes: packet.bytes.clone(), tag: None, outgoing: false };
            // Some drivers leave tags in.
            let shown = if choices.chance(85) { Shown::entering(&packet.bytes) } else { as_sent };
            (packet.interface.as_str(), shown)
        })
        .collect();
    let whole: Vec<Vec<u8>> = named.iter().map(|(_, shown)| shown.head(u32::MAX)).collect();
    let lengths: Vec<u32> = whole.iter().map(|bytes| bytes.len() as u32).collect();
    let views = packets_of(&named, &whole, &lengths);
    let mut spared = 0;
    for most in [bpf::MOST, 200, 70] {
        let filter = bpf::compile(program, Link::Ethernet, most);
        if filter.code().len() > most {
            return Err(format!("{} instructions of {most}", filter.code().len()));
        }
        let kept: Vec<u32> = named.iter().map(|(_, shown)| shown.run(filter.code())).collect();
        let heads: Vec<Vec<u8>> =
            named.iter().zip(&kept).map(|((_, shown), kept)| shown.head(*kept)).collect();
        let cut = packets_of(&named, &heads, &lengths);
        let context = crate::contexts::random(program, &views, &mut choices);
        let mut cut_context = context.clone();
        for ((head, now), was) in cut_context.heads.iter_mut().zip(&cut).zip(&context.heads) {
            *head = dissect(now);
            head.outer.bits |= was.outer.bits & FLOW_BITS;
        }
        let nothing = BatchContext::default();
        let (context, cut_context) = match program.uses().flows {
            true => (&context, &cut_context),
            false => (&nothing, &nothing),
        };
        let expected = run_with_context(&engines[0], &environment, &views, context, false);
        for engine in &engines {
            let told = run_with_context(engine, &environment, &cut, cut_context, false);
            for (i, kept) in kept.iter().enumerate() {
                let wrong = |what: String| {
                    let shown = &named[i].1;
                    Err(format!(
                        "{most} instructions, {:?}, packet {i}: {kept} kept, {what}\n{shown:02x?}\n{}",
                        engine.kind(),
                        filter.listing()
                    ))
                };
                if let Some(what) = difference(program, *kept, &views[i], &expected, &told, i) {
                    return wrong(what);
                }
                if *kept > 0 && (*kept as usize) < named[i].1.bytes.len() && is_unfinished(&whole[i]) {
                    return wrong("its checksum is not finished".into());
                }
            }
        }
        // Of a super-frame the filter sees the whole, and engines see its packets.
        let parts: Vec<Vec<u8>> = whole.iter().map(|frame| part_of(frame, &mut choices)).collect();
        let lengths: Vec<u32> = parts.iter().map(|bytes| bytes.len() as u32).collect();
        let parts = packets_of(&named, &parts, &lengths);
        let said = run_with_context(&engines[0], &environment, &parts, context, false);
        for (i, _) in kept.iter().enumerate().filter(|(_, kept)| **kept == 0) {
            if let Some(what) = difference(program, 0, &parts[i], &said, &said, i) {
                return Err(format!("a part of packet {i}: dropped, {what}\n{}", filter.listing()));
            }
        }
        let short = |(kept, (_, shown)): (&u32, &(&str, Shown))| (*kept as usize) < shown.bytes.len();
        spared += kept.iter().zip(&named).filter(|pair| short((pair.0, pair.1))).count();
        shake(&mut environment, program, &views, &mut choices);
    }
    let outgoing = named.iter().map(|(_, shown)| Shown { outgoing: true, ..shown.clone() });
    let filter = bpf::compile(program, Link::Ethernet, bpf::MOST);
    match outgoing.map(|shown| shown.run(filter.code())).max() {
        Some(kept) if kept > 0 => Err("what the host sends is kept".into()),
        _ => Ok(spared),
    }
}

/// What only who tracks flows says.
const FLOW_BITS: u64 = bit::FLOW | bit::FROM_CLIENT | bit::FROM_SERVER | bit::STREAM | bit::ISN;

fn packets_of<'a>(named: &'a [(&str, Shown)], bytes: &'a [Vec<u8>], lengths: &[u32]) -> Vec<Packet<'a>> {
    let all = named.iter().zip(bytes).zip(lengths).enumerate();
    all.map(|(i, (((name, _), bytes), length))| {
        Packet::new(bytes, *length, Link::Ethernet).on(0, name).at(i as i64 * 1_000_000)
    })
    .collect()
}

/// A packet as one is cut out of a super-frame of TCP or UDP: shorter, with another identification,
/// sequence number and checksum, without some flags. Any other packet as it is.
fn part_of(frame: &[u8], choices: &mut Choices) -> Vec<u8> {
    let head = dissect(&Packet::new(frame, frame.len() as u32, Link::Ethernet)).outer;
    let mut part = frame.to_vec();
    let tunnel = bit::VXLAN | bit::GENEVE | bit::FRAGMENT | bit::EXT_FRAGMENT;
    if head.bits & (bit::TCP_HDR | bit::UDP_HDR) == 0
        || head.bits & bit::PAYLOAD == 0
        || head.bits & tunnel != 0
    {
        return part;
    }
    let (l3, l4, payload) = (head.l3 as usize, head.l4 as usize, head.payload as usize);
    part.truncate(payload + 1 + choices.below(head.payload_end as usize - payload));
    let behind = part.len() - l3;
    let mut put = |at: usize, value: u64| part[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
    if head.bits & bit::IP6_HDR != 0 {
        put(l3 + 4, behind as u64 - 40);
    } else {
        put(l3 + 2, behind as u64);
        put(l3 + 4, choices.bits(16));
        put(l3 + 10, choices.bits(16));
    }
    if head.bits & bit::UDP_HDR != 0 {
        put(l4 + 4, (behind + l3 - l4) as u64);
        put(l4 + 6, choices.bits(16));
    } else {
        put(l4 + 4, choices.bits(16));
        put(l4 + 6, choices.bits(16));
        put(l4 + 16, choices.bits(16));
        part[l4 + 13] &= choices.pick(&[0xff, 0x76, 0x7f, 0xf6]).copied().unwrap_or(0xff);
    }
    part
}

type Said = (Decided, Vec<Raised>);

/// What is wrong with packet `i`, of which so many bytes were kept.
fn difference(
    program: &Program,
    kept: u32,
    packet: &Packet,
    whole: &Said,
    head: &Said,
    i: usize,
) -> Option<String> {
    let (verdicts, raised) = (&whole.0.verdicts[i], &whole.1[i]);
    let windows = 0..program.windows.len();
    if kept == 0 {
        let tracked = program.uses().flows && dissect(packet).outer.bits & bit::NET != 0;
        let counted = raised.probe.events(0, windows).expect("events").iter().any(|event| event.counts > 0);
        let fires = raised.fired.iter().any(|fired| *fired != Fired::No);
        let wanted = !verdicts.is_empty() || tracked || counted || fires;
        return wanted.then(|| format!("but wanted: {verdicts:?} {raised:?} {tracked}"));
    }
    let (cut, then) = (&head.0.verdicts[i], &head.1[i]);
    if verdicts != cut {
        return Some(format!("{verdicts:?} became {cut:?}"));
    }
    let fires = |id: &TriggerId| raised.fired[id.index()] != Fired::No;
    let other_key = program.key_groups().iter().enumerate().any(|(way, (_, triggers))| {
        triggers.iter().any(fires) && raised.probe.key(0, way) != then.probe.key(0, way)
    });
    let same = raised.fired == then.fired
        && raised.probe.events(0, windows.clone()) == then.probe.events(0, windows)
        && !other_key;
    (!same).then(|| format!("{raised:?} became {then:?}"))
}

/// The filter of a program for Ethernet.
pub fn filter(text: &str) -> Filter {
    let program = compile_files(&[("a.mrule", text)], &[]).expect("a program");
    bpf::compile(&program, Link::Ethernet, bpf::MOST)
}
