//! Everything that crosses between the runtime, the two engines and generated code: `repr(C)`
//! records with their offsets asserted at compile time, and the validity rules that every SAFETY
//! comment cites by number. Generated code touches no byte that is not named here or in the frame.
//! (Rejected: passing Rust structs and closures, whose layout the compiler may change.)
//!
//! - **V1** `Packet::data..data+cap_len` is the live slice `Packet::frame`; `cap_len` is its
//!   length.
//! - **V2** a presence bit of a [`Stack`] promises that the header it names lies within the frame:
//!   `slot offset + bytes named by the bit <= cap_len` ([`bit`] says how many). Only `dissect` (and
//!   the fast shapes of generated code, under the same checks) set bits.
//! - **V3** a field's bytes lie within the bytes its bit promises (proved by a const loop in
//!   `fields`). V1-V3 make a guarded load in bounds. Payloads and options are not covered; they go
//!   through total helpers.
//! - **V4** during a call, only generated code and shims use what they write: `asked`, `verdicts`,
//!   `counters`, `seen`, `keys`, `events`, `fired`, each with room for the call; the context's
//!   `key`, `head`, `head_serial`; behind `host`, which code only passes on, `scratch` and `cuts`.
//! - **V5** helpers called by generated code are total and never unwind.
//! - **V6** code and constants outlive every call: the engine owns both and is held while a batch
//!   runs.

use std::marker::PhantomData;

/// The link layer of a frame.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet II or 802.3 (LINKTYPE 1).
    Ethernet = 1,
    /// An IPv4 or IPv6 packet without a link header (LINKTYPE 101, 12, 14, 228, 229).
    RawIp = 2,
    /// Linux cooked capture v1 (LINKTYPE 113).
    LinuxSll = 3,
    /// Linux cooked capture v2 (LINKTYPE 276).
    LinuxSll2 = 4,
    /// BSD loopback, family in the byte order of the capturing host (LINKTYPE 0); also with network
    /// order (108).
    Null = 5,
}

/// One packet as an engine sees it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    data: *const u8,
    cap_len: u32,
    /// Length on the wire, in bytes (`frame.len`).
    pub len: u32,
    link: Link,
    /// The number of the interface at its source.
    pub interface: u32,
    /// The time of the decision: flows, windows and holds use it. In nanoseconds since the Unix
    /// epoch. It is usually [`stamp`](Self::stamp).
    pub time: i64,
    /// The capture time according to the source; copies carry it. In nanoseconds since the Unix
    /// epoch.
    pub stamp: i64,
    frame: &'a [u8],
    interface_name: &'a str,
}

impl<'a> Packet<'a> {
    /// A packet whose captured bytes are `frame`; bytes beyond [`MAX_FRAME`] are ignored. `len` is
    /// at least the captured length.
    pub fn new(frame: &'a [u8], len: u32, link: Link) -> Self {
        let frame = frame.get(..MAX_FRAME).unwrap_or(frame);
        let cap_len = frame.len() as u32;
        let data = frame.as_ptr();
        Packet {
            data,
            cap_len,
            len: len.max(cap_len),
            link,
            interface: 0,
            time: 0,
            stamp: 0,
            frame,
            interface_name: "",
        }
    }

    /// Sets the interface; an empty name is an unknown interface.
    pub fn on(mut self, interface: u32, name: &'a str) -> Self {
        self.interface = interface;
        self.interface_name = name;
        self
    }

    /// Sets the times of capture and decision, in nanoseconds since the Unix epoch.
    pub fn at(mut self, time: i64) -> Self {
        (self.time, self.stamp) = (time, time);
        self
    }

    /// Sets another time of decision than the capture time, in nanoseconds since the Unix epoch.
    pub fn decided_at(mut self, time: i64) -> Self {
        self.time = time;
        self
    }

    /// The captured bytes.
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// How many bytes were captured (`frame.cap_len`).
    pub fn cap_len(&self) -> u32 {
        self.cap_len
    }

    /// The link layer of the frame.
    pub fn link(&self) -> Link {
        self.link
    }

    /// The interface's name; empty if unknown.
    pub fn interface_name(&self) -> &'a str {
        self.interface_name
    }
}

/// The longest frame that is read, in bytes.
pub const MAX_FRAME: usize = 1 << 30;

