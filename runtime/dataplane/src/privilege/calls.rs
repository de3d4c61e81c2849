//! Which system calls a run may make: a seccomp filter with one list. All other calls return
//! ENOSYS, as on a kernel that lacks them, so that libraries try another way and no running task
//! ends. Invariants: no listed call can start a program, create or inspect a process, enter a
//! namespace or change the user. Memory is never writable and executable at once. (Rejected: to
//! kill the process for calls outside of the list; a libc that finds a new way to sleep would end
//! forwarding. Rejected: a list of forbidden calls, which new kernels make incomplete.)

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// Files and descriptors.
const FILES: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_umask,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_utimensat,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_linkat,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
];

/// Sockets, and waiting for descriptors. `socket` itself is in [`filter`].
const SOCKETS: &[c_long] = &[
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
];

/// Memory, threads, signals, time. `mmap`, `mprotect` and `clone` are in [`filter`].
const PROCESS: &[c_long] = &[
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_prlimit64,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_capget,
    // These calls only remove rights; threads of clients' stations use them.
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
];

/// Older forms of some calls, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_chmod,
    libc::SYS_readlink,
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_link,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_time,
    libc::SYS_getrlimit,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// The families of sockets that the run opens.
const FAMILIES: [libc::c_int; 5] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// The flags of `clone` that would create namespaces.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Makes the kernel refuse all other calls, for this thread and the threads that it starts.
pub(super) fn only_needed() -> Result<(), String> {
    let program = filter().map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in [FILES, SOCKETS, PROCESS, OLDER].concat() {
        rules.insert(call, Vec::new());
    }
    let families = FAMILIES.iter().map(|family| when(0, SeccompCmpOp::Eq, *family));
    rules.insert(libc::SYS_socket, families.collect::<Result<_, _>>()?);
    // The flags of `clone3` are behind a pointer, which no filter can read. Without it, libc uses
    // `clone`.
    let threads = SeccompCmpOp::MaskedEq((NAMESPACES | libc::CLONE_THREAD) as u64);
    rules.insert(libc::SYS_clone, vec![when(0, threads, libc::CLONE_THREAD)?]);
    let both = libc::PROT_WRITE | libc::PROT_EXEC;
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        let not_both = [0, libc::PROT_WRITE, libc::PROT_EXEC];
        let not_both = not_both.map(|value| when(2, SeccompCmpOp::MaskedEq(both as u64), value));
        rules.insert(call, not_both.into_iter().collect::<Result<_, _>>()?);
    }
    let fifo = SeccompCmpOp::MaskedEq(libc::S_IFMT.into());
    rules.insert(libc::SYS_mknodat, vec![when(2, fifo, libc::S_IFIFO as libc::c_int)?]);
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];
    let names = names.map(|what| when(0, SeccompCmpOp::Eq, what));
    rules.insert(libc::SYS_prctl, names.into_iter().collect::<Result<_, _>>()?);
    // Nothing may type into the user's terminal.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX];
    let no_typing =
        typing.map(|request| SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, request));
    let no_typing = no_typing.into_iter().collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(no_typing)?]);
    let arch = std::env::consts::ARCH.try_into()?;
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules, absent, SeccompAction::Allow, arch)?.try_into()
}

/// A rule with one condition on an argument.
fn when(
    argument: u8,
    is: SeccompCmpOp,
    value: libc::c_int,
) -> Result<SeccompRule, seccompiler::BackendError> {
    let value = u64::from(value.cast_unsigned());
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value)?])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn what_is_needed_goes_on_and_what_is_not_is_refused() {
        // A separate thread: the filter stays until the thread ends.
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            only_needed().unwrap();
            assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7, "threads can be made");
            assert!(std::fs::read("/proc/self/status").is_ok());
            assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
            let fifo = tempfile::tempdir().unwrap();
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mkfifoat(rustix::fs::CWD, fifo.path().join("fifo"), mode).unwrap();
            assert!(std::process::Command::new("/bin/true").status().is_err(), "no programs");
            let other = rustix::net::AddressFamily::VSOCK;
            let socket = rustix::net::socket(other, rustix::net::SocketType::STREAM, None);
            assert_eq!(socket.unwrap_err(), rustix::io::Errno::NOSYS);
            let unshared = rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(1));
            assert_eq!(unshared.unwrap_err(), rustix::io::Errno::NOSYS);
        })
        .join()
        .unwrap();
    }
}
