//! The memory limits of programs: memory is counted before allocation, and a refusal has the needed
//! memory, the remaining memory and the option that raises the limit. The invariants: everything
//! with a size that a program or option chooses is in [`Cost`]; sizes are added in 64 bits,
//! saturating; if the system then still refuses memory, that is an error, not the end of the
//! process. (Rejected: allocating without a check; the kernel promises more memory than it has, and
//! kills processes later.)

use mrule_engine::cost::{Cost, CostItem};
use mrule_engine::memory::size_text;
use std::fmt;

/// The memory limits of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// All programs together, in bytes: `--memory`.
    pub all: u64,
    /// One policy that a client of the control socket or API loads: `--policy-memory`.
    pub policy: u64,
}

impl Default for MemoryLimits {
    fn default() -> MemoryLimits {
        MemoryLimits::of(None, None)
    }
}

impl MemoryLimits {
    /// By default three quarters of the memory of the machine or control group for all programs,
    /// and half of that for one policy.
    pub fn of(all: Option<u64>, policy: Option<u64>) -> MemoryLimits {
        let all = all.unwrap_or_else(|| available() / 4 * 3);
        MemoryLimits { all, policy: policy.unwrap_or(all / 2).min(all) }
    }

    /// Whether a program fits into the limit in addition to the used memory; `client`: a client
    /// loads it.
    ///
    /// # Errors
    /// [`OverBudget`]
    pub fn admit(&self, need: &Cost, taken: u64, client: bool) -> Result<(), OverBudget> {
        let left = self.all.saturating_sub(taken);
        let (limit, left, option) = match client && self.policy < left {
            true => (self.policy, self.policy, "--policy-memory"),
            false => (self.all, left, "--memory"),
        };
        if need.bytes() <= left {
            return Ok(());
        }
        let mut parts = need.parts.clone();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Err(OverBudget { bytes: need.bytes(), left, limit, option, parts })
    }
}

/// The memory of the machine, or of the control group if that has less; 1 GiB if neither is known.
fn available() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = info.totalram.saturating_mul(u64::from(info.mem_unit.max(1)));
    let group = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let own = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
        group(&format!("/sys/fs/cgroup{path}/memory.max"))
    });
    let limits =
        [own, group("/sys/fs/cgroup/memory.max"), group("/sys/fs/cgroup/memory/memory.limit_in_bytes")];
    let least = limits.into_iter().flatten().fold(machine, u64::min);
    if least == 0 { 1 << 30 } else { least }
}

/// A program needs more memory than the limit allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverBudget {
    /// The memory that the program needs.
    pub bytes: u64,
    /// The remaining memory.
    pub left: u64,
    /// The limit.
    pub limit: u64,
    /// The option that sets the limit.
    pub option: &'static str,
    /// The parts of the memory, the largest first.
    pub parts: Vec<CostItem>,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, left) = (size_text(self.bytes), size_text(self.left));
        let (of, option) = (size_text(self.limit), self.option);
        write!(f, "the program takes {bytes} of memory; {left} of {of} (`{option}`) are left for it: ")?;
        for (at, part) in self.parts.iter().take(3).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", part.text(), size_text(part.bytes))?;
        }
        match self.parts.len().saturating_sub(3) {
            0 => Ok(()),
            more => write!(f, ", {more} smaller"),
        }
    }
}

impl std::error::Error for OverBudget {}

impl OverBudget {
    /// How to make the program fit.
    pub fn help(&self) -> String {
        format!("remember fewer keys or count in fewer windows, or raise the budget: `{} SIZE`", self.option)
    }
}
