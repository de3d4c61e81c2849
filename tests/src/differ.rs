//! What must hold of any program and any packets: both engines say the same, in batches of any
//! size, also after tables, params and triggers have changed; order does not matter; a rule only
//! raises and a limit only lowers; what `fmt` prints means the same. The invariant: the answer
//! depends on the text, the packets and the seed alone, so that a finding can be cut down.
//! (Rejected: one assertion in each test; the minimiser and the fuzzer ask the same question.)

use crate::choices::Choices;
use crate::packet_text::BuiltPacket;
use crate::palette::{FieldValue, Palette};
use crate::run::{Decided, compile_files, run_engine, run_with_context};
use mrule_compiler::abi::{Packet, Verdict};
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::{ParamId, Program, StationId, TableId, TriggerId, Value, ValueTy};
use mrule_engine::decider::{Decider, Limits};
use mrule_engine::policy::Policy;
use mrule_grammar::ast::Item;
use std::net::IpAddr;
use std::sync::Arc;

/// What came of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The checker refused it.
    Refused(String),
    /// All is as it must be; how many verdicts there were.
    Agreed(usize),
    /// Something is not as it must be.
    Wrong(String),
}

/// Holds the engines against each other.
pub fn engines(text: &str, packets: &[BuiltPacket], seed: u64) -> Outcome {
    let program = match compile_files(&[("a.mrule", text)], &[]) {
        Ok(program) => Arc::new(program),
        Err(errors) => return Outcome::Refused(errors),
    };
    match compare(&program, packets, seed) {
        Ok(verdicts) => Outcome::Agreed(verdicts),
        Err(wrong) => Outcome::Wrong(wrong),
    }
}

fn compare(program: &Arc<Program>, packets: &[BuiltPacket], seed: u64) -> Result<usize, String> {
    let views = crate::mangle::views(packets);
    let views: Vec<Packet> = (0i64..).zip(views).map(|(i, view)| view.at(i * 1_000_000)).collect();
    let mut environment = Environment::new(program).map_err(|e| format!("no environment: {e}"))?;
    let engine = |kind| {
        let engine = Engine::new(kind, program.clone(), &environment);
        engine.map(Arc::new).map_err(|e| format!("{kind:?}: no engine: {e}"))
    };
    let (interp, jit) = (engine(EngineKind::Interp)?, engine(EngineKind::Jit)?);
    // Some rules get code and the others none.
    let little = CompileBudget::new(u64::MAX, seed % 1500);
    let mixed = Engine::within(EngineKind::Jit, program.clone(), &environment, &little);
    let mixed = Arc::new(mixed.map_err(|e| format!("little code: no engine: {e}"))?);
    let mut choices = Choices::of_seed(seed);
    let mut verdicts = 0;
    for round in ["as written", "after changes"] {
        let expected = run_engine(&interp, &environment, &views, views.len());
        verdicts += expected.verdicts.iter().map(Vec::len).sum::<usize>();
        let odd = 2 + choices.below(9);
        for (engine, size) in
            [(&jit, views.len()), (&jit, 1), (&jit, odd), (&mixed, views.len()), (&mixed, 1), (&interp, odd)]
        {
            let told = run_engine(engine, &environment, &views, size);
            if told != expected {
                let told = difference(program, &expected, &told);
                return Err(format!("{round}, {:?}, {size} at once: {told}", engine.kind()));
            }
        }
        if program.uses().flows {
            let context = crate::contexts::random(program, &views, &mut choices);
            let expected = run_with_context(&interp, &environment, &views, &context, false);
            verdicts += expected.0.verdicts.iter().map(Vec::len).sum::<usize>();
            for (engine, one_by_one) in [(&jit, false), (&jit, true), (&mixed, true), (&interp, true)] {
                let told = run_with_context(engine, &environment, &views, &context, one_by_one);
                if told.0 != expected.0 {
                    let told = difference(program, &expected.0, &told.0);
                    return Err(format!("{round}, with any context, {:?}: {told}", engine.kind()));
                }
                if told.1 != expected.1 {
                    let (a, b) = (&expected.1, &told.1);
                    return Err(format!("{round}, {:?}: {b:?} fired, not {a:?}", engine.kind()));
                }
            }
        }
        shake(&mut environment, program, &views, &mut choices);
    }
    Ok(verdicts)
}

