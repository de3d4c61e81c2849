//! `mirrorc emit`: prints one compilation stage of a program. The invariant: the same program and
//! version print the same text, so that a test can record and compare it. (Rejected: one dump of
//! all stages.)

use crate::exit::{Exit, Failure};
use crate::rules::Rules;
use crate::screen::Screen;
use crate::tree;
use mrule_compiler::abi::Link;
use mrule_compiler::bpf;
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program;
use mrule_compiler::jit::{self, Listing};
use mrule_compiler::render;

/// The arguments of `mirrorc emit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Stages:
  ast    the syntax tree, as nested lists
  hir    the typed program that both engines run: names resolved, sets merged
  clif   the native code in Cranelift's intermediate form, before optimisation
  asm    the machine code for this processor, as assembly
  bpf    the kernel filter for Ethernet interfaces (`run --tap`), as `tcpdump -d` prints one

Example:
  mirrorc emit web.mrule --stage hir")]
pub struct Args {
    #[command(flatten)]
    rules: Rules,
    /// The stage to print
    #[arg(long, value_enum)]
    stage: Stage,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Stage {
    Ast,
    Hir,
    Clif,
    Asm,
    Bpf,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if let Stage::Ast = args.stage {
        return ast(args, screen);
    }
    let checked = match args.rules.program(false, screen)? {
        Ok(checked) => checked,
        Err(exit) => return Ok(exit),
    };
    let program = &checked.program;
    match args.stage {
        Stage::Ast => {}
        Stage::Hir => write!(screen.out, "{}", render::program(program))?,
        Stage::Clif => writeln!(screen.out, "{}", native(program)?.clif.trim_end())?,
        Stage::Asm => writeln!(screen.out, "{}", native(program)?.asm.trim_end())?,
        Stage::Bpf => write!(screen.out, "{}", bpf::compile(program, Link::Ethernet, bpf::MOST).listing())?,
    }
    Ok(Exit::Clean)
}

fn native(program: &Program) -> Result<Listing, Failure> {
    let environment = Environment::new(program).map_err(|e| Failure::usage(e.to_string()))?;
    jit::listing(program, &environment).map_err(|e| Failure::usage(e.to_string()))
}

/// The syntax tree needs no types: prints everything that could be parsed, also of a program with
/// errors.
fn ast(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let compiled = args.rules.compile()?;
    for (_, file) in &compiled.files {
        write!(screen.out, "{}", tree::file(file, &compiled.sources))?;
    }
    Ok(Exit::Clean)
}
