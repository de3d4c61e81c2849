//! How much memory a process has, as the system counts it, and a process that may have no more. The
//! invariant: what is measured is a whole process, so a test that looks at itself runs in one of
//! its own. (Rejected: an allocator that counts; it knows nothing of maps, of native code and of
//! stacks.) proc_pid_status(5), prlimit(1).

use std::process::Command;

/// A line of the status of a process, in bytes: `VmRSS`, what it has; `VmHWM`, the most that it
/// had.
pub fn of_process(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// How much more than now the body takes at most, in bytes. Other threads are measured with it.
pub fn peak_of(body: impl FnOnce()) -> u64 {
    let own = std::process::id();
    // The most is what there is, from now on.
    std::fs::write("/proc/self/clear_refs", "5").expect("clear_refs");
    let before = of_process(own, "VmRSS");
    body();
    of_process(own, "VmHWM").saturating_sub(before)
}

/// A program whose address space has this limit, in bytes: more is refused to it, and it ends by a
/// signal.
pub fn limited(bytes: u64, program: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--as={bytes}")).arg("--").arg(program);
    command
}

/// Says to the child of a test that it is alone.
const ALONE: &str = "MIRRORC_TEST_ALONE";

/// Runs the body in a process of its own with this limit of its address space: this executable
/// again, with this one test (its path in the executable).
pub fn alone(test: &str, bytes: u64, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let exe = std::env::current_exe().expect("this test");
    let mut command = limited(bytes, exe.to_str().expect("a path of text"));
    let output = command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().expect("prlimit");
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    print!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {}", output.status);
}
