//! What copies in a pcapng station say of themselves: length, and the words of their comments. A
//! walker of its own, of the few blocks that stations write. (Rejected: tshark for it; it takes
//! seconds for a million copies.)

use std::path::Path;

/// A copy and what its comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledCopy {
    /// Captured bytes.
    pub captured: usize,
    /// Length on the wire.
    pub length: usize,
    /// The rule that asked for the most.
    pub rule: String,
    /// The policy.
    pub policy: String,
    /// Its version.
    pub version: u64,
}

/// All copies of a file.
pub fn labelled_copies(path: &Path) -> Vec<LabelledCopy> {
    let bytes = std::fs::read(path).expect("a file of copies");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a word")) as usize;
    let (mut at, mut copies) = (0, Vec::new());
    while at + 12 <= bytes.len() {
        let length = word(at + 4);
        if word(at) == 6 {
            let captured = word(at + 20);
            let option = at + 28 + captured.next_multiple_of(4);
            assert_eq!(word(option) & 0xffff, 1, "a comment");
            let comment = String::from_utf8(bytes[option + 4..option + 4 + (word(option) >> 16)].to_vec());
            let comment = comment.expect("text");
            let said = |what: &str| {
                let found = comment.split(' ').find_map(|word| word.strip_prefix(what));
                found.unwrap_or_else(|| panic!("no {what} in {comment}")).to_owned()
            };
            copies.push(LabelledCopy {
                captured,
                length: word(at + 24),
                rule: said("rule="),
                policy: said("policy="),
                version: said("version=").parse().expect("a number"),
            });
        }
        at += length;
    }
    copies
}
