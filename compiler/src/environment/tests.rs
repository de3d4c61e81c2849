//! Params, triggers and searches, changed and shared.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::abi::{Head, Link, Packet};
use crate::fields::{BytesSource, Layer};
use crate::hir::{self, Bytes, NeedleId, Pred};
use mrule_grammar::span::Span;

fn frame_bytes(slice: Option<hir::Slice>) -> Bytes {
    Bytes { layer: Layer::Outer, source: BytesSource::Frame, slice }
}

fn param(ty: ValueTy, value: Value) -> hir::Param {
    hir::Param { name: "p".into(), span: Span::default(), ty, value, bounds: (1, 9) }
}

#[test]
fn params_are_two_words_and_stay_within_their_bounds() {
    let ip = |text: &str| Value::Ip(text.parse().unwrap(), 32);
    let program = Program {
        params: vec![
            param(ValueTy::Uint, Value::Num(5)),
            param(ValueTy::Ip, ip("192.0.2.1")),
            param(ValueTy::Ip, ip("2001:db8::7")),
        ],
        ..Program::default()
    };
    let mut environment = Environment::new(&program).unwrap();
    assert_eq!(environment.params(), [0, 5, 0, 0xffff_c000_0201, 0x2001_0db8 << 32, 7]);
    let shared = environment.clone();
    assert_eq!(environment.set_param(ParamId(0), &Value::Num(9)), Ok(()));
    assert_eq!(
        environment.set_param(ParamId(0), &Value::Num(10)),
        Err(ChangeError::Bounds { low: 1, high: 9 })
    );
    assert_eq!(environment.set_param(ParamId(0), &ip("192.0.2.1")), Err(ChangeError::Type));
    assert_eq!(environment.set_param(ParamId(3), &Value::Num(2)), Err(ChangeError::Unknown));
    assert_eq!(environment.set_param(ParamId(1), &ip("2001:db8::7")), Ok(()));
    assert_eq!((environment.param(ParamId(0)), environment.param_high(ParamId(1))), (9, 0x2001_0db8 << 32));
    assert_eq!((shared.param(ParamId(0)), shared.param(ParamId(9))), (5, 0));
    let text = param(ValueTy::String, Value::Text(b"x".as_slice().into()));
    let program = Program { params: vec![text], ..Program::default() };
    assert_eq!(Environment::new(&program).unwrap_err(), EnvironmentError::Param("p".into()));
}

#[test]
fn triggers_are_raised_on_a_copy() {
    let trigger = |key: &[ValueTy]| hir::Trigger {
        name: "t".into(),
        span: Span::default(),
        scope: crate::hir::Scope::Keys(key.to_vec()),
        when: None,
        unless: crate::hir::Pred::never(),
        own: Vec::new(),
        capacity: hir::DEFAULT_KEYS,
        keys_at: None,
        external: false,
        hold: None,
    };
    let program = Program { triggers: vec![trigger(&[]), trigger(&[ValueTy::Ip])], ..Program::default() };
    let mut environment = Environment::new(&program).unwrap();
    let before = environment.clone();
    environment.raise(TriggerId(0), &[]).unwrap();
    let key = [Value::Ip("10.0.0.1".parse().unwrap(), 32)];
    environment.raise(TriggerId(1), &key).unwrap();
    assert!(environment.active(TriggerId(0), &[], 0) && !before.active(TriggerId(0), &[], 0));
    assert!(environment.active(TriggerId(1), &[KeyValue::V4(0x0a00_0001)], 0));
    assert!(!environment.active(TriggerId(1), &[KeyValue::V6(0x0a00_0001)], 0));
    assert_eq!(environment.clear(TriggerId(1), &key), Ok(true));
    assert_eq!(environment.clear(TriggerId(1), &key), Ok(false));
    assert_eq!(environment.clear_all(TriggerId(0)), Ok(()));
    assert!(!environment.active(TriggerId(0), &[], 0));
    assert_eq!(environment.raise(TriggerId(2), &[]), Err(ChangeError::Unknown));
    assert!(matches!(
        environment.raise(TriggerId(0), &key),
        Err(ChangeError::Table(TableError::Arity { .. }))
    ));
}

