//! A process for one test, and what the system reports about it. Invariant: a measurement covers a
//! whole process in which no other test runs. (Rejected: a copy of this code beside each test that
//! measures. These tests are in two crates, and neither may depend on the crate of the end-to-end
//! tests.)

use std::process::Command;

/// Tells the child process that it runs one test alone.
const ALONE: &str = "MIRRORC_TEST_ALONE";

/// Runs the body in its own process: this executable again, with this one test (given by its path
/// in the executable).
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let exe = std::env::current_exe().unwrap();
    let output = Command::new(exe).args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    print!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {}", output.status);
}

/// A line of the process's status (proc_pid_status(5)), in bytes.
pub fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
