//! `mirrorc run --read`: a program over captures. The invariants: the summary is the runtime's own
//! counts; a capture that breaks off is told with its byte offset and exit code 3, after what was
//! readable has been processed; SIGINT and SIGTERM end the run with files and summary complete, and
//! a second one ends it at once. (Rejected: ending at the first oddity of a capture; the rest of it
//! is still evidence. Exit code 0 after a signal; a script could not tell a whole run from a part.)

use crate::events::Events;
use crate::exit::{Exit, Failure};
use crate::format::Format;
use crate::screen::{BAD, DIM, DOUBT, Look, Screen, printable};
use crate::summary;
use crate::table;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mrule_control::event::output::EventWriter;
use mrule_dataplane::capture::Broken;
use mrule_dataplane::replay::Summary;
use mrule_dataplane::replay::{Options, Progress, replay};
use mrule_engine::decider::Observer;
use mrule_engine::policy::Policy;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Runs a program over the captures of `options`.
pub(super) fn run(
    mut policy: Policy,
    options: &Options,
    events: &Events,
    stats: Option<Format>,
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    let signal = listen(&options.stop)?;
    let (read, writer) = (options.read.as_slice(), events.writer()?);
    let started = Instant::now();
    let mut bar = Bar::new(screen.err_look, stats.is_some() && screen.err_look.live, started);
    let result = replay(
        options,
        &mut policy,
        writer.as_ref().map(|writer| writer as &dyn Observer),
        &mut |progress| bar.show(progress),
    );
    bar.clear();
    let written = writer.map(EventWriter::finish).unwrap_or_default();
    let all_told = events.written(&written, screen.err_look, screen.err)?;
    let counts = result?;
    match stats {
        Some(Format::Text) => {
            summary::text(read, &counts, started.elapsed(), screen.out_look, screen.out)?;
        }
        Some(Format::Json) => {
            let whole = serde_json::to_string_pretty(&summary::json(read, &counts));
            writeln!(screen.out, "{}", whole.map_err(io::Error::from)?)?;
        }
        None => {}
    }
    let refused = &counts.totals.refused;
    if let Some((line, why)) = &refused.first {
        let note = screen.err_look.paint(DOUBT, "warning:");
        let all = options.changes.len();
        writeln!(
            screen.err,
            "{note} {} of {all} events were not made; the first, line {line}: {why}",
            refused.count
        )?;
    }
    let later = (options.changes.len() as u64).saturating_sub(counts.totals.changes + refused.count);
    if later > 0 {
        let what = "come after the last packet and were not made";
        let note = screen.err_look.paint(DOUBT, "warning:");
        writeln!(screen.err, "{note} {} of {} events {what}", later, options.changes.len())?;
    }
    let exit = complain(read, &counts, screen)?;
    Ok(match (all_told, exit) {
        (false, _) => Exit::Usage,
        (_, Exit::Clean) if counts.interrupted => Exit::Interrupted(signal.load(Ordering::Relaxed) as u8),
        _ => exit,
    })
}

/// Has SIGINT and SIGTERM set `stop`, and a second one end the process; gives where the signal's
/// number will stand.
fn listen(stop: &Arc<AtomicBool>) -> Result<Arc<AtomicUsize>, Failure> {
    let which = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())
            .and_then(|_| flag::register_usize(signal, which.clone(), signal as usize))
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(|error| Failure::file("listen to", "signals", &error))?;
    }
    Ok(which)
}

/// Says what was not read, after all else, where it is seen.
fn complain(read: &[PathBuf], counts: &Summary, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    screen.out.flush()?;
    let look = screen.err_look;
    let name = summary::captures(read);
    let warning = look.paint(DOUBT, "warning:");
    for (link, packets) in &counts.unsupported {
        let what = format!("of link type {link}, which is not supported, and were passed over");
        let packets = table::packets(*packets);
        writeln!(screen.err, "{warning} {packets} of {name} are {what}")?;
    }
    if counts.clamped_timestamps > 0 {
        let what = "times outside of 1970 to 2262, which were moved to the nearest end";
        writeln!(screen.err, "{warning} {name} has {} {what}", counts.clamped_timestamps)?;
    }
    if counts.outlying_times > 0 {
        let packets = table::packets(counts.outlying_times);
        let what = "a time that does not fit the packets around, and were decided at the time of those";
        writeln!(screen.err, "{warning} {packets} of {name} have {what}")?;
    }
    for Broken { path, at } in &counts.broken {
        let name = path.display().to_string();
        writeln!(screen.err, "{} `{}` is broken at {at}", look.paint(BAD, "error:"), printable(&name))?;
    }
    if !counts.broken.is_empty() {
        let packets = table::packets(counts.totals.packets);
        let what = if read.len() > 1 { "what else could be read" } else { "what came before it" };
        let line = format!("{what} was processed: {packets}");
        writeln!(screen.err, "  {}", look.paint(DIM, &line))?;
    }
    if counts.interrupted {
        let packets = table::packets(counts.totals.packets);
        let what = "ended by a signal before the end of what was to be read; decided were";
        writeln!(screen.err, "{warning} {what} {packets}")?;
    }
    Ok(if counts.is_complete() { Exit::Clean } else { Exit::Capture })
}

/// A progress bar that comes only when a run takes a while.
struct Bar {
    look: Look,
    wanted: bool,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// How long a run may take before the bar comes.
    const PATIENCE: Duration = Duration::from_millis(400);

    fn new(look: Look, wanted: bool, started: Instant) -> Bar {
        Bar { look, wanted, started, bar: None }
    }

    fn show(&mut self, progress: Progress) {
        if !self.wanted {
            return;
        }
        if self.bar.is_none() && self.started.elapsed() < Bar::PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| make(self.look, progress.length));
        bar.set_position(progress.read);
        let speed = progress.packets as f64 / self.started.elapsed().as_secs_f64();
        let (packets, speed) = (table::packets(progress.packets), table::grouped(speed as u64));
        bar.set_message(format!("{packets}, {speed}/s"));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn make(look: Look, length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:30} {percent:>3}%  {msg}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} read, {msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars(if look.unicode { "━╸─" } else { "=>-" }));
    bar
}
