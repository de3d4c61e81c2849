//! The owner of a state directory: its process number is stored beside the database, for the
//! message to a process that finds the database locked. The invariant: the lock of the database
//! decides; the number is only for people, and a number that may be wrong is not shown. (Rejected:
//! a lock file; after a kill, it must be removed by hand.)

use super::schema::SchemaError;
use rusqlite::ErrorCode;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Records that this process owns the state. If the disk cannot store this file, it cannot store a
/// state either, and that is reported.
pub(super) fn note(path: &Path) {
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_link);
    let _for_people = options.open(path).and_then(|mut file| writeln!(file, "{}", std::process::id()));
}

/// Why a database cannot be used; if it is locked, by which process.
pub(super) fn told(path: &Path, why: &(dyn Error + 'static)) -> String {
    let database = match why.downcast_ref::<SchemaError>() {
        Some(SchemaError::Database(error)) => Some(error),
        _ => why.downcast_ref::<rusqlite::Error>(),
    };
    let code = database.and_then(rusqlite::Error::sqlite_error_code);
    if !matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
        return why.to_string();
    }
    let noted = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    // The number is of another PID namespace, or of a process that has ended.
    let alive = noted.filter(|pid| Path::new(&format!("/proc/{pid}")).exists());
    let directory = path.parent().unwrap_or(path).display();
    match alive {
        Some(pid) => format!(
            "another mirrorc (process {pid}) uses `{directory}`; give each run a directory of its own"
        ),
        None => format!("another mirrorc uses `{directory}`; give each run a directory of its own"),
    }
}
