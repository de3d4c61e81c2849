//! TCP offsets and fragments: each test checks one line of the specification.

use crate::flow::frames::*;
use mrule_compiler::abi::bit;

const ENDS: Ends = Ends { v6: false, hosts: [0x0a00_0001, 0x0a00_0002], ports: [40000, 80] };

/// A table that has seen the handshake of a connection with these initial sequence numbers.
fn opened(client: u32, server: u32) -> Watch {
    let mut w = Watch::new();
    let syn = w.tcp(ENDS, client, 0, SYN, &[]);
    assert_eq!((syn.stream(), syn.view.isn, syn.view.midstream), ((0, 0, 0), u64::from(client), 0));
    let answer = w.tcp(ENDS.back(), server, client.wrapping_add(1), SYN | ACK, &[]);
    assert_eq!((answer.stream(), answer.view.isn), ((0, 0, 0), u64::from(server)));
    assert_eq!(answer.view.established, 0);
    let ack = w.tcp(ENDS, client.wrapping_add(1), server.wrapping_add(1), ACK, &[]);
    assert_eq!((ack.stream(), ack.view.established, ack.view.packets), ((0, 0, 0), 1, 3));
    w
}

#[test]
fn a_connection_from_its_start() {
    let mut w = opened(1000, 5000);
    assert_eq!(w.tcp(ENDS, 1001, 5001, ACK, b"GET /").stream(), (0, 5, 5));
    let data = w.tcp(ENDS.back(), 5001, 1006, ACK, b"HTTP/1.1");
    assert_eq!((data.stream(), data.is_from_client(), data.view.isn), ((0, 8, 8), false, 5000));
    assert_eq!(w.tcp(ENDS, 1006, 5009, ACK, &[]).stream(), (5, 5, 5));
    // Repeated, and overlapping by two bytes.
    assert_eq!(w.tcp(ENDS.back(), 5001, 1006, ACK, b"HTTP/1.1").stream(), (0, 8, 8));
    assert_eq!(w.tcp(ENDS.back(), 5007, 1006, ACK, b".1 200").stream(), (6, 12, 12));
    // A gap, then the bytes that fill it.
    assert_eq!(w.tcp(ENDS.back(), 5101, 1006, ACK, b"later").stream(), (100, 105, 105));
    assert_eq!(w.tcp(ENDS.back(), 5013, 1006, ACK, b"sooner").stream(), (12, 18, 105));
    assert_eq!(w.tcp(ENDS.back(), 5013, 1006, ACK, b"sooner").payload, b"sooner");
}

#[test]
fn sequence_numbers_wrap() {
    for isn in [u32::MAX, u32::MAX - 1, u32::MAX - 3, i32::MAX as u32, 0] {
        let mut w = opened(isn, isn ^ 1);
        let at = |offset: u32| isn.wrapping_add(1).wrapping_add(offset);
        assert_eq!(w.tcp(ENDS, at(0), 0, ACK, b"abcdef").stream(), (0, 6, 6));
        assert_eq!(w.tcp(ENDS, at(8), 0, ACK, b"ij").stream(), (8, 10, 10));
        assert_eq!(w.tcp(ENDS, at(6), 0, ACK, b"gh").stream(), (6, 8, 10));
        assert_eq!(w.tcp(ENDS, at(0), 0, ACK, b"abcdef").stream(), (0, 6, 10));
    }
}

#[test]
fn streams_go_on_beyond_4_gib() {
    let mut w = opened(77, 88);
    let step = 1_u64 << 30;
    for i in 0..40 {
        let offset = i * (step - 10);
        let seq = 78_u32.wrapping_add(offset as u32);
        assert_eq!(w.tcp(ENDS, seq, 0, ACK, b"0123456789").stream(), (offset, offset + 10, offset + 10));
        // Out of order, a gigabyte late.
        if i > 0 {
            let late = w.tcp(ENDS, 78_u32.wrapping_add((offset - step / 2) as u32), 0, ACK, b"x");
            assert_eq!(late.stream(), (offset - step / 2, offset - step / 2 + 1, offset + 10));
        }
    }
}

