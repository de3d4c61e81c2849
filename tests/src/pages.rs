//! What the pages say of what mirrorc prints. The invariant: a member counts as explained where
//! `docs/counters.md` names it as code. (Rejected: a list of members here; a new one would not be
//! in it.)

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The members of this JSON, at any depth, that the page of counters does not name.
pub fn unexplained(counts: &Value) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/counters.md");
    let page = std::fs::read_to_string(page).expect("the page of counters");
    let named: BTreeSet<&str> = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    let mut found = BTreeSet::new();
    members(counts, &mut found);
    found.retain(|name| !named.contains(name.as_str()));
    found
}

fn members(of: &Value, found: &mut BTreeSet<String>) {
    match of {
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            found.insert(name.clone());
            members(value, found);
        }),
        Value::Array(all) => all.iter().for_each(|value| members(value, found)),
        _ => {}
    }
}
