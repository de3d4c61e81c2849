//! The pcapng blocks that stations write (draft-ietf-opsawg-pcapng). A copy keeps the packet's
//! original length, time, interface and link type. Its comment option holds `rule=NAME`, the limit
//! that cut it (` limit=NAME`), and live also ` policy=NAME version=N`. It holds ` bytes=M..N`
//! where the copy does not begin at the frame's first byte. Because pcapng has no place for an
//! offset, such a copy holds only the slice, and a reader must not dissect it from the link layer.
//! Invariants: only whole blocks are appended; times are always nanoseconds. (Rejected: a library;
//! the available ones read only, or write without comments and copy each packet.)

use crate::capture::Interface;
use mrule_compiler::abi::{BOUND, NO_LIMIT, Verdict};
use mrule_compiler::hir::Program;
use mrule_engine::policy::Label;
use std::sync::Arc;

const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const APPLICATION: &str = concat!("mirrorc ", env!("CARGO_PKG_VERSION"));

/// The names of a program's rules and limits, in the form for comments.
#[derive(Debug, Clone)]
pub struct Names {
    rules: Arc<[Box<str>]>,
    limits: Arc<[Box<str>]>,
    /// The policy, as text for comments, and its version.
    label: Option<(Arc<str>, u64)>,
}

impl Names {
    /// The names of this program's rules and limits.
    pub fn new(program: &Program) -> Names {
        let rules = program.rules.iter().map(|rule| format!("rule={}", rule.name).into()).collect();
        let limits = program.limits.iter().map(|limit| format!(" limit={}", limit.name).into()).collect();
        Names { rules, limits, label: None }
    }

    /// The names of this program's rules and limits, with the policy's name and version.
    pub fn labelled(program: &Program, label: Option<&Label>) -> Names {
        let text = |label: &Label| format!(" policy={} version={}", label.policy, label.version).into();
        Names { label: label.map(|label| (text(label), label.version)), ..Names::new(program) }
    }

    /// The version of the policy, from 1; 0 without versions.
    pub(super) fn version(&self) -> u64 {
        self.label.as_ref().map_or(0, |(_, version)| *version)
    }
}

/// What a packet block says beside the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub interface: u32,
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// The packet's length on the wire.
    pub len: u32,
    pub verdict: Verdict,
}

/// Appends the description of an interface.
pub(super) fn interface(out: &mut Vec<u8>, interface: &Interface) {
    block(out, 1, |body| {
        body.extend_from_slice(&interface.link_type.0.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        // No snapshot length, because it differs from packet to packet.
        body.extend_from_slice(&0_u32.to_le_bytes());
        for (code, text) in [(2, &interface.name), (3, &interface.description)] {
            if !text.is_empty() {
                option(body, code, text.as_bytes());
            }
        }
        option(body, 9, &[9]);
        end_of_options(body);
    });
}

/// Appends a copy.
pub(super) fn packet(out: &mut Vec<u8>, names: &Names, about: &About, copy: &[u8]) {
    let verdict = &about.verdict;
    let time = about.time.max(0) as u64;
    let slice =
        if verdict.start > 0 { format!(" bytes={}..{}", verdict.start, verdict.end) } else { String::new() };
    let rule = names.rules.get(verdict.rule as usize).map_or("", |name| name);
    let limit = match verdict.limit {
        NO_LIMIT => "",
        BOUND => " limit=(binding)",
        limit => names.limits.get(limit as usize).map_or("", |name| name),
    };
    block(out, 6, |body| {
        let mut head = [0; 20];
        let words = [about.interface, (time >> 32) as u32, time as u32, copy.len() as u32, about.len];
        for (bytes, word) in head.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        body.extend_from_slice(&head);
        body.extend_from_slice(copy);
        pad(body, copy.len());
        // A comment option is limited to 64 KiB; names in a rule file can be longer.
        let label = names.label.as_ref().map_or("", |(text, _)| text);
        let most = usize::from(u16::MAX) - slice.len() - label.len();
        let rule = rule.get(..most.min(rule.len())).unwrap_or("");
        let limit = limit.get(..(most - rule.len()).min(limit.len())).unwrap_or("");
        let length = rule.len() + limit.len() + label.len() + slice.len();
        body.extend_from_slice(&COMMENT.to_le_bytes());
        body.extend_from_slice(&(length as u16).to_le_bytes());
        for text in [rule, limit, label, &slice] {
            body.extend_from_slice(text.as_bytes());
        }
        pad(body, length);
        end_of_options(body);
    });
}

const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// Appends the section header of mirrorc's files: little-endian, of unknown length, with the mark
/// of the station that writes the file.
pub(super) fn section_header(out: &mut Vec<u8>, mark: Option<&str>) {
    block(out, SECTION, |body| {
        body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        body.extend_from_slice(&1_u16.to_le_bytes());
        body.extend_from_slice(&0_u16.to_le_bytes());
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        if let Some(mark) = mark {
            option(body, COMMENT, mark.as_bytes());
        }
        option(body, USER_APPLICATION, APPLICATION.as_bytes());
        end_of_options(body);
    });
}

/// The mark in the first bytes of a file that mirrorc made; empty without a mark. Returns `None`
/// for any other file.
pub(super) fn maker(head: &[u8]) -> Option<&str> {
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let half = |bytes: &[u8]| Some(usize::from(u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?)));
    if (word(0)?, word(8)?) != (SECTION, BYTE_ORDER) {
        return None;
    }
    let mut options = head.get(24..(word(4)? as usize).checked_sub(4)?)?;
    let (mut mark, mut ours) = ("", false);
    while let (Some(code), Some(length)) = (half(options), options.get(2..).and_then(half)) {
        let value = options.get(4..4 + length)?;
        match code as u16 {
            0 => break,
            COMMENT => mark = std::str::from_utf8(value).ok()?,
            USER_APPLICATION => ours = value.starts_with(b"mirrorc "),
            _ => {}
        }
        options = options.get(4 + length.next_multiple_of(4)..)?;
    }
    ours.then_some(mark)
}

/// Appends a block. `fill` appends its padded body.
#[inline]
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out.extend_from_slice(&length);
    if let Some(head) = out.get_mut(start + 4..start + 8) {
        head.copy_from_slice(&length);
    }
}

/// Appends an option. The value must be shorter than 64 KiB.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

fn pad(out: &mut Vec<u8>, length: usize) {
    let zeros = [0; 3];
    out.extend_from_slice(zeros.get(..length.wrapping_neg() % 4).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn the_maker_of_a_file_is_known_by_its_header() {
        for mark in [None, Some("policy=main station=lake")] {
            let mut head = Vec::new();
            section_header(&mut head, mark);
            assert_eq!(maker(&head), Some(mark.unwrap_or("")));
            for length in 0..head.len() {
                // A cut header has no mark, or the same mark.
                let cut = maker(&head[..length]);
                assert!(cut.is_none() || length >= head.len() - 4, "{length}");
            }
            let at = head.windows(7).position(|part| part == b"mirrorc").unwrap();
            head[at] = b'M';
            assert_eq!(maker(&head), None);
        }
        assert_eq!(maker(b""), None);
        assert_eq!(maker(&[0xff; 64]), None);
    }
}
