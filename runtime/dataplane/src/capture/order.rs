//! Reads numbers in the byte order of the host that wrote a capture. Invariant: the functions are
//! total: missing bytes read as 0, and callers have checked lengths. (Rejected: a type parameter
//! for the order, which doubles the code to save a predicted branch.)

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let two = chunk(bytes, at);
        match self {
            Order::Little => u16::from_le_bytes(two),
            Order::Big => u16::from_be_bytes(two),
        }
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let four = chunk(bytes, at);
        match self {
            Order::Little => u32::from_le_bytes(four),
            Order::Big => u32::from_be_bytes(four),
        }
    }

    pub(super) fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let eight = chunk(bytes, at);
        match self {
            Order::Little => u64::from_le_bytes(eight),
            Order::Big => u64::from_be_bytes(eight),
        }
    }
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
