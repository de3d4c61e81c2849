//! How a command ends. The numbers are part of the interface: scripts and CI jobs test them. The
//! invariant: every way out of `mirrorc` is one of these. (Rejected: 1 for everything that went
//! wrong, which cannot tell "your rules have errors" from "there is no such file".)

use std::fmt::Display;
use std::io;
use std::path::Path;

/// The exit codes of `mirrorc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, and nothing to complain about.
    Clean,
    /// 1: the rules have errors (or warnings, where `--deny warnings` was given), or a file is not
    /// formatted.
    Problems,
    /// 2: the command could not be carried out as given: bad arguments, a file that was named on
    /// the command line and cannot be read, an output that cannot be written.
    Usage,
    /// 3: the capture is broken or of a kind that cannot be read; what was readable has been
    /// processed.
    Capture,
    /// 128 and the signal's number, as shells have it: a run over captures was ended by SIGINT
    /// (130) or SIGTERM (143); what was decided before is in its files and in its summary.
    Interrupted(u8),
    /// 4: a worker of a run died of a fault of mirrorc; where the kernel forwards, it goes on.
    Died,
}

impl Exit {
    /// The number given to the operating system.
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

/// Why a command could not go on. Printed as `error: message` with the help below it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What went wrong, in lower case without a full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The exit code it ends with.
    pub exit: Exit,
}

impl Failure {
    /// A command that cannot be carried out as given.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), help: None, exit: Exit::Usage }
    }

    /// A capture that cannot be read.
    pub fn capture(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), help: None, exit: Exit::Capture }
    }

    /// A file that cannot be read or written: `cannot read \`x\`: no such file or directory`.
    pub fn file(verb: &str, path: impl Display, error: &io::Error) -> Failure {
        Failure::usage(format!("cannot {verb} `{path}`: {}", plain(error)))
    }

    /// Says what to do.
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

/// Files that cannot be opened, made or written are errors of usage; captures that can be opened
/// and not read are not.
impl From<mrule_dataplane::Error> for Failure {
    fn from(error: mrule_dataplane::Error) -> Failure {
        use mrule_dataplane::Error;
        match &error {
            Error::Open { path, source } => Failure::file("read", path.display(), source),
            Error::CreateDirectory { path, source } => {
                Failure::file("create the directory", path.display(), source)
            }
            Error::Control { path, source } => listening(path, source),
            Error::Listen { address, source } => {
                let failure = Failure::file("listen at", address, source);
                match source.kind() {
                    io::ErrorKind::AddrInUse => failure.help(
                        "another process listens there: end it, or name another address (`ss -ltnp` shows who\n\
                         listens where); a mirrorc on the same bridges is replaced by `--take-over`",
                    ),
                    io::ErrorKind::AddrNotAvailable => failure
                        .help("no interface here has this address: `ip addr` shows those that there are"),
                    io::ErrorKind::PermissionDenied => failure.help(
                        "ports below 1024 need root, or CAP_NET_BIND_SERVICE, at the start; choose a higher one",
                    ),
                    _ => failure,
                }
            }
            Error::Grant { path, source } => {
                let failure = Failure::usage(format!(
                    "`--allow-directory {}` cannot be used: {}",
                    path.display(),
                    missing(path).unwrap_or_else(|| plain(source))
                ));
                failure.help("grant a directory that is there, and that the user mirrorc runs as may write to")
            }
            Error::Create { path, source } => Failure::file("create", path.display(), source),
            Error::Write { path, source } => Failure::file("write to", path.display(), source),
            Error::NotACapture { .. } | Error::UnsupportedLink { .. } => Failure::capture(error.to_string()),
            Error::Interface { doing, source } => Failure::usage(format!("{doing}: {}", plain(source))),
            Error::Privilege { .. } => Failure::usage(error.to_string()).help(
                "run it as root, or give the program what it needs once:\n\
                 setcap cap_net_raw,cap_net_admin+ep /path/to/mirrorc",
            ),
            Error::ForeignFilter { name, .. } => Failure::usage(error.to_string()).help(format!(
                "mirrorc touches no filters of others: remove it (tc filter show dev {name} ingress), or run\n\
                 with `--forward userspace`",
            )),
            Error::Owned { owner, .. } => Failure::usage(error.to_string()).help(format!(
                "end {owner}, or run with `--take-over` to have it end and go on forwarding; `--tap` reads\n                 beside it",
            )),
            Error::Died { .. } => Failure { exit: Exit::Died, ..Failure::usage(error.to_string()) }.help(
                "where the kernel forwards, it goes on; start mirrorc again (systemd: `Restart=always`)",
            ),
            _ => Failure::usage(error.to_string()),
        }
    }
}

/// A control socket that cannot be made.
fn listening(path: &Path, error: &io::Error) -> Failure {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    match above.and_then(missing).filter(|_| error.kind() == io::ErrorKind::NotFound) {
        Some(why) => Failure::usage(format!("cannot listen at `{}`: {why}", path.display())).help(format!(
            "make the directory first, for the user that mirrorc runs as: mkdir -p -m 0700 {}",
            above.unwrap_or(path).display()
        )),
        None => Failure::file("listen at", path.display(), error),
    }
}

/// Which of the directories of a path is missing, the first one; none when all are there.
fn missing(path: &Path) -> Option<String> {
    let mut all: Vec<&Path> = path.ancestors().filter(|above| !above.as_os_str().is_empty()).collect();
    all.reverse();
    let first = all.into_iter().find(|above| !above.exists())?;
    Some(format!("there is no directory `{}`", first.display()))
}

/// An I/O error in the words of these messages: lower case, without the number that Rust appends.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        // `Is a directory` becomes `is a directory`; `I/O error` stays.
        Some(first) if chars.as_str().starts_with(|c: char| c.is_lowercase()) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_read_like_the_other_messages() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&missing), "no such file or directory");
        assert_eq!(plain(&io::Error::other("I/O trouble")), "I/O trouble");
        assert_eq!(Failure::file("read", "x.mrule", &missing).exit.code(), 2);
    }
}