/// Holds what limits without `to` leave of each packet, as binding policies cut copies by it,
/// against what they leave of the program's own.
pub fn bounds(text: &str, packets: &[BuiltPacket], _seed: u64) -> Outcome {
    let program = match compile_files(&[("a.mrule", text)], &[]) {
        Ok(program) => Arc::new(program),
        Err(errors) => return Outcome::Refused(errors),
    };
    let Some(bounds) = program.bounds().map(Arc::new) else { return Outcome::Agreed(0) };
    let mut free = Program::clone(&program);
    for limit in free.limits.iter_mut().filter(|limit| limit.everywhere) {
        limit.stations = 0;
    }
    let (free, views) = (Arc::new(free), crate::mangle::views(packets));
    let mut verdicts = 0;
    for kind in crate::run::ENGINES {
        let decider = |program: &Arc<Program>, binding: bool| -> Result<(Policy, Decider), String> {
            let environment = Environment::new(program).map_err(|e| e.to_string())?;
            let engine =
                |of: &Arc<Program>| Engine::new(kind, of.clone(), &environment).map_err(|e| e.to_string());
            let bounds = binding.then(|| engine(&bounds)).transpose()?.map(Arc::new);
            let policy = Policy::repeatable(Arc::new(engine(program)?), environment).binding(bounds);
            let decider =
                Decider::new(&policy, &Limits::default(), views.len()).map_err(|e| e.to_string())?;
            Ok((policy, decider))
        };
        let (own, cut) = match (decider(&program, false), decider(&free, true)) {
            (Ok(own), Ok(cut)) => (own, cut),
            (Err(why), _) | (_, Err(why)) => return Outcome::Wrong(why),
        };
        let ((policy, mut own), (free, mut cut)) = (own, cut);
        own.decide(&policy, &views);
        cut.decide(&free, &views);
        for i in 0..views.len() {
            let left = cut.bounds().and_then(|bounds| bounds.verdicts(i).next()).map(|(_, verdict)| verdict);
            let range =
                |verdict: &Verdict| (verdict.start < verdict.end).then_some((verdict.start, verdict.end));
            let bound = |(station, verdict): (StationId, Verdict)| {
                let left = left.unwrap_or(Verdict { start: 0, end: 0, ..verdict });
                let (start, end) = (verdict.start.max(left.start), verdict.end.min(left.end));
                (station.index(), range(&Verdict { start, end, ..verdict }))
            };
            let own: Vec<_> =
                own.batch().verdicts(i).map(|(s, verdict)| (s.index(), range(&verdict))).collect();
            let cut: Vec<_> = cut.batch().verdicts(i).map(bound).collect();
            if own != cut {
                return Outcome::Wrong(format!(
                    "{kind:?}, packet {i}: limits leave {own:?}, binding {cut:?}"
                ));
            }
            verdicts += own.len();
        }
    }
    Outcome::Agreed(verdicts)
}

/// Says where two engines differ first.
fn difference(program: &Program, expected: &Decided, told: &Decided) -> String {
    for (i, (a, b)) in expected.verdicts.iter().zip(&told.verdicts).enumerate() {
        if a != b {
            return format!("packet {i}: the interpreter says {a:?}, this {b:?}");
        }
    }
    for (what, rules, a, b) in [
        ("rule", &program.rules, &expected.matched, &told.matched),
        ("limit", &program.limits, &expected.limited, &told.limited),
    ] {
        for ((a, b), rule) in a.iter().zip(b).zip(rules) {
            if a != b {
                return format!(
                    "{what} `{}` held {a} times for the interpreter, {b} times for this",
                    rule.name
                );
            }
        }
    }
    "counts of different lengths".into()
}

/// Changes params, tables and triggers, as an API would between batches.
pub(crate) fn shake(
    environment: &mut Environment,
    program: &Program,
    packets: &[Packet],
    choices: &mut Choices,
) {
    let palette = Palette::of(packets);
    for (i, param) in program.params.iter().enumerate() {
        let value = match param.ty {
            ValueTy::Uint | ValueTy::Size | ValueTy::Duration => {
                let (low, high) = param.bounds;
                let near = match value_of(ValueTy::Uint, &palette, choices) {
                    Value::Num(near) => near,
                    _ => 0,
                };
                Value::Num(near.clamp(low, high))
            }
            ty => value_of(ty, &palette, choices),
        };
        let _ = environment.set_param(ParamId(i as u32), &value);
    }
    for (i, table) in program.tables.iter().enumerate() {
        let Some(held) = environment.table_mut(TableId(i as u32)) else { continue };
        if let Some((key, ..)) = table.start.row(0)
            && choices.chance(50)
        {
            let _ = held.remove(&key);
        }
        let form = table.start.form();
        for _ in 0..choices.below(6) {
            let key: Vec<Value> = form.key.iter().map(|ty| value_of(*ty, &palette, choices)).collect();
            let value = form.value.map(|ty| match ty {
                ValueTy::Word => Value::Num(choices.below(form.words.len().max(1)) as u64),
                ty => value_of(ty, &palette, choices),
            });
            // Some end among the packets, so that both engines see rows that have ended.
            let ends =
                if choices.chance(30) { choices.pick(packets).map(|packet| packet.time) } else { None };
            let _ = held.insert_until(&key, value, ends, i64::MIN);
        }
    }
    for (i, trigger) in program.triggers.iter().enumerate() {
        for _ in 0..choices.below(6) {
            let key: Vec<Value> = trigger.key().iter().map(|ty| value_of(*ty, &palette, choices)).collect();
            let _ = environment.raise(TriggerId(i as u32), &key);
        }
    }
}

