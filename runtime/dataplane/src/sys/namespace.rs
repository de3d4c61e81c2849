//! Creates network namespaces: a thread leaves its namespace for a new, empty one. Invariant: no
//! other thread is moved, and nothing is left behind, because a namespace without a name ends with
//! its last thread, socket and descriptor. (Rejected: names under /run/netns, which outlive a
//! killed process and which only root can create.) See network_namespaces(7) and
//! user_namespaces(7).

#![expect(unsafe_code, reason = "unshare(2) is unsafe where descriptors are unshared, too")]

use rustix::thread::UnshareFlags;
use std::fs::{self, File};
use std::io;

/// Moves the calling thread into a new network namespace. Its future threads and sockets are there,
/// too.
///
/// # Errors
/// Errors of the kernel; `PermissionDenied` without CAP_SYS_ADMIN.
pub fn enter_new() -> io::Result<()> {
    unshare(UnshareFlags::NEWNET)
}

/// Moves the process into new user and network namespaces, in which it is root and may do with
/// networks what it likes; to be called while the process has one thread.
///
/// # Errors
/// The kernel's: `PermissionDenied` and others where that is forbidden, `InvalidInput` with several
/// threads.
pub fn enter_new_as_root() -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    // Without it, one without privileges may not map a group.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// The network namespace of the calling thread.
///
/// # Errors
/// It cannot be opened.
pub fn current() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// Disables IPv6 on interfaces that are created later in the calling thread's namespace.
///
/// # Errors
/// /proc/sys cannot be written, as in some containers.
pub fn without_ipv6() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
}

fn unshare(what: UnshareFlags) -> io::Result<()> {
    // SAFETY: callers do not unshare descriptors.
    unsafe { rustix::thread::unshare_unsafe(what)? };
    Ok(())
}
