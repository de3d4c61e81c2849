//! What a whole process takes. The invariant: such a test runs in a process of its own, so that no
//! other test is measured with it. (Rejected: an executable for each; every executable links the
//! whole product again.)

use std::process::Command;

mod flows;

/// Says to the child of a test that it is alone.
const ALONE: &str = "MIRRORC_TEST_ALONE";

/// Runs the body in a process of its own: this executable again, with this one test (its path in
/// the executable).
fn alone(test: &str, body: impl FnOnce()) {
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
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
