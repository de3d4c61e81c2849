//! Packets built by hand, header by header, for tests: what a header says is what the caller passes
//! or what is true of the payload. (Rejected: a packet builder library for all tests; the ones that
//! test the dissector must be able to lie.)

/// Ethernet, with a type or length.
pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A VLAN tag with priority 5; the type before it is the caller's.
pub fn vlan(id: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&(5 << 13 | id).to_be_bytes(), &kind.to_be_bytes(), payload].concat()
}

/// An MPLS label entry.
pub fn label(label: u32, bottom: bool, payload: &[u8]) -> Vec<u8> {
    [&(label << 12 | u32::from(bottom) << 8 | 64).to_be_bytes(), payload].concat()
}

/// A PPPoE session header and a PPP protocol.
pub fn pppoe(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16 + 2;
    [&[0x11, 0, 0, 7], length.to_be_bytes().as_slice(), &protocol.to_be_bytes(), payload].concat()
}

/// IPv4 without options.
pub fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = payload.len() as u16 + 20;
    let mut header = vec![0x45, 0];
    header.extend(total.to_be_bytes());
    header.extend([0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    header.extend(payload);
    header
}

/// IPv4 with flags and fragment offset.
pub fn fragment4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(protocol, payload);
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet
}

/// IPv6.
pub fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, 64]);
    for host in [1, 2] {
        header.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    header.extend(payload);
    header
}

/// An IPv6 extension header of `8 * (words + 1)` bytes: PadN options of zeros.
pub fn extension(next: u8, words: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next, words, 1, 4];
    header.resize(8 * (usize::from(words) + 1), 0);
    header.extend(payload);
    header
}

/// An IPv6 fragment header: offset in units of 8 bytes, more fragments.
pub fn fragment6(next: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    [&[next, 0], (offset << 3 | u16::from(more)).to_be_bytes().as_slice(), &[0, 0, 0, 9], payload].concat()
}

/// Flag bits of TCP.
pub const SYN: u8 = 0x02;
/// Flag bits of TCP.
pub const RST: u8 = 0x04;
/// Flag bits of TCP.
pub const PSH_ACK: u8 = 0x18;

/// TCP from port 1000 to 2000, with options of `4 * words` bytes (no-operations).
pub fn tcp(flags: u8, words: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x03, 0xe8, 0x07, 0xd0, 0, 0, 0, 1, 0, 0, 0, 2, (5 + words) << 4, flags, 0x20, 0];
    header.extend([0; 4]);
    header.resize(20 + 4 * usize::from(words), 1);
    header.extend(payload);
    header
}

/// UDP.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16 + 8;
    [from, to, length, 0].iter().flat_map(|word| word.to_be_bytes()).chain(payload.iter().copied()).collect()
}