/// Presence bits of a [`Stack`]. Each bit promises certain bytes (V2). A new bit needs a row in
/// `fields::promised`, code in `dissect`, `jit/shape.rs` and `jit/needs.rs`, its facts in
/// `lint/facts.rs`, and a name in `render/names.rs`.
pub mod bit {
    /// An Ethernet header: 14 bytes at `l2`.
    pub const ETH: u64 = 1 << 0;
    /// `eth.type` is a type (>= 0x0600, or 0), not an 802.3 length: with `ETH`.
    pub const ETH_TYPE: u64 = 1 << 1;
    /// At least one VLAN tag (0x8100, 0x88a8, 0x9100): `vlans` tags of 4 bytes (TCI, next type)
    /// from `vlan`.
    pub const VLAN: u64 = 1 << 2;
    /// At least one MPLS label: `labels` entries of 4 bytes from `mpls`.
    pub const MPLS: u64 = 1 << 3;
    /// PPPoE session header.
    pub const PPPOE: u64 = 1 << 4;
    /// ARP was recognised.
    pub const ARP: u64 = 1 << 5;
    /// ARP's fixed 8 bytes at `l3`.
    pub const ARP_HDR: u64 = 1 << 6;
    /// ARP for Ethernet and IPv4: 28 bytes at `l3`.
    pub const ARP_ADDR: u64 = 1 << 7;
    /// IPv4 was recognised: its carrier's type is IPv4, and at least one byte of it was captured.
    pub const IP: u64 = 1 << 8;
    /// A consistent IPv4 header: 20 bytes at `l3`, version 4, IHL >= 5.
    pub const IP_HDR: u64 = 1 << 9;
    /// IPv6 was recognised: as for IPv4.
    pub const IP6: u64 = 1 << 10;
    /// A consistent IPv6 header: 40 bytes at `l3`, version 6.
    pub const IP6_HDR: u64 = 1 << 11;
    /// Either header is consistent: the first byte at `l3` has the version, `proto` is the last
    /// protocol number.
    pub const NET: u64 = 1 << 12;
    /// A non-first fragment: no header follows the IP headers.
    pub const FRAGMENT: u64 = 1 << 13;
    /// An extension header was read: hop-by-hop options.
    pub const EXT_HOPOPTS: u64 = 1 << 14;
    /// Routing header.
    pub const EXT_ROUTING: u64 = 1 << 15;
    /// Fragment header.
    pub const EXT_FRAGMENT: u64 = 1 << 16;
    /// Destination options.
    pub const EXT_DSTOPTS: u64 = 1 << 17;
    /// Authentication header (also after IPv4).
    pub const AH: u64 = 1 << 18;
    /// Encapsulating security payload, in IP or in UDP.
    pub const ESP: u64 = 1 << 19;
    /// ICMP was recognised.
    pub const ICMP: u64 = 1 << 20;
    /// Its type and code: 2 bytes at `l4`.
    pub const ICMP_HDR: u64 = 1 << 21;
    /// ICMPv6 was recognised.
    pub const ICMP6: u64 = 1 << 22;
    /// Its type and code: 2 bytes at `l4`.
    pub const ICMP6_HDR: u64 = 1 << 23;
    /// TCP was recognised: at least its ports are present.
    pub const TCP: u64 = 1 << 24;
    /// Its ports: 4 bytes at `l4`.
    pub const TCP_PORTS: u64 = 1 << 25;
    /// A consistent TCP header: 20 bytes at `l4`, data offset >= 5.
    pub const TCP_HDR: u64 = 1 << 26;
    /// `tcp_len` is known: with `TCP_SEQ`, not a fragment, the data offset within the segment.
    pub const TCP_LEN: u64 = 1 << 27;
    /// `tcp.payload` exists: `payload..payload_end` is not empty and not a RST's text.
    pub const TCP_PAYLOAD: u64 = 1 << 28;
    /// UDP was recognised: at least its ports are present.
    pub const UDP: u64 = 1 << 29;
    /// Its ports: 4 bytes at `l4`.
    pub const UDP_PORTS: u64 = 1 << 30;
    /// A whole UDP header: 8 bytes at `l4`.
    pub const UDP_HDR: u64 = 1 << 31;
    /// `udp.payload` exists: `payload..payload_end` is not empty, and the length field does not
    /// exclude it (8 or less).
    pub const UDP_PAYLOAD: u64 = 1 << 32;
    /// SCTP was recognised: its whole header of 12 bytes is present.
    pub const SCTP: u64 = 1 << 33;
    /// Its ports: 4 bytes at `l4`.
    pub const SCTP_PORTS: u64 = 1 << 34;
    /// TCP, UDP or SCTP with its ports: 4 bytes at `l4`.
    pub const PORTS: u64 = 1 << 35;
    /// A known L4 header with a payload: `payload..payload_end` is not empty.
    pub const PAYLOAD: u64 = 1 << 36;
    /// GRE was recognised: 4 bytes at `tunnel`.
    pub const GRE: u64 = 1 << 37;
    /// VXLAN, also with a type (GPE): 8 bytes at `tunnel`.
    pub const VXLAN: u64 = 1 << 38;
    /// GENEVE: 8 bytes at `tunnel`.
    pub const GENEVE: u64 = 1 << 39;
    /// At least one of the tags counted by `vlans` is followed by a type, not by an 802.3 length
    /// (1500 or less): with `VLAN`.
    pub const VLAN_ETYPE: u64 = 1 << 40;
    /// The version of a header that should be IPv4 or IPv6: 1 byte at `l3`, of any value.
    pub const IP_VERSION: u64 = 1 << 41;
    /// The header length of an IPv4 header, even if wrong: 1 byte at `l3`, version 4.
    pub const IP_IHL: u64 = 1 << 42;
    /// The total length of an IPv4 header, even if wrong: 4 bytes at `l3`, version 4, IHL >= 5.
    pub const IP_LEN: u64 = 1 << 43;
    /// Sequence number and data offset of a TCP header, even if the offset is wrong: 16 bytes at
    /// `l4`.
    pub const TCP_SEQ: u64 = 1 << 44;
    /// Acknowledgment number, flags and window of a TCP header: 16 bytes at `l4`, data offset >= 5.
    pub const TCP_FLAGS: u64 = 1 << 45;
    /// The packet belongs to a flow: its [`super::FlowView`] is filled. `dissect` never sets this
    /// bit and those up to `ISN`. Only flow tracking sets them, and only in the outer stack.
    pub const FLOW: u64 = 1 << 46;
    /// With `FLOW`: sent by the client, the end that opened the flow.
    pub const FROM_CLIENT: u64 = 1 << 47;
    /// With `FLOW`: sent by the server, the other end.
    pub const FROM_SERVER: u64 = 1 << 48;
    /// With `FLOW`: its place in its stream is known: `offset`, `end`, `lead`.
    pub const STREAM: u64 = 1 << 49;
    /// With `FLOW`: the initial sequence number of its direction is known: `isn`.
    pub const ISN: u64 = 1 << 50;
    /// The frame ends in a type or protocol that is not looked behind, though an IP packet or a
    /// transport header may follow. Only in the outer stack, but it also speaks of the inner
    /// packet. [`crate::dissect::unparsed`] gives the type.
    pub const UNPARSED: u64 = 1 << 51;
}

