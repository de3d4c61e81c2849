//! Each kind of wrong change has its error, which says what is wrong and what to write; a verb is
//! the same after it is saved and read. (Rejected: the texts alone; the API answers by the kind of
//! the error.)
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

use super::*;
use crate::control::bundle::Bundle;
use crate::event::input::parse;
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::MemoryLoader;
use serde_json::json;
use std::collections::BTreeMap;

const RULES: &str = "table hosts : set<ip>
table roles : map<ip, {admin, user}>
param head : size = 256 in 0..16KiB
station s { pcapng \"s\" }
trigger attack by net.dst { external  hold 1h }
trigger flood by net.dst { when count(tcp) per 1s > 200  hold 1h }
trigger keep by flow { external  hold flow }
rule a { match attack or flood or keep  snaplen head  to s }\n";

fn program() -> Program {
    let mut loader = MemoryLoader::new(BTreeMap::from([("a.mrule".to_owned(), RULES.to_owned())]));
    let read = Bundle::read(&["a.mrule".to_owned()], &mut loader, &[], &CompileBudget::default());
    read.0.program.unwrap()
}

fn unknown(what: &'static str, name: &str, known: &[&str]) -> VerbError {
    let known = known.iter().map(|name| (*name).to_owned()).collect();
    VerbError::Unknown(UnknownName { what, name: name.to_owned(), known })
}

#[test]
fn each_kind_of_wrong_line_has_its_error() {
    let program = program();
    for (line, kind, says) in [
        (r#"{"time": 1}"#, VerbError::NoVerb, "has no verb; use one of `raise`"),
        (
            r#"{"time": 1, "raise": "attack", "set": "head"}"#,
            VerbError::TwoVerbs("raise", "set"),
            "has both `raise` and `set`; write two lines",
        ),
        (
            r#"{"time": 1, "raise": "attack", "key": "10.0.0.1", "reason": "x"}"#,
            VerbError::Member { verb: "raise", member: "reason", takes: &["key", "for"] },
            "`raise` has no member `reason`; it has `key`, `for`",
        ),
        (r#"{"time": 1, "set": "head"}"#, VerbError::NoValue, "add the new value of the param"),
        (r#"{"clear": "attack"}"#, VerbError::NoTime, "has no `time`; add one like `2024-"),
        (r#"{"time": "noon", "clear": "attack"}"#, VerbError::Moment(json!("noon")), "not \"noon\""),
        (r#"{"time": [1], "clear": "attack"}"#, VerbError::Moment(json!([1])), "`time` must be like"),
        (
            r#"{"time": 1, "raise": "attack", "key": "10.0.0.1", "for": "10"}"#,
            VerbError::Duration("10".to_owned()),
            "`for` must be a duration such as `10m` or `1h`, not `10`",
        ),
        (
            r#"{"time": 1, "raise": "atack", "key": "10.0.0.1"}"#,
            unknown("trigger", "atack", &["attack", "flood", "keep"]),
            "there is no trigger `atack`; the program has `attack`, `flood`, `keep`",
        ),
        (
            r#"{"time": 1, "add": "host", "key": "10.0.0.1"}"#,
            unknown("table", "host", &["hosts", "roles"]),
            "there is no table `host`; the program has `hosts`, `roles`",
        ),
        (r#"{"time": 1, "set": "hed", "value": 1}"#, unknown("param", "hed", &["head"]), "no param `hed`"),
        (
            r#"{"time": 1, "raise": "flood", "key": "10.0.0.1"}"#,
            VerbError::NotExternal("flood".to_owned()),
            "is not `external`; add `external` to it in the rules",
        ),
        (
            r#"{"time": 1, "raise": "keep", "key": "tcp 10.0.0.1:1 10.0.0.2:2", "for": "5m"}"#,
            VerbError::LastsAsFlow("keep".to_owned()),
            "holds as long as its flow; remove `for`",
        ),
        (
            r#"{"time": 1, "add": "hosts", "key": "10.0.0.1", "value": "x"}"#,
            VerbError::ValueOfSet("hosts".to_owned()),
            "table `hosts` is a set; remove `value`",
        ),
        (
            r#"{"time": 1, "add": "roles", "key": "10.0.0.1"}"#,
            VerbError::NoValueOfMap("roles".to_owned()),
            "table `roles` is a map; add the `value` of the row",
        ),
        (r#"{"time": 1, "raise": "attack"}"#, VerbError::Parts(vec!["ip"]), "must have one part: ip"),
        (
            r#"{"time": 1, "remove": "hosts", "key": "10.0.0"}"#,
            VerbError::Type { value: json!("10.0.0"), ty: "ip" },
            "\"10.0.0\" is not of type `ip`",
        ),
        (
            r#"{"time": 1, "add": "roles", "key": "10.0.0.1", "value": "root"}"#,
            VerbError::Word { value: json!("root"), words: vec!["admin".to_owned(), "user".to_owned()] },
            "\"root\" is not one of the table's words: admin, user",
        ),
        (
            r#"{"time": 1, "set": "head", "value": "1MiB"}"#,
            VerbError::Bounds { param: "head".to_owned(), min: 0, max: 16 << 10 },
            "param `head` must be from 0 to 16384",
        ),
    ] {
        let text = format!("# a comment\n\n{{\"time\": 1, \"clear\": \"attack\"}}\n{line}\n");
        let (at, error) = parse(&text, &program).unwrap_err();
        assert_eq!((at, &error), (4, &kind), "{line}");
        assert!(error.to_string().contains(says), "{error}");
    }
    for (line, says) in [
        ("{", "(column "),
        (r#"{"time": 1, "rise": "attack"}"#, "unknown field `rise`"),
        (r#"{"time": 1, "raise": 5}"#, "expected a string"),
        (r#"{"time": 1, "raise": "a", "raise": "b"}"#, "duplicate field `raise`"),
    ] {
        let (_, error) = parse(line, &program).unwrap_err();
        assert!(matches!(&error, VerbError::Object(text) if text.contains(says)), "{line}: {error}");
        assert!(error.to_string().contains("a line is like {\"time\": "), "{error}");
    }
    let (_, error) = parse(r#"{"time": 1, "raise": "keep", "key": 5}"#, &program).unwrap_err();
    assert!(matches!(&error, VerbError::Flow(text) if text.contains("two ends")), "{error}");
}

#[test]
fn a_change_that_is_made_now_has_no_time() {
    let object = |json: Json| json.as_object().unwrap().clone();
    let error = Verb::from_object(object(json!({"clear": "attack", "time": 1}))).unwrap_err();
    assert_eq!((&error, &*error.to_string()), (&VerbError::Time, "remove `time`: the change is made now"));
    assert!(Verb::from_object(object(json!({"clear": "attack"}))).is_ok());
}

#[test]
fn a_verb_is_the_same_after_it_is_saved() {
    for json in [
        json!({"raise": "attack", "key": "10.0.0.1", "for": "10m"}),
        json!({"clear": "attack"}),
        json!({"suppress": "attack", "key": ["10.0.0.1"], "for": "1h", "reason": "ours"}),
        json!({"unsuppress": "attack", "key": "10.0.0.1"}),
        json!({"add": "roles", "key": ["10.0.0.1"], "value": "admin", "for": "5ns"}),
        json!({"remove": "hosts", "key": "10.0.0.1"}),
        json!({"set": "head", "value": 0}),
    ] {
        let verb: Verb = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&verb).unwrap(), json);
        assert!(verb.change(&program()).is_ok(), "{json}");
    }
}