/// A value of a type that packets may have.
fn value_of(ty: ValueTy, palette: &Palette, choices: &mut Choices) -> Value {
    let seen = |name: &str, choices: &mut Choices| choices.pick(palette.get(name)).cloned();
    match ty {
        ValueTy::Bool | ValueTy::Word => Value::Num(choices.below(2) as u64),
        ValueTy::Ip | ValueTy::Cidr => {
            let (ip, bits) = match seen("net.addr", choices) {
                Some(FieldValue::V4(ip)) => (IpAddr::V4(ip.into()), 32),
                Some(FieldValue::V6(ip)) => (IpAddr::V6(ip.into()), 128),
                _ => (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 32),
            };
            let prefix = if ty == ValueTy::Cidr { choices.below(bits + 1) } else { bits };
            Value::Ip(ip, prefix as u8)
        }
        ValueTy::Mac => match seen("eth.addr", choices) {
            Some(FieldValue::Mac(mac)) => Value::Num(mac),
            _ => Value::Num(0x0200_0000_0001),
        },
        ValueTy::String => Value::Text(choices.word_of(crate::mangle::INTERFACES).as_bytes().into()),
        ValueTy::Uint | ValueTy::Size | ValueTy::Duration => {
            let name = choices.word_of(&["l4.port", "frame.len", "net.proto", "vlan.id", "ip.ttl"]);
            match seen(name, choices) {
                Some(FieldValue::Num(value)) => Value::Num(value),
                _ => Value::Num(choices.bits(16)),
            }
        }
    }
}

/// Holds a program against the laws of the language, on the reference interpreter.
pub fn laws(text: &str, packets: &[BuiltPacket], seed: u64) -> Outcome {
    let original = match interpret(text, packets) {
        Ok(told) => told,
        Err(errors) => return Outcome::Refused(errors),
    };
    let mut choices = Choices::of_seed(seed);
    match check_laws(text, packets, &original, &mut choices) {
        Ok(()) => Outcome::Agreed(original.verdicts.iter().map(Vec::len).sum()),
        Err(wrong) => Outcome::Wrong(wrong),
    }
}

fn check_laws(
    text: &str,
    packets: &[BuiltPacket],
    original: &Decided,
    choices: &mut Choices,
) -> Result<(), String> {
    let printed = mrule_grammar::format(text).map_err(|_| "what compiles is not formatted")?;
    if interpret(&printed, packets).as_ref() != Ok(original) {
        return Err(format!("what `fmt` prints means something else:\n{printed}"));
    }
    let mut items = items(text);
    items.reverse();
    if interpret(&join(text, &items), packets).as_ref() != Ok(original) {
        return Err("with its items in reverse order the program means something else".into());
    }
    for raising in [true, false] {
        let word = if raising { "rule" } else { "limit" };
        let there: Vec<usize> = (0..items.len()).filter(|i| items[*i].0 == word).collect();
        let Some(&gone) = choices.pick(&there) else { continue };
        let mut without = items.clone();
        let (_, range) = without.remove(gone);
        let less = interpret(&join(text, &without), packets)?;
        for (i, (with, less)) in original.verdicts.iter().zip(&less.verdicts).enumerate() {
            let (small, large) = if raising { (less, with) } else { (with, less) };
            for (station, verdict) in small.iter().filter(|(_, v)| v.start < v.end) {
                let within = large.iter().find(|(s, _)| s == station);
                if !within.is_some_and(|(_, v)| v.start <= verdict.start && verdict.end <= v.end) {
                    return Err(format!(
                        "packet {i}, station {station}: `{}` {} the copy",
                        &text[range],
                        if raising { "lowers" } else { "raises" }
                    ));
                }
            }
        }
    }
    Ok(())
}

fn interpret(text: &str, packets: &[BuiltPacket]) -> Result<Decided, String> {
    let program = Arc::new(compile_files(&[("a.mrule", text)], &[])?);
    let environment = Environment::new(&program).map_err(|e| e.to_string())?;
    let views = crate::mangle::views(packets);
    crate::run::run(EngineKind::Interp, &program, &environment, &views, views.len())
}

/// The items of a text: what kind, and where.
fn items(text: &str) -> Vec<(&'static str, std::ops::Range<usize>)> {
    let parsed = mrule_grammar::parse(mrule_grammar::span::FileId(0), text);
    let kind = |item: &Item| match item {
        Item::Rule(_) => "rule",
        Item::Limit(_) => "limit",
        _ => "",
    };
    parsed.file.items.iter().map(|item| (kind(item), item.span().range())).collect()
}

fn join(text: &str, items: &[(&'static str, std::ops::Range<usize>)]) -> String {
    items.iter().map(|(_, range)| format!("{}\n", &text[range.clone()])).collect()
}
