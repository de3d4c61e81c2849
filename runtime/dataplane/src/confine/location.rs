//! A file's place: an open directory and a name in it. Invariants: each directory in a client's
//! path is opened beneath the granted directory with openat2(2) RESOLVE_BENEATH,
//! RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS. Only regular files created here and FIFOs are
//! written. No open blocks (O_NONBLOCK). A symbolic link at the end of a path is refused. Renames
//! and removals use the directory's handle, after a check of device and inode. (Rejected: canonical
//! paths; an attacker can put a link between check and use.)

use super::own::OwnFile;
use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags, RawMode, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A device number and an inode number on that device.
pub(crate) type FileId = (u64, u64);

/// The mode of files before the umask, which removes the group's permissions unless the run grants
/// them.
const FILE: RawMode = 0o640;

/// The mode of directories before the umask.
const DIRECTORY: RawMode = 0o750;

const TOO_LONG: &str = "the path is too long: a name has at most 255 bytes, a path 4095";

/// Upper limit of parent directories that are examined.
const DEPTH: usize = 256;

/// Where a file is or will be.
#[derive(Debug, Clone)]
pub(crate) struct FileLocation {
    directory: Arc<OwnedFd>,
    name: OsString,
    /// The path for users.
    shown: PathBuf,
}

pub(crate) fn id(about: &Stat) -> FileId {
    (about.st_dev, about.st_ino)
}

/// Opens a directory for look-ups in it.
pub(super) fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The type of a file, in words.
pub(crate) fn kind(about: &Stat) -> &'static str {
    match FileType::from_raw_mode(about.st_mode) {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "no regular file",
    }
}

pub(crate) fn is(about: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(about.st_mode) == kind
}

impl FileLocation {
    /// The place of the owner's path, whose directory may be anywhere. A missing directory is
    /// created, unless it would lie in a directory of the run.
    pub fn of_owner(path: &Path, protected: &[OwnFile]) -> Result<FileLocation, String> {
        let name = name_of(path)?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = match open_directory(parent) {
            Err(Errno::NOENT) => FileLocation::make_directories(parent, path, protected)?,
            opened => opened.map_err(|error| said(parent, error))?,
        };
        Ok(FileLocation { directory: directory.into(), name, shown: path.to_owned() })
    }

    /// Creates a directory and its missing parents. Creates nothing if the path would be refused
    /// later.
    fn make_directories(path: &Path, shown: &Path, protected: &[OwnFile]) -> Result<OwnedFd, String> {
        path.components().try_for_each(|part| length_of(part.as_os_str()))?;
        let mut directory = open_directory(Path::new(".")).map_err(|error| said(path, error))?;
        let mut rest = path.components();
        while let Some(part) = rest.next() {
            let part = part.as_os_str();
            let next = match open_in(directory.as_fd(), part) {
                Err(Errno::NOENT) => {
                    if rest.clone().any(|part| part == Component::ParentDir) {
                        let (part, path) = (part.display(), path.display());
                        return Err(format!("`{part}` is not there, and `..` follows in `{path}`"));
                    }
                    let parent: Arc<OwnedFd> = directory.into();
                    let missing = Self { directory: parent.clone(), name: part.into(), shown: shown.into() };
                    missing.make_directory(protected)?;
                    open_in(parent.as_fd(), part)
                }
                opened => opened,
            };
            directory = next.map_err(|error| said(path, error))?;
        }
        Ok(directory)
    }

    /// Creates a directory here, unless it would lie in a directory of the run.
    fn make_directory(&self, protected: &[OwnFile]) -> Result<(), String> {
        self.keep_off(protected)?;
        match fs::mkdirat(&self.directory, &self.name, Mode::from_raw_mode(DIRECTORY)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(said(self.shown.parent().unwrap_or(&self.shown), error)),
        }
    }

    /// The place of a client's path beneath a granted directory. The path has no `..`. A missing
    /// directory is created, unless it would lie in a directory of the run.
    pub fn beneath(
        granted: BorrowedFd<'_>,
        rest: &Path,
        shown: &Path,
        protected: &[OwnFile],
    ) -> Result<FileLocation, String> {
        let name = name_of(rest)?;
        let mut directory = granted.try_clone_to_owned().map_err(|error| error.to_string())?;
        let mut parents = Vec::new();
        for part in rest.parent().into_iter().flat_map(Path::components) {
            let Component::Normal(part) = part else {
                return Err(format!("`{}` is no plain path", shown.display()));
            };
            length_of(part)?;
            parents.push(part);
        }
        for part in parents {
            let next = match open_beneath(directory.as_fd(), part) {
                Err(Errno::NOENT) => {
                    let parent: Arc<OwnedFd> = directory.into();
                    let missing = Self { directory: parent.clone(), name: part.into(), shown: shown.into() };
                    missing.make_directory(protected)?;
                    open_beneath(parent.as_fd(), part)
                }
                opened => opened,
            };
            directory = next.map_err(|error| said(Path::new(part), error))?;
        }
        Ok(FileLocation { directory: directory.into(), name, shown: shown.to_owned() })
    }

