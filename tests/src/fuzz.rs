//! The bodies of the fuzz targets: what must hold of any bytes. A fuzzer calls them with its own,
//! and a test with bytes of a seed for some seconds. The invariant: each is total, and panics only
//! when something that must hold does not. (Rejected: bodies in the fuzz crate, which stable
//! toolchains cannot run.)

use crate::choices::Choices;
use crate::differ::{self, Outcome};
use crate::packet_text::BuiltPacket;
use crate::palette::Palette;
use crate::run::compile_files;
use crate::{generate, mangle};
use mrule_compiler::abi::{Head, Link, Packet, Stack};
use mrule_compiler::dissect::dissect;
use mrule_compiler::fields::{Slot, promised};
use mrule_dataplane::capture::Reader;
use mrule_grammar::span::FileId;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

/// A target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("parse", parse),
    ("fmt_roundtrip", fmt_roundtrip),
    ("dissect", dissect_any),
    ("engines", engines),
    ("capture", capture),
];

/// Any bytes are read as a capture to an end or a break within them, and give no more packets than
/// they have room for, whatever a read gives at a time.
pub fn capture(data: &[u8]) {
    let compressed = data.starts_with(&[0x1f, 0x8b]) || data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let read = |most: usize| {
        let stream = Slow { rest: data.to_vec().into(), most, waits: false };
        let Ok(mut reader) = Reader::new(stream) else { return None };
        let (mut packets, mut bytes) = (Vec::new(), 0_usize);
        while let Some(batch) = reader.next_batch() {
            bytes += batch.packets.iter().map(|packet| packet.frame().len() + 16).sum::<usize>();
            packets.extend(batch.packets.iter().map(|p| (p.interface, p.stamp, p.cap_len(), p.len)));
            if packets.len() > MOST_PACKETS {
                packets.truncate(MOST_PACKETS);
                return Some((packets, None, 0));
            }
        }
        assert!(compressed || bytes <= data.len(), "{bytes} bytes of packets in {} bytes", data.len());
        Some((packets, reader.broken().cloned(), reader.interfaces().len()))
    };
    let whole = read(usize::MAX);
    for most in [1, 7, 4096] {
        let slow = read(most);
        let told = |read: &Option<(Vec<_>, Option<_>, usize)>| {
            read.as_ref()
                .map(|(packets, broken, interfaces)| format!("{} {broken:?} {interfaces}", packets.len()))
        };
        // How much of damaged data a decoder gives before it says so depends on how it is fed.
        assert!(
            compressed || slow == whole,
            "by {most} bytes: {:?}, at once: {:?}",
            told(&slow),
            told(&whole)
        );
    }
}

/// Packets of a compressed capture that are looked at.
const MOST_PACKETS: usize = 10_000;

/// A stream that gives a few bytes at a time, and has nothing for now before each of them.
struct Slow {
    rest: VecDeque<u8>,
    most: usize,
    waits: bool,
}

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.waits = !self.waits && self.most > 1;
        if self.waits && !self.rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = out.len().min(self.most);
        self.rest.read(&mut out[..most])
    }
}

/// Any text is read to a tree and diagnostics whose places are in the text, and is checked without
/// a panic.
pub fn parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parsed = mrule_grammar::parse(FileId(0), &text);
    for diagnostic in &parsed.diagnostics {
        for label in &diagnostic.labels {
            assert!(text.get(label.span.range()).is_some(), "{diagnostic:?} is not in the text");
        }
    }
    for item in &parsed.file.items {
        assert!(text.get(item.span().range()).is_some(), "{item:?} is not in the text");
    }
    let compiled = compile_files(&[("a.mrule", &text)], &[]);
    assert!(compiled.is_err() || parsed.diagnostics.is_empty(), "what cannot be read compiles");
    if let Err(errors) = compiled {
        assert!(!errors.is_empty(), "refused without a word");
    }
}

/// What is printed is read again, means the same, and is printed the same.
pub fn fmt_roundtrip(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(printed) = mrule_grammar::format(&text) else { return };
    let again = mrule_grammar::format(&printed);
    assert_eq!(again.as_deref(), Ok(printed.as_str()), "printing is not stable");
    assert_eq!(bare(&text), bare(&printed), "the printed tree is another");
}

/// A tree without places, as text.
fn bare(text: &str) -> String {
    let parsed = mrule_grammar::parse(FileId(0), text);
    let written = format!("{:?}", parsed.file.items);
    let mut bare = String::with_capacity(written.len());
    let mut rest = written.as_str();
    while let Some(at) = rest.find("Span {") {
        bare.push_str(&rest[..at]);
        rest = rest[at..].split_once('}').map_or("", |(_, rest)| rest);
    }
    bare + rest
}

/// Any bytes of any link type are dissected, and what is promised of them holds.
pub fn dissect_any(data: &[u8]) {
    let mut choices = Choices::of_bytes(data);
    let links = [Link::Ethernet, Link::RawIp, Link::LinuxSll, Link::LinuxSll2, Link::Null];
    let link = choices.pick(&links).copied().unwrap_or(Link::Ethernet);
    let more = choices.bits(16) as u32;
    let frame = data.get(3..).unwrap_or(&[]);
    promises(&Packet::new(frame, frame.len() as u32 + more, link));
}

/// Panics unless what the dissector says of a packet holds (V2, and what each slot's documentation
/// promises).
pub fn promises(packet: &Packet) {
    let head: Head = dissect(packet);
    for stack in [&head.outer, &head.inner] {
        stack_promises(packet, stack);
    }
    if head.inner.bits != 0 {
        assert!(head.inner.l3_end <= head.outer.l3_end, "the inner packet ends behind the outer: {head:?}");
    }
}

fn stack_promises(packet: &Packet, stack: &Stack) {
    let captured = packet.cap_len();
    let slots = [Slot::L2, Slot::L3, Slot::L4, Slot::Tunnel];
    for bit in (0..64).map(|bit| 1u64 << bit).filter(|bit| stack.bits & bit != 0) {
        for slot in slots {
            let needed = u32::from(promised(bit, slot));
            assert!(
                needed == 0 || slot.get(stack) + needed <= captured,
                "{bit:#x} promises too much: {stack:?}"
            );
        }
    }
    let runs = [("vlan", stack.vlan, stack.vlans), ("mpls", stack.mpls, stack.labels)];
    for (what, first, count) in runs {
        assert!(count == 0 || first + 4 * count <= captured, "{what}: {stack:?}");
    }
    assert!(stack.payload <= stack.payload_end && stack.payload_end <= captured, "{stack:?}");
    assert!(stack.payload_end <= stack.l3_end && stack.l3_end <= captured, "{stack:?}");
    assert!(stack.headers_end <= packet.len, "{stack:?}");
}

/// A program and packets of these choices: the engines agree.
pub fn engines(data: &[u8]) {
    let mut choices = Choices::of_bytes(data);
    let count = 1 + choices.below(6);
    let mut packets = mangle::packets(&mut choices, count);
    let raw = choices.below(64);
    if raw > 0 {
        let bytes: Vec<u8> = (0..raw).map(|_| choices.bits(8) as u8).collect();
        packets.push(BuiltPacket {
            link: Link::Ethernet,
            len: bytes.len() as u32,
            bytes,
            interface: String::new(),
        });
    }
    let palette = Palette::of(&mangle::views(&packets));
    let text = generate::small(&mut choices, &palette);
    if let Outcome::Wrong(wrong) = differ::engines(&text, &packets, choices.bits(64)) {
        let finding = crate::minimise::Finding { text, packets };
        panic!("{wrong}\n{finding}");
    }
}
