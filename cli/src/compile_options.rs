//! The compilation limits of `run` and `check`. The invariant: a limit that is not given has the
//! runtime's default, so `check` refuses what `run` would refuse. (Rejected: limits for `run` only;
//! a rule author would learn of them too late.)

use crate::memory::size;
use mrule_compiler::budget::{DEFAULT_CODE, DEFAULT_NODES};
use mrule_control::compile_queue::{CompileLimits, DEFAULT_TIME};
use mrule_grammar::units::UnitKind;
use std::time::Duration;

/// The options of commands that compile.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Compilation")]
pub struct CompileOptions {
    /// Refuse a program with more than N conditions after every use of a `let` is replaced by its
    /// definition [default: 2000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    compile_nodes: Option<u64>,
    /// Generate at most SIZE bytes of native code, and interpret the rules that do not fit
    /// [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    compile_code: Option<usize>,
    /// Stop a compilation that takes longer than TIME [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    compile_time: Option<Duration>,
}

impl CompileOptions {
    /// The limits that the options give.
    pub fn limits(&self) -> CompileLimits {
        CompileLimits {
            nodes: self.compile_nodes.unwrap_or(DEFAULT_NODES),
            code: self.compile_code.map_or(DEFAULT_CODE, |code| code as u64),
            time: self.compile_time.unwrap_or(DEFAULT_TIME),
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = crate::memory::quantity(text, UnitKind::Duration).map(Duration::from_nanos);
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| "write a time with its unit, as in `500ms`, `30s` or `5m`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_says_the_defaults() {
        assert_eq!((DEFAULT_NODES, DEFAULT_CODE, DEFAULT_TIME.as_secs()), (2_000_000, 1 << 20, 30));
    }
}
