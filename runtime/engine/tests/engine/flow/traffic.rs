//! Traffic whose truth is known: connections whose bytes have absolute offsets from the start. It
//! is sent with loss, duplicates, reordering, retransmission, overlap, gaps of half a gigabyte,
//! fragments and cut captures.

use crate::flow::frames::*;

/// A small generator of random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True once in `n` calls on average.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The contents of a TCP header without sequence numbers.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub flags: u8,
    pub isn: u32,
    /// The acknowledged byte's offset.
    pub ack: i128,
}

/// A packet, and the truth about it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub time: i64,
    pub frame: Vec<u8>,
    pub captured: usize,
    /// The pair of ends, and the end that sends.
    pub pair: usize,
    pub from: usize,
    /// Absent for UDP, and for fragments other than the first.
    pub tcp: Option<Header>,
    pub is_tcp: bool,
    /// The absolute offset of the first payload byte in its direction.
    pub at: i128,
    pub length: u32,
    /// The captured payload.
    pub payload: Vec<u8>,
    /// For a datagram in pieces: its number, and whether this is the first piece.
    pub piece: Option<(u32, bool)>,
}

/// The byte at an offset.
fn byte(pair: usize, from: usize, at: i128) -> u8 {
    (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(9) as u8 ^ (pair * 2 + from) as u8
}

pub struct Pair {
    number: usize,
    ends: Ends,
    vlans: Vec<u16>,
    datagrams: u32,
    pub sent: Vec<Sent>,
    now: i64,
}

impl Pair {
    pub fn new(number: usize, start: i64) -> Pair {
        let n = number as u32;
        let (v6, up) = (n % 2 == 1, n % 4 < 2);
        let ports = if up { [2000 + n as u16 / 4, 80] } else { [80, 2000 + n as u16 / 4] };
        let vlans = [vec![], vec![5], vec![5, 6]][number / 2 % 3].clone();
        let ends = Ends { v6, hosts: [0x0a00_0001, 0x0a00_0001 + u32::from(n % 8 > 3)], ports };
        Pair { number, ends, vlans, datagrams: 1, sent: Vec::new(), now: start }
    }

    fn wait(&mut self, random: &mut Random) {
        self.now += match random.below(200) {
            0 => 4000 * SECOND,
            1 => (random.below(200) as i64 + 1) * SECOND,
            2..10 => (random.below(20) as i64 + 1) * SECOND,
            _ => random.below(1_000_000) as i64 + 1,
        };
    }

    /// Sends a packet, sometimes in pieces. It can get lost, doubled or late, unless it is `sure`
    /// to arrive.
    fn send(
        &mut self,
        random: &mut Random,
        from: usize,
        tcp: Option<Header>,
        at: i128,
        length: u32,
        sure: bool,
    ) {
        let ends = if from == 0 { self.ends } else { self.ends.back() };
        let payload: Vec<u8> = (0..i128::from(length)).map(|i| byte(self.number, from, at + i)).collect();
        let seq = |h: Header| h.isn.wrapping_add(u32::from(h.flags & SYN == 0)).wrapping_add(at as u32);
        let inside = match tcp {
            Some(h) => crate::flow::frames::tcp(ends, seq(h), h.ack as u32, h.flags, &payload),
            None => udp(ends, &payload),
        };
        let headers = inside.len() - payload.len();
        let cut = headers.next_multiple_of(8) + 8 * random.below(4) as usize;
        let mut pieces = vec![(0, inside.len())];
        let is_reset = tcp.is_some_and(|h| h.flags & RST != 0);
        if !sure && !is_reset && cut < inside.len() && random.once_in(6) {
            pieces = vec![(0, cut), (cut, inside.len())];
            if inside.len() > cut + 16 && random.once_in(2) {
                pieces = vec![(0, cut), (cut, cut + 16), (cut + 16, inside.len())];
            }
            if random.once_in(4) {
                pieces.reverse();
            }
        }
        self.datagrams += 1;
        for &(start, end) in &pieces {
            let fragment = Piece {
                id: self.datagrams * 16 + self.number as u32,
                offset: start as u16,
                more: end < inside.len(),
            };
            let fragment = (pieces.len() > 1).then_some(fragment);
            let proto = if tcp.is_some() { 6 } else { 17 };
            let frame = frame(ends, proto, &self.vlans, fragment, &inside[start..end]);
            let first = start == 0;
            let (skip, headers) = if first { (0, headers) } else { (start - headers, 0) };
            let length = end - start - headers;
            let captured = if sure || random.once_in(4) {
                frame.len()
            } else {
                frame.len() - random.below(length as u64 + 1) as usize
            };
            let payload = &payload[skip..skip + length];
            let sent = Sent {
                time: self.now,
                captured,
                payload: payload[..length - (frame.len() - captured)].to_vec(),
                frame,
                pair: self.number,
                from,
                tcp: tcp.filter(|_| first),
                is_tcp: tcp.is_some(),
                at: at + skip as i128,
                length: length as u32,
                piece: fragment.map(|f| (f.id, first)),
            };
            if sure || !random.once_in(15) {
                self.sent.push(sent.clone());
                if random.once_in(30) {
                    self.sent.push(sent);
                }
            }
            self.now += 1000;
        }
        if !sure && random.once_in(10) && self.sent.len() > 3 {
            // A late packet changes places with the packet before it, but the times stay.
            let n = self.sent.len();
            let (a, b) = (self.sent[n - 2].time, self.sent[n - 1].time);
            let calm = |s: &Sent| s.tcp.is_none_or(|h| h.flags & (SYN | FIN | RST) == 0);
            if b - a < SECOND && calm(&self.sent[n - 1]) && calm(&self.sent[n - 2]) {
                self.sent.swap(n - 2, n - 1);
                (self.sent[n - 2].time, self.sent[n - 1].time) = (a, b);
            }
        }
        self.wait(random);
    }

    pub fn udp(&mut self, random: &mut Random, packets: usize) {
        for _ in 0..packets {
            let from = usize::from(random.once_in(3));
            let length = random.below(200) as u32;
            self.send(random, from, None, 0, length, false);
        }
    }

    pub fn tcp(&mut self, random: &mut Random, segments: usize) {
        let isns: [u32; 2] = std::array::from_fn(|_| match random.below(3) {
            0 => u32::MAX - random.below(3000) as u32,
            1 => random.below(10) as u32,
            _ => random.next() as u32,
        });
        let mut next = [0_i128; 2];
        let client = usize::from(random.once_in(4));
        let header = |from: usize, flags: u8, next: &[i128; 2]| {
            // The offset of the other end, as a number of that end.
            let ack = isns[1 - from].wrapping_add(1).wrapping_add(next[1 - from] as u32);
            Some(Header { flags, isn: isns[from], ack: i128::from(if flags & ACK != 0 { ack } else { 0 }) })
        };
        let soon = random.once_in(2);
        self.now += if soon { 2 * SECOND } else { 4000 * SECOND };
        if soon || random.once_in(2) {
            let early = if random.once_in(4) { 30 } else { 0 };
            self.send(random, client, header(client, SYN, &next), 0, early, soon);
            if random.once_in(5) {
                self.send(random, client, header(client, SYN, &next), 0, early, soon);
            }
            next[client] += i128::from(early);
            self.send(random, 1 - client, header(1 - client, SYN | ACK, &next), 0, 0, soon);
            let at = next[client];
            self.send(random, client, header(client, ACK, &next), at, 0, false);
        } else {
            next = std::array::from_fn(|_| i128::from(random.next() >> random.below(40) >> 20));
        }
        let mut fin = [false; 2];
        let leaps = random.once_in(3);
        for _ in 0..segments {
            let from = usize::from(random.once_in(2));
            let (length, at) = ([1, 3, 100, 1400][random.below(4) as usize], next[from]);
            let mut sent = (header(from, ACK, &next), at, length);
            let mut sure = false;
            match random.below(30) {
                _ if fin[from] => sent = (sent.0, at + 1, 0),
                0 => sent = (sent.0, at - 1, random.below(2) as u32),
                1 | 2 => sent.2 = 0,
                3 | 4 => sent.1 -= i128::from(random.below(3000)),
                5 => sent.1 -= i128::from(random.below(1 << 30)),
                6 => sent.1 += i128::from((1 << 30) + random.below(1 << 29) + 100_000),
                n @ 7..25 if leaps || n < 9 => {
                    next[from] += i128::from(random.below(1 << 29));
                    sent.1 = next[from];
                    next[from] += i128::from(length);
                    sure = true;
                }
                9 if random.once_in(8) => {
                    sent.0 = header(from, FIN | ACK, &next);
                    next[from] += i128::from(length);
                    fin[from] = true;
                    sure = true;
                }
                10 if random.once_in(8) => {
                    sent = (header(from, RST | ACK, &next), at, 9 * random.below(2) as u32);
                }
                _ => next[from] += i128::from(length),
            }
            self.send(random, from, sent.0, sent.1, sent.2, sure);
        }
    }
}
