//! The `mirrorc` binary: the library's one call.

fn main() -> std::process::ExitCode {
    mirrorc::main()
}
