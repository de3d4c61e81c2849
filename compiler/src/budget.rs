//! How much a compilation may take: nodes of the typed program, bytes of native code, and whether
//! it is to go on. The invariant: every pass asks once for each rule, trigger and file, so a
//! compilation that is to stop ends within the time of one rule or one function. The compiler has
//! no clock: the caller's closure knows the deadline and the cancellation. (Rejected: a thread that
//! is killed; its locks and memory stay.)

use std::sync::Arc;
use std::time::Duration;

/// The most nodes of a program unless the caller says otherwise. A node takes some 100 bytes while
/// it is compiled.
pub const DEFAULT_NODES: u64 = 2_000_000;

/// The most bytes of native code unless the caller says otherwise.
pub const DEFAULT_CODE: u64 = 1 << 20;

/// Why a compilation ends before it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its client has gone away, or the run has ended.
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

/// Says whether a compilation is to stop.
pub type Probe = Arc<dyn Fn() -> Option<Stop> + Send + Sync>;

/// What one compilation may take.
#[derive(Clone)]
pub struct CompileBudget {
    /// Nodes of the typed program: conditions, and elements of sets eight to a node.
    pub nodes: u64,
    /// Bytes of native code. What does not fit is interpreted.
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

    /// The same, ended when `stop` says so. It is asked often and from one thread at a time, so it
    /// should be cheap.
    pub fn until(self, stop: Probe) -> CompileBudget {
        CompileBudget { stop: Some(stop), ..self }
    }

    /// Whether the compilation is to stop, and why.
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
