//! Who holds the name of an interface. The invariants: nothing here waits; a holder is believed to
//! forward only when its user, its user namespace and its capabilities say so, and none of these
//! can be claimed by a stranger. (Rejected: CapEff alone; `unshare -Ur` shows all capabilities to
//! anybody. A blocking connect; a full backlog stops it for ever.) unix(7), user_namespaces(7).

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

/// CAP_NET_RAW, as a bit of `/proc/PID/status`: without it nobody forwards.
const NET_RAW: u32 = 13;

/// Who holds the name of an interface.
pub(super) enum Holder {
    Nobody,
    /// One that may forward, and a connection to it.
    Owner(UnixStream, Owner),
    /// One that may not forward.
    Stranger(Owner),
    /// Its backlog is full: it accepts nothing, and the kernel does not say who it is.
    Silent,
}

impl Holder {
    /// Who is in the way, for a user.
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

/// Connects to who holds the name of an interface; does not wait.
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

/// Whether it is a process that could forward. Root and our own user are believed unless /proc says
/// otherwise. Another user's process has CAP_NET_RAW in our user namespace, and `no_new_privs` as
/// each run has: so it did not get the capability by a program that anybody may execute.
fn may_forward(owner: Owner) -> bool {
    let known = owner.uid == 0 || owner.uid == rustix::process::geteuid().as_raw();
    let Some(pid) = owner.pid else { return known };
    let Ok(status) = read_to_string(format!("/proc/{pid}/status")) else { return known };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let held = field("CapEff:").and_then(|held| u64::from_str_radix(held, 16).ok());
    let map = |of: &str| read_to_string(format!("/proc/{of}/uid_map")).ok();
    let (theirs, ours) = (map(&pid.to_string()), map("self"));
    let is_here = match known {
        true => theirs.is_none() || theirs == ours,
        false => theirs.is_some() && theirs == ours && field("NoNewPrivs:") == Some("1"),
    };
    is_here && held.is_none_or(|held| held & (1 << NET_RAW) != 0)
}
