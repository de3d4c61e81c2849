//! Why a daemon could not start, or could not go on. The invariant: each kind says what is wrong,
//! where and why; what to do is in [`DaemonError::help`] where the data plane's error does not say
//! it. (Rejected: text; whoever starts a daemon could not tell apart what to try again.)

use crate::control::{Refusal, Unreadable};
use mrule_compiler::compile::Compiled;
use mrule_dataplane::error::{cannot, plain};
use std::io;
use std::path::PathBuf;

/// A daemon that could not start, or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The system, or what the data plane was told to use.
    #[error("{}", .0.plain())]
    Dataplane(#[from] mrule_dataplane::Error),
    /// A rule file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The rules can be read once.
    #[error("rules from {0} cannot be read again")]
    ReadOnce(String),
    /// The rules have errors: what the compiler says.
    #[error("the program has errors; nothing was run")]
    Program(Box<Compiled>),
    /// The program cannot be at work.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A URL that is none of a webhook.
    #[error("`--webhook` cannot be used: {0}")]
    Webhook(String),
    /// An address that is none of a syslog receiver.
    #[error("`--syslog {address}` cannot be used: {why}")]
    Syslog {
        /// As given.
        address: String,
        /// Why.
        why: String,
    },
    /// The secret of webhooks cannot be read.
    #[error("{}", cannot("read", path.display(), source))]
    Secret {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many may read or write the secret: what is wrong, and what mends it.
    #[error("{0}")]
    OpenSecret(String),
    /// The secret is none.
    #[error("the secret in `{}` {what}", path.display())]
    BadSecret {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No thread tells of alarms.
    #[error("cannot start the threads that send alarms: {}", plain(.0))]
    Alarms(io::Error),
    /// Clients would be granted the directory of the state, or one in it.
    #[error("`--allow-directory {}` is in the directory of the state", .0.display())]
    GrantInState(PathBuf),
    /// A process that is not to be replaced has the control socket.
    #[error(
        "`{}` is the control socket of process {holder}, which is not the mirrorc to be replaced; nothing was taken over",
        path.display()
    )]
    SocketHeld {
        /// The socket.
        path: PathBuf,
        /// The process.
        holder: i32,
    },
    /// The file system of the control socket does not answer.
    #[error("cannot listen at `{}`: its file system does not answer", .0.display())]
    Hung(PathBuf),
    /// The address of the API cannot be asked for, or not be offered to a successor.
    #[error("{}", cannot("listen at", "the API's address", .0))]
    Address(io::Error),
    /// The file of events cannot be made.
    #[error("cannot create `{path}`: {source}")]
    Events {
        /// As given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The observer could not say something.
    #[error("cannot write the output: {}", plain(.0))]
    Output(#[from] io::Error),
    /// The run has ended.
    #[error("the run has ended already")]
    Ended,
}

impl DaemonError {
    /// Whether the system denied permission for a file, an address or an interface.
    pub fn is_denied(&self) -> bool {
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        match self {
            DaemonError::Dataplane(error) => error.is_denied(),
            DaemonError::Secret { source, .. } | DaemonError::Events { source, .. } => denied(source),
            DaemonError::Address(error) => denied(error),
            _ => false,
        }
    }

    /// What to do.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            DaemonError::BadSecret { .. } => Some("create a secret: head -c 32 /dev/urandom | base64"),
            DaemonError::GrantInState(_) => Some("grant a directory that has nothing else in it"),
            DaemonError::SocketHeld { .. } => {
                Some("choose another path for `--control`, or end that process")
            }
            _ => None,
        }
    }
}
