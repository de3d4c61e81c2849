//! The `mirrorc` binary: the process's streams, handed to the library.

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
