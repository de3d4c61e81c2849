//! The conditions of expressions: asserted in their printed form, or as equal to the result of the
//! constructors.

use super::{STATION, about, about_with, pred, pred_with, refused, wrong};
use crate::fields::{Field, Source, find};
use crate::hir::{Num, Pred};
use crate::sets::Intervals;
use mrule_grammar::ast::CompareOp;

fn field(name: &str) -> &'static Field {
    find(name).unwrap().0
}

/// The number of a field of one header.
fn num(name: &str) -> Num {
    match field(name).source {
        Source::Load(load) => Num::load(load),
        Source::FrameLen => Num::frame_len(),
        other => panic!("{name} is {other:?}"),
    }
}

fn is(name: &str, values: impl IntoIterator<Item = (u64, u64)>) -> Pred {
    Pred::test(num(name), Intervals::new(values))
}

#[test]
fn fields_that_stand_for_several_hold_if_any_does() {
    let either = Pred::or([is("tcp.srcport", [(80, 80)]), is("tcp.dstport", [(80, 80)])]);
    assert_eq!(pred("tcp.port == 80"), either);
    assert_eq!(pred("80 == tcp.port"), either);
    assert_eq!(pred("tcp.port in {80}"), either);
    let none = Pred::and([
        Pred::test(num("tcp.srcport"), Intervals::one(80).complement()),
        Pred::test(num("tcp.dstport"), Intervals::one(80).complement()),
    ]);
    assert_eq!(pred("tcp.port != 80"), none);
    let differs = Pred::or([
        Pred::test(num("tcp.srcport"), Intervals::one(80).complement()),
        Pred::test(num("tcp.dstport"), Intervals::one(80).complement()),
    ]);
    assert_eq!(pred("tcp.port !== 80"), differs);
    let present = Pred::or([num("tcp.srcport").guard(), num("tcp.dstport").guard()]);
    assert_eq!(pred("tcp.port === 80"), Pred::and([present, Pred::not(differs)]));
    assert_eq!(pred("tcp.port < 80"), Pred::or([is("tcp.srcport", [(0, 79)]), is("tcp.dstport", [(0, 79)])]));
    let inner = format!("{:?}", pred("inner.tcp.dstport == 80"));
    assert!(inner.contains("Inner") && !inner.contains("Outer"), "{inner}");
}

#[test]
fn fields_are_compared_with_fields() {
    let eq = |a: &str, b: &str| Pred::compare(CompareOp::Eq, num(a), num(b));
    assert_eq!(pred("ip.src == ip.dst"), eq("ip.src", "ip.dst"));
    assert_eq!(
        pred("tcp.port == udp.srcport"),
        Pred::or([eq("tcp.srcport", "udp.srcport"), eq("tcp.dstport", "udp.srcport")])
    );
    assert_eq!(pred("frame.len > ip.len"), Pred::compare(CompareOp::Gt, num("frame.len"), num("ip.len")));
    assert_eq!(about("ip.src == tcp.port").0.code.id(), "E0107");
}

#[test]
fn sets_are_intervals_and_nest() {
    let both =
        |set: &[(u64, u64)]| Pred::or([is("tcp.srcport", set.to_vec()), is("tcp.dstport", set.to_vec())]);
    let lets = "let web = {80, 443, low..8080}\nlet low = 8000\nlet more = {web, 22}";
    assert_eq!(pred_with(lets, "tcp.port in more"), both(&[(22, 22), (80, 80), (443, 443), (8000, 8080)]));
    let private = is("ip.src", [(0x0a00_0000, 0x0aff_ffff), (0xc000_0201, 0xc000_0209)]);
    assert_eq!(pred("ip.src in {10.0.0.0/8, 192.0.2.1..192.0.2.9}"), private);
    assert_eq!(pred("ip.src == 10.1.2.3/8"), is("ip.src", [(0x0a00_0000, 0x0aff_ffff)]));
}

#[test]
fn a_let_stands_for_what_it_is() {
    assert_eq!(pred_with("let port = tcp.dstport", "port == 80"), pred("tcp.dstport == 80"));
    assert_eq!(pred_with("let port = tcp.dstport", "port"), pred("tcp.dstport"));
    assert_eq!(pred_with("let web = tcp.port == 80", "not web and ip"), pred("not tcp.port == 80 and ip"));
    assert_eq!(pred_with("let on = true", "on and tcp"), pred("tcp"));
    assert_eq!(about_with("let n = 80", "n").0.code.id(), "E0110");
    wrong(
        &format!("{STATION}let a = tcp.port == \"x\"\nrule r {{ match a and a snaplen full to ids }}"),
        &[("E0107", "\"x\"")],
    );
}

#[test]
fn what_does_not_fit_is_told_at_the_constant() {
    let help = refused("tcp.dstport == \"80\"", "E0107", "\"80\"");
    assert_eq!(help, "write 80 without quotes");
    let (finding, _) = about("tcp.dstport == \"80\"");
    assert_eq!(finding.message, "`tcp.dstport` is a number from 0 to 65535; `\"80\"` is text");
    assert_eq!(finding.fix.unwrap().replacement, "80");
    refused("frame.len > 5m", "E0107", "5m");
    refused("tcp.port == 70000", "E0108", "70000");
    refused("ip.ttl == 256", "E0108", "256");
    refused("vlan.id == 5000", "E0108", "5000");
    assert_eq!(about("ipv6.src == 1.2.3.4").0.fix.unwrap().replacement, "ip.src");
    assert_eq!(about("ip.src == \"10.0.0.1\"").0.fix.unwrap().replacement, "10.0.0.1");
    assert_eq!(about("tcp.flags.syn").0.fix.unwrap().replacement, "tcp.flags.syn == 1");
    assert_eq!(about("ip[8] < 64").0.fix.unwrap().replacement, "0x40");
    assert_eq!(about("tcp[0:2] == 0x50").0.fix.unwrap().replacement, "00:50");
}
