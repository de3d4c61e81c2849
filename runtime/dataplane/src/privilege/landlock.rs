//! Landlock (landlock(7)): the thread of a client's station may write beneath granted directories
//! and nowhere else, whatever its code does. Invariant: it only removes rights. Reading stays
//! possible, for time zones. (Rejected: for the whole process; the owner's stations may write
//! anywhere.)

use landlock::{
    ABI, AccessFs, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use std::os::fd::BorrowedFd;

/// The rights that are removed: creating, writing, truncating, moving and removing files, as far as
/// the kernel supports it.
const KNOWN: ABI = ABI::V5;

/// Makes the kernel refuse this thread writes outside of these directories. Returns false where the
/// kernel has no Landlock. The process must have set no_new_privs before, or have CAP_SYS_ADMIN.
///
/// # Errors
/// The kernel's reason for a refusal, in words.
pub fn only_write_beneath<'fd>(directories: impl Iterator<Item = BorrowedFd<'fd>>) -> Result<bool, String> {
    let writing = AccessFs::from_write(KNOWN);
    let rules = directories.map(|directory| Ok::<_, RulesetError>(PathBeneath::new(directory, writing)));
    let restrict = || {
        let ruleset = Ruleset::default().handle_access(writing)?.create()?;
        let ruleset = ruleset.add_rules(rules)?;
        // The process has set it already, and the call for it is not on the list of calls.
        ruleset.no_new_privs(false).restrict_self()
    };
    let status = restrict().map_err(|error: RulesetError| error.to_string())?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Whether the kernel has Landlock. A separate thread tries it.
pub fn has_landlock() -> bool {
    let tried = std::thread::Builder::new().name("landlock".into());
    let tried = tried.spawn(|| only_write_beneath(std::iter::empty()));
    tried.is_ok_and(|thread| matches!(thread.join(), Ok(Ok(true))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;

    #[test]
    fn a_thread_writes_beneath_its_directories_only() {
        let (granted, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("there"), "x").unwrap();
        let handle = fs::File::open(granted.path()).unwrap();
        std::thread::scope(|scope| {
            let restricted = scope.spawn(|| {
                rustix::thread::set_no_new_privs(true).unwrap();
                if !only_write_beneath([handle.as_fd()].into_iter()).unwrap() {
                    eprintln!("SKIPPED: this kernel has no Landlock");
                    return;
                }
                fs::create_dir(granted.path().join("d")).unwrap();
                fs::write(granted.path().join("d/x"), "x").unwrap();
                fs::rename(granted.path().join("d/x"), granted.path().join("d/y")).unwrap();
                assert!(fs::write(other.path().join("new"), "x").is_err());
                assert!(fs::write(other.path().join("there"), "y").is_err());
                assert!(fs::remove_file(other.path().join("there")).is_err());
                assert!(fs::read(other.path().join("there")).is_ok(), "reading stays");
                assert!(fs::rename(granted.path().join("d/y"), other.path().join("y")).is_err());
            });
            restricted.join().unwrap();
        });
        fs::write(other.path().join("new"), "x").unwrap();
    }
}
