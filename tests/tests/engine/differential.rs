//! Random programs on real and damaged packets: the interpreter and native code agree, and the laws
//! of the language hold. `MRULE_CASES=N` tries N times as many programs, `MRULE_SEED=N` others. A
//! finding is cut down and printed; it belongs into the corpus then. The invariant: the same seeds
//! give the same programs and packets. (Rejected: proptest's shrinking; see `minimise`.)

use mrule_tests::choices::Choices;
use mrule_tests::differ::{self, Outcome};
use mrule_tests::minimise::{Finding, minimise};
use mrule_tests::palette::Palette;
use mrule_tests::{generate, mangle, prefilter};

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

type Check = fn(&str, &[mrule_tests::packet_text::BuiltPacket], u64) -> Outcome;

/// Tries so many programs; at most `refused` of a hundred may be refused by the checker.
fn try_all(
    what: &str,
    count: u64,
    packets: usize,
    refused: u64,
    check: Check,
    make: impl Fn(&mut Choices, &Palette) -> String,
) {
    let (first, count) = (variable("MRULE_SEED", 0) << 32, count * variable("MRULE_CASES", 1));
    let last = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{what}.seed"));
    let (mut bad, mut verdicts) = (0, 0);
    for seed in first..first + count {
        // For a crash, which nothing else survives.
        let _ = std::fs::write(&last, seed.to_string());
        let mut choices = Choices::of_seed(seed);
        let packets = mangle::packets(&mut choices, packets);
        let palette = Palette::of(&mangle::views(&packets));
        let text = make(&mut choices, &palette);
        match check(&text, &packets, seed) {
            Outcome::Agreed(n) => verdicts += n,
            Outcome::Refused(why) => {
                bad += 1;
                if variable("MRULE_VERBOSE", 0) > 0 {
                    eprintln!("{what}, seed {seed}: {why}");
                }
            }
            Outcome::Wrong(wrong) => {
                let mut fails = |f: &Finding| matches!(check(&f.text, &f.packets, seed), Outcome::Wrong(_));
                let least = minimise(Finding { text, packets }, &mut fails);
                let told = check(&least.text, &least.packets, seed);
                panic!("{what}, seed {seed}: {wrong}\ncut down: {told:?}\n{least}");
            }
        }
    }
    if variable("MRULE_VERBOSE", 0) > 0 {
        eprintln!("{what}: {count} programs, {bad} refused, {verdicts} verdicts");
    }
    assert!(bad * 100 <= count * refused, "{bad} of {count} programs were refused");
    assert!(
        verdicts as u64 > count,
        "only {verdicts} verdicts for {count} programs: the conditions hold too rarely"
    );
}

#[test]
fn engines_agree_on_small_programs() {
    try_all("small", 600, 24, 40, differ::engines, generate::small);
}

#[test]
fn engines_agree_on_large_programs() {
    try_all("large", 60, 48, 40, differ::engines, |choices, palette| generate::large(choices, palette, 290));
}

#[test]
fn the_filter_keeps_what_narrow_programs_want() {
    try_all("filter", 600, 24, 10, prefilter::keeps_what_is_wanted, generate::narrow);
}

#[test]
fn the_filter_keeps_what_any_program_wants() {
    // Most of these want every packet; a large one between them is enough to drop some.
    try_all("wide filter", 80, 24, 40, prefilter::keeps_what_is_wanted, |choices, palette| {
        match choices.below(4) {
            0 => generate::large(choices, palette, 100),
            1 => generate::narrow(choices, palette),
            _ => generate::small(choices, palette),
        }
    });
}

#[test]
fn binding_limits_cut_as_own_ones_do() {
    try_all("bounds", 400, 16, 40, differ::bounds, generate::small);
}

#[test]
fn laws_hold() {
    try_all("laws", 200, 16, 40, differ::laws, generate::small);
}
