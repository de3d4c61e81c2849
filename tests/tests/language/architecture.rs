//! Who may import whom, read from the sources: crates in their order, and inside of a crate its top
//! modules in theirs. The invariant: an arrow goes from a higher place of a list to a lower one, so
//! there is no circle; a new crate or module fails until it has its place. Modules of tests are not
//! looked at. (Rejected: a picture in the pages; nothing holds it to the sources. Rejected: `cargo`
//! alone; it refuses circles between crates and knows none of the order, nor of modules.)

mod sources;

use sources::{Sources, between, found, package, read, sources};
use std::collections::BTreeSet;

/// A crate: where it is, and its top modules from the lowest to the highest.
struct Crate {
    dir: &'static str,
    modules: &'static [&'static str],
}

/// The crates, from the lowest to the highest: a crate imports only from crates before it.
const CRATES: &[Crate] = &[
    Crate {
        dir: "grammar",
        modules: &[
            "printable",
            "span",
            "ast",
            "codes",
            "diagnostic",
            "render",
            "limits",
            "words",
            "units",
            "parse",
            "print",
        ],
    },
    Crate {
        dir: "compiler",
        modules: &[
            "abi",
            "sets",
            "fields",
            "pattern",
            "value",
            "streams",
            "table",
            "hir",
            "extract",
            "dissect",
            "context",
            "environment",
            "helpers",
            "length",
            "eval",
            "render",
            "explain",
            "batch",
            "budget",
            "bpf",
            "check",
            "lint",
            "plan",
            "jit",
            "no_jit",
            "compile",
            "engine",
        ],
    },
    Crate {
        dir: "runtime/engine",
        modules: &[
            "counters", "memory", "error", "flow", "trigger", "policy", "change", "stream", "decider",
            "cost", "totals", "session",
        ],
    },
    Crate {
        dir: "runtime/dataplane",
        modules: &[
            "link_type",
            "error",
            "clock",
            "patience",
            "sys",
            "privilege",
            "capture",
            "source",
            "confine",
            "station",
            "live",
            "replay",
            "links",
        ],
    },
    Crate {
        dir: "runtime/control",
        modules: &["event", "history", "alarm", "compile_queue", "budget", "control", "api", "daemon"],
    },
    Crate {
        dir: "cli",
        modules: &[
            "exit",
            "format",
            "memory",
            "packet",
            "screen",
            "alarms",
            "report",
            "rules",
            "table",
            "tracking",
            "summary",
            "tree",
            "client",
            "pages",
            "compile_options",
            "events",
            "cost",
            "live_summary",
            "live_table",
            "cmd",
            "args",
        ],
    },
    Crate { dir: "tests", modules: &[] },
];

/// THE CRATES WHOSE MODULES ARE IN NO ORDER YET, and why. A crate without circles may not stay
/// here.
const LEFT_OUT: &[(&str, &str)] = &[];

/// Crates whose modules need no order, but may have no circle: helpers of tests come and go.
const UNORDERED: &[&str] = &["tests"];

