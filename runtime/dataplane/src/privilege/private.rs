//! Captures, state and secrets are private. Invariants: the user of a run can read what it creates,
//! and the group where that was asked for. A secret that others can read, and a file of permissions
//! that others can write, is refused with the command that fixes it. (Rejected: warnings, which
//! operators do not read.)

use crate::error::Error;
use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, open};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Upper limit of bytes that are read of a file of secrets or tokens.
const MOST: u64 = 16 << 20;

/// Who may access a file, beside its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// All users may read it, no other user may write it: certificates, hashes of tokens.
    ToReaders,
    /// The group may read it: keys, secrets.
    ToGroup,
}

impl Open {
    fn forbids(self) -> u32 {
        match self {
            Open::ToReaders => 0o022,
            Open::ToGroup => 0o027,
        }
    }
}

/// Sets the umask (umask(2)): other users cannot read files created from now on, nor can the group
/// unless `group_may_read`.
pub fn files(group_may_read: bool) {
    let mask = if group_may_read { 0o027 } else { 0o077 };
    let _before = rustix::process::umask(Mode::from_raw_mode(mask));
}

/// Creates a directory with mode 0700, and its missing parents.
///
/// # Errors
/// Errors of the system.
pub fn directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a database's file with mode 0600, or removes the access of others to an existing file of
/// this user.
///
/// # Errors
/// The file cannot be opened, or is no regular file.
pub fn database(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = options.read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mode = about.permissions().mode();
    if mode & 0o077 != 0 {
        fchmod(&file, Mode::from_raw_mode(mode & 0o700))?;
    }
    Ok(())
}

/// Opens a file to write it anew. An existing file is refused unless `ours` accepts its first
/// bytes, and so is any file that is not regular. A FIFO is allowed with `fifo_too`, if it has a
/// reader.
///
/// # Errors
/// Errors of the system; what is at the path instead.
pub fn output(path: &Path, fifo_too: bool, ours: impl Fn(&[u8]) -> bool) -> io::Result<File> {
    let there = std::fs::symlink_metadata(path).map(|about| about.file_type());
    let refused = |what: &str| io::Error::other(format!("it is {what}"));
    let flags = |flags: OFlags| (flags | OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    match there {
        Ok(kind) if kind.is_fifo() && fifo_too => {
            let file = OpenOptions::new().write(true).custom_flags(flags(OFlags::empty())).open(path);
            let file = file.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::NXIO) => io::Error::other("nobody reads the FIFO"),
                _ => error,
            })?;
            if !file.metadata()?.file_type().is_fifo() {
                return Err(refused("no FIFO any more"));
            }
            rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
            return Ok(file);
        }
        Ok(kind) if kind.is_symlink() => return Err(refused("a symbolic link; name the file itself")),
        Ok(kind) if kind.is_dir() => return Err(refused("a directory")),
        Ok(kind) if !kind.is_file() => return Err(refused("no regular file")),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let options =
        options.read(true).write(true).create(true).mode(0o640).custom_flags(flags(OFlags::empty()));
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(refused("no regular file"));
    }
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(4096).read_to_end(&mut head)?;
    if !head.is_empty() && !ours(&head) {
        return Err(io::Error::other(
            "it is there and mirrorc did not make it; move it away, or name another file",
        ));
    }
    file.set_len(0)?;
    file.rewind()?;
    Ok(file)
}

/// The contents of a file of permissions or of a secret. Does not wait for the writer of a FIFO.
///
/// # Errors
/// [`Error::Open`]: the file cannot be read; [`Error::NotPrivate`]: it is accessible to others; the
/// message has the command that fixes it.
pub fn read(path: &Path, may: Open) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let about = fstat(&file).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    let mut bytes = Vec::new();
    File::from(file).take(MOST).read_to_end(&mut bytes).map_err(failed)?;
    check(path, about.st_mode, may).map_err(Error::NotPrivate)?;
    Ok(bytes)
}

/// Whether a file with this mode is closed enough.
///
/// # Errors
/// What is wrong with the mode, and the command that fixes it.
pub fn check(path: &Path, mode: u32, may: Open) -> Result<(), String> {
    match mode & may.forbids() {
        0 => Ok(()),
        open => Err(too_open(path, open)),
    }
}

/// The message for a file that is too open, with the command that fixes it.
fn too_open(path: &Path, open: u32) -> String {
    let shown = path.display();
    let (can, take) = match (open & 0o022 != 0, open & 0o004 != 0) {
        (true, false) => ("write", "go-w"),
        (false, true) => ("read", "o-r"),
        (true, true) => ("read and write", "go-w,o-r"),
        (false, false) => ("execute", "o-x"),
    };
    format!("`{shown}` is not used: others can {can} it; `chmod {take} {shown}` mends that")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test stops")]
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn what_is_too_open_is_refused_with_the_mend() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "secret").unwrap();
        for (mode, may, says) in [
            (0o600, Open::ToGroup, None),
            (0o640, Open::ToGroup, None),
            (0o644, Open::ToReaders, None),
            (0o644, Open::ToGroup, Some("chmod o-r ")),
            (0o660, Open::ToGroup, Some("chmod go-w ")),
            (0o666, Open::ToGroup, Some("chmod go-w,o-r ")),
            (0o664, Open::ToReaders, Some("chmod go-w ")),
            (0o602, Open::ToReaders, Some("chmod go-w ")),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match (read(&path, may), says) {
                (Ok(bytes), None) => assert_eq!(bytes, b"secret"),
                (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{mode:o}: {error}"),
                (other, _) => panic!("{mode:o}: {other:?}"),
            }
        }
        let fifo = directory.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RWXU).unwrap();
        assert!(read(&fifo, Open::ToGroup).unwrap_err().to_string().contains("no regular file"));
    }

    #[test]
    fn only_what_mirrorc_made_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let output = |name: &str| output(&at(name), false, |head| head.starts_with(b"ours"));
        output("new").unwrap();
        fs::write(at("ours"), "ours, long").unwrap();
        output("ours").unwrap();
        assert_eq!(fs::read(at("ours")).unwrap(), b"");
        fs::write(at("foreign"), "theirs").unwrap();
        std::os::unix::fs::symlink(at("ours"), at("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), Mode::RWXU).unwrap();
        for (name, says) in [
            ("foreign", "did not make it"),
            ("link", "a symbolic link"),
            ("fifo", "no regular file"),
            (".", "a directory"),
        ] {
            let why = output(name).unwrap_err().to_string();
            assert!(why.contains(says), "{name}: {why}");
        }
        assert_eq!(fs::read(at("foreign")).unwrap(), b"theirs");
        let unread = super::output(&at("fifo"), true, |_| true).unwrap_err().to_string();
        assert!(unread.contains("nobody reads"), "{unread}");
        assert!(super::output(Path::new("/dev/null"), true, |_| true).is_err());
    }

    #[test]
    fn a_database_is_private_also_when_it_was_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/state.sqlite");
        super::directory(path.parent().unwrap()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        database(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        database(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }
}