/// A program that looks for these needles and patterns in the frame, and for the first of each in a
/// slice of it.
fn searching(needles: &[&str], regexes: &[&str]) -> (Program, Environment) {
    let whole = frame_bytes(None);
    let part = frame_bytes(Some(hir::Slice::To(4)));
    let mut preds: Vec<Pred> = Vec::new();
    preds.extend((0..needles.len()).map(|n| Pred::contains(whole.clone(), NeedleId(n as u32))));
    preds.extend((0..regexes.len()).map(|n| Pred::matches(whole.clone(), RegexId(n as u32))));
    preds.push(Pred::contains(part.clone(), NeedleId(0)));
    preds.push(Pred::not(Pred::matches(part, RegexId(0))));
    let rule = hir::Rule {
        name: "r".into(),
        span: Span::default(),
        matches: Pred::or(preds),
        asks: Vec::new(),
        stations: 0,
        everywhere: false,
    };
    let program = Program {
        rules: vec![rule],
        needles: needles.iter().map(|n| n.as_bytes().into()).collect(),
        regexes: regexes.iter().map(|&p| hir::Regex { pattern: p.into() }).collect(),
        ..Program::default()
    };
    let environment = Environment::new(&program).unwrap();
    (program, environment)
}

#[test]
fn many_patterns_answer_as_each_would_alone() {
    let needles = ["ab", "abc", "bc", "zz", "c", "abcabc"];
    let regexes = ["^abc", "(?-i)ABC", "c$", "b.a", "z+", "abc|abcabc"];
    let (_, environment) = searching(&needles, &regexes);
    let mut scratch = Scratch::default();
    for text in ["abcabc", "ABC", "abc\n", "", "zz", "xab", "c", "bxa"] {
        let packet = Packet::new(text.as_bytes(), 0, Link::RawIp);
        let head = Head::default();
        scratch.begin();
        let mut finds = |search: Option<SearchId>| {
            environment.searches().finds(&mut scratch, &packet, &head, search.unwrap())
        };
        let whole = frame_bytes(None);
        for (n, needle) in needles.iter().enumerate() {
            let found = finds(environment.searches().contains(&whole, NeedleId(n as u32)));
            assert_eq!(found, text.contains(needle), "{text:?} contains {needle}");
        }
        for (n, pattern) in regexes.iter().enumerate() {
            let found = finds(environment.searches().matches(&whole, RegexId(n as u32)));
            let alone = crate::pattern::compile(&[pattern]).unwrap();
            assert_eq!(found, !text.is_empty() && alone.is_match(text), "{text:?} matches {pattern}");
        }
        let part = frame_bytes(Some(hir::Slice::To(4)));
        assert_eq!(
            finds(environment.searches().contains(&part, NeedleId(0))),
            text.len() >= 4 && text[..4].contains("ab")
        );
    }
    assert_eq!(environment.searches().contains(&frame_bytes(Some(hir::Slice::At(0))), NeedleId(0)), None);
}

#[test]
fn patterns_are_over_bytes_and_caseless() {
    let matches = |pattern: &str, text: &[u8]| crate::pattern::compile(&[pattern]).unwrap().is_match(text);
    assert!(matches("^get ", b"GET /"));
    assert!(!matches("(?-i)^get ", b"GET /"));
    assert!(matches(r"\xff.\x00", b"\xff\x80\x00"));
    assert!(!matches("a.b", b"a\nb"));
    let broken = Program { regexes: vec![hir::Regex { pattern: "(".into() }], ..searching(&["a"], &["a"]).0 };
    assert!(matches!(Environment::new(&broken), Err(EnvironmentError::Regex { regex: RegexId(0), .. })));
}