    /// The path for users.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// Another name in the same directory.
    pub fn beside(&self, name: &OsStr) -> FileLocation {
        FileLocation {
            directory: self.directory.clone(),
            name: name.to_owned(),
            shown: self.shown.with_file_name(name),
        }
    }

    /// Uses the handle of another place if it is in the same directory.
    pub fn share_directory(&mut self, other: &FileLocation) {
        let ids = (self.directory_id(), other.directory_id());
        if matches!(ids, (Ok(mine), Ok(theirs)) if mine == theirs) {
            self.directory = other.directory.clone();
        }
    }

    /// Whether both places share one handle of their directory.
    #[cfg(test)]
    pub fn shares_directory(&self, other: &FileLocation) -> bool {
        Arc::ptr_eq(&self.directory, &other.directory)
    }

    /// The name in the directory.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The directory's device and inode numbers.
    pub fn directory_id(&self) -> io::Result<FileId> {
        Ok(id(&fs::fstat(&self.directory)?))
    }

    /// Refuses the run's own files, and files in directories of the run.
    pub fn keep_off(&self, protected: &[OwnFile]) -> Result<(), String> {
        let refused =
            |what: &str| Err(format!("`{}` is {what}; no station writes there", self.shown.display()));
        let above = self.directories_above().map_err(|error| error.to_string())?;
        let here = self.look().map_err(|error| error.to_string())?.map(|about| id(&about));
        for own in protected {
            let Some(ids) = own.ids() else {
                // The file system of `own` has not answered, but the file system of this place has:
                // only names can be compared.
                match self.names_path_in(&own.path) {
                    Ok(false) => continue,
                    Ok(true) => return refused(&format!("in {}", own.what)),
                    Err(error) => return Err(format!("`{}`: {error}", self.shown.display())),
                }
            };
            let is_named = own.path.file_name() == Some(&*self.name)
                && ids.parent.is_some_and(|parent| above.first() == Some(&parent));
            if is_named || (here.is_some() && here == ids.file) {
                return refused(own.what);
            }
            if ids.is_directory && ids.file.is_some_and(|file| above.contains(&file)) {
                return refused(&format!("in {}", own.what));
            }
        }
        Ok(())
    }

    /// Whether this place's path in the kernel is `path`, or lies beneath it.
    fn names_path_in(&self, path: &Path) -> io::Result<bool> {
        let directory = std::fs::read_link(format!("/proc/self/fd/{}", self.directory.as_raw_fd()))?;
        Ok(directory.join(&self.name).starts_with(path))
    }

    /// The directory, its parent, and so on.
    fn directories_above(&self) -> rustix::io::Result<Vec<FileId>> {
        let mut above = vec![id(&fs::fstat(&self.directory)?)];
        let mut at = self.directory.clone();
        while above.len() < DEPTH {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            // A directory whose parent cannot be opened ends the search.
            let Ok(up) = fs::openat(&at, c"..", flags, Mode::empty()) else { break };
            let next = id(&fs::fstat(&up)?);
            if above.last() == Some(&next) {
                break;
            }
            above.push(next);
            at = up.into();
        }
        Ok(above)
    }

    /// The file at this place. A symbolic link is not followed.
    pub fn look(&self) -> io::Result<Option<Stat>> {
        match fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => Ok(Some(about)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a new regular file. An existing file is an error of the kind `AlreadyExists`.
    pub fn create(&self) -> io::Result<(File, FileId)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, &self.name, flags, Mode::from_raw_mode(FILE))?;
        let id = id(&fs::fstat(&file)?);
        Ok((file.into(), id))
    }

    /// Creates a FIFO.
    pub fn make_fifo(&self) -> io::Result<()> {
        Ok(fs::mkfifoat(&self.directory, &self.name, Mode::from_raw_mode(FILE))?)
    }

    /// Opens a FIFO for writing, without blocking. Without a reader, the error is [`Errno::NXIO`].
    pub fn open_fifo(&self) -> rustix::io::Result<(OwnedFd, FileId)> {
        let before = fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !is(&before, FileType::Fifo) {
            return Err(Errno::NOTSUP);
        }
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let end = fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
        let about = fs::fstat(&end)?;
        if !is(&about, FileType::Fifo) {
            return Err(Errno::NOTSUP);
        }
        Ok((end, id(&about)))
    }

