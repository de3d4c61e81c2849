//! SIGHUP: the rule files of the command line are read again, and their program takes the place of the one at work. The
//! invariant: what is wrong with them is shown as `check` shows it, and then nothing has changed.
//! (Rejected: ending with an error; who edits rules on a running bridge makes mistakes.)

use crate::report::{Report, text};
use crate::rules::Rules;
use crate::screen::{BAD, DOUBT, GOOD, Screen, printable};
use mrule_compiler::compile::Compiled;
use mrule_grammar::diagnostic::Severity;
use mrule_runtime::control::{Control, Done, Fates, Refusal};
use mrule_runtime::event::{Hub, Kind, Record};
use mrule_runtime::live::MAIN;
use serde_json::json;
use std::io;

/// Reads the rules again.
///
/// # Errors
/// Standard error cannot be written to.
pub(super) fn reload(
    rules: &Rules,
    control: &Control,
    hub: &Hub,
    warn: bool,
    screen: &mut Screen<'_>,
) -> io::Result<()> {
    let look = screen.err_look;
    let by = json!({ "by": { "signal": "SIGHUP" }, "asked": "read the rule files again" });
    hub.tell(Record::now(Kind::Change, by));
    let refused = |screen: &mut Screen<'_>, why: &str| {
        hub.refused(MAIN, &printable(why));
        let bad = look.paint(BAD, "error:");
        writeln!(screen.err, "{bad} the rules were not loaded again: {why}; the program at work goes on")
    };
    let (compiled, bundle) = match rules.read_again() {
        Ok(read) => read,
        Err(failure) => return refused(screen, &failure.message),
    };
    let bundle = bundle.binding(control.is_binding(MAIN));
    match control.load(MAIN, compiled, bundle, false) {
        Ok(done) => {
            hub.loaded(MAIN, done.version);
            show(&done.compiled, warn, screen)?;
            if warn {
                writeln!(screen.err, "{} {}", look.paint(GOOD, "loaded:"), told(&done))?;
            }
            Ok(())
        }
        Err(Refusal::Program(compiled)) => {
            show(&compiled, warn, screen)?;
            let tally = Report::new(&compiled.diagnostics, &compiled.sources).tally().to_string();
            refused(screen, &look.paint(DOUBT, &tally))
        }
        Err(Refusal::Ended) => Ok(()),
        Err(why) => refused(screen, &why.to_string()),
    }
}

fn show(compiled: &Compiled, warn: bool, screen: &mut Screen<'_>) -> io::Result<()> {
    let shown = compiled.diagnostics.iter().filter(|d| warn || d.severity() == Severity::Error);
    let shown: Vec<_> = shown.cloned().collect();
    write!(screen.err, "{}", text::render(&Report::new(&shown, &compiled.sources), screen.err_look))
}

/// What was done, in a line.
fn told(done: &Done) -> String {
    let mut told = format!("version {} of the rules, in {} ms", done.version, done.all.as_millis());
    let plan = &done.plan;
    for (what, Fates { new, lost, .. }) in
        [("rules", &plan.rules), ("stations", &plan.stations), ("triggers", &plan.triggers)]
    {
        for (names, how) in [(new, "new"), (lost, "gone")] {
            match names.as_slice() {
                [] => {}
                names @ [_, _, _, _, _, ..] => told.push_str(&format!("; {} {what} {how}", names.len())),
                names => told.push_str(&format!("; {what} {how}: {}", names.join(", "))),
            }
        }
    }
    told
}
