//! Tests of the memory of a whole process. Invariant: each such test runs in its own process, so
//! that a measurement contains no other test. (Rejected: an executable for each test; each
//! executable links the whole product again.)

mod captures;
mod estimate;
#[path = "../../../engine/tests/common/process.rs"]
mod process;

use process::{alone, status};