#[test]
fn crates_import_downwards() {
    let names: Vec<String> = CRATES.iter().map(|it| package(it.dir)).collect();
    let members = between(&read("Cargo.toml"), "members = [", "]").replace(['"', ' '], "");
    let members: BTreeSet<&str> = members.split(',').collect();
    let known: BTreeSet<&str> = CRATES.iter().map(|it| it.dir).collect();
    assert_eq!(members, known, "the workspace's crates, and those of CRATES in architecture.rs");
    let mut wrong = Vec::new();
    for (at, it) in CRATES.iter().enumerate() {
        let found = sources(it.dir, &names);
        let manifest = format!("{}/Cargo.toml", it.dir);
        let needed = between(&read(&manifest), "[dependencies]\n", "\n[").replace('-', "_");
        let needed = needed.lines().filter_map(|line| line.split(['.', ' ']).next());
        let needed = needed.map(|name| (name.to_owned(), manifest.clone()));
        let named = found.crates.into_iter().map(|((_, to), place)| (to, place));
        for (to, place) in needed.chain(named) {
            let its = names.iter().position(|name| *name == to);
            // A crate's executables name its library.
            if its.is_some_and(|its| its > at) {
                wrong.push(format!(
                    "{place}: `{}` imports `{to}`, which is above it: move what it needs down",
                    it.dir
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_import_downwards() {
    let names: Vec<String> = CRATES.iter().map(|it| package(it.dir)).collect();
    let mut wrong = Vec::new();
    for Crate { dir, modules } in CRATES {
        let found = sources(dir, &names);
        let left_out = LEFT_OUT.iter().any(|(name, _)| name == dir);
        match (order(&found), left_out) {
            (Ok(order), true) => wrong.push(format!(
                "`{dir}` has no circle any more: take it out of LEFT_OUT and give it this order, or a better one: {order:?}"
            )),
            (Err(circle), false) => wrong.push(format!("`{dir}`: modules import each other in a circle: {circle}")),
            _ => {}
        }
        if !left_out && !UNORDERED.contains(dir) {
            wrong.extend(upwards(dir, modules, &found));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The arrows of a crate that go against its order, and the modules that have no place in it.
fn upwards(dir: &str, order: &[&str], found: &Sources) -> Vec<String> {
    let place = |name: &str| order.iter().position(|it| *it == name);
    let listed: BTreeSet<&str> = order.iter().copied().collect();
    let there: BTreeSet<&str> = found.modules.iter().map(String::as_str).collect();
    let lacking = there.symmetric_difference(&listed).map(|name| match listed.contains(name) {
        true => format!("`{dir}`: there is no module `{name}`: take it out of CRATES in architecture.rs"),
        false => format!(
            "`{dir}`: the module `{name}` has no place: add it to CRATES in architecture.rs, behind all modules \
             that it imports (without a place, each of its imports is reported as upwards)"
        ),
    });
    let upwards =
        found.arrows.iter().filter(|((from, to), _)| place(from) < place(to)).map(|((from, to), at)| {
            format!(
                "{at}: `{from}` imports `{to}`, which is above it: move what it needs down, or hand it in"
            )
        });
    let rootless =
        found.arrows.iter().filter(|((_, to), _)| !there.contains(to.as_str())).map(|((from, to), at)| {
            format!("{at}: `{from}` imports `crate::{to}`, no module: name the module that has it")
        });
    lacking.chain(upwards).chain(rootless).collect()
}

/// The modules from the lowest to the highest, or a circle of them.
fn order(found: &Sources) -> Result<Vec<&str>, String> {
    let mut left: Vec<&str> = found.modules.iter().map(String::as_str).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let free = left.iter().position(|name| found.below(name).all(|to| !left.contains(&to)));
        let Some(free) = free else {
            // Each has one that is left below it, so a walk downwards comes back.
            let mut way = vec![left[0]];
            loop {
                let next = found.below(way[way.len() - 1]).find(|to| left.contains(to)).unwrap();
                let seen = way.iter().position(|name| *name == next);
                way.push(next);
                if let Some(from) = seen {
                    return Err(way[from..].join(" -> "));
                }
            }
        };
        order.push(left.remove(free));
    }
    Ok(order)
}

/// How many public items a crate may have: what its users need. All else is `pub(crate)`.
const PUBLIC: &[(&str, usize)] = &[("runtime/engine", 249)];

#[test]
fn crates_show_what_their_users_need() {
    let names: Vec<String> = CRATES.iter().map(|it| package(it.dir)).collect();
    for (dir, most) in PUBLIC {
        let public = sources(dir, &names).public;
        println!("{dir}: {} public items, at most {most}", public.len());
        assert!(
            public.len() <= *most,
            "`{dir}` has {} public items, but may have {most}: make what only the crate uses `pub(crate)`, \
             and give a type that is there a method instead of a new type:\n{}",
            public.len(),
            public.join("\n")
        );
    }
}

#[test]
fn arrows_upwards_and_circles_are_told() {
    let mut both = found("use crate::high::X;", &["low"]);
    both.modules.insert("high".to_owned());
    let told = upwards("x", &["low", "high"], &both);
    assert_eq!(
        told,
        ["x.rs:1: `low` imports `high`, which is above it: move what it needs down, or hand it in"]
    );
    assert_eq!(upwards("x", &["high", "low"], &both), Vec::<String>::new());
    assert_eq!(upwards("x", &["high"], &both).len(), 2, "a module without a place, and its arrow");
    assert_eq!(order(&both), Ok(vec!["high", "low"]));
    both.arrows.extend(found("use crate::low::Y;", &["high"]).arrows);
    assert_eq!(order(&both), Err("high -> low -> high".to_owned()));
}
