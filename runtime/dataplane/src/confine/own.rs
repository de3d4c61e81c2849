//! The run's own files, which no station writes. Invariants: their device and inode numbers are
//! recorded once, when the run starts, so that no station waits for a state directory that hangs.
//! Until the system has answered, their paths are compared. (Rejected: to look at them for each
//! station; each change of a station would hang, too.)

use super::location::{FileId, id, is};
use crate::patience;
use rustix::fs::{FileType, stat};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long the start waits for the system.
const RECORDING: Duration = Duration::from_secs(2);

/// A file or directory of the run.
#[derive(Debug)]
pub(crate) struct OwnFile {
    pub path: PathBuf,
    /// A description of the file, in words.
    pub what: &'static str,
    ids: Arc<OnceLock<Ids>>,
}

/// The identity of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    /// `None`: the file does not exist.
    pub file: Option<FileId>,
    pub is_directory: bool,
    /// The directory that contains the file.
    pub parent: Option<FileId>,
}

impl Ids {
    fn of(path: &Path) -> Ids {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let about = stat(path).ok();
        Ids {
            file: about.as_ref().map(id),
            is_directory: about.is_some_and(|about| is(&about, FileType::Directory)),
            parent: stat(parent).ok().as_ref().map(id),
        }
    }
}

impl OwnFile {
    /// A file whose identity is not recorded yet.
    pub fn new(path: PathBuf, what: &'static str) -> OwnFile {
        OwnFile { path: std::path::absolute(&path).unwrap_or(path), what, ids: Arc::default() }
    }

    /// The identity of the file. `None` while the system has not answered.
    pub fn ids(&self) -> Option<Ids> {
        self.ids.get().copied()
    }
}

/// Records the identities of all files in parallel.
pub(super) fn record(files: &[OwnFile], stop: &AtomicBool) {
    let paths: Vec<_> = files.iter().map(|file| (file.path.clone(), file.ids.clone())).collect();
    let all = move || {
        let threads = paths.into_iter().filter_map(|(path, ids)| {
            let body = move || ids.get_or_init(|| Ids::of(&path)).file.is_some();
            std::thread::Builder::new().name("own file".into()).spawn(body).ok()
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().for_each(|thread| drop(thread.join()));
    };
    let _in_time = patience::within(RECORDING, stop, all);
}
