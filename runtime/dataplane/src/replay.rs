//! Runs a program over captures: reader, engine, stations, counters. It uses one thread and works
//! batch by batch. Invariants: a packet is decided once, in the order of the files. A copy is
//! counted only when its station has taken it. A failed write ends the run with an error, after the
//! files of all other stations were completed up to that point. A stopped run completes its files
//! and its sums. Files lag at most `LAG` behind, also while the source has no data. (Rejected: a
//! writing thread; most of the cost is the kernel's copying, which a thread does not reduce.)

use crate::capture::{BATCH, Broken, Interface, LinkType, Reader};
use crate::error::Error;
use crate::privilege::private;
use crate::station::{Names, PcapngFile};
use mrule_compiler::abi::Packet;
use mrule_compiler::batch::Batch;
use mrule_compiler::hir::Program;
use mrule_engine::change::{Change, Refused, Timed};
use mrule_engine::cost::Setting;
use mrule_engine::decider::{Decider, Limits, Observer};
use mrule_engine::policy::Policy;
use mrule_engine::totals::{Intake, Totals};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a copy may wait in memory before it is written to its file.
const LAG: Duration = Duration::from_millis(100);

/// What to run over, and where copies go.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The captures, read one after the other as one stream; `-` is standard input.
    pub read: Vec<PathBuf>,
    /// The directory in which each station gets `STATION.pcapng`. It is created if necessary, and
    /// files in it are replaced. `None`: copies are counted and not written.
    pub out: Option<PathBuf>,
    /// Limits of flows and streams.
    pub limits: Limits,
    /// Changes from outside, in the order of their times. Each is made before the first packet that
    /// is not earlier. Changes later than all packets are not made.
    pub changes: Vec<Timed>,
    /// Ends the run when it is set, as at the end of the last capture.
    pub stop: Arc<AtomicBool>,
}

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Packets decided.
    pub packets: u64,
    /// Bytes of the capture file read (of the compressed file, when it is compressed).
    pub read: u64,
    /// The length of the file in bytes. `None`: a pipe.
    pub length: Option<u64>,
}

/// The results of a replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// What was decided, without packets of [`unsupported`](Self::unsupported) link types.
    pub totals: Totals,
    /// The files that were written, by station in the order of the program: path and length in
    /// bytes. `None`: the station has no complete file.
    pub files: Vec<Option<(PathBuf, u64)>>,
    /// Packets skipped because their link type is not supported, by link type.
    pub unsupported: Vec<(LinkType, u64)>,
    /// Packets whose time was outside of 1970..2262 and was clamped to the nearest end.
    pub clamped_timestamps: u64,
    /// Packets that were decided at another time than their own, which did not fit the packets
    /// around them.
    pub outlying_times: u64,
    /// The captures that could not be read to the end, with the place and the reason.
    pub broken: Vec<Broken>,
    /// The run was stopped before the end of the last capture.
    pub interrupted: bool,
}

impl Summary {
    /// Whether the captures were read and decided as far as the run went.
    pub fn is_complete(&self) -> bool {
        self.broken.is_empty() && self.unsupported.is_empty()
    }

    /// The file of a station, by its place in the program: path and length in bytes.
    pub fn file(&self, station: usize) -> Option<&(PathBuf, u64)> {
        self.files.get(station)?.as_ref()
    }
}

/// What a replay provides for a policy.
pub fn setting(limits: Limits) -> Setting {
    Setting { limits, workers: 1, batch: BATCH, station_bytes: 0 }
}

