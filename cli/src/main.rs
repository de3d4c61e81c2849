//! The `mirrorc` binary: one call of the library.

fn main() -> std::process::ExitCode {
    mirrorc::main()
}
