//! What a run may do after its start: another user, at most two capabilities, no privileges from
//! executed programs, and only the system calls that it makes (`calls`). Invariant: privileges are
//! given up before the first thread starts and the first packet is read, so no thread has them.
//! What is kept opens interfaces and stations that come back or are loaded later. (Rejected: to
//! give up everything after sockets are open, as a capture tool can; a bridge whose cable was
//! pulled would stay dead.) See capabilities(7), credentials(7), seccomp(2).

mod calls;
mod landlock;
pub mod private;

pub use landlock::{has_landlock, only_write_beneath};

use crate::error::Error;
use rustix::thread as this;
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::fs;
use std::io;

/// A user to run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's name, or the number where it has no name.
    pub name: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// The user by name or number; a group may follow behind a colon. Without it, the user's own
    /// groups apply.
    ///
    /// # Errors
    /// [`Error::User`]: there is no such user or group.
    pub fn find(text: &str) -> Result<User, Error> {
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let number = name.parse::<u32>().ok();
        let by_number = |uid: u32| nix::unistd::User::from_uid(uid.into());
        let known = match number {
            Some(uid) => by_number(uid),
            None => nix::unistd::User::from_name(name),
        };
        let known = known.map_err(|error| unknown(name, error))?;
        let (name, uid, own) = match (known, number) {
            (Some(user), _) => (user.name, user.uid.as_raw(), Some(user.gid)),
            (None, Some(uid)) => (name.to_owned(), uid, None),
            (None, None) => return Err(unknown(name, "there is no such user")),
        };
        let (gid, groups) = match (group, own) {
            (Some(group), _) => (group_of(group)?, Vec::new()),
            (None, Some(own)) => (own.as_raw(), groups_of(&name, own)),
            (None, None) => return Err(unknown(&name, "it has no group; name one: `USER:GROUP`")),
        };
        Ok(User { name, uid, gid, groups })
    }

    /// The user who called sudo, if this process is root because of it.
    pub fn behind_sudo() -> Option<User> {
        let root = rustix::process::geteuid().is_root();
        let uid = std::env::var("SUDO_UID").ok().filter(|uid| root && uid != "0")?;
        User::find(&uid).ok()
    }

    /// Whether the process already runs as this user.
    fn is_us(&self) -> bool {
        rustix::process::geteuid().as_raw() == self.uid && rustix::process::getegid().as_raw() == self.gid
    }
}

fn unknown(name: &str, why: impl ToString) -> Error {
    Error::User { name: name.to_owned(), why: why.to_string() }
}

fn group_of(text: &str) -> Result<u32, Error> {
    if let Ok(gid) = text.parse() {
        return Ok(gid);
    }
    match nix::unistd::Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(unknown(text, "there is no such group")),
        Err(error) => Err(unknown(text, error)),
    }
}

fn groups_of(name: &str, own: nix::unistd::Gid) -> Vec<u32> {
    let name = std::ffi::CString::new(name).unwrap_or_default();
    let all = nix::unistd::getgrouplist(&name, own).unwrap_or_default();
    all.into_iter().map(nix::unistd::Gid::as_raw).collect()
}

/// The privileges to keep.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// The user to run as. `None`: the present user.
    pub user: Option<User>,
    /// Whether to keep CAP_NET_ADMIN beside CAP_NET_RAW, for redirects of bridges.
    pub admin: bool,
    /// Whether to keep all system calls.
    pub calls: bool,
}

/// Gives up all other privileges. Returns a message for each that could not be given up and does no
/// harm. The process must have one thread.
///
/// # Errors
/// [`Error::Threads`]: there are several threads; [`Error::User`]: the user cannot be changed.
pub fn give_up(keep: &Keep) -> Result<Vec<String>, Error> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(Error::Threads { threads });
    }
    let refused =
        |what: &'static str| move |error: io::Error| Error::Interface { doing: what.into(), source: error };
    let mut kept = CapabilitySet::NET_RAW;
    kept.set(CapabilitySet::NET_ADMIN, keep.admin);
    let held = this::capabilities(None).map_err(|e| refused("asking for capabilities")(e.into()))?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter().filter(|one| !kept.contains(*one)) {
            // This kernel may not know the capability.
            let _unknown = this::remove_capability_from_bounding_set(capability);
        }
    }
    if let Some(user) = keep.user.as_ref().filter(|user| !user.is_us()) {
        become_user(user).map_err(|error| Error::User {
            name: user.name.clone(),
            why: match error.kind() {
                io::ErrorKind::PermissionDenied => "only root can run as another user".to_owned(),
                _ => format!("it cannot be run as: {error}"),
            },
        })?;
    }
    let kept = kept & held.permitted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    this::set_capabilities(None, sets).map_err(|e| refused("giving up capabilities")(e.into()))?;
    this::set_no_new_privs(true).map_err(|e| refused("giving up new privileges")(e.into()))?;
    let mut told = Vec::new();
    if !keep.calls
        && let Err(why) = calls::only_needed()
    {
        told.push(format!("system calls are not restricted: {why}"));
    }
    Ok(told)
}

/// Changes the user of this thread, which is the only one.
fn become_user(user: &User) -> io::Result<()> {
    let (uid, gid) = (rustix::process::Uid::from_raw(user.uid), rustix::process::Gid::from_raw(user.gid));
    let groups: Vec<_> = user.groups.iter().map(|gid| rustix::process::Gid::from_raw(*gid)).collect();
    // Otherwise the capabilities are lost with the user root.
    this::set_keep_capabilities(true)?;
    this::set_thread_groups(&groups)?;
    this::set_thread_res_gid(gid, gid, gid)?;
    this::set_thread_res_uid(uid, uid, uid)?;
    Ok(this::set_keep_capabilities(false)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = User::find("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(User::find("0").unwrap(), root);
        let grouped = User::find("65534:7").unwrap();
        assert_eq!((grouped.uid, grouped.gid, grouped.groups), (65534, 7, Vec::new()));
        for (wrong, says) in [
            ("no such user", "there is no such user"),
            ("", "there is no such user"),
            ("root:no such group", "there is no such group"),
            ("4000000001", "name one"),
        ] {
            let error = User::find(wrong).unwrap_err().to_string();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
