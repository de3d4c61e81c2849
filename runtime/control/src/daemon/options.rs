//! What a daemon is told when it starts: plain data, whoever says it. The invariant: nothing here
//! is open, and nothing has been read. (Rejected: the command line's own types; a program that
//! starts a daemon has no command line.)

use super::DaemonError;
use crate::api::{Bounds, Renderers, TlsFiles};
use crate::budget::MemoryLimits;
use crate::compile_queue::CompileLimits;
use crate::control::{BindingFailure, Bundle, Memory};
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::{Compiled, MemoryLoader};
use mrule_compiler::engine::EngineKind;
use mrule_dataplane::confine::Network;
use mrule_dataplane::live;
use mrule_dataplane::source::STDIN;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How many drops a second are an alarm, unless it is told otherwise.
pub const ALARM_DROPS: f64 = 100.0;

/// How often an event `extended` of a key is told, unless it is told otherwise.
pub const EXTENDED: Duration = Duration::from_secs(1);

/// What a daemon runs on, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The rules that are at work from the first packet on.
    pub rules: Rules,
    /// What decides by them.
    pub engine: EngineKind,
    /// Interfaces, workers, flows. What is said of `spares`, `confinement` and `ownership` is not
    /// looked at: the daemon makes them.
    pub live: live::Options,
    /// Where another process forwards between the ends of the bridges: it ends, and this one goes
    /// on.
    pub take_over: bool,
    /// The control socket.
    pub control: Option<PathBuf>,
    /// Where the API is reached remotely.
    pub listen: Option<Listen>,
    /// What clients of the API may take.
    pub bounds: Bounds,
    /// What stations of clients may reach.
    pub grants: Granted,
    /// The directory of the state.
    pub state: Option<PathBuf>,
    /// What becomes of copies when something that bound all policies cannot be restored.
    pub on_binding_failure: BindingFailure,
    /// Who is told of alarms.
    pub receivers: Receivers,
    /// Where events go.
    pub events: Events,
    /// What each compilation may take.
    pub compile: CompileLimits,
    /// What all policies may take.
    pub memory: MemoryLimits,
    /// Gives up what a run does not need, of the whole process, which has one thread then; none:
    /// the process keeps what it has.
    pub privileges: Option<Privileges>,
    /// How the API answers.
    pub renderers: Renderers,
    /// Whoever sets it ends the daemon, also one that is still starting.
    pub stop: Arc<AtomicBool>,
}

impl Options {
    /// With these rules; all else is as the command line has it, without a port.
    pub fn new(rules: Rules, renderers: Renderers) -> Options {
        Options {
            rules,
            engine: EngineKind::Jit,
            live: live::Options { prefilter: true, ..live::Options::default() },
            take_over: false,
            control: None,
            listen: None,
            bounds: Bounds::default(),
            grants: Granted::default(),
            state: None,
            on_binding_failure: BindingFailure::default(),
            receivers: Receivers::default(),
            events: Events::default(),
            compile: CompileLimits::default(),
            memory: MemoryLimits::default(),
            privileges: None,
            renderers,
            stop: Arc::default(),
        }
    }

    /// What all policies may take, and what each is given.
    pub fn memory(&self) -> Memory {
        let setting = live::setting(self.live.limits.clone(), Some(self.live.worker_count()));
        Memory { limits: self.memory, setting }
    }

    /// The files of the run itself, which no station writes, beside those of the rules.
    pub(super) fn own_files(&self) -> Vec<(PathBuf, &'static str)> {
        let files = self.listen.as_ref().map(|listen| &listen.files);
        let named = [
            (self.state.as_ref(), "the directory of the state"),
            (self.control.as_ref(), "the control socket"),
            (files.map(|files| &files.certificate), "the certificate"),
            (files.map(|files| &files.key), "the key of the certificate"),
            (files.map(|files| &files.tokens), "the file of tokens"),
            (self.receivers.secret.as_ref(), "the secret of webhooks"),
            (self.events.file(), "the file of events"),
        ];
        named.into_iter().filter_map(|(path, what)| Some((path?.clone(), what))).collect()
    }
}

/// Where rules come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// From files, which are one program; they are read again when the daemon reloads.
    Files {
        /// Their paths; `-` is standard input.
        files: Vec<String>,
        /// Values for params.
        set: Vec<(String, String)>,
    },
    /// From a text.
    Text {
        /// What messages call it.
        name: String,
        /// The text.
        text: String,
    },
}

impl Rules {
    /// Reads and checks them.
    ///
    /// # Errors
    /// [`DaemonError::Unreadable`].
    pub fn read(&self, budget: &CompileBudget) -> Result<(Compiled, Bundle), DaemonError> {
        match self {
            Rules::Files { files, set } => Ok(Bundle::read_files(files, set, budget)?),
            Rules::Text { name, text } => {
                let mut loader = MemoryLoader::new(BTreeMap::from([(name.clone(), text.clone())]));
                Ok(Bundle::read(std::slice::from_ref(name), &mut loader, &[], budget))
            }
        }
    }

    /// Reads them once more.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`DaemonError::ReadOnce`].
    pub(super) fn read_again(&self, budget: &CompileBudget) -> Result<(Compiled, Bundle), DaemonError> {
        match self {
            Rules::Files { files, .. } if files.iter().any(|file| file == "-") => {
                Err(DaemonError::ReadOnce(STDIN.to_owned()))
            }
            Rules::Text { name, .. } => Err(DaemonError::ReadOnce(format!("the text `{name}`"))),
            Rules::Files { .. } => self.read(budget),
        }
    }
}

/// Where the API is reached remotely, and by which files.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Certificate, key and tokens.
    pub files: TlsFiles,
}

/// What stations that clients write may reach.
#[derive(Debug, Clone, Default)]
pub struct Granted {
    /// Files and FIFOs beneath these directories.
    pub directories: Vec<PathBuf>,
    /// These interfaces.
    pub interfaces: Vec<String>,
    /// These networks.
    pub networks: Vec<Network>,
}

/// Who is told of alarms, and of which.
#[derive(Debug, Clone)]
pub struct Receivers {
    /// URLs that alarms are posted to.
    pub webhooks: Vec<String>,
    /// The file of the secret that signs what is posted.
    pub secret: Option<PathBuf>,
    /// Addresses of syslog receivers.
    pub syslog: Vec<String>,
    /// More drops a second than this are an alarm.
    pub drops: f64,
}

impl Default for Receivers {
    fn default() -> Receivers {
        Receivers { webhooks: Vec::new(), secret: None, syslog: Vec::new(), drops: ALARM_DROPS }
    }
}

/// Where what becomes of triggers is written.
#[derive(Debug, Clone)]
pub struct Events {
    /// A file or FIFO; `-` is standard output.
    pub to: Option<PathBuf>,
    /// How often an event `extended` of a key is told.
    pub extended: Duration,
}

impl Events {
    /// The file.
    pub fn file(&self) -> Option<&PathBuf> {
        self.to.as_ref().filter(|path| path.as_os_str() != "-")
    }
}

impl Default for Events {
    fn default() -> Events {
        Events { to: None, extended: EXTENDED }
    }
}

/// What the process becomes.
#[derive(Debug, Clone, Default)]
pub struct Privileges {
    /// The user, with a group behind a colon; none: who called sudo, if somebody did.
    pub user: Option<String>,
    /// The kernel refuses no system call.
    pub all_calls: bool,
}
