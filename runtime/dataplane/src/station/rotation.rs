//! The names of a pcapng station's files, and which files are kept. A `%` conversion in the path is
//! replaced by the local time at which a file begins (strftime(3)). A rotating path without one
//! gets a number and a time, as dumpcap does: `lake_00001_20260131235959.pcapng`. Invariants: an
//! existing file is never overwritten. A file that mirrorc made is moved aside; any other file is
//! refused, or the next free name is taken. A station deletes only files that it made: files of
//! this run by name, device and inode, files of earlier runs also by the mark in their header.
//! (Rejected: a list of files beside them; a killed process leaves it out of date. Rejected: names
//! alone, which anyone can give.)

use super::blocks;
use super::scope::Scope;
use crate::confine::location::{is, kind};
use crate::confine::{Claim, FileId, FileLocation, Key};
use jiff::Zoned;
use jiff::fmt::strtime;
use mrule_compiler::hir::Rotate;
use rustix::fs::FileType;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Number of names that are tried when earlier names are taken.
const TRIES: u32 = 10_000;

/// Bytes of a file that are read to see who made it.
const HEAD: usize = 4096;

/// The greatest number of a file of an earlier run that is continued. Anyone may give a file a
/// name.
const MOST: u64 = 999_999_999_999;

/// The time in a name.
const STAMP: &str = "%Y%m%d%H%M%S";

pub(super) struct FileRotation {
    path: String,
    /// Names have a number and a time.
    numbered: bool,
    /// The number of files to keep, the current one included.
    keep: Option<usize>,
    /// The number of the last file.
    number: u64,
    /// Files made by this station, the oldest first.
    files: VecDeque<(FileLocation, FileId)>,
    /// The bytes at the start of each file.
    header: Vec<u8>,
    scope: Scope,
    /// The claim on the name, or on the pattern of names.
    claim: Option<Claim>,
}

/// A file that has its header.
pub(super) struct OpenedFile {
    pub path: PathBuf,
    pub file: File,
    /// Keeps other stations from writing the file.
    pub claim: Claim,
}

