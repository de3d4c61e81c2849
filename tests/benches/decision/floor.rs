//! The floor: what an engineer would write by hand for one predicate. It reads what the predicate
//! needs and nothing else, and means the same as the program: VLAN tags, MPLS labels, PPPoE, IPv4
//! options, IPv6 extension headers and fragments do not fool it.

/// A TCP packet's addresses and ports.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    pub is_v4: bool,
    /// The IPv4 source address; 0 for IPv6.
    pub src: u32,
    pub dstport: u16,
}

#[inline(always)]
fn be16(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

impl Flow {
    /// The flow of an Ethernet frame that holds a TCP header.
    #[inline(always)]
    pub fn tcp(frame: &[u8]) -> Option<Flow> {
        let mut l3 = 14;
        let mut kind = be16(frame, 12)?;
        while kind == 0x8100 || kind == 0x88a8 {
            kind = be16(frame, l3 + 2)?;
            l3 += 4;
        }
        if kind == 0x0800 || kind == 0x86dd {
            return Flow::ip(frame, kind, l3);
        }
        Flow::wrapped(frame, kind, l3)
    }

    #[inline(always)]
    fn ip(frame: &[u8], kind: u16, l3: usize) -> Option<Flow> {
        if kind == 0x0800 {
            let ip = frame.get(l3..l3 + 20)?;
            if ip[9] != 6 || u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff != 0 || ip[0] >> 4 != 4 {
                return None;
            }
            let l4 = l3 + usize::from(ip[0] & 15) * 4;
            let src = u32::from_be_bytes([ip[12], ip[13], ip[14], ip[15]]);
            return Some(Flow { is_v4: true, src, dstport: be16(frame, l4 + 2)? });
        }
        (kind == 0x86dd).then(|| Flow::tcp6(frame, l3)).flatten()
    }

    /// Behind MPLS labels or PPPoE.
    #[inline(never)]
    fn wrapped(frame: &[u8], kind: u16, mut at: usize) -> Option<Flow> {
        match kind {
            0x8847 => {
                while frame.get(at + 2)? & 1 == 0 {
                    at += 4;
                }
                at += 4;
            }
            0x8864 => at += 8,
            _ => return None,
        }
        let kind = if frame.get(at)? >> 4 == 4 { 0x0800 } else { 0x86dd };
        Flow::ip(frame, kind, at)
    }

    #[inline(always)]
    fn tcp6(frame: &[u8], l3: usize) -> Option<Flow> {
        let mut next = *frame.get(l3 + 6)?;
        let mut at = l3 + 40;
        loop {
            match next {
                6 => return Some(Flow { is_v4: false, src: 0, dstport: be16(frame, at + 2)? }),
                0 | 43 | 60 => {
                    next = *frame.get(at)?;
                    at += (usize::from(*frame.get(at + 1)?) + 1) * 8;
                }
                44 if be16(frame, at + 2)? & 0xfff8 == 0 => {
                    next = *frame.get(at)?;
                    at += 8;
                }
                _ => return None,
            }
        }
    }
}

/// A hash table from (/24, port) to a number: open addressing, at most half full.
pub struct PairTable {
    slots: Vec<(u64, u32)>,
    shift: u32,
}

impl PairTable {
    pub fn new(pairs: &[(u32, u16)]) -> PairTable {
        let size = (pairs.len() * 2).next_power_of_two().max(2);
        let mut table = PairTable { slots: vec![(u64::MAX, 0); size], shift: 64 - size.trailing_zeros() };
        for (i, &(net, port)) in pairs.iter().enumerate() {
            let key = u64::from(net) << 16 | u64::from(port);
            let mut at = table.start(key);
            while table.slots[at].0 != u64::MAX {
                at = (at + 1) & (size - 1);
            }
            table.slots[at] = (key, i as u32);
        }
        table
    }

    #[inline(always)]
    fn start(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    #[inline(always)]
    pub fn find(&self, net: u32, port: u16) -> Option<u32> {
        let key = u64::from(net) << 16 | u64::from(port);
        let mut at = self.start(key);
        loop {
            let (held, value) = self.slots[at];
            if held == key {
                return Some(value);
            }
            if held == u64::MAX {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}