#[test]
fn a_scratch_follows_the_packet_and_the_environment() {
    let (_, one) = searching(&["a"], &["a"]);
    let (_, two) = searching(&["b", "c"], &["b", "c"]);
    let id =
        |environment: &Environment| environment.searches().contains(&frame_bytes(None), NeedleId(0)).unwrap();
    let mut scratch = Scratch::default();
    let a = Packet::new(b"aaaa", 0, Link::RawIp);
    let b = Packet::new(b"bbbb", 0, Link::RawIp);
    let finds = |scratch: &mut Scratch, environment: &Environment, packet: &Packet| {
        environment.searches().finds(scratch, packet, &Head::default(), id(environment))
    };
    assert!(finds(&mut scratch, &one, &a), "even without `begin`");
    scratch.begin();
    assert!(!finds(&mut scratch, &one, &b));
    assert!(finds(&mut scratch, &two, &b), "another environment, the same packet");
    assert!(finds(&mut scratch, &two.clone(), &b), "a clone has the same patterns");
}

#[test]
fn too_many_patterns_for_one_engine_are_split() {
    let patterns: Vec<String> = (0..12).map(|n| format!("(?:[a-z]{{{}}}x{n}y){{60}}", 300 + n)).collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    assert!(crate::pattern::compile(&patterns).is_err(), "together they are too large");
    let (_, environment) = searching(&["n"], &patterns);
    let text = format!("{}x7y", "q".repeat(307)).repeat(60);
    let packet = Packet::new(text.as_bytes(), 0, Link::RawIp);
    let mut scratch = Scratch::default();
    for n in 0..12 {
        let search = environment.searches().matches(&frame_bytes(None), RegexId(n)).unwrap();
        assert_eq!(
            environment.searches().finds(&mut scratch, &packet, &Head::default(), search),
            n == 7,
            "{n}"
        );
    }
}

#[test]
fn tables_are_changed_on_a_copy() {
    let start = Table::new(&[ValueTy::Ip], Some(ValueTy::Uint), 2).unwrap();
    let table = hir::Table { name: "t".into(), span: Span::default(), start };
    let mut environment = Environment::new(&Program { tables: vec![table], ..Program::default() }).unwrap();
    let (id, before) = (TableId(0), environment.clone());
    let key = |text: &str| environment.parse_key(id, &[text]).unwrap();
    let (a, b, c) = (key("10.0.0.1"), key("10.0.0.2"), key("10.0.0.3"));
    let num = |n| Some(Value::Num(n));
    assert_eq!(environment.insert(id, &a, num(1), Some(100), 0), Ok(None));
    assert_eq!(environment.insert(id, &b, num(2), None, 0), Ok(None));
    assert_eq!(environment.insert(id, &c, num(3), None, 99), Err(ChangeError::Table(TableError::Full(2))));
    assert_eq!(environment.insert(id, &c, num(3), None, 100), Ok(None), "one has ended");
    assert_eq!(environment.insert(TableId(1), &c, num(3), None, 0), Err(ChangeError::Unknown));
    assert_eq!(environment.insert(id, &c, None, None, 0), Err(ChangeError::Table(TableError::Type)));
    assert_eq!((environment.remove(id, &a), environment.remove(id, &b)), (Ok(false), Ok(true)));
    assert_eq!(environment.table(id).map(Table::len), Some(1));
    assert_eq!(before.table(id).map(Table::len), Some(0));
    assert!(matches!(environment.parse_key(id, &["x"]), Err(ChangeError::Text(_))));
    assert_eq!(environment.parse_value(id, "0x10"), Ok(Value::Num(16)));
    let rows = vec![(a.clone(), num(7), Some(50)), (b.clone(), num(8), None)];
    assert_eq!(environment.replace(id, rows), Ok(()));
    let bad = vec![(a, num(7), None), (b, None, None)];
    assert_eq!(environment.replace(id, bad), Err(ChangeError::Table(TableError::Type)));
    assert_eq!(environment.table(id).map(Table::len), Some(2), "as it was");
    assert_eq!(
        (environment.expire(49, 10), environment.expire(50, 10), environment.expire(50, 10)),
        (0, 1, 0)
    );
}
