//! The budget of a compilation: nodes of the typed program, bytes of native code, and a call that
//! can stop it. The invariant: every pass asks once for each rule, trigger and file, so a stopped
//! compilation ends within the time of one rule or one function. The compiler has no clock: the
//! caller's closure knows the deadline and the cancellation. (Rejected: a thread that is killed;
//! its locks and memory stay.)

use std::sync::Arc;
use std::time::Duration;

/// The default greatest number of nodes of a program. A node takes some 100 bytes during
/// compilation.
pub const DEFAULT_NODES: u64 = 2_000_000;

/// The default greatest number of bytes of native code.
pub const DEFAULT_CODE: u64 = 1 << 20;

/// Why a compilation ends before it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its client has disconnected, or the run has ended.
    Cancelled,
    /// It took longer than this.
    Time(Duration),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stop::Cancelled => write!(f, "the compilation was cancelled"),
            Stop::Time(time) => write!(f, "the compilation took more than {time:?}, which is its budget"),
        }
    }
}

/// Returns the reason if a compilation must stop.
pub type Probe = Arc<dyn Fn() -> Option<Stop> + Send + Sync>;

/// The budget of one compilation.
#[derive(Clone)]
pub struct CompileBudget {
    /// Nodes of the typed program: each condition is a node, and so are each eight elements of
    /// sets.
    pub nodes: u64,
    /// Bytes of native code. Rules that do not fit are interpreted.
    pub code: u64,
    stop: Option<Probe>,
}

impl Default for CompileBudget {
    fn default() -> CompileBudget {
        CompileBudget { nodes: DEFAULT_NODES, code: DEFAULT_CODE, stop: None }
    }
}

impl CompileBudget {
    /// A budget of nodes and bytes of code, without a deadline.
    pub fn new(nodes: u64, code: u64) -> CompileBudget {
        CompileBudget { nodes, code, stop: None }
    }

    /// The same budget with a reason to stop. `stop` is called often and from one thread at a time,
    /// so it should be fast.
    pub fn until(self, stop: Probe) -> CompileBudget {
        CompileBudget { stop: Some(stop), ..self }
    }

    /// Whether the compilation must stop, and why.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop.as_ref().and_then(|stop| stop())
    }
}

impl std::fmt::Debug for CompileBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompileBudget")
            .field("nodes", &self.nodes)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}
