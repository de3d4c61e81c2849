//! Rules that ask for an application and lose the packets before it is recognised: `app == http`
//! does not hold for TCP's handshake. The invariant: a rule is reported only if everything else
//! that it asks is the same for all packets of a connection, and no other rule for its stations can
//! hold for the packets that are lost. (Rejected: limits, `when`, `unless` and triggers; there a
//! test that fails early keeps a copy whole, or its effect begins later by design.)

use super::Lint;
use super::conditions::{Cases, match_clause};
use super::expand::expand;
use crate::abi::bit;
use crate::budget::Stop;
use crate::fields::{App, FlowSlot, Layer, Load, Slot, Tags};
use crate::hir::{Key, Num, NumKind, Pred, PredKind, Rule};
use crate::sets::Intervals;
use mrule_grammar::codes::lints;
use mrule_grammar::diagnostic::Diagnostic;

/// The greatest number of comparisons of rules with other rules, all rules together.
const WORK: usize = 50_000;

/// Applications that only TCP carries: packets without payload come before their first bytes.
const OVER_TCP: &[App] = &[
    App::Http,
    App::Http2,
    App::Tls,
    App::Ssh,
    App::Smtp,
    App::Ftp,
    App::Imap,
    App::Pop3,
    App::Rdp,
    App::Smb,
    App::Mqtt,
    App::Postgres,
    App::Mysql,
    App::Redis,
    App::Rtsp,
    App::Ldap,
    App::Git,
];

/// Presence bits that all packets of a TCP connection have alike.
const SAME_BITS: u64 = bit::ETH
    | bit::ETH_TYPE
    | bit::VLAN
    | bit::MPLS
    | bit::PPPOE
    | bit::IP
    | bit::IP_HDR
    | bit::IP6
    | bit::IP6_HDR
    | bit::NET
    | bit::IP_VERSION
    | bit::IP_IHL
    | bit::IP_LEN
    | bit::TCP
    | bit::TCP_PORTS
    | bit::TCP_HDR
    | bit::PORTS
    | bit::FLOW
    | bit::FROM_CLIENT
    | bit::FROM_SERVER;

/// Reports rules that lose the packets before recognition.
pub(super) fn rules<'p>(lint: &mut Lint<'p>, cases: &[Cases<'p>]) -> Result<(), Stop> {
    let program = lint.program;
    let mut work = WORK;
    for (r, rule) in program.rules.iter().enumerate() {
        lint.go_on()?;
        let Some((num, apps, rest)) = by_application(rule) else { continue };
        work = work.saturating_sub(program.rules.len());
        if work == 0 {
            break;
        }
        let early = Pred::and([
            Pred::bits(Layer::Outer, bit::TCP | bit::FLOW),
            Pred::test(num.clone(), Intervals::one(App::Undecided as u64)),
        ]);
        let mut elsewhere = 0;
        for (other, theirs) in
            program.rules.iter().zip(cases).enumerate().filter(|(o, _)| *o != r).map(|(_, x)| x)
        {
            if other.stations & rule.stations & !elsewhere == 0 {
                continue;
            }
            let lost = theirs.matches.as_ref().and_then(|cubes| {
                let first = expand(cubes, &early, true)?.cubes;
                rest.iter().try_fold(first, |cubes, part| Some(expand(&cubes, part, true)?.cubes))
            });
            if lost.is_none_or(|cubes| !cubes.is_empty()) {
                elsewhere |= other.stations;
            }
        }
        if rule.stations & !elsewhere != 0 {
            report(lint, rule, &apps);
        }
    }
    Ok(())
}

fn report(lint: &mut Lint, rule: &Rule, apps: &[&str]) {
    let names = apps.join(", ");
    let matched = lint.trees.get(&rule.span).copied().and_then(match_clause);
    let message = format!("rule `{}` loses the packets before `app` is recognised", rule.name);
    let finding = Diagnostic::new(lints::BEFORE_RECOGNITION, message)
        .at(
            matched.map_or(rule.span, |(span, _)| span),
            "does not hold for TCP's handshake, nor for other packets that are `undecided`",
        )
        .help(format!(
            "to have them, write `app in {{{names}, undecided}}`, which also asks for the first packets of \
             other flows; to do without them, add `and app != undecided`"
        ));
    lint.out.push(finding);
}

