//! The GENEVE header (RFC 8926) of a copy, and its options: the one table of their types and
//! special values. The invariants: what is written comes from the table; the page of the language
//! has each of its rows, and a test compares them; a type or value never gets another meaning,
//! because receivers decode by them. (Rejected: the numbers of the ABI as they are in memory; they
//! may change, what receivers read may not.)

use super::queue::CopyRef;
use mrule_compiler::abi::{BOUND, NO_LIMIT};

/// The class of the options, of the experimental ones.
pub const OPTION_CLASS: u16 = 0xff6d;

/// Option 3: no limit cut the copy.
pub const LIMIT_NONE: u32 = 0xffff_ffff;

/// Option 3: a limit of a binding policy cut the copy.
pub const LIMIT_BINDING: u32 = 0xffff_fffe;

/// What an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionRow {
    /// Its type.
    pub number: u8,
    /// How many bytes its value has.
    pub bytes: u8,
    /// What its value says, and which copies have it, as the page says it.
    pub value: &'static str,
}

const fn row(number: u8, bytes: u8, value: &'static str) -> OptionRow {
    OptionRow { number, bytes, value }
}

const ORIGINAL_LENGTH: OptionRow = row(1, 4, "the original length");
const RULE: OptionRow =
    row(2, 4, "the number of the rule that asked for the most, counted from 0 in the order of names");
const LIMIT: OptionRow = row(
    3,
    4,
    "the number of the limit that cut, counted the same way; `0xffffffff` when no limit cut, `0xfffffffe` when a \
     limit of a binding policy cut",
);
const PACKET_NUMBER: OptionRow = row(4, 8, "the packet's number at its worker, from 1");
const SLICE_START: OptionRow = row(5, 4, "the first byte of the slice; only when it is not 0");
const POLICY_VERSION: OptionRow =
    row(6, 8, "the version of the policy that decided; only when the policy has a version (live runs)");

/// All options, by type.
pub const OPTIONS: [OptionRow; 6] =
    [ORIGINAL_LENGTH, RULE, LIMIT, PACKET_NUMBER, SLICE_START, POLICY_VERSION];

/// How long the header with all options is.
pub(super) const LONGEST: usize = {
    let (mut length, mut at) = (8, 0);
    while at < OPTIONS.len() {
        length += 4 + OPTIONS[at].bytes as usize;
        at += 1;
    }
    length
};

/// Appends the header of a copy.
pub(super) fn header(copy: &CopyRef<'_>, ethertype: u16, vni: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&ethertype.to_be_bytes());
    out.extend_from_slice(&(vni << 8).to_be_bytes());
    let verdict = &copy.held.verdict;
    option(ORIGINAL_LENGTH, copy.held.len, out);
    option(RULE, verdict.rule, out);
    option(LIMIT, limit(verdict.limit), out);
    option(PACKET_NUMBER, copy.held.number, out);
    if verdict.start > 0 {
        option(SLICE_START, verdict.start, out);
    }
    match copy.names.version() {
        0 => {}
        version => option(POLICY_VERSION, version, out),
    }
    let words = (out.len() - start - 8) / 4;
    if let Some(length) = out.get_mut(start) {
        *length = words as u8;
    }
}

/// A verdict's limit as receivers read it.
fn limit(of_verdict: u32) -> u32 {
    match of_verdict {
        NO_LIMIT => LIMIT_NONE,
        BOUND => LIMIT_BINDING,
        number => number,
    }
}

/// Appends an option: the last bytes of a number, as many as its row says.
fn option(row: OptionRow, value: impl Into<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(&OPTION_CLASS.to_be_bytes());
    out.extend_from_slice(&[row.number, row.bytes / 4]);
    let value: [u8; 8] = value.into().to_be_bytes();
    out.extend_from_slice(value.get(8 - usize::from(row.bytes)..).unwrap_or_default());
}
