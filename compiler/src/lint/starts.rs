//! Slices to stations that do not report where a copy begins. Their receivers take byte 0 of the
//! copy for an Ethernet header, so they decode a slice that begins elsewhere as something else. The
//! invariant: a line is reported only if its copies begin behind byte 0 whatever the params are,
//! and no other line asks for the start of the same packets. Rules that ask for a tunnel or for
//! MPLS are left out: behind those headers, an Ethernet header may begin. (Rejected: an error; the
//! copies are right where an Ethernet header begins at that byte.)

use super::Lint;
use super::conditions::Cases;
use super::cube::{Cube, bounds};
use super::lengths::asks_nothing;
use crate::abi::bit;
use crate::budget::Stop;
use crate::fields::Layer;
use crate::hir::{Ask, Encap, Length, NumKind, PredKind, Program, Rule, Target};
use mrule_grammar::codes::lints;
use mrule_grammar::diagnostic::Diagnostic;

/// The greatest number of comparisons of rules with other rules, all rules together.
const WORK: usize = 50_000;

/// Headers behind which an Ethernet header may begin.
const CARRIERS: u64 = bit::MPLS | bit::GRE | bit::VXLAN | bit::GENEVE;

/// Reports slices that receivers cannot decode.
pub(super) fn rules<'p>(lint: &mut Lint<'p>, cases: &[Cases<'p>]) -> Result<(), Stop> {
    let program = lint.program;
    let mut work = WORK;
    for (rule, mine) in program.rules.iter().zip(cases) {
        lint.go_on()?;
        for (ask, cubes) in rule.asks.iter().zip(&mine.asks) {
            let Length::Slice(start, end) = &ask.length else { continue };
            let Some(cubes) = cubes.as_ref().filter(|cubes| !cubes.is_empty()) else { continue };
            if bounds(program, start).0 == 0 || asks_nothing(program, &ask.length) || carries(rule) {
                continue;
            }
            work = work.saturating_sub(program.rules.len());
            if work == 0 {
                return Ok(());
            }
            let whole = program.rules.iter().filter(|other| asks_for_start(program, other, cubes));
            let whole = whole.fold(0, |all, other| all | other.stations);
            let blind = program.stations.iter().enumerate().find_map(|(i, station)| {
                let sent = rule.stations & !whole & 1 << i != 0;
                sent.then(|| kind(&station.target)).flatten().map(|kind| (station, kind))
            });
            let Some((station, kind)) = blind else { continue };
            let message = format!(
                "the receiver of station `{}` takes the middle of the packet for its start",
                station.name
            );
            let from_start = match end.kind() {
                NumKind::Const(end) => format!("`snaplen {end}`"),
                _ => "the bytes from 0".to_owned(),
            };
            let finding = Diagnostic::new(lints::SLICE_START, message)
                .at(ask.span, "these copies do not begin with the Ethernet header")
                .help(format!(
                    "`{kind}` does not say where a copy begins: ask for {from_start}, or send slices to \
                     `pcapng`, `pipe` or `geneve`"
                ));
            lint.out.push(finding);
        }
    }
    Ok(())
}

/// Whether a rule asks for the start of all packets of these conjunctions.
fn asks_for_start(program: &Program, rule: &Rule, cubes: &[Cube]) -> bool {
    let from_start = |length: &Length| match length {
        Length::None => false,
        Length::Full | Length::Headers(_) => true,
        Length::Bytes(n) | Length::Percent(n) => bounds(program, n).0 > 0,
        Length::Slice(start, end) => bounds(program, start).1 == 0 && bounds(program, end).0 > 0,
    };
    cubes.iter().all(|cube| {
        let holds = |ask: &Ask| from_start(&ask.length) && cube.decides(&ask.when) == Some(true);
        cube.decides(&rule.matches) == Some(true) && rule.asks.iter().any(holds)
    })
}

/// Whether a rule asks for a header behind which an Ethernet header may begin.
fn carries(rule: &Rule) -> bool {
    let mut found = false;
    rule.matches.visit(&mut |pred| {
        if let PredKind::Bits { layer, bits } = pred.kind() {
            found |= *layer == Layer::Inner || bits & CARRIERS != 0;
        }
    });
    found
}

/// The name of a kind of station that does not report where a copy begins.
fn kind(target: &Target) -> Option<&'static str> {
    match target {
        Target::Interface { .. } => Some("interface"),
        Target::Tunnel { encap, .. } => match encap {
            Encap::Vxlan { .. } => Some("vxlan"),
            Encap::Gre { .. } => Some("gre"),
            Encap::Erspan2 { .. } => Some("erspan2"),
            Encap::Tzsp { .. } => Some("tzsp"),
            Encap::Geneve { .. } => None,
        },
        Target::Pcapng { .. } | Target::Pipe { .. } => None,
    }
}
