//! Texts without mistakes: what the tree says of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use mrule_grammar::ast::Item;
use mrule_grammar::parse;
use mrule_grammar::span::FileId;

/// The program that the language's description starts with.
const TOUR: &str = r##"
let web_ports = {80, 443, 8000..8080}                # a named constant or predicate

param head          : size           = 8KiB in 0..64KiB   # changed through the API while it runs, within its bounds

table web_servers   : set<cidr>      = { 10.0.0.0/24, 2001:db8::/48 }
table authenticated : set<ip>                         # empty here; filled through the API
table forbidden     : set<(ip, ip)>  from "forbidden.csv"
table users         : map<ip, string>

station ids  { vxlan 192.0.2.10 vni 77 }              # where copies go
station lake { pcapng "captures/lake.pcapng" rotate 1GiB keep 10 }

trigger syn_flood by net.src {                         # a keyed switch with memory
    when   count(tcp.flags.syn == 1 and tcp.flags.ack == 0) per 5m > 200
    unless net.src in known_scanners                   # the filter after the trigger
    hold   10m
}
trigger evil_cookie by flow { when stream contains "session=evil"  hold flow }
trigger attack by net.dst { external  hold 1h }        # raised and cleared through the API

rule rest { match any  snaplen headers + 32  to ids }
rule web  {
    match   tcp.port in web_ports and net.addr in web_servers
    snaplen stream 0..head  when app == http
    snaplen full            when syn_flood or evil_cookie or attack[net.addr]
    to      ids
}
rule strangers { match (net.src, net.dst) in forbidden  snaplen full  to ids, lake }

limit quiet   { match net.src in authenticated                    snaplen none }
limit privacy { match tcp.port == 8443 and not attack[net.addr]   snaplen headers  to ids }
"##;

#[test]
fn the_tour_parses() {
    let parsed = parse(FileId(0), TOUR);
    assert_eq!(parsed.diagnostics, []);
    assert_eq!(parsed.file.items.len(), 16);
    assert_eq!(parsed.file.comments.len(), 7);
    assert!(parsed.file.items.iter().all(|i| !matches!(i, Item::Broken(_))));
}
