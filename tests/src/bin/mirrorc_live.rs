//! `mirrorc` under another name: the same call with the same arguments, for tests that need a process of it, which cargo
//! builds for a package's own binaries only. (Rejected: searching the target directory for the real one, which may be old.)

fn main() -> std::process::ExitCode {
    mirrorc::main()
}