impl FileRotation {
    /// Finds the files of earlier runs, and claims the names.
    ///
    /// # Errors
    /// Another station writes there, or the path leads where this station may not write.
    pub fn new(
        path: &str,
        rotate: Rotate,
        keep: Option<u64>,
        header: Vec<u8>,
        scope: Scope,
    ) -> io::Result<FileRotation> {
        let numbered = !path.contains('%') && rotate != Rotate::default();
        let keep = keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX).max(1));
        let (path, files) = (path.to_owned(), VecDeque::new());
        let mut rotation =
            FileRotation { path, numbered, keep, number: 0, files, header, scope, claim: None };
        rotation.claim = Some(rotation.claim_names()?);
        if numbered {
            rotation.find()?;
        }
        Ok(rotation)
    }

    /// Claims the pattern of the names, in the deepest directory that all names share.
    fn claim_names(&self) -> io::Result<Claim> {
        let plain = self.path.find('%').map_or(self.path.as_str(), |at| &self.path[..at]);
        let start = plain.rfind('/').map_or(0, |at| at + 1);
        let (directory, rest) = self.path.split_at(start);
        self.scope.claim(Key::Name(self.scope.directory(directory)?, rest.to_owned()))
    }

    /// Takes over the files of earlier runs. Of a file that this station did not make, only the
    /// number is used.
    fn find(&mut self) -> io::Result<()> {
        let place = self.scope.place(&self.path)?;
        let (stem, extension) = parts(place.name());
        let number = |name: &OsStr| {
            let middle = name.to_str()?.strip_prefix(&*stem)?.strip_prefix('_')?.strip_suffix(&*extension)?;
            let (number, stamp) = middle.split_once('_')?;
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            (number.len() >= 5 && stamp.len() == 14 && digits(number) && digits(stamp)).then_some(())?;
            number.parse::<u64>().ok().filter(|number| *number <= MOST)
        };
        let names = place.names()?.into_iter();
        let mut found: Vec<_> =
            names.filter_map(|name| Some((number(&name)?, place.beside(&name)))).collect();
        found.sort_by(|(a, one), (b, other)| (a, one.name()).cmp(&(b, other.name())));
        self.number = found.last().map_or(0, |(number, _)| *number);
        let ours = found.into_iter().filter_map(|(_, place)| {
            let (head, id) = place.head(HEAD).ok()?;
            (blocks::maker(&head)? == self.scope.mark()).then_some((place, id))
        });
        self.files = ours.collect();
        Ok(())
    }

    /// Creates the next file and deletes the oldest.
    pub fn next(&mut self) -> io::Result<OpenedFile> {
        let (mut place, id, begun) = self.make(&Zoned::now())?;
        if let Some(keep) = self.keep {
            // A directory handle for each file would use up the process's descriptors.
            if let Some((last, _)) = self.files.back() {
                place.share_directory(last);
            }
            self.files.push_back((place, id));
            while self.files.len() > keep {
                if let Some((oldest, made)) = self.files.pop_front() {
                    // The file is gone, or is another file by now. It leaves the list in either
                    // case.
                    let _gone: io::Result<bool> = oldest.remove(made);
                }
            }
        }
        Ok(begun)
    }

    fn make(&mut self, now: &Zoned) -> io::Result<(FileLocation, FileId, OpenedFile)> {
        let path = self.name(now)?;
        let wanted = self.scope.place(&path)?;
        let fixed = !self.path.contains('%') && !self.numbered;
        if let Some(about) = wanted.look()? {
            if !is(&about, FileType::RegularFile) {
                let what = kind(&about);
                return Err(io::Error::other(format!("it is {what}; a pcapng station writes regular files")));
            }
            if fixed {
                self.move_aside(&wanted, now)?;
            }
        }
        let (place, mut file, id) = free(&wanted)?;
        let claim = self.scope.claim(Key::File(id));
        let written = claim.and_then(|claim| file.write_all(&self.header).map(|()| claim));
        match written {
            Ok(claim) => Ok((place.clone(), id, OpenedFile { path: place.shown().to_owned(), file, claim })),
            Err(error) => {
                // No later run could recognise a file without a header.
                let _not_empty_then: io::Result<bool> = place.remove(id);
                Err(error)
            }
        }
    }

    /// Moves a file to a free name with its time, if mirrorc made it and no station writes it.
    fn move_aside(&self, place: &FileLocation, now: &Zoned) -> io::Result<()> {
        let shown = place.shown().display();
        let (head, id) = place.head(HEAD)?;
        let _nobody_writes_it = self.scope.claim(Key::File(id))?;
        if !blocks::maker(&head).is_some_and(|maker| self.scope.may_move(maker)) {
            let made = if head.is_empty() { "is empty" } else { "was not made by this station" };
            return Err(io::Error::other(format!(
                "`{shown}` is there and {made}; move it away, or give the station another path"
            )));
        }
        let aged = place.look()?.and_then(|about| jiff::Timestamp::from_second(about.st_mtime).ok());
        let aged = aged.map_or_else(|| now.clone(), |time| time.to_zoned(now.time_zone().clone()));
        let (stem, extension) = parts(place.name());
        let base = format!("{stem}_{}{extension}", stamp(&aged));
        for n in 1..=TRIES {
            match place.rename(variant(base.as_ref(), n).as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    fn name(&mut self, now: &Zoned) -> io::Result<String> {
        if self.path.contains('%') {
            return strtime::format(&self.path, now).map_err(io::Error::other);
        }
        if !self.numbered {
            return Ok(self.path.clone());
        }
        self.number = self.number.saturating_add(1);
        let path = Path::new(&self.path);
        let (stem, extension) = parts(path.file_name().unwrap_or_default());
        let name = format!("{stem}_{:05}_{}{extension}", self.number, stamp(now));
        path.with_file_name(name)
            .into_os_string()
            .into_string()
            .map_err(|_| io::ErrorKind::InvalidInput.into())
    }
}

fn stamp(time: &Zoned) -> String {
    strtime::format(STAMP, time).unwrap_or_default()
}

/// A name up to the last dot, and the rest with the dot.
fn parts(name: &OsStr) -> (String, String) {
    let name = Path::new(name);
    let text = |part: Option<&OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    let extension = text(name.extension()).map_or(String::new(), |e| format!(".{e}"));
    (text(name.file_stem()).unwrap_or_default(), extension)
}

/// The n-th variant of a name: the name itself, then with `_2` and so on before the extension.
fn variant(name: &OsStr, n: u32) -> String {
    let (stem, extension) = parts(name);
    if n == 1 { format!("{stem}{extension}") } else { format!("{stem}_{n}{extension}") }
}

fn free(wanted: &FileLocation) -> io::Result<(FileLocation, File, FileId)> {
    for n in 1..=TRIES {
        let place = if n == 1 { wanted.clone() } else { wanted.beside(variant(wanted.name(), n).as_ref()) };
        match place.create() {
            Ok((file, id)) => return Ok((place, file, id)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use crate::confine::Holder;
    use std::fs;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const BY_SIZE: Rotate = Rotate { size: Some(4096), time: None };

    fn scope(station: &str) -> Scope {
        Scope::new(
            Default::default(),
            Default::default(),
            Holder::new(station.to_owned(), []),
            "main",
            station,
        )
    }

    fn try_rotation(
        path: &str,
        rotate: Rotate,
        keep: Option<u64>,
        station: &str,
    ) -> io::Result<FileRotation> {
        let scope = scope(station);
        let mut header = Vec::new();
        blocks::section_header(&mut header, Some(scope.mark()));
        FileRotation::new(path, rotate, keep, header, scope)
    }

    fn rotation(path: &str, rotate: Rotate, keep: Option<u64>) -> FileRotation {
        try_rotation(path, rotate, keep, "lake").unwrap()
    }

    #[test]
    fn a_ring_keeps_the_youngest_also_of_earlier_runs_and_deletes_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lake.pcapng").to_str().unwrap().to_owned();
        let foreign = ["lake_extra.pcapng", "lake_00001_2026.pcapng", "lake_00000_20260101000000.pcapng"];
        for name in foreign {
            fs::write(directory.path().join(name), "not ours").unwrap();
        }
        // A file of another station whose files have names of the same form.
        let mut other = try_rotation(&path, BY_SIZE, Some(3), "sea").unwrap();
        let of_other = other.next().unwrap().path;
        drop(other);
        let mut first = rotation(&path, BY_SIZE, Some(3));
        for _ in 0..5 {
            first.next().unwrap();
        }
        // A file that this station made was replaced by another file.
        let made = first.files.front().unwrap().0.shown().to_owned();
        fs::remove_file(&made).unwrap();
        fs::write(&made, "not ours").unwrap();
        first.next().unwrap();
        drop(first);
        let mut again = rotation(&path, BY_SIZE, Some(3));
        again.next().unwrap();
        let found = names(directory.path());
        assert_eq!(found.len(), 3 + 1 + 1 + 3, "{found:?}");
        assert!(of_other.is_file() && fs::read(&made).unwrap() == b"not ours");
        for name in foreign {
            assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"not ours");
        }
        for number in ["00006", "00007", "00008"] {
            assert!(found.iter().any(|name| name.starts_with(&format!("lake_{number}_2"))), "{found:?}");
        }
    }

    #[test]
    fn the_files_of_one_directory_share_its_handle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lake.pcapng").to_str().unwrap().to_owned();
        let mut rotation = rotation(&path, BY_SIZE, Some(20));
        for _ in 0..20 {
            rotation.next().unwrap();
        }
        let first = &rotation.files[0].0;
        assert!(rotation.files.iter().all(|(place, _)| place.shares_directory(first)));
        // A new directory in its place is another directory.
        let moved = directory.path().with_extension("moved");
        fs::rename(directory.path(), &moved).unwrap();
        rotation.next().unwrap();
        let (last, before) = (&rotation.files[19].0, &rotation.files[18].0);
        assert!(!last.shares_directory(before) && fs::read_dir(directory.path()).unwrap().count() == 1);
        fs::remove_dir_all(moved).unwrap();
    }

    #[test]
    fn a_number_that_nobody_counted_to_is_not_counted_on_from() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lake.pcapng").to_str().unwrap().to_owned();
        for number in [u64::MAX.to_string(), format!("{}9", u64::MAX), (MOST + 1).to_string(), "00041".into()]
        {
            fs::write(directory.path().join(format!("lake_{number}_20260101000000.pcapng")), "not ours")
                .unwrap();
        }
        let begun = rotation(&path, BY_SIZE, Some(3)).next().unwrap();
        let name = begun.path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("lake_00042_2"), "{name}");
    }

    #[test]
    fn times_go_into_directories_and_nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("%Y/%m/at_%%.pcapng").to_str().unwrap().to_owned();
        let mut rotation = rotation(&path, Rotate { size: None, time: Some(1) }, Some(2));
        let time = jiff::civil::date(2026, 3, 4).at(5, 6, 7, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let first = rotation.make(&time).unwrap().2.path;
        assert_eq!(first, directory.path().join("2026/03/at_%.pcapng"));
        let second = rotation.make(&time).unwrap().2.path;
        assert_eq!(second, directory.path().join("2026/03/at_%_2.pcapng"));
    }

    #[test]
    fn every_conversion_of_the_language_is_put_in() {
        let directory = tempfile::tempdir().unwrap();
        for conversion in mrule_compiler::hir::CONVERSIONS.chars() {
            let path = directory.path().join(format!("a%{conversion}")).to_str().unwrap().to_owned();
            let made = rotation(&path, Rotate::default(), None).next().unwrap().path;
            let name = made.file_name().unwrap().to_str().unwrap();
            assert!(name.len() > 1 && (conversion == '%' || !name.contains('%')), "{conversion}: {name}");
        }
    }

    #[test]
    fn a_file_of_an_earlier_run_is_moved_aside_and_any_other_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.b.pcapng");
        let text = path.to_str().unwrap();
        drop(rotation(text, Rotate::default(), None).next().unwrap());
        let before = fs::read(&path).unwrap();
        let made = rotation(text, Rotate::default(), None).next().unwrap().path;
        assert_eq!(made, path);
        let found = names(directory.path());
        assert!(found.len() == 2 && found[1].starts_with("a.b_2"), "{found:?}");
        assert_eq!(fs::read(directory.path().join(&found[1])).unwrap(), before);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0, "not for everybody");
        for (text, says) in [("evidence", "was not made by this station"), ("", "is empty")] {
            fs::write(&path, text).unwrap();
            let why = rotation(path.to_str().unwrap(), Rotate::default(), None).next().err().unwrap();
            assert!(why.to_string().contains(says), "{why}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn only_regular_files_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RWXU).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        for (path, says) in [
            ("/dev/null".to_owned(), "it is a device"),
            (at("fifo"), "it is a FIFO"),
            (at("link"), "it is a symbolic link"),
            (at("."), "it is a directory"),
            (at(""), "it is a directory"),
        ] {
            let refused =
                try_rotation(&path, Rotate::default(), None, "lake").and_then(|mut rotation| rotation.next());
            let why = refused.err().unwrap().to_string();
            assert!(why.contains(says), "{path}: {why}");
        }
    }
}
