//! `mirrorc` under another name: the same call with the same arguments, for tests that need a process of it, which cargo
//! builds for a package's own binaries only. (Rejected: searching the target directory for the real one, which may be old.)

use mirrorc::{Quiet, Screen};
use std::io::{self, BufWriter};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::new(Quiet::new(io::stdout()));
    let mut err = Quiet::new(io::stderr());
    let mut screen = Screen {
        input: &mut io::stdin(),
        out: &mut out,
        err: &mut err,
        out_look: mirrorc::out_look(),
        err_look: mirrorc::err_look(),
    };
    ExitCode::from(mirrorc::run(std::env::args_os(), &mut screen).code())
}
