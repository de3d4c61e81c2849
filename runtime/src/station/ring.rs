//! The names of a pcapng station's files, and which of them are kept. With a `%` in the path, the local time when a file is
//! begun is put in (strftime(3)); a path that rotates without one gets a number and a time, as dumpcap does:
//! `lake_00001_20260131235959.pcapng`. The invariants: a file that is there is never written over: a path that would be is
//! moved aside, or the next free name is taken; only files of this ring are ever deleted, those of earlier runs too where the
//! number tells them. (Rejected: emptying a file that is there, as `tcpdump -w` does; after a crash it is the evidence.)

use jiff::Zoned;
use jiff::fmt::strtime;
use mrule_compiler::hir::Rotate;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How many names are tried when those before are taken.
const TRIES: u32 = 10_000;

/// Who may read what was captured: owner and group.
const MODE: u32 = 0o640;

/// The time in a name.
const STAMP: &str = "%Y%m%d%H%M%S";

pub(super) struct Ring {
    path: String,
    /// Names have a number and a time.
    numbered: bool,
    /// So many files, the one being written included.
    keep: Option<usize>,
    /// The number of the last file.
    number: u64,
    /// Oldest first.
    files: VecDeque<PathBuf>,
}

impl Ring {
    pub fn new(path: &str, rotate: Rotate, keep: Option<u64>) -> Ring {
        let numbered = !path.contains('%') && rotate != Rotate::default();
        let keep = keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX).max(1));
        let mut ring = Ring { path: path.to_owned(), numbered, keep, number: 0, files: VecDeque::new() };
        if numbered {
            ring.find();
        }
        ring
    }

    /// Takes over the files of earlier runs.
    fn find(&mut self) {
        let (directory, stem, extension) = parts(Path::new(&self.path));
        let Ok(entries) = fs::read_dir(&directory) else { return };
        let mut found: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok().filter(|e| e.file_type().is_ok_and(|t| t.is_file()))?;
                let name = entry.file_name().into_string().ok()?;
                let middle = name.strip_prefix(&stem)?.strip_prefix('_')?.strip_suffix(&extension)?;
                let (number, stamp) = middle.split_once('_')?;
                let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
                (number.len() >= 5 && stamp.len() == 14 && digits(number) && digits(stamp)).then_some(())?;
                Some((number.parse().ok()?, entry.path()))
            })
            .collect();
        found.sort();
        self.number = found.last().map_or(0, |(number, _)| *number);
        self.files = found.into_iter().map(|(_, path)| path).collect();
    }

    /// Makes the next file and lets the oldest go.
    pub fn next(&mut self) -> io::Result<(PathBuf, File)> {
        let made = self.make(&Zoned::now())?;
        if self.keep.is_some() {
            self.files.push_back(made.0.clone());
        }
        while self.keep.is_some_and(|keep| self.files.len() > keep) {
            if let Some(oldest) = self.files.pop_front() {
                // Gone already, or not ours to delete any more: it takes no room in the ring either way.
                let _gone: io::Result<()> = fs::remove_file(oldest);
            }
        }
        Ok(made)
    }

    fn make(&mut self, now: &Zoned) -> io::Result<(PathBuf, File)> {
        let path = self.name(now)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        if let Ok(about) = fs::metadata(&path) {
            if about.is_dir() {
                return Err(io::Error::other("it is a directory"));
            }
            if !about.is_file() {
                // A device, such as /dev/null.
                return Ok((path.clone(), OpenOptions::new().write(true).open(&path)?));
            }
            if !self.path.contains('%') && !self.numbered {
                if about.len() > 0 {
                    let aged = Zoned::try_from(about.modified()?).unwrap_or_else(|_| now.clone());
                    aside(&path, &stamp(&aged))?;
                } else {
                    fs::remove_file(&path)?;
                }
            }
        }
        let (path, file) = free(&path)?;
        Ok((path, file))
    }

    fn name(&mut self, now: &Zoned) -> io::Result<PathBuf> {
        if self.path.contains('%') {
            return Ok(strtime::format(&self.path, now).map_err(io::Error::other)?.into());
        }
        if !self.numbered {
            return Ok(self.path.clone().into());
        }
        self.number += 1;
        let (directory, stem, extension) = parts(Path::new(&self.path));
        Ok(directory.join(format!("{stem}_{:05}_{}{extension}", self.number, stamp(now))))
    }
}

