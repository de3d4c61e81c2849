//! Conversations of every kind that mirrorc takes for one flow: each between hosts of its own, in
//! both directions, and all of them side by side. The invariant: no two frames are equal, and each
//! is of us ([`is_ours`]). (Rejected: scapy; the frames' text form is checked against tshark
//! already.)

use mrule_tests::packet_text::build;

/// A frame, and whether it goes from right to left.
#[derive(Debug, Clone)]
pub struct Sent {
    pub back: bool,
    pub frame: Vec<u8>,
}

const MARK: &str = "02:00:00:00:0a";

/// Whether a frame is one of these: by its Ethernet addresses.
pub fn is_ours(frame: &[u8]) -> bool {
    frame.len() > 12 && frame[..5] == [2, 0, 0, 0, 10] && frame[6..11] == [2, 0, 0, 0, 10]
}

/// Two hosts: their addresses in both families, forth and back.
struct Hosts {
    number: usize,
}

impl Hosts {
    fn ip(&self, back: bool) -> String {
        let n = self.number;
        let ends = [format!("10.{}.{}.1", 70 + n / 250, n % 250), format!("10.{}.78.2", 100 + n % 90)];
        format!("src={},dst={}", ends[usize::from(back)], ends[usize::from(!back)])
    }

    fn ip6(&self, back: bool) -> String {
        let ends = [format!("fd77::{:x}", self.number + 1), format!("fd78::{:x}:2", self.number + 1)];
        format!("src={},dst={}", ends[usize::from(back)], ends[usize::from(!back)])
    }

    fn ports(back: bool) -> &'static str {
        if back { "sport=80,dport=40000" } else { "sport=40000,dport=80" }
    }
}

