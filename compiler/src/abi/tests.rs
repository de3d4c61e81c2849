//! Tests the rules in the head of the module against the records that they describe.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

/// The members of a record whose type contains this text, in the order of the source.
fn members<'s>(source: &'s str, record: &str, of: &str) -> Vec<&'s str> {
    let body = source.split_once(record).unwrap().1.split_once("\n}").unwrap().0;
    let lines = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    lines.filter(|(_, ty)| ty.contains(of)).map(|(name, _)| name).collect()
}

#[test]
fn the_rule_of_writes_names_all_that_can_be_written() {
    let source = include_str!("../abi.rs");
    let rule = source.split_once("**V4**").unwrap().1.split_once("**V5**").unwrap().0;
    let pointers = members(source, "pub struct Context<'a> {", "*mut");
    assert!(pointers.len() >= 8, "the members of the context are found: {pointers:?}");
    // Members inside the context that shims or generated code change between two packets.
    for name in pointers.into_iter().chain(["key", "head", "head_serial"]) {
        assert!(
            rule.contains(&format!("`{name}`")),
            "V4 in abi.rs does not name `{name}`, which can be written"
        );
    }
    let host = include_str!("../jit/shims.rs");
    for name in members(host, "pub struct Host<'a> {", "&'a mut") {
        let said = rule.contains(&format!("`{name}`"));
        assert!(said, "V4 in abi.rs does not name the host's `{name}`, which shims can write");
    }
}