fn stamp(time: &Zoned) -> String {
    strtime::format(STAMP, time).unwrap_or_default()
}

/// A path's directory, its name up to the last dot, and the rest with the dot.
fn parts(path: &Path) -> (PathBuf, String, String) {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    let extension = text(path.extension()).map_or(String::new(), |e| format!(".{e}"));
    (directory.to_owned(), text(path.file_stem()).unwrap_or_default(), extension)
}

/// The n-th name for a path: the path itself, then `_2` and so on before the extension.
fn variant(path: &Path, n: u32) -> PathBuf {
    if n == 1 {
        return path.to_owned();
    }
    let (directory, stem, extension) = parts(path);
    directory.join(format!("{stem}_{n}{extension}"))
}

fn free(path: &Path) -> io::Result<(PathBuf, File)> {
    for n in 1..=TRIES {
        let path = variant(path, n);
        match OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Moves a file to a free name with this in it.
fn aside(path: &Path, stamp: &str) -> io::Result<()> {
    let (directory, stem, extension) = parts(path);
    let base = directory.join(format!("{stem}_{stamp}{extension}"));
    for n in 1..=TRIES {
        let to = variant(&base, n);
        // Between the look and the move nobody else makes names of this form.
        if fs::symlink_metadata(&to).is_err() {
            return fs::rename(path, to);
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const BY_SIZE: Rotate = Rotate { size: Some(4096), time: None };

    #[test]
    fn a_ring_keeps_the_youngest_also_of_earlier_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lake.pcapng").to_str().unwrap().to_owned();
        fs::write(directory.path().join("lake_extra.pcapng"), "not ours").unwrap();
        fs::write(directory.path().join("lake_00001_2026.pcapng"), "not ours").unwrap();
        let mut ring = Ring::new(&path, BY_SIZE, Some(3));
        for _ in 0..5 {
            ring.next().unwrap();
        }
        let mut again = Ring::new(&path, BY_SIZE, Some(3));
        again.next().unwrap();
        let found = names(directory.path());
        assert_eq!(found.len(), 5, "{found:?}");
        for (name, number) in found[1..4].iter().zip(["00004", "00005", "00006"]) {
            assert!(name.starts_with(&format!("lake_{number}_2")) && name.ends_with(".pcapng"), "{found:?}");
        }
    }

    #[test]
    fn times_go_into_directories_and_nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("%Y/%m/at_%%.pcapng").to_str().unwrap().to_owned();
        let mut ring = Ring::new(&path, Rotate { size: None, time: Some(1) }, Some(2));
        let time = jiff::civil::date(2026, 3, 4).at(5, 6, 7, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let first = ring.make(&time).unwrap().0;
        assert_eq!(first, directory.path().join("2026/03/at_%.pcapng"));
        let second = ring.make(&time).unwrap().0;
        assert_eq!(second, directory.path().join("2026/03/at_%_2.pcapng"));
    }

    #[test]
    fn every_conversion_of_the_language_is_put_in() {
        let directory = tempfile::tempdir().unwrap();
        for conversion in mrule_compiler::hir::CONVERSIONS.chars() {
            let path = directory.path().join(format!("a%{conversion}")).to_str().unwrap().to_owned();
            let made = Ring::new(&path, Rotate::default(), None).next().unwrap().0;
            let name = made.file_name().unwrap().to_str().unwrap();
            assert!(name.len() > 1 && (conversion == '%' || !name.contains('%')), "{conversion}: {name}");
        }
    }

    #[test]
    fn a_file_of_an_earlier_run_is_moved_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.b.pcapng");
        fs::write(&path, "evidence").unwrap();
        let (made, _) = Ring::new(path.to_str().unwrap(), Rotate::default(), None).next().unwrap();
        assert_eq!(made, path);
        let found = names(directory.path());
        assert!(found.len() == 2 && found[1].starts_with("a.b_2"), "{found:?}");
        assert_eq!(fs::read_to_string(directory.path().join(&found[1])).unwrap(), "evidence");
        // An empty one is no evidence.
        Ring::new(path.to_str().unwrap(), Rotate::default(), None).next().unwrap();
        assert_eq!(names(directory.path()).len(), 2);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0, "not for everybody");
    }

    #[test]
    fn devices_are_written_and_directories_are_not() {
        assert_eq!(Ring::new("/dev/null", Rotate::default(), None).next().unwrap().0, Path::new("/dev/null"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        assert!(Ring::new(path, Rotate::default(), None).next().is_err());
    }
}
