//! Reads and checks the rule files of the command line, in the same way for every command. The
//! invariant: a command that needs a program gets it only if `check` would report no errors; errors
//! are shown as `check` shows them. (Rejected: each command reading files by itself; `run` must
//! never accept what `check` refuses.)

use crate::exit::{Exit, Failure};
use crate::report::{self, Report};
use crate::screen::{BAD, Screen};
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::Compiled;
use mrule_compiler::hir::Program;
use mrule_control::compile_queue::CompileLimits;
use mrule_control::control::{Bundle, cut_others};
use mrule_control::daemon;
use mrule_grammar::diagnostic::Severity;
use mrule_grammar::span::SourceMap;
use std::path::PathBuf;

/// The rule files of a program, and values for its params.
#[derive(Debug, Clone, clap::Args)]
pub struct Rules {
    /// The rule files; all files together are one program, in any order
    #[arg(value_name = "RULES", required = true)]
    files: Vec<String>,
    #[command(flatten)]
    sets: Sets,
}

/// Values for params.
#[derive(Debug, Clone, clap::Args)]
pub struct Sets {
    /// Set the value of a param: `--set head=1KiB`
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

/// A checked program and its texts.
pub struct Checked {
    /// The program.
    pub program: Program,
    /// Its source texts, for line numbers.
    pub sources: SourceMap,
    /// Its source texts, to compile it again.
    pub bundle: Bundle,
}

/// Reads and checks rule files.
///
/// # Errors
/// A file that was named on the command line cannot be read.
pub fn compile(files: &[String], sets: &Sets, budget: &CompileBudget) -> Result<Compiled, Failure> {
    Ok(read(files, sets, budget)?.0)
}

/// Reads and checks rule files, and keeps the texts.
fn read(files: &[String], sets: &Sets, budget: &CompileBudget) -> Result<(Compiled, Bundle), Failure> {
    Ok(Bundle::read_files(files, &sets.set, budget)?)
}

impl Rules {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// A file that was named on the command line cannot be read.
    pub fn compile(&self) -> Result<Compiled, Failure> {
        compile(&self.files, &self.sets, &CompileLimits::default().budget())
    }

    /// Checks that standard input is read once: by the rules, or by one of these captures.
    ///
    /// # Errors
    /// It would be read twice.
    pub fn with_captures(&self, captures: &[PathBuf]) -> Result<(), Failure> {
        let captures = captures.iter().filter(|path| path.as_os_str() == "-").count();
        let rules = self.files.iter().filter(|file| *file == "-").count();
        match (captures, rules) {
            (2.., _) => {
                Err(Failure::usage("`--read -` is given twice, but standard input can be read only once")
                    .help("merge the captures first: `mergecap -a -w - FILE FILE | mirrorc ... --read -`"))
            }
            (1, 1..) => Err(Failure::usage("the rules and a capture cannot both come from standard input")
                .help("name a file for one of them")),
            _ => Ok(()),
        }
    }

    /// The files, for a daemon to read them again.
    pub fn files(&self) -> daemon::Rules {
        daemon::Rules::Files { files: self.files.clone(), set: self.sets.set.clone() }
    }

    /// The program if it has no errors; otherwise prints the errors and returns the exit code. Also
    /// prints warnings if `warn` is set.
    pub fn program(&self, warn: bool, screen: &mut Screen<'_>) -> Result<Result<Checked, Exit>, Failure> {
        self.program_within(&CompileLimits::default().budget(), warn, "nothing was run", screen)
    }

    /// Like `program`, within a compilation budget; `then` says in the message what the errors
    /// prevented.
    pub fn program_within(
        &self,
        budget: &CompileBudget,
        warn: bool,
        then: &str,
        screen: &mut Screen<'_>,
    ) -> Result<Result<Checked, Exit>, Failure> {
        Rules::checked(read(&self.files, &self.sets, budget)?, warn, then, screen)
    }

    /// Reads and checks a program to load; `binding`: its limits bind other policies.
    ///
    /// # Errors
    /// A file that was named on the command line cannot be read.
    pub fn to_load(&self, binding: bool, screen: &mut Screen<'_>) -> Result<Result<Checked, Exit>, Failure> {
        let mut read = read(&self.files, &self.sets, &CompileLimits::default().budget())?;
        if binding {
            cut_others(&mut read.0);
        }
        Rules::checked(read, true, "nothing was loaded", screen)
    }

    fn checked(
        (compiled, bundle): (Compiled, Bundle),
        warn: bool,
        then: &str,
        screen: &mut Screen<'_>,
    ) -> Result<Result<Checked, Exit>, Failure> {
        let Compiled { program, mut diagnostics, sources, .. } = compiled;
        if !warn {
            diagnostics.retain(|d| d.severity() == Severity::Error);
        }
        let report = Report::new(&diagnostics, &sources);
        write!(screen.err, "{}", report::text::render(&report, screen.err_look))?;
        Ok(match program {
            Some(program) => Ok(Checked { program, sources, bundle }),
            None => {
                let counts = screen.err_look.paint(BAD, &report.counts().to_string());
                writeln!(screen.err, "{counts}; {then}")?;
                Err(Exit::Problems)
            }
        })
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write NAME=VALUE, as in `head=1KiB`".to_owned()),
    }
}