/// The places of the headers of one IP packet: the outermost, or the packet inside the first
/// tunnel. Offsets are in bytes from the start of the frame. A slot whose bit is not set is 0.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stack {
    /// Presence bits, [`bit`].
    pub bits: u64,
    /// The Ethernet header.
    pub l2: u32,
    /// The IP (or ARP) header.
    pub l3: u32,
    /// The header after IP and its extension headers.
    pub l4: u32,
    /// The first byte after the L4 header.
    pub payload: u32,
    /// One past the last captured payload byte: without padding and bytes beyond the IP packet's
    /// end.
    pub payload_end: u32,
    /// The end of `headers`: through L4 with its options, else through L3 with its options and
    /// extension headers, else through L2 with its tags. If a header is cut, it may exceed the
    /// captured end. It never exceeds the frame's length.
    pub headers_end: u32,
    /// One past the last captured byte that is not padding: the end of the IP packet, ARP message
    /// or 802.3 payload by its declared length, clipped to the captured bytes. Without a declared
    /// length: the captured end. Always set.
    pub l3_end: u32,
    /// With [`bit::NET`]: the last protocol number of the IP headers (`net.proto`). Without it, if
    /// the packet ends in a type that is not read: that type, an Ethernet type, or the number of a
    /// [`crate::dissect::Family`] times 65536 and the number in it.
    pub proto: u32,
    /// `tcp.len`: the segment's length on the wire; with [`bit::TCP_LEN`].
    pub tcp_len: u32,
    /// The first VLAN tag's TCI.
    pub vlan: u32,
    /// The number of consecutive tags from there.
    pub vlans: u32,
    /// The first MPLS label entry.
    pub mpls: u32,
    /// The number of consecutive entries from there.
    pub labels: u32,
    /// The GRE, VXLAN or GENEVE header.
    pub tunnel: u32,
}