    /// The first bytes of a regular file, and its identity. No other kind of file is opened.
    pub fn head(&self, most: usize) -> io::Result<(Vec<u8>, FileId)> {
        let before = self.look()?.ok_or(io::ErrorKind::NotFound)?;
        if !is(&before, FileType::RegularFile) {
            return Err(io::Error::other(kind(&before)));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
        let about = fs::fstat(&file)?;
        if !is(&about, FileType::RegularFile) {
            return Err(io::Error::other(kind(&about)));
        }
        let mut bytes = Vec::new();
        File::from(file).take(most as u64).read_to_end(&mut bytes)?;
        Ok((bytes, id(&about)))
    }

    /// Renames the file within the directory. A name that is taken is an error of the kind
    /// `AlreadyExists`.
    pub fn rename(&self, to: &OsStr) -> io::Result<()> {
        let (directory, name) = (&self.directory, &self.name);
        match fs::renameat_with(directory, name, directory, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => {
                // The file system does not know the flag. A hard link cannot replace another file
                // either.
                fs::linkat(directory, name, directory, to, AtFlags::empty())?;
                Ok(fs::unlinkat(directory, name, AtFlags::empty())?)
            }
            done => Ok(done?),
        }
    }

    /// Removes the file if it is still the same regular file. Returns whether it did.
    pub fn remove(&self, made: FileId) -> io::Result<bool> {
        match self.look()? {
            Some(about) if id(&about) == made && is(&about, FileType::RegularFile) => {
                fs::unlinkat(&self.directory, &self.name, AtFlags::empty())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The names in the directory.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let listed = fs::openat(&self.directory, c".", flags, Mode::empty())?;
        let names = Dir::new(listed)?.filter_map(Result::ok);
        Ok(names.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned()).collect())
    }
}

fn open_beneath(directory: BorrowedFd<'_>, part: &OsStr) -> rustix::io::Result<OwnedFd> {
    // Without O_NOFOLLOW, which would open a link itself.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    fs::openat2(directory, part, flags, Mode::empty(), resolve)
}

/// Opens a directory of the owner's path; follows links.
fn open_in(directory: BorrowedFd<'_>, part: &OsStr) -> rustix::io::Result<OwnedFd> {
    fs::openat(directory, part, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Refuses a name that no file system accepts.
fn length_of(name: &OsStr) -> Result<(), String> {
    if name.len() < 256 { Ok(()) } else { Err(TOO_LONG.to_owned()) }
}

fn name_of(path: &Path) -> Result<OsString, String> {
    let ends = path.as_os_str().as_bytes().last();
    match path.file_name().filter(|_| ends != Some(&b'/')) {
        Some(name) if path.as_os_str().len() < 4096 && name.len() < 256 => Ok(name.to_owned()),
        Some(_) => Err(TOO_LONG.to_owned()),
        None => Err("it is a directory".to_owned()),
    }
}

fn said(path: &Path, error: Errno) -> String {
    match error {
        Errno::LOOP => format!("`{}` is a symbolic link, or leads over one", path.display()),
        Errno::NOTDIR => format!("`{}` is no directory", path.display()),
        Errno::NOSYS => "paths of clients need openat2(2), which Linux has since 5.6".to_owned(),
        _ => format!("the directory `{}`: {}", path.display(), io::Error::from(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn granted(at: &Path) -> OwnedFd {
        open_directory(at).unwrap()
    }

    #[test]
    fn nothing_leaves_the_granted_directory() {
        let (out, held) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let inside = held.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        symlink(out.path(), inside.join("link")).unwrap();
        symlink("/proc/self/cwd", inside.join("magic")).unwrap();
        std::fs::write(inside.join("plain"), "").unwrap();
        let handle = granted(&inside);
        let at = |rest: &str| FileLocation::beneath(handle.as_fd(), rest.as_ref(), rest.as_ref(), &[]);
        for (rest, says) in [
            ("link/x", "symbolic link"),
            ("magic/x", "symbolic link"),
            ("plain/x", "no directory"),
            ("../x", "no plain path"),
            ("d/../../x", "no plain path"),
            ("x/", "is a directory"),
        ] {
            let why = at(rest).unwrap_err();
            assert!(why.contains(says), "{rest}: {why}");
        }
        // The directory stays open, whatever happens to its path.
        let moved = held.path().join("moved");
        std::fs::rename(&inside, &moved).unwrap();
        symlink(out.path(), &inside).unwrap();
        at("d/e/x").unwrap().create().unwrap();
        let made = moved.join("d/e");
        assert!(made.join("x").is_file());
        assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o007, 0);
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_the_file_that_was_made_is_removed() {
        let held = tempfile::tempdir().unwrap();
        let place = FileLocation::of_owner(&held.path().join("a"), &[]).unwrap();
        let (_, made) = place.create().unwrap();
        assert_eq!(place.create().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::rename(held.path().join("a"), held.path().join("b")).unwrap();
        std::fs::write(held.path().join("a"), "foreign").unwrap();
        assert!(!place.remove(made).unwrap());
        assert!(place.beside("b".as_ref()).remove(made).unwrap());
        std::fs::write(held.path().join("c"), "").unwrap();
        assert_eq!(place.rename("c".as_ref()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        symlink("/etc/passwd", held.path().join("l")).unwrap();
        assert!(place.beside("l".as_ref()).head(9).is_err());
        assert!(place.beside("l".as_ref()).create().is_err());
        assert_eq!(place.beside("l".as_ref()).open_fifo().unwrap_err(), Errno::NOTSUP);
    }

    #[test]
    fn the_runs_own_files_are_kept_off() {
        let held = tempfile::tempdir().unwrap();
        let state = held.path().join("state");
        std::fs::create_dir_all(state.join("deep")).unwrap();
        let tokens = held.path().join("tokens");
        std::fs::write(&tokens, "").unwrap();
        std::fs::hard_link(&tokens, held.path().join("other")).unwrap();
        let absent = held.path().join("absent");
        let own = [(state.clone(), "the state"), (tokens.clone(), "the tokens"), (absent.clone(), "a file")];
        let own = own.map(|(path, what)| OwnFile::new(path, what));
        let off = |path: PathBuf| FileLocation::of_owner(&path, &[]).unwrap().keep_off(&own);
        // Names are compared before the files are recorded, as while their file system hangs.
        assert!(off(state.join("deep/x")).unwrap_err().contains("in the state"));
        assert!(off(held.path().join("state/../tokens")).unwrap_err().contains("the tokens"));
        off(held.path().join("x")).unwrap();
        crate::confine::own::record(&own, &std::sync::atomic::AtomicBool::new(false));
        for (path, says) in [
            (state.join("x"), "in the state"),
            (state.join("deep/x"), "in the state"),
            (held.path().join("state/../tokens"), "the tokens"),
            (held.path().join("other"), "the tokens"),
            (absent, "a file"),
        ] {
            let why = off(path.clone()).unwrap_err();
            assert!(why.contains(says), "{path:?}: {why}");
        }
        off(held.path().join("x")).unwrap();
    }

    #[test]
    fn what_is_refused_makes_no_directory() {
        let held = tempfile::tempdir().unwrap();
        let at = |path: &str| held.path().join(path);
        std::fs::create_dir(at("state")).unwrap();
        std::fs::write(at("plain"), "").unwrap();
        symlink("nowhere", at("loose")).unwrap();
        let own = [(at("state"), "the state"), (at("absent"), "a file")];
        let own = own.map(|(path, what)| OwnFile::new(path, what));
        let handle = granted(held.path());
        let long = format!("new/{}/x", "n".repeat(256));
        let long_name = format!("new/{}", "n".repeat(256));
        let names = || {
            let entries = std::fs::read_dir(held.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        for recorded in [false, true] {
            if recorded {
                crate::confine::own::record(&own, &std::sync::atomic::AtomicBool::new(false));
            }
            for (rest, owner_is_told, client_is_told) in [
                ("state/new/deep/x", "in the state", "in the state"),
                ("new/../state/new/x", "and `..` follows", "no plain path"),
                ("absent/new/x", "a file", "a file"),
                ("plain/new/x", "no directory", "no directory"),
                ("loose/new/x", "No such file", "symbolic link"),
                ("new/deep/", "is a directory", "is a directory"),
                (&long, "too long", "too long"),
                (&long_name, "too long", "too long"),
            ] {
                let why = FileLocation::of_owner(&at(rest), &own).unwrap_err();
                assert!(why.contains(owner_is_told), "{rest}: {why}");
                let why =
                    FileLocation::beneath(handle.as_fd(), rest.as_ref(), rest.as_ref(), &own).unwrap_err();
                assert!(why.contains(client_is_told), "{rest}: {why}");
                assert_eq!(std::fs::read_dir(at("state")).unwrap().count(), 0, "{rest}");
                assert_eq!(names(), ["loose", "plain", "state"], "{rest}");
            }
        }
        FileLocation::of_owner(&at("new/deep/x"), &own).unwrap().create().unwrap();
        assert_eq!(std::fs::metadata(at("new")).unwrap().permissions().mode() & 0o007, 0);
    }
}