#[test]
fn a_segment_far_ahead_does_not_move_the_edge() {
    let mut w = opened(77, 88);
    assert_eq!(w.tcp(ENDS, 78, 0, ACK, b"0123").stream(), (0, 4, 4));
    let far = 5 + (1 << 30);
    assert_eq!(w.tcp(ENDS, 78 + far, 0, ACK, b"x").stream(), (far.into(), u64::from(far) + 1, 4));
    assert_eq!(
        w.tcp(ENDS, 78 + far - 1, 0, ACK, b"x").stream(),
        (u64::from(far) - 1, far.into(), far.into())
    );
}

#[test]
fn data_in_a_syn() {
    let mut w = Watch::new();
    let syn = w.tcp(ENDS, 9, 0, SYN, b"early");
    assert_eq!((syn.stream(), syn.payload.as_slice(), syn.view.isn), ((0, 5, 5), b"early".as_slice(), 9));
    assert_eq!(w.tcp(ENDS.back(), 19, 15, SYN | ACK, &[]).view.established, 0);
    assert_eq!(w.tcp(ENDS, 15, 20, ACK, b"more").stream(), (5, 9, 9));
    // The server ignored the early data; the client sends it again.
    assert_eq!(w.tcp(ENDS, 10, 20, ACK, b"early").stream(), (0, 5, 9));
}

#[test]
fn mid_stream() {
    let mut w = Watch::new();
    let first = w.tcp(ENDS, 5000, 700, ACK, b"abc");
    assert_eq!((first.stream(), first.view.midstream, first.has(bit::ISN)), ((0, 3, 3), 1, false));
    assert!(first.is_from_client());
    assert_eq!(w.tcp(ENDS, 5003, 700, ACK, b"def").stream(), (3, 6, 6));
    // Keep-alives with one byte and with none; bytes from before the start; both.
    let alive = w.tcp(ENDS, 4999, 700, ACK, b"z");
    assert_eq!((alive.stream(), alive.view.lead, alive.start), ((0, 0, 6), 1, -1));
    let alive = w.tcp(ENDS, 4999, 700, ACK, &[]);
    assert_eq!((alive.stream(), alive.view.lead, alive.start), ((0, 0, 6), 0, -1));
    let late = w.tcp(ENDS, 4990, 700, ACK, &[7; 15]);
    assert_eq!((late.stream(), late.view.lead, late.start, late.length), ((0, 5, 6), 10, -10, 15));
    let answer = w.tcp(ENDS.back(), 700, 5006, ACK, b"yes");
    assert_eq!((answer.stream(), answer.view.established, answer.view.midstream), ((0, 3, 3), 1, 1));
    assert!(!answer.is_from_client());
}

#[test]
fn a_syn_that_comes_late_makes_the_start_known() {
    let mut w = Watch::new();
    assert_eq!(w.tcp(ENDS.back(), 700, 5001, ACK, b"yes").view.midstream, 1);
    assert_eq!(w.tcp(ENDS, 5001, 700, ACK, b"abc").view.midstream, 1);
    let syn = w.tcp(ENDS, 5000, 0, SYN, &[]);
    assert_eq!((syn.view.packets, syn.view.midstream, syn.view.isn, syn.stream()), (3, 0, 5000, (0, 0, 3)));
    assert!(syn.is_from_client());
    assert_eq!(w.tcp(ENDS, 5004, 700, ACK, b"def").stream(), (3, 6, 6));
    // Another start in mid-stream begins another flow, once the other end answers.
    let mut w = Watch::new();
    w.tcp(ENDS, 5001, 700, ACK, b"abc");
    assert_eq!(w.tcp(ENDS, 5001, 0, SYN, &[]).view.is_new, 0);
    assert_eq!(w.tcp(ENDS.back(), 900, 5002, SYN | ACK, &[]).view.is_new, 1);
    assert_eq!(w.counts().ended, 1);
}

#[test]
fn keep_alives_and_probes() {
    let mut w = opened(100, 200);
    w.tcp(ENDS, 101, 201, ACK, b"abc");
    assert_eq!(w.tcp(ENDS, 103, 201, ACK, &[]).stream(), (2, 2, 3));
    assert_eq!(w.tcp(ENDS, 103, 201, ACK, b"c").stream(), (2, 3, 3));
    // Before any data was sent: the byte of the SYN itself.
    let alive = w.tcp(ENDS.back(), 200, 104, ACK, b"?");
    assert_eq!((alive.stream(), alive.view.lead), ((0, 0, 0), 1));
    // A probe of a closed window carries the next byte.
    assert_eq!(w.tcp(ENDS, 104, 201, ACK, b"d").stream(), (3, 4, 4));
    assert_eq!(w.tcp(ENDS, 104, 201, ACK, b"defg").stream(), (3, 7, 7));
}

