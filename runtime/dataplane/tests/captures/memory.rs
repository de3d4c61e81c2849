//! What a whole process takes. The invariant: such a test runs in a process of its own, so that no
//! other test is measured with it. (Rejected: an executable for each; every executable links the
//! whole product again.)

mod captures;
mod estimate;
#[path = "../../../engine/tests/common/process.rs"]
mod process;

use process::{alone, status};