/// Frame `i` of a conversation, without its Ethernet header.
type Kind = (&'static str, fn(&Hosts, bool, usize) -> Vec<String>);

/// Text of some length that says which packet it is.
fn text(hosts: &Hosts, i: usize, length: usize) -> String {
    let mut text = format!("{}.{i}.", hosts.number);
    while text.len() < length {
        text.push((b'a' + (text.len() % 26) as u8) as char);
    }
    format!("\"{}\"", &text[..length])
}

fn tcp_segment(hosts: &Hosts, back: bool, i: usize) -> String {
    let seq = if back { 9000 } else { 1000 } + i * 40;
    format!("tcp({},flags=PA,seq={seq},ack=1)/{}", Hosts::ports(back), text(hosts, i, 40))
}

fn udp_datagram(hosts: &Hosts, back: bool, i: usize) -> String {
    format!("udp({})/{}", Hosts::ports(back), text(hosts, i, 30))
}

/// A datagram in three fragments after one that is whole, the last fragment first where `i` is odd.
fn fragments4(hosts: &Hosts, back: bool, i: usize, proto: u8, head: &str, head_length: usize) -> Vec<String> {
    let ip = hosts.ip(back);
    let id = 100 + i;
    let (one, two) = (text(hosts, i, 64 - head_length), text(hosts, i + 50, 64));
    let mut frames = vec![
        format!("ip({ip},id={id},mf=1)/{head}/{one}"),
        format!("ip({ip},id={id},mf=1,off=8,proto={proto})/{two}"),
        format!("ip({ip},id={id},off=16,proto={proto})/{}", text(hosts, i + 90, 17)),
    ];
    if i % 2 == 1 {
        frames.swap(1, 2);
    }
    frames
}

fn fragments6(hosts: &Hosts, back: bool, i: usize, proto: u8, head: &str, head_length: usize) -> Vec<String> {
    let ip = hosts.ip6(back);
    let id = 100 + i;
    let (one, two) = (text(hosts, i, 64 - head_length), text(hosts, i + 50, 21));
    vec![
        format!("ip6({ip})/frag(id={id},mf=1)/{head}/{one}"),
        format!("ip6({ip})/frag(id={id},off=8,nxt={proto})/{two}"),
    ]
}

fn of4(hosts: &Hosts, back: bool, inside: &str) -> Vec<String> {
    vec![format!("ip({},id=1)/{inside}", hosts.ip(back))]
}

fn of6(hosts: &Hosts, back: bool, inside: &str) -> Vec<String> {
    vec![format!("ip6({})/{inside}", hosts.ip6(back))]
}

/// What is in tunnels: other flows, whose addresses and ports differ from packet to packet.
fn inner4(hosts: &Hosts, i: usize) -> String {
    let ports = format!("sport={},dport=53", 1000 + i);
    format!("ip(src=192.168.{i}.1,dst=192.168.0.2)/udp({ports})/{}", text(hosts, i, 20))
}

fn inner6(hosts: &Hosts, i: usize) -> String {
    let ports = format!("sport={},dport=53", 1000 + i);
    format!("ip6(src=fd99::{i:x},dst=fd99::ffff)/udp({ports})/{}", text(hosts, i, 20))
}

/// Kinds without fragments.
const WHOLE: [Kind; 18] = [
    ("tcp", |h, back, i| of4(h, back, &tcp_segment(h, back, i))),
    ("tcp of IPv6", |h, back, i| of6(h, back, &tcp_segment(h, back, i))),
    ("udp", |h, back, i| of4(h, back, &udp_datagram(h, back, i))),
    ("udp of IPv6", |h, back, i| of6(h, back, &udp_datagram(h, back, i))),
    ("sctp", |h, back, i| of4(h, back, &format!("sctp({})/{}", Hosts::ports(back), text(h, i, 24)))),
    ("icmp", |h, back, i| {
        of4(h, back, &format!("icmp(type={})/{}", if back { 0 } else { 8 }, text(h, i, 16)))
    }),
    ("icmp6", |h, back, i| of6(h, back, &format!("icmp6(type={})/{}", 128 + u8::from(back), text(h, i, 16)))),
    ("esp", |h, back, i| of4(h, back, &format!("esp/{}", text(h, i, 40)))),
    ("esp of IPv6", |h, back, i| of6(h, back, &format!("esp/{}", text(h, i, 40)))),
    ("ipip", |h, back, i| of4(h, back, &inner4(h, i))),
    ("6in4", |h, back, i| of4(h, back, &inner6(h, i))),
    ("4in6", |h, back, i| of6(h, back, &inner4(h, i))),
    ("gre", |h, back, i| of4(h, back, &format!("gre/{}", inner4(h, i)))),
    ("gre with a key", |h, back, i| of4(h, back, &format!("gre(key=7)/{}", inner6(h, i)))),
    ("vxlan", |h, back, i| {
        let ports = format!("sport={},dport=4789", 50_000);
        of4(h, back, &format!("udp({ports})/vxlan(9)/eth/{}", inner4(h, i)))
    }),
    ("options before tcp", |h, back, i| {
        of6(h, back, &format!("hopopts/dstopts/{}", tcp_segment(h, back, i)))
    }),
    ("routing before udp", |h, back, i| of6(h, back, &format!("routing/{}", udp_datagram(h, back, i)))),
    ("an icmp error", |h, back, i| of4(h, back, &format!("icmp(type=3)/{}/{}", inner4(h, 1), text(h, i, 8)))),
];

/// Kinds with fragments.
const CUT: [Kind; 7] = [
    ("udp in fragments", |h, back, i| match i % 3 {
        0 => of4(h, back, &udp_datagram(h, back, i)),
        _ => fragments4(h, back, i, 17, &format!("udp({},len=145)", Hosts::ports(back)), 8),
    }),
    ("tcp in fragments", |h, back, i| match i % 3 {
        0 => of4(h, back, &tcp_segment(h, back, i)),
        _ => {
            let head = format!("tcp({},flags=PA,seq={},ack=1)", Hosts::ports(back), 1000 + i * 125);
            fragments4(h, back, i, 6, &head, 20)
        }
    }),
    ("icmp in fragments", |h, back, i| {
        fragments4(h, back, i, 1, if back { "icmp(type=0)" } else { "icmp(type=8)" }, 8)
    }),
    ("udp of IPv6 in fragments", |h, back, i| match i % 3 {
        0 => of6(h, back, &udp_datagram(h, back, i)),
        _ => fragments6(h, back, i, 17, &format!("udp({},len=85)", Hosts::ports(back)), 8),
    }),
    ("tcp of IPv6 in fragments", |h, back, i| match i % 3 {
        0 => of6(h, back, &tcp_segment(h, back, i)),
        _ => {
            let head = format!("tcp({},flags=PA,seq={},ack=1)", Hosts::ports(back), 1000 + i * 85);
            fragments6(h, back, i, 6, &head, 20)
        }
    }),
    ("icmp6 in fragments", |h, back, i| {
        let head = if back { "icmp6(type=129)" } else { "icmp6(type=128)" };
        fragments6(h, back, i, 58, head, 8)
    }),
    ("gre in fragments", |h, back, i| fragments4(h, back, i, 47, "gre(type=0x6558)", 4)),
];

/// What stands between Ethernet and IP.
const CARRIERS: [&str; 8] = [
    "",
    "vlan(10)/",
    "vlan(20,tpid=0x88a8)/vlan(30)/",
    "mpls(16)/",
    "mpls(17)/mpls(18)/",
    "pppoe/",
    "vlan(40)/pppoe/",
    "vlan(50)/mpls(19)/",
];

fn conversation(kind: &Kind, carrier: &str, number: usize) -> Vec<Sent> {
    let hosts = Hosts { number };
    let frames = (0..8).flat_map(|i| {
        let back = i % 3 == 1;
        let (to, from) = if back { (1, 2) } else { (2, 1) };
        let texts = kind.1(&hosts, back, i).into_iter();
        let texts: Vec<Sent> = texts
            .map(|text| {
                let text = format!("eth(dst={MARK}:0{to},src={MARK}:0{from})/{carrier}{text}");
                let built = build(&text).unwrap_or_else(|error| panic!("{}: {text}: {error}", kind.0));
                Sent { back, frame: built.bytes }
            })
            .collect();
        texts
    });
    frames.collect()
}

/// The conversations, a frame of each in turn.
fn side_by_side(conversations: Vec<Vec<Sent>>) -> Vec<Sent> {
    let longest = conversations.iter().map(Vec::len).max().unwrap_or(0);
    let turns = (0..longest).flat_map(|i| conversations.iter().filter_map(move |all| all.get(i).cloned()));
    turns.collect()
}

/// All kinds, each so many times, in every carrier in turn.
pub fn all(rounds: u32) -> Vec<Sent> {
    let kinds: Vec<&Kind> = WHOLE.iter().chain(&CUT).collect();
    let all = (0..rounds as usize * kinds.len()).map(|at| {
        let carrier = CARRIERS[(at / kinds.len() + at) % CARRIERS.len()];
        conversation(kinds[at % kinds.len()], carrier, at)
    });
    side_by_side(all.collect())
}

/// Kinds without fragments and tunnels, each so many times.
pub fn whole(rounds: usize) -> impl Iterator<Item = Sent> {
    let all = (0..rounds * 5).map(|at| conversation(&WHOLE[at % 5], "", at));
    side_by_side(all.collect()).into_iter()
}
