//! Several mistakes at once: each is reported once, in the order of the text, and the intact parts
//! stay in the tree.

use crate::common::{dump, mistakes, read};

/// The mistakes and the tree of a text.
fn check(text: &str, expected: &[&str], tree: &str) {
    let parsed = read(text);
    assert_eq!(mistakes(text, &parsed.diagnostics), expected, "in {text}");
    assert_eq!(dump(&parsed.file), tree, "of {text}");
}

#[test]
fn a_broken_item_hides_no_other() {
    check(
        "let a = \nlet b = 5\nrule r { match a and }\nparam p\ntable t : set<ip>\nstation s {,}\nlimit l { match b }",
        &["E0001 =", "E0001 and", "E0001 p", "E0014 ,"],
        "broken a\nlet b 5\nrule r [broken]\nbroken p\ntable t set<ip>\nbroken s\nlimit l [match b]",
    );
}

#[test]
fn a_broken_clause_hides_no_other() {
    check(
        "rule r {
            match tcp and and udp
            snaplen headers +
            snaplen full when a
            to ids lake
            match b
        }",
        &["E0001 and", "E0001 +", "E0014 lake"],
        "rule r [broken][broken][snaplen full when a][to ids][broken][match b]",
    );
    check(
        "trigger t by a { when b hold unless c keys }",
        &["E0001 hold", "E0001 keys"],
        "trigger t by a [when b][broken][unless c][broken]",
    );
}

#[test]
fn misspelt_clauses() {
    check(
        "rule r {\n mach tcp\n snapln full\n to ids\n}",
        &["E0010 mach", "E0010 snapln"],
        "rule r [broken][broken][to ids]",
    );
    check("rule r { match a snaplne full to ids }", &["E0010 snaplne"], "rule r [match a][broken][to ids]");
    // A misspelt clause word inside a condition does not start a clause.
    check("rule r { match a and\n mach\n to ids }", &[], "rule r [match (and a mach)][to ids]");
}

#[test]
fn misspelt_items() {
    check(
        "let a = 5\nrul web { match tcp }\nparm p : uint = 5\nlet c = 6",
        &["E0009 rul", "E0009 parm"],
        "let a 5\nbroken web\nbroken p\nlet c 6",
    );
    check(
        "rul a { match b }\nRULE c { match d }\nrule e { match f }",
        &["E0009 rul", "E0013 RULE"],
        "broken a\nbroken c\nrule e [match f]",
    );
    check(
        "rule a { match b } nonsense rule c { match d }",
        &["E0009 nonsense"],
        "rule a [match b]\nbroken -\nrule c [match d]",
    );
}

#[test]
fn a_missing_bracket_costs_one_item() {
    check(
        "rule a { match b\nrule c { match d }\nlet e = {80\nlet f = 5",
        &["E0004 {", "E0004 {"],
        "rule a [match b]\nrule c [match d]\nbroken e\nlet f 5",
    );
    check(
        "rule a { match (b snaplen full to c }\nrule d { match e }",
        &["E0004 ("],
        "rule a [broken][snaplen full][to c]\nrule d [match e]",
    );
    check(
        "rule a match b to c }\nrule d { match e }",
        &["E0005 }"],
        "rule a [match b][to c]\nrule d [match e]",
    );
}

#[test]
fn mistakes_in_the_head() {
    check("trigger t by a, b { when c }", &["E0001 ,"], "trigger t by broken [when c]");
    check("rule a b { match c and }", &["E0001 b", "E0001 and"], "rule a [broken]");
    check("rule match { match c }", &["E0011 match"], "broken -");
}

#[test]
fn mistakes_inside_an_expression_leave_the_rest() {
    check(
        "let a = ip.src == 300.1.1.1 and ip.dst == 192.0.2.1 or b = 5kib",
        &["E0024 300", "E0017 =", "E0023 kib"],
        "let a (or (and (Eq ip.src broken) (Eq ip.dst 192.0.2.1)) (Eq b broken))",
    );
    check("let a = {80 443, 010}", &["E0014 443", "E0021 010"], "let a {80 443 broken}");
    check("let Big-Name = Other_name", &["E0012 Big-Name", "E0012 Other_name"], "let big_name other_name");
}

#[test]
fn characters_are_reported_once() {
    check("rule r { match a \u{e4} b to c }", &["E0008 \u{e4}"], "rule r [match a][broken][to c]");
    check(
        "let a = \"b\nlet c = 'd'\nlet e = 5",
        &["E0006 \"b", "E0007 'd'"],
        "let a broken\nlet c broken\nlet e 5",
    );
    check("let a = \0 5", &["E0008 \0"], "let a broken");
}

#[test]
fn too_deep_is_one_mistake() {
    let text = format!("rule r {{ match {}a{} to b }}", "(".repeat(500), ")".repeat(500));
    let parsed = read(&text);
    assert_eq!(mistakes(&text, &parsed.diagnostics), ["E0003 ("]);
    assert!(dump(&parsed.file).ends_with("[to b]"));
}
