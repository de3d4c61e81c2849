//! What `mirrorc run` writes for a station, as frames of the capture that it read: for tests that
//! hold whole runs against other programs. The invariant: a copy counts for exactly one frame, and
//! frames come in order. (Rejected: asking the engines; what the runtime knows of flows is told by
//! a run only.)

use crate::cli::mirrorc;
use crate::frames::{Frame, read};
use crate::oracle::Numbers;
use crate::streams::originals;
use std::path::Path;

/// The engines, as the command names them.
pub const ENGINES: [&str; 2] = ["jit", "interp"];

/// Runs rules over a capture; the copies of each of these stations, which write files of their
/// names.
pub fn copies(
    rules: &str,
    capture: &Path,
    engine: &str,
    stations: &[String],
) -> Result<Vec<Vec<Frame>>, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("rules.mrule");
    std::fs::write(&file, rules).expect("rules");
    let [file, capture, out] = [&file, capture, dir.path()].map(|p| p.display().to_string());
    let run = mirrorc(&["run", &file, "--quiet", "--engine", engine, "--read", &capture, "--out", &out]);
    if run.exit != mirrorc::Exit::Clean {
        return Err(run.stderr);
    }
    Ok(stations.iter().map(|s| read(&dir.path().join(format!("{s}.pcapng")))).collect())
}

/// For each of these conditions, the frames of the capture for which it holds.
pub fn selected(conditions: &[&str], capture: &Path, engine: &str) -> Result<Vec<Numbers>, String> {
    let frames = read(capture);
    let names: Vec<String> = (0..conditions.len()).map(|i| format!("s{i}")).collect();
    let rule = |(condition, s): (&&str, &String)| {
        format!(
            "station {s} {{ pcapng \"{s}\" }}\nrule r_{s} {{ match {condition}  snaplen full  to {s} }}\n"
        )
    };
    let rules: String = conditions.iter().zip(&names).map(rule).collect();
    let copies = copies(&rules, capture, engine, &names)?;
    copies.iter().map(|copies| Ok(originals(&frames, copies)?.into_iter().collect())).collect()
}
