//! How a command ends. The exit codes are part of the interface: scripts and CI jobs test them. The
//! invariant: every end of `mirrorc` is one of these codes. (Rejected: 1 for every failure, which
//! cannot distinguish "the rules have errors" from "the file does not exist".)

use mrule_control::control::Unreadable;
use mrule_control::daemon::DaemonError;
use mrule_dataplane::error::cannot;
pub use mrule_dataplane::error::plain;
use std::fmt::Display;
use std::io;
use std::path::Path;

/// The exit codes of `mirrorc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: success.
    Clean,
    /// 1: the rules have errors (or warnings, where `--deny warnings` was given), or a file is not
    /// formatted.
    Problems,
    /// 2: the command failed: wrong arguments, a file of the command line cannot be read, or an
    /// output cannot be written.
    Usage,
    /// 3: a capture is damaged or of an unsupported kind; the readable part was processed.
    Capture,
    /// 128 plus the signal's number, as in shells: SIGINT (130) or SIGTERM (143) ended a run over
    /// captures. Files and counts have every packet decided before that.
    Interrupted(u8),
    /// 4: a worker of a run died from a bug in mirrorc; a kernel redirect goes on forwarding.
    Died,
}

impl Exit {
    /// The number for the operating system.
    pub fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Problems => 1,
            Exit::Usage => 2,
            Exit::Capture => 3,
            Exit::Interrupted(signal) => 128 + signal,
            Exit::Died => 4,
        }
    }
}

/// Why a command failed. Printed as `error: message`, with the help below.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What went wrong, in lower case without a full stop.
    pub message: String,
    /// How to solve the problem.
    pub help: Option<String>,
    /// The exit code of the command.
    pub exit: Exit,
    /// Whether the system denied permission.
    pub denied: bool,
}

impl Failure {
    /// A command that cannot run with these arguments or in this environment.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), help: None, exit: Exit::Usage, denied: false }
    }

    /// A capture that cannot be read.
    pub fn capture(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), help: None, exit: Exit::Capture, denied: false }
    }

    /// A file that cannot be read or written: `cannot read \`x\`: no such file or directory`.
    pub fn file(verb: &str, path: impl Display, error: &io::Error) -> Failure {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        Failure { denied, ..Failure::usage(cannot(verb, path, error)) }
    }

    /// Adds how to solve the problem.
    pub fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }
}

/// Standard output or standard error could not be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::usage(format!("cannot write the output: {}", plain(&error)))
    }
}

impl From<mrule_engine::Error> for Failure {
    fn from(error: mrule_engine::Error) -> Failure {
        mrule_dataplane::Error::from(error).into()
    }
}

/// Files that cannot be opened, created or written are failures of the command; a capture that can
/// be opened but not parsed is a damaged capture.
impl From<mrule_dataplane::Error> for Failure {
    fn from(error: mrule_dataplane::Error) -> Failure {
        use mrule_dataplane::Error;
        let failure = Failure { denied: error.is_denied(), ..Failure::usage(error.plain()) };
        match &error {
            Error::Control { path, source } => listening(path, source),
            Error::Listen { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => failure.help(
                    "another process listens at this address (`ss -ltnp` shows which): stop it, or choose another\n\
                     address; use `--take-over` to replace a mirrorc on the same bridges",
                ),
                io::ErrorKind::AddrNotAvailable => {
                    failure.help("no interface of this machine has this address: `ip addr` lists all addresses")
                }
                io::ErrorKind::PermissionDenied => failure.help(
                    "a port below 1024 needs root or CAP_NET_BIND_SERVICE at the start; choose a higher port",
                ),
                _ => failure,
            },
            Error::Grant { path, source } => {
                let failure = Failure::usage(format!(
                    "`--allow-directory {}` cannot be used: {}",
                    path.display(),
                    missing(path).unwrap_or_else(|| plain(source))
                ));
                failure.help("grant an existing directory that the user of mirrorc can write to")
            }
            Error::NotACapture { .. } | Error::UnsupportedLink { .. } => {
                Failure { exit: Exit::Capture, ..failure }
            }
            Error::Privilege { .. } => failure.help(
                "run mirrorc as root, or give the program the needed capabilities once:\n\
                 setcap cap_net_raw,cap_net_admin+ep /path/to/mirrorc",
            ),
            Error::ForeignFilter { name, .. } => failure.help(format!(
                "mirrorc does not change filters of other programs: remove the filter (tc filter show dev {name} ingress), or run\n\
                 with `--forward userspace`",
            )),
            Error::Owned { owner, .. } => failure.help(format!(
                "stop {owner}, or use `--take-over` to replace it without an interruption of forwarding; `--tap` can read the\n\
                 interface at the same time",
            )),
            Error::Died { .. } => Failure { exit: Exit::Died, ..failure }.help(
                "where the kernel forwards, it goes on forwarding; start mirrorc again (systemd: `Restart=always`)",
            ),
            _ => failure,
        }
    }
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Failure {
        Failure::usage(error.to_string())
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Failure {
        match error {
            DaemonError::Dataplane(error) => error.into(),
            DaemonError::Output(error) => error.into(),
            error => Failure {
                help: error.help().map(str::to_owned),
                denied: error.is_denied(),
                ..Failure::usage(error.to_string())
            },
        }
    }
}

/// A control socket that cannot be made.
fn listening(path: &Path, error: &io::Error) -> Failure {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    match above.and_then(missing).filter(|_| error.kind() == io::ErrorKind::NotFound) {
        Some(why) => Failure::usage(format!("cannot listen at `{}`: {why}", path.display())).help(format!(
            "create the directory first, as the user that mirrorc runs as: mkdir -p -m 0700 {}",
            above.unwrap_or(path).display()
        )),
        None => Failure::file("listen at", path.display(), error),
    }
}

/// The first missing directory of a path; none if all exist.
fn missing(path: &Path) -> Option<String> {
    let mut all: Vec<&Path> = path.ancestors().filter(|above| !above.as_os_str().is_empty()).collect();
    all.reverse();
    let first = all.into_iter().find(|above| !above.exists())?;
    Some(format!("there is no directory `{}`", first.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_read_like_the_other_messages() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(Failure::file("read", "x.mrule", &missing).exit.code(), 2);
    }
}