/// Runs captures through a policy. `events` receives the effects on triggers. `progress` is called
/// after each batch of packets, and while there is nothing to read. A capture that breaks off is no
/// error: [`Summary::broken`] has the place.
///
/// # Errors
/// [`Error`]: a capture that cannot be opened or is no capture, or an output that cannot be created
/// or written.
pub fn replay(
    options: &Options,
    policy: &mut Policy,
    events: Option<&dyn Observer>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, Error> {
    let program = policy.program().clone();
    let program = program.as_ref();
    let mut reader = Reader::open_all(&options.read, &options.stop)?;
    let mut totals = Totals::new(program);
    let mut outputs = match &options.out {
        Some(directory) => Outputs::create(directory, program, &options.read)?,
        None => Outputs { files: Vec::new(), flushed: Instant::now() },
    };
    let mut decider = Decider::new(policy, &options.limits, BATCH)?;
    let (mut last, mut changes) = (0, options.changes.as_slice());
    while !options.stop.load(Ordering::Relaxed)
        && let Some(delivered) = reader.next_batch()
    {
        let mut rest = delivered.packets.as_slice();
        while let Some(first) = rest.first() {
            last = last.max(first.time);
            changes = make(changes, first.time, (policy, &mut decider), events, &mut totals)?;
            // Up to the next change.
            let next = changes.first().map(|change| change.time);
            let end = next.and_then(|next| rest.iter().position(|packet| packet.time >= next));
            let (now, later) = rest.split_at(end.unwrap_or(rest.len()));
            rest = later;
            let batch = decider.decide_observed(policy, now, totals.packets, events);
            last = now.iter().fold(last, |last, packet| last.max(packet.time));
            if let Err(error) = take(now, delivered.interfaces, batch, &mut totals, &mut outputs) {
                // The first error is the one to report.
                let _also_failed = outputs.finish(reader.interfaces());
                return Err(error);
            }
        }
        if let Err(error) = outputs.flush() {
            let _also_failed = outputs.finish(reader.interfaces());
            return Err(error);
        }
        progress(Progress { packets: totals.packets, read: reader.read_so_far(), length: reader.length() });
    }
    let files = outputs.finish(reader.interfaces())?;
    totals.end(&decider);
    totals.keys(policy, last);
    Ok(Summary {
        totals,
        files,
        unsupported: reader.unsupported().iter().map(|(link, packets)| (*link, *packets)).collect(),
        clamped_timestamps: reader.clamped_timestamps(),
        outlying_times: reader.outlying_times(),
        broken: reader.all_broken().to_vec(),
        interrupted: options.stop.load(Ordering::Relaxed),
    })
}

/// Makes the changes that are due. Returns the others.
fn make<'c>(
    changes: &'c [Timed],
    now: i64,
    (policy, decider): (&mut Policy, &mut Decider),
    events: Option<&dyn Observer>,
    totals: &mut Totals,
) -> Result<&'c [Timed], Error> {
    let (due, later) = changes.split_at(changes.partition_point(|change| change.time <= now));
    for Timed { time, change, line } in due {
        let effect = match decider.change(policy, *time, change) {
            Ok(effect) => effect,
            Err(Refused::Change(why)) => return Err(Error::Change { line: *line, why }),
            // A running mirrorc would answer with the reason and continue; so does a replay.
            Err(Refused::Flow(why)) => {
                if let (Some(events), Change::Flow { trigger, flow, .. }) = (events, change) {
                    events.refused(policy, *time, *trigger, flow, &why);
                }
                totals.refused.take(*line, &why);
                continue;
            }
        };
        totals.changes += 1;
        if let Some(events) = events {
            events.change(policy, *time, change, effect);
        }
    }
    Ok(later)
}

/// Carries out the verdicts of a batch.
fn take(
    packets: &[Packet],
    interfaces: &[Interface],
    batch: &Batch,
    totals: &mut Totals,
    outputs: &mut Outputs,
) -> Result<(), Error> {
    let (mut intake, mut copied) = (Intake::default(), 0_u64);
    for (i, packet) in packets.iter().enumerate() {
        let mut mirrored = false;
        for (station, verdict) in batch.verdicts(i) {
            let copy = verdict.start < verdict.end;
            if copy && let Some(file) = outputs.files.get_mut(station.index()) {
                file.write(packet, interfaces, &verdict)?;
            }
            totals.verdict(station, &verdict);
            mirrored |= copy;
        }
        intake.take(packet);
        copied += u64::from(mirrored);
    }
    totals.intake(&intake, copied);
    Ok(())
}

/// The stations' files, in the order of the program; empty when nothing is written.
struct Outputs {
    files: Vec<PcapngFile>,
    flushed: Instant,
}

impl Outputs {
    fn create(directory: &Path, program: &Program, sources: &[PathBuf]) -> Result<Outputs, Error> {
        private::directory(directory)
            .map_err(|source| Error::CreateDirectory { path: directory.to_owned(), source })?;
        let paths = program.stations.iter().map(|station| directory.join(format!("{}.pcapng", station.name)));
        let paths: Vec<PathBuf> = paths.collect();
        // This check comes before the first file is emptied.
        let read = |path: &&PathBuf| sources.iter().any(|source| is_same_file(source, path));
        if let Some(path) = paths.iter().find(read) {
            return Err(Error::WouldOverwrite { path: path.clone() });
        }
        let names = Names::new(program);
        let files = paths.iter().map(|path| PcapngFile::create(path, names.clone()));
        Ok(Outputs { files: files.collect::<Result<_, _>>()?, flushed: Instant::now() })
    }

    /// Writes what waits in memory, if it may have waited for [`LAG`].
    fn flush(&mut self) -> Result<(), Error> {
        if self.files.is_empty() || self.flushed.elapsed() < LAG {
            return Ok(());
        }
        self.flushed = Instant::now();
        self.files.iter_mut().try_for_each(PcapngFile::flush)
    }

    /// Completes all files, even after one fails. Returns their paths and lengths, or the first
    /// error.
    fn finish(self, interfaces: &[Interface]) -> Result<Vec<Option<(PathBuf, u64)>>, Error> {
        let mut first = None;
        let mut files = Vec::new();
        for file in self.files {
            let path = file.path().to_owned();
            match file.finish(interfaces) {
                Ok(bytes) => files.push(Some((path, bytes))),
                Err(error) => {
                    first.get_or_insert(error);
                    files.push(None);
                }
            }
        }
        first.map_or(Ok(files), Err)
    }
}

/// Whether both paths name the same file; this includes the file that standard input is redirected
/// from.
fn is_same_file(source: &Path, output: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let source = if source.as_os_str() == "-" { Path::new("/dev/stdin") } else { source };
    let identity = |path: &Path| std::fs::metadata(path).map(|about| (about.dev(), about.ino()));
    matches!((identity(source), identity(output)), (Ok(a), Ok(b)) if a == b)
}
