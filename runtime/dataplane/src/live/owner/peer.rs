//! Who holds the name of an interface. Invariants: nothing here blocks. A holder counts as able to
//! forward only if its user, its user namespace and its capabilities show it, and a stranger can
//! forge none of these. (Rejected: CapEff alone; `unshare -Ur` gives anyone all capabilities in it.
//! Rejected: a blocking connect; a full backlog blocks it for ever.) See unix(7),
//! user_namespaces(7).

use super::sign;
use crate::error::Owner;
use crate::sys::socket;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fs::read_to_string;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;

/// CAP_NET_RAW, as a bit of `/proc/PID/status`: no process can forward without it.
const NET_RAW: u32 = 13;

/// The holder of the name of an interface.
pub(super) enum Holder {
    Nobody,
    /// A process that may forward, with a connection to it.
    Owner(UnixStream, Owner),
    /// A process that may not forward.
    Stranger(Owner),
    /// A process with a full backlog: it accepts nothing, and the kernel does not identify it.
    Silent,
}

impl Holder {
    /// The holder in words for a user.
    pub fn told(&self) -> String {
        match self {
            // Its name is taken all the same.
            Holder::Nobody => "a process that does not listen (`ss -xap` shows it)".to_owned(),
            Holder::Owner(_, owner) => owner.to_string(),
            Holder::Stranger(owner) => match owner.pid {
                Some(pid) => format!("process {pid} of user {}, which may not forward,", owner.uid),
                None => format!("{owner}, which may not forward,"),
            },
            Holder::Silent => "a process that answers nobody (`ss -xap` shows it)".to_owned(),
        }
    }
}

/// Connects to the holder of an interface's name; does not block.
pub(super) fn reach(index: u32) -> io::Result<Holder> {
    let address = sign(index)?;
    let address = SocketAddrUnix::new_abstract_name(address.as_abstract_name().unwrap_or_default())?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::CONNREFUSED) => return Ok(Holder::Nobody),
        Err(Errno::AGAIN) => return Ok(Holder::Silent),
        // A socket of another type has the name.
        Err(Errno::PROTOTYPE) => return Ok(Holder::Silent),
        Err(error) => return Err(error.into()),
    }
    let stream = UnixStream::from(socket);
    let (pid, uid) = socket::peer(stream.as_fd())?;
    stream.set_nonblocking(false)?;
    let owner = Owner { pid: Some(pid).filter(|pid| *pid != 0), uid };
    Ok(if may_forward(owner) { Holder::Owner(stream, owner) } else { Holder::Stranger(owner) })
}

/// Whether a process could forward. Root and this process's user are believed unless /proc says
/// otherwise. A process of another user needs CAP_NET_RAW in this user namespace, and
/// `no_new_privs`, which each run has: so it did not get the capability from a program that anyone
/// may execute.
fn may_forward(owner: Owner) -> bool {
    let known = owner.uid == 0 || owner.uid == rustix::process::geteuid().as_raw();
    let Some(pid) = owner.pid else { return known };
    let Ok(status) = read_to_string(format!("/proc/{pid}/status")) else { return known };
    let map = |of: &str| read_to_string(format!("/proc/{of}/uid_map")).ok();
    is_believed(owner.uid, known, &status, &[map(&pid.to_string()), map("self")])
}

/// The same check with the process's user, its `/proc/PID/status`, and the maps of its user
/// namespace and of this one.
fn is_believed(uid: u32, known: bool, status: &str, [theirs, ours]: &[Option<String>; 2]) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let held = field("CapEff:").and_then(|held| u64::from_str_radix(held, 16).ok());
    // The process number may belong to another process by now, and a process may have changed its
    // user.
    let is_same = effective_user(status).map(|user| user == uid);
    let is_here = match known {
        true => (theirs.is_none() || theirs == ours) && is_same != Some(false),
        false => {
            let is_here = theirs.is_some() && theirs == ours;
            is_here && is_same == Some(true) && field("NoNewPrivs:") == Some("1")
        }
    };
    is_here && held.is_none_or(|held| held & (1 << NET_RAW) != 0)
}

/// The effective user in a `/proc/PID/status`.
fn effective_user(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn the_user_of_a_process_is_its_effective_one() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n"), Some(0));
        for none in ["", "Uid:\t1000\n", "Uid:\ta\tb\n"] {
            assert_eq!(effective_user(none), None, "{none}");
        }
    }

    #[test]
    fn who_is_of_another_user_than_it_says_may_not_forward() {
        let status = |user: u32, held: &str, fixed: u8| {
            format!("Uid:\t{user}\t{user}\t{user}\t{user}\nCapEff:\t{held}\nNoNewPrivs:\t{fixed}\n")
        };
        let [here, there] = ["0 0 4294967295\n", "0 1000 1\n"].map(|map| Some(map.to_owned()));
        let (raw, none) = ("0000000000002000", "0000000000000000");
        for (uid, known, status, theirs, is_believed) in [
            (1000, false, status(1000, raw, 1), &here, true),
            (1000, false, status(1001, raw, 1), &here, false),
            (1000, false, status(0, raw, 1), &here, false),
            (1000, false, status(1000, raw, 0), &here, false),
            (1000, false, status(1000, none, 1), &here, false),
            (1000, false, status(1000, raw, 1), &there, false),
            (1000, false, status(1000, raw, 1), &None, false),
            (1000, false, format!("CapEff:\t{raw}\nNoNewPrivs:\t1\n"), &here, false),
            (0, true, status(0, raw, 0), &here, true),
            (0, true, status(65534, raw, 1), &here, false),
            (0, true, status(0, none, 0), &here, false),
            (0, true, String::new(), &None, true),
        ] {
            let maps = [theirs.clone(), here.clone()];
            assert_eq!(super::is_believed(uid, known, &status, &maps), is_believed, "{uid} {status}");
        }
    }
}