/// The number that is `app`, the names that a rule asks for, and the other parts of its `match`, if
/// the rule is one that loses packets.
fn by_application(rule: &Rule) -> Option<(&Num, Vec<&'static str>, Vec<&Pred>)> {
    // A line with a `when`, also `stream M..N`, chooses its packets itself.
    if !rule.asks.iter().any(|ask| ask.when.as_const() == Some(true)) {
        return None;
    }
    let whole = std::slice::from_ref(&rule.matches);
    let parts = if let PredKind::And(parts) = rule.matches.kind() { parts.as_slice() } else { whole };
    let mut found = None;
    let mut rest = Vec::new();
    for part in parts {
        match applications(part) {
            Some(test) if found.is_none() => found = Some(test),
            Some(_) => return None,
            None if same_for_connection(part) => rest.push(part),
            None => return None,
        }
    }
    let (num, apps) = found?;
    let asks = |app: App| apps & 1 << app as u64 != 0;
    if asks(App::Undecided) || !OVER_TCP.iter().any(|app| asks(*app)) {
        return None;
    }
    let names = App::NAMES.iter().enumerate().filter(|(i, _)| apps & 1 << *i != 0).map(|(_, name)| *name);
    Some((num, names.collect(), rest))
}

/// The applications of a condition that tests nothing else, one bit each.
fn applications(pred: &Pred) -> Option<(&Num, u64)> {
    match pred.kind() {
        PredKind::In(num, set) if matches!(num.kind(), NumKind::Flow { slot: FlowSlot::App, .. }) => {
            let bits = (0..App::NAMES.len() as u64).filter(|app| set.contains(*app));
            Some((num, bits.fold(0, |all, app| all | 1 << app)))
        }
        PredKind::Or(parts) => {
            let mut all = parts.iter().map(applications);
            let first = all.next()??;
            all.try_fold(first, |(num, some), more| Some((num, some | more?.1)))
        }
        PredKind::And(parts) => {
            let mut tests = parts.iter().filter(|part| !same_for_connection(part));
            let only = applications(tests.next()?)?;
            let guards = |part: &&Pred| matches!(part.kind(), PredKind::Bits { .. });
            (tests.next().is_none() && parts.iter().filter(guards).count() + 1 == parts.len()).then_some(only)
        }
        _ => None,
    }
}

/// Whether a condition has the same value for all packets of one direction of a connection.
fn same_for_connection(pred: &Pred) -> bool {
    let mut same = true;
    pred.visit(&mut |part| {
        same &= match part.kind() {
            PredKind::Const(_) | PredKind::Not(_) | PredKind::And(_) | PredKind::Or(_) => true,
            PredKind::Bits { layer, bits } => *layer == Layer::Outer && bits & !SAME_BITS == 0,
            PredKind::In(num, _) => same_number(num),
            PredKind::AddressIn(address, _) => address.layer == Layer::Outer,
            PredKind::TagIn(tag, _) => {
                tag.layer == Layer::Outer && tag.tags == Tags::Vlan && tag.mask == 0xfff
            }
            PredKind::InTable { key, .. } => key.iter().all(|part| match part {
                Key::Num(num) | Key::Ipv4(num) => same_number(num),
                Key::Ipv6(address) => address.layer == Layer::Outer,
                _ => false,
            }),
            _ => false,
        };
    });
    same
}

/// Ports, IPv4 addresses, MAC addresses and protocols of the outer packet.
fn same_number(num: &Num) -> bool {
    match num.kind() {
        NumKind::Slot { layer: Layer::Outer, slot: Slot::Proto, .. } => true,
        NumKind::Load(Load { layer: Layer::Outer, slot, at, width, .. }) => match slot {
            Slot::L4 => at + u16::from(*width) <= 4,
            Slot::L3 => matches!((at, width), (12 | 16, 4)),
            _ => false,
        },
        _ => false,
    }
}