/// The result of `dissect` for a packet.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// The outermost IP packet and its link headers.
    pub outer: Stack,
    /// The packet inside the first tunnel (GRE, IP in IP, VXLAN and others); all zero without one.
    pub inner: Stack,
}

/// A packet's flow at the time of this packet. Flow tracking fills it; it is meaningful if
/// [`bit::FLOW`] is set. All members are words, so that one form of load serves all; counts are
/// below 2^48.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowView {
    /// Triggers `by flow` that are active, one bit each ([`crate::hir::Scope::Flow`]).
    pub active: u64,
    /// Stream offset of the first payload byte, or of the next byte if there is no payload; with
    /// [`bit::STREAM`].
    pub offset: u64,
    /// One past the stream offset of the last payload byte; `offset` when there is no payload.
    pub end: u64,
    /// How many payload bytes lie before the start of the stream; each of them has offset 0.
    pub lead: u64,
    /// Length of this direction's stream so far: the greatest `end` seen.
    pub len: u64,
    /// Initial sequence number of this direction; with [`bit::ISN`].
    pub isn: u64,
    /// Its application, a [`crate::fields::App`].
    pub app: u64,
    /// 1 for the first packet of the flow.
    pub is_new: u64,
    /// 1 if both ends have sent packets (TCP: the handshake is complete, or data went both ways).
    pub established: u64,
    /// 1 if the start of this direction's stream was not seen (TCP without its SYN).
    pub midstream: u64,
    /// Packets of the flow, both directions.
    pub packets: u64,
    /// Bytes of its frames on the wire, both directions.
    pub bytes: u64,
    /// Packets from the client.
    pub client_packets: u64,
    /// Bytes of frames from the client.
    pub client_bytes: u64,
    /// Packets from the server.
    pub server_packets: u64,
    /// Bytes of frames from the server.
    pub server_bytes: u64,
    /// Nanoseconds since the flow's first packet.
    pub age: u64,
    /// Nanoseconds since the flow's previous packet; 0 for the first.
    pub idle: u64,
    /// A number that is unique to the flow, even among earlier and later flows with the same ends.
    pub id: u64,
    /// 1 if a SYN or the content of the flow has shown which end is the client.
    pub client_known: u64,
}

/// A packet's own key for a trigger.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnKeyWords {
    /// The number of its form, from 1 ([`crate::hir::Trigger::own`]); 0 if the packet has no key.
    pub form: u64,
    /// Its parts: high and low word. Numbers and IPv4 addresses have no high word. Bytes and
    /// message fields are 0: the trigger's owner reads them from the packet.
    pub parts: [[u64; 2]; MAX_KEY],
}

/// A packet's contribution to a window.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowEvent {
    /// 1 if it counts, else 0.
    pub counts: u64,
    /// The amount that is added to a sum. For a window of different values: the value's
    /// [`distinct_word`].
    pub amount: u64,
}

/// The word of a value among different values: the value itself, or both halves of an address
/// mixed.
pub fn distinct_word([high, low]: [u64; 2]) -> u64 {
    high.wrapping_mul(DISTINCT_MULTIPLIER).rotate_left(DISTINCT_ROTATE) ^ low
}

/// The multiplier of [`distinct_word`].
pub const DISTINCT_MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// The rotation of [`distinct_word`].
pub const DISTINCT_ROTATE: u32 = 29;

/// The verdict for one station: bytes `start..end` of the frame, and the rule and limit that
/// decided.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// First byte.
    pub start: u32,
    /// One past the last byte; within the captured bytes. `start == end`: a limit left nothing.
    pub end: u32,
    /// The rule that asked for the most: its index in the program, in the order of names.
    pub rule: u32,
    /// The limit that cut, or [`NO_LIMIT`].
    pub limit: u32,
}

