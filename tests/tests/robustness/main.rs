//! The robustness suite: each fault that an attack on a release build has found is a test here,
//! with its whole kind. Every test is bounded in count and time and makes the network namespaces
//! that it needs. `MRULE_ATTACK=full` runs the long forms (hundreds of kills, a thousand starts);
//! without it each test runs a short form of the same code. The invariant: a test starts a real
//! process and asks it from outside. (Rejected: one executable for each area; every executable
//! links the whole product again.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod api_limits;
mod budgets;
mod confinement;
mod data_plane;
mod fail_closed;
mod flow_workers;
mod replay_input;

/// The binary that is attacked.
pub const MIRRORC: &str = env!("CARGO_BIN_EXE_mirrorc_live");

/// The count of a repeated test: `short` in the everyday run, `full` under `MRULE_ATTACK=full`.
#[allow(dead_code, reason = "only repeated tests use it")]
pub fn rounds(short: u32, full: u32) -> u32 {
    if std::env::var("MRULE_ATTACK").is_ok_and(|value| value == "full") { full } else { short }
}
