//! Lints of whole texts: packets that are lost before recognition, slices that receivers misread.

use super::*;
use crate::compile::{MemoryLoader, compile};

/// The codes of a text's warnings, but for unused names.
#[track_caller]
fn codes(text: &str) -> Vec<&'static str> {
    let built = compile(&["a.mrule".to_owned()], &mut MemoryLoader::new([("a.mrule", text)]), &[]);
    assert!(built.program.is_some(), "{text}\n{:#?}", built.diagnostics);
    built.diagnostics.iter().map(|d| d.code.id()).filter(|id| *id != "W0901").collect()
}

const STATIONS: &str = "station s { pcapng \"s\" }  station t { pcapng \"t\" }\n\
    table watched : set<ip>  rule other { match arp snaplen full to s, t }\n";

#[track_caller]
fn of_rules(rules: &str) -> Vec<&'static str> {
    codes(&format!("{STATIONS}{rules}"))
}

#[test]
fn rules_that_lose_the_packets_before_recognition() {
    for condition in [
        "app == http",
        "app in {http, tls}",
        "app == http or app == tls",
        "app in {quic, tls}",
        "app == ssh and tcp.port != 22",
        "app == ssh and net.src in {10.0.0.0/8, fd00::/8}",
        "net.addr in watched and app == http",
        "vlan.id == 7 and app == http",
        "app == smtp and flow.client.addr == 10.0.0.0/8",
    ] {
        let rule = format!("rule r {{ match {condition}  snaplen headers  to s }}");
        assert_eq!(of_rules(&rule), ["W0908"], "{condition}");
    }
    let line = "rule r { match app == http  snaplen headers  snaplen full when tcp.flags.syn == 1  to s }";
    assert_eq!(of_rules(line), ["W0908"]);
}

#[test]
fn rules_that_lose_nothing_or_say_so() {
    for condition in [
        "app in {http, undecided}",
        "app not in {http, undecided}",
        "app != http",
        "not app == http",
        "app == http or tcp.port == 80",
        "app == http and app != undecided",
        "app == http and tcp.len > 0",
        "app == http and tcp.flags.reset == 1",
        "app == http and flow.packets > 10",
        "app == http and http.host",
        "app == http and stream contains \"x\"",
        "app == http and frame.len > 100",
        "app == dns",
        "app in {quic, ntp}",
        "app == tls and udp",
        "app == other",
    ] {
        let rule = format!("rule r {{ match {condition}  snaplen headers  to s }}");
        assert_eq!(of_rules(&rule), [] as [&str; 0], "{condition}");
    }
}

#[test]
fn other_rules_can_ask_for_the_packets_before_recognition() {
    let web = "rule web { match app == http and tcp.port != 22  snaplen full  to s }\n";
    let with = |other: &str| of_rules(&format!("{web}{other}"));
    for other in [
        "rule heads { match any  snaplen headers  to s }",
        "rule heads { match tcp  snaplen headers  to s, t }",
        "rule heads { match app == undecided  snaplen headers  to s }",
        "rule heads { match flow.packets <= 10  snaplen headers  to s }",
    ] {
        assert_eq!(with(other), [] as [&str; 0], "{other}");
    }
    for other in [
        "rule heads { match any  snaplen headers  to t }",
        "rule names { match udp  snaplen headers  to s }",
        "rule shell { match tcp.port == 22 and tcp.dstport == 22 and tcp.srcport == 22  snaplen full  to s }",
    ] {
        assert_eq!(with(other), ["W0908"], "{other}");
    }
    let both = "rule web { match app == http  snaplen full  to s, t }\nrule heads { match any  snaplen headers  to s }";
    assert_eq!(of_rules(both), ["W0908"], "`t` loses them");
}

#[test]
fn positions_where_recognition_may_come_late() {
    for items in [
        "rule r { match tcp  snaplen headers  snaplen full when app == http  to s }",
        "rule r { match any  snaplen full  to s }\nlimit l { match app == tls  snaplen headers }",
        "rule r { match t  snaplen full  to s }\ntrigger t by net.src { when app == ssh  hold 1h }",
        "rule r { match t  snaplen full  to s }\n\
         trigger t by net.src { when tcp.flags.syn == 1  unless app == ssh  hold 1h }",
        "rule r { match f  snaplen full  to s }\ntrigger f by flow { when app == ssh  hold flow }",
    ] {
        assert_eq!(of_rules(items), [] as [&str; 0], "{items}");
    }
}

#[test]
fn slices_to_stations_that_do_not_say_where_a_copy_begins() {
    let codes = |station: &str, rules: &str| codes(&format!("station s {{ {station} }}\n{rules}"));
    let rule = "rule r { match ip  snaplen bytes 14..34  to s }\n";
    let blind = [
        "vxlan 192.0.2.1 vni 7",
        "gre 192.0.2.1",
        "erspan2 192.0.2.1 session 7",
        "tzsp 192.0.2.1",
        "interface eth1",
    ];
    for station in blind {
        assert_eq!(codes(station, rule), ["W0909"], "{station}");
    }
    for station in ["geneve 192.0.2.1 vni 7", "pcapng \"s\"", "pipe stdout"] {
        assert_eq!(codes(station, rule), [] as [&str; 0], "{station}");
    }
    for right in [
        "rule r { match ip  snaplen bytes 0..34  to s }",
        "rule r { match vxlan  snaplen bytes 50..1500  to s }",
        "rule r { match inner.tcp  snaplen bytes 50..1500  to s }",
        "rule r { match mpls  snaplen bytes 22..1500  to s }",
        "param from : size = 14 in 0..64\nrule r { match ip  snaplen bytes from..64  to s }",
        "rule a { match any  snaplen headers  to s }\nrule r { match ip  snaplen bytes 14..34  to s }",
        "rule r { match ip  snaplen 1  snaplen bytes 14..34  to s }",
    ] {
        assert_eq!(codes(blind[0], right), [] as [&str; 0], "{right}");
    }
    for wrong in [
        "rule a { match arp  snaplen headers  to s }\nrule r { match ip  snaplen bytes 14..34  to s }",
        "param from : size = 14 in 1..64\nrule r { match ip  snaplen bytes from..65  to s }",
        "rule r { match ip  snaplen headers when tcp.flags.syn == 1  snaplen bytes 14..34  to s }",
    ] {
        assert_eq!(codes(blind[0], wrong), ["W0909"], "{wrong}");
    }
}

#[test]
fn the_explanations_of_these_codes_are_right() {
    for code in [lints::BEFORE_RECOGNITION, lints::SLICE_START] {
        let snippets = |mark: &str| {
            let fence = format!("```{mark}\n");
            let parts = code.0.explain.split(&fence).skip(1);
            parts.map(|rest| rest.split("```").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(!snippets("text").is_empty());
        for wrong in snippets("text") {
            assert_eq!(codes(&wrong), [code.id()], "{wrong}");
        }
        for right in snippets("mrule") {
            assert_eq!(codes(&right), [] as [&str; 0], "{right}");
        }
    }
}