/// A keep-alive is the first that is seen of a direction. Its byte never comes again.
#[test]
fn an_empty_keep_alive_is_no_start() {
    let mut w = Watch::new();
    assert_eq!(w.tcp(ENDS, 5000, 700, ACK, &[]).stream(), (0, 0, 0));
    assert_eq!(w.tcp(ENDS, 5001, 700, ACK, b"abc").stream(), (0, 3, 3));
    // An acknowledgement before the data shows the start, too; more keep-alives lie before it.
    let mut w = Watch::new();
    w.tcp(ENDS, u32::MAX, 700, ACK, &[]);
    assert_eq!(w.tcp(ENDS, 0, 700, ACK, &[]).stream(), (0, 0, 0));
    assert_eq!(w.tcp(ENDS, u32::MAX, 700, ACK, &[]).start, -1);
    assert_eq!(w.tcp(ENDS, 0, 700, ACK, b"abc").stream(), (0, 3, 3));
    // Bytes that are missing behind an acknowledgement are missing.
    let mut w = Watch::new();
    w.tcp(ENDS, 5000, 700, ACK, &[]);
    assert_eq!(w.tcp(ENDS, 5002, 700, ACK, b"c").stream(), (2, 3, 3));
}

#[test]
fn fin_and_rst() {
    let mut w = opened(100, 200);
    assert_eq!(w.tcp(ENDS, 101, 201, FIN | ACK, b"bye").stream(), (0, 3, 3));
    // The FIN takes a sequence number, but is no byte of the stream.
    assert_eq!(w.tcp(ENDS, 105, 201, ACK, &[]).stream(), (4, 4, 3));
    assert_eq!(w.tcp(ENDS.back(), 201, 105, FIN | ACK, &[]).stream(), (0, 0, 0));
    assert_eq!(w.tcp(ENDS.back(), 202, 105, ACK, &[]).stream(), (1, 1, 0));
    let mut w = opened(100, 200);
    w.tcp(ENDS, 101, 201, ACK, b"abc");
    // The text of a RST is not part of the stream.
    let rst = w.tcp(ENDS, 104, 201, RST | ACK, b"no more");
    assert_eq!((rst.stream(), rst.length, rst.payload.len()), ((3, 3, 3), 0, 0));
    assert_eq!(w.tcp(ENDS, 99_999, 0, RST, &[]).stream(), (99_898, 99_898, 3));
    // A late packet still belongs to this flow.
    assert_eq!(w.tcp(ENDS.back(), 201, 104, ACK, b"late").stream(), (0, 4, 4));
}

#[test]
fn refused_and_tried_again() {
    let mut w = Watch::new();
    w.tcp(ENDS, 100, 0, SYN, &[]);
    let refused = w.tcp(ENDS.back(), 0, 101, RST | ACK, &[]);
    assert_eq!((refused.stream(), refused.has(bit::ISN)), ((0, 0, 0), false));
    assert_eq!(w.tcp(ENDS, 100, 0, SYN, &[]).view.is_new, 0);
    let answer = w.tcp(ENDS.back(), 7000, 101, SYN | ACK, &[]);
    assert_eq!((answer.view.is_new, answer.view.isn), (0, 7000));
    w.tcp(ENDS, 101, 7001, ACK, &[]);
    w.wait(300 * SECOND);
    assert_eq!(w.tcp(ENDS, 101, 7001, ACK, b"x").view.is_new, 0);
}

