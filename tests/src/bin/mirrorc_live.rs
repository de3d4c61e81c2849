//! `mirrorc` under another name: the same call with the same arguments, for tests that need a
//! process of it, which cargo builds for a package's own binaries only. (Rejected: searching the
//! target directory for the real one, which may be old.)

/// Where a test makes a file to have a worker die (its number), or hang while the file says so
/// (`1 hangs`).
static FAULT: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();

fn fault(worker: usize) {
    let asked = || FAULT.get().and_then(|path| std::fs::read_to_string(path).ok());
    while asked().is_some_and(|asked| asked.trim() == format!("{worker} hangs")) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let asked = asked();
    assert!(asked.is_none_or(|asked| asked.trim() != worker.to_string()), "a test has this worker die");
}

fn main() -> std::process::ExitCode {
    if let Some(path) = std::env::var_os("MRULE_TEST_FAULT") {
        FAULT.get_or_init(|| path.into());
        mrule_dataplane::live::inject(fault);
    }
    mirrorc::main()
}
