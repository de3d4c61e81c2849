//! How rules are planned.
#![allow(clippy::unwrap_used, reason = "a failed test stops")]
use super::*;
use crate::compile::{MemoryLoader, compile};

#[test]
fn many_lengths_are_given_and_few_are_code() {
    let plan = |lengths: usize| {
        let rule =
            |i| format!("rule r{i} {{ match tcp.dstport == {i} snaplen payload ..{} to s }}\n", i % lengths);
        let rules: String = (0..100).map(rule).collect();
        let text = format!("station s {{ pcapng \"s\" }}\n{rules}");
        let compiled = compile(&["a".into()], &mut MemoryLoader::new([("a", text)]), &[]);
        Plan::new(&compiled.program.unwrap().rules, &CompileBudget::default()).unwrap()
    };
    let few = plan(MAX_CLASSES);
    assert_eq!((few.groups[0].classes.len(), few.groups[0].given), (MAX_CLASSES, 0));
    assert_eq!(few.groups[0].entries.len(), 100);
    let many = plan(MAX_CLASSES + 1);
    assert_eq!((many.groups[0].classes.len(), many.groups[0].given), (1, 1));
    let lengths: Vec<u64> = many.groups[0].entries.chunks(2).map(|entry| entry[1]).collect();
    let numbers = many.groups[0].entries.chunks(2).map(|entry| entry[0] as u32);
    let names: Vec<u32> = numbers.collect();
    assert_eq!((lengths.len(), names.len()), (100, 100));
    assert_eq!(lengths.iter().collect::<std::collections::HashSet<_>>().len(), MAX_CLASSES + 1);
}