#[test]
fn payload_is_counted_as_on_the_wire() {
    let mut w = opened(100, 200);
    let bytes = frame(ENDS, 6, &[], None, &tcp(ENDS, 101, 201, ACK, &[5; 1000]));
    let cut = w.see_cut(&bytes, 54 + 10).unwrap();
    assert_eq!((cut.stream(), cut.payload.len(), cut.length), ((0, 1000, 1000), 10, 1000));
    // The capture cuts the header behind the flags.
    assert_eq!(w.see_cut(&bytes, 14 + 20 + 16).unwrap().stream(), (0, 1000, 1000));
    // The capture cuts the header before the flags: there is a flow but no stream.
    let cut = w.see_cut(&bytes, 14 + 20 + 8).unwrap();
    assert!(cut.has(bit::FLOW | bit::ISN) && !cut.has(bit::STREAM));
    assert_eq!(cut.view.client_packets, 5);
    // A wrong length ends with the frame; padding is no payload.
    let mut lie = bytes.clone();
    lie[16] = 0xff;
    assert_eq!(w.see(&lie).unwrap().length, 1000);
    let mut padded = frame(ENDS, 6, &[], None, &tcp(ENDS, 1101, 201, ACK, b"x"));
    padded.resize(80, 0);
    assert_eq!(w.see(&padded).unwrap().payload, b"x");
    let udp_bytes = frame(ENDS, 17, &[], None, &udp(ENDS, &[9; 500]));
    let first = w.see_cut(&udp_bytes, 60).unwrap();
    assert_eq!((first.stream(), first.payload.len()), ((0, 500, 500), 60 - 42));
    assert_eq!(w.see(&udp_bytes).unwrap().stream(), (500, 1000, 1000));
    assert_eq!(w.udp(ENDS.back(), b"x").stream(), (0, 1, 1));
}

/// A datagram in two pieces; the second piece begins at byte `cut`.
fn pieces(ends: Ends, proto: u8, id: u32, inside: &[u8], cut: usize) -> [Vec<u8>; 2] {
    let piece = |offset: usize, more| Some(Piece { id, offset: offset as u16, more });
    [
        frame(ends, proto, &[], piece(0, true), &inside[..cut]),
        frame(ends, proto, &[], piece(cut, false), &inside[cut..]),
    ]
}

#[test]
fn fragments_follow_their_first() {
    for ends in [Ends::v4([40000, 80]), Ends::v6([40000, 80])] {
        let mut w = Watch::new();
        w.tcp(ends, 100, 0, SYN, &[]);
        let payload: Vec<u8> = (0..100).collect();
        let [one, two] = pieces(ends, 6, 7, &tcp(ends, 101, 0, ACK, &payload), 64);
        assert!(w.see(&two).is_none());
        let first = w.see(&one).unwrap();
        assert_eq!((first.stream(), first.payload.as_slice()), ((0, 44, 44), &payload[..44]));
        let second = w.see(&two).unwrap();
        assert_eq!((second.stream(), second.payload.as_slice()), ((44, 100, 100), &payload[44..]));
        assert_eq!((second.flow, second.view.packets, second.view.isn), (first.flow, 3, 100));
        // The second piece again, out of order.
        assert_eq!(w.see(&two).unwrap().stream(), (44, 100, 100));
        let [one, two] = pieces(ends, 17, 8, &udp(ends, &payload), 64);
        assert_eq!(w.see(&one).unwrap().stream(), (0, 56, 56));
        assert_eq!(w.see(&two).unwrap().stream(), (56, 100, 100));
        // The same identification in the other direction is another datagram.
        let [_, back] = pieces(ends.back(), 17, 8, &udp(ends, &payload), 64);
        assert!(w.see(&back).is_none());
        w.wait(31 * SECOND);
        assert!(w.see(&two).is_none());
        assert_eq!((w.counts().fragments, w.counts().orphan_fragments), (3, 3));
    }
}

#[test]
fn a_fragment_of_a_flow_that_has_ended() {
    let mut w = Watch::new();
    w.tcp(ENDS, 100, 0, SYN, &[]);
    let [one, two] = pieces(ENDS, 6, 7, &tcp(ENDS, 101, 0, ACK, &[1; 100]), 64);
    w.see(&one).unwrap();
    // Another flow with the same key: the old flow's offsets do not apply to it.
    w.tcp(ENDS.back(), 900, 0, SYN, &[]);
    w.tcp(ENDS, 101, 0, RST, &[]);
    w.tcp(ENDS, 5000, 0, SYN, &[]);
    let late = w.see(&two).unwrap();
    assert_eq!(late.view.packets, 2);
}