/// No limit cut the copy.
pub const NO_LIMIT: u32 = u32::MAX;

/// Instead of a limit's number: a limit of a binding policy cut.
pub const BOUND: u32 = NO_LIMIT - 1;

/// The greatest number of stations of a program: a verdict has one bit for each.
pub const MAX_STATIONS: usize = 64;

/// The greatest number of parts of a table's or trigger's key.
pub const MAX_KEY: usize = 8;

/// The part of a station's copy that limits have left so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// First byte still allowed.
    pub start: u32,
    /// One past the last byte still allowed.
    pub end: u32,
    /// The least that a single limit left, in bytes.
    pub least: u32,
    /// The limit that left the least, or [`NO_LIMIT`].
    pub limit: u32,
}

/// The arguments of generated code besides the packets, made for each batch. Helpers get it too.
#[repr(C)]
#[derive(Debug)]
pub struct Context<'a> {
    /// For packet `i` of the batch, `asked[i]`: the stations that a rule asked a copy for, one bit
    /// each.
    pub asked: *mut u64,
    /// For packet `i` and station `s`, `verdicts[i * stations + s]`: meaningful where the bit is
    /// set.
    pub verdicts: *mut Verdict,
    /// Per rule, then per limit: for how many packets its match held. Wrapping counters.
    pub counters: *mut u64,
    /// Per rule, then per limit: the serial number of the last packet that was counted for it.
    pub seen: *mut u64,
    /// The values of the params, two words each (high, low).
    pub params: *const u64,
    /// The program's constants: sets, keys.
    pub pool: *const u64,
    /// The serial number of the first packet of the batch, never 0. The others follow.
    pub serial: u64,
    /// The serial number of the packet of `head`.
    pub head_serial: u64,
    /// The parts of a key for a helper: two words each (high, low).
    pub key: [[u64; 2]; MAX_KEY],
    /// The headers of packet `head_serial`.
    pub head: Head,
    /// For packet `i` of the batch, `heads[i]`: its headers; null unless the program reads flows.
    pub heads: *const Head,
    /// For packet `i`, `flows[i]`: its flow; null unless the program reads flows.
    pub flows: *const FlowView,
    /// For packet `i` and stream pattern `p`, bit `p % 64` of `found[i * words + p / 64]`: whether
    /// the packet completes a match; null unless the program searches streams.
    pub found: *const u64,
    /// Per trigger: the packet's own key, written by `probe`.
    pub keys: *mut OwnKeyWords,
    /// Per window: whether the packet counts, and its amount, written by `probe`.
    pub events: *mut WindowEvent,
    /// Per window: its value, for `fire`; null unless a trigger has windows.
    pub windows: *const u64,
    /// Per trigger: the result of `fire`, a [`crate::context::Fired`].
    pub fired: *mut u8,
    /// The data that helpers read; generated code passes it on.
    pub host: *mut std::ffi::c_void,
    /// The lifetime of the memory behind the pointers.
    pub lives: PhantomData<&'a mut [u64]>,
}

impl Cut {
    /// Cuts to `start..end`. Records the limit that alone leaves the least of `asked`; of equal
    /// limits, the first.
    pub fn limit_to(&mut self, asked: (u32, u32), allowed: (u32, u32), limit: u32) {
        let left = allowed.1.min(asked.1).saturating_sub(allowed.0.max(asked.0));
        if left < self.least || left == self.least && self.limit != NO_LIMIT && limit < self.limit {
            self.least = left;
            self.limit = limit;
        }
        self.start = self.start.max(allowed.0);
        self.end = self.end.min(allowed.1);
    }
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(offset_of!(Packet, data) == 0);
    assert!(offset_of!(Packet, cap_len) == 8);
    assert!(offset_of!(Packet, len) == 12);
    assert!(offset_of!(Packet, link) == 16);
    assert!(size_of::<Stack>() == 64);
    assert!(size_of::<Head>() == 128);
    assert!(size_of::<Verdict>() == 16);
    assert!(size_of::<FlowView>() == 20 * 8);
    assert!(size_of::<OwnKeyWords>() == 8 + 16 * MAX_KEY);
    assert!(size_of::<WindowEvent>() == 16);
};

pub mod offset;

#[cfg(test)]
mod tests;
