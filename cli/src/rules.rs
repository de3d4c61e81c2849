//! From the rule files named on the command line to a checked program, the same way for every
//! command. The invariant: a command that needs a program gets one only when `check` would have no
//! errors; what is wrong is shown as `check` shows it. (Rejected: each command reading files by
//! itself; `run` must never accept what `check` refuses.)

use crate::exit::{Exit, Failure};
use crate::report::{self, Report};
use crate::screen::{BAD, Screen};
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::{Compiled, Loaded, Loader};
use mrule_compiler::hir::Program;
use mrule_control::compile_queue::CompileLimits;
use mrule_control::control::{Bundle, cut_others};
use mrule_dataplane::source::{Files, STDIN};
use mrule_grammar::diagnostic::Severity;
use mrule_grammar::span::SourceMap;
use std::path::PathBuf;

/// The rule files of a program, and values for its params.
#[derive(Debug, Clone, clap::Args)]
pub struct Rules {
    /// The rule files; together they are one program, in any order
    #[arg(value_name = "RULES", required = true)]
    files: Vec<String>,
    #[command(flatten)]
    sets: Sets,
}

/// Values for params.
#[derive(Debug, Clone, clap::Args)]
pub struct Sets {
    /// Give a param another value: `--set head=1KiB`
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

/// A checked program and its texts.
pub struct Checked {
    /// The program.
    pub program: Program,
    /// Its texts, for places.
    pub sources: SourceMap,
    /// Its texts, to be compiled again.
    pub bundle: Bundle,
}

/// Reads and checks rule files.
///
/// # Errors
/// A file that was named on the command line cannot be read.
pub fn compile(files: &[String], sets: &Sets, budget: &CompileBudget) -> Result<Compiled, Failure> {
    Ok(read(files, sets, budget)?.0)
}

/// The same, and keeps the texts.
fn read(files: &[String], sets: &Sets, budget: &CompileBudget) -> Result<(Compiled, Bundle), Failure> {
    let mut loader = Roots { inner: Files::default(), unreadable: None };
    let read = Bundle::read(files, &mut loader, &sets.set, budget);
    match loader.unreadable {
        Some((path, why)) => Err(Failure::usage(format!("cannot read `{path}`: {why}"))),
        None => Ok(read),
    }
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
            (2.., _) => Err(Failure::usage("`--read -` is given twice; standard input is read once")
                .help("join the captures before: `mergecap -a -w - FILE FILE | mirrorc ... --read -`")),
            (1, 1..) => Err(Failure::usage("the rules and a capture would both be read from standard input")
                .help("give one of them as a file")),
            _ => Ok(()),
        }
    }

    /// Reads and checks the files again, and keeps their texts.
    ///
    /// # Errors
    /// A file that was named on the command line cannot be read, or is standard input, which can be
    /// read once.
    pub fn read_again(&self, budget: &CompileBudget) -> Result<(Compiled, Bundle), Failure> {
        if self.files.iter().any(|file| file == "-") {
            return Err(Failure::usage(format!("rules that came from {STDIN} cannot be read again")));
        }
        read(&self.files, &self.sets, budget)
    }

    /// The program, when it has no errors; else they have been shown, and the exit code comes back.
    /// Warnings are shown too where `warn` says so.
    pub fn program(&self, warn: bool, screen: &mut Screen<'_>) -> Result<Result<Checked, Exit>, Failure> {
        self.program_within(&CompileLimits::default().budget(), warn, "nothing was run", screen)
    }

    /// The same within a budget; `then` says what follows from errors.
    pub fn program_within(
        &self,
        budget: &CompileBudget,
        warn: bool,
        then: &str,
        screen: &mut Screen<'_>,
    ) -> Result<Result<Checked, Exit>, Failure> {
        Rules::checked(read(&self.files, &self.sets, budget)?, warn, then, screen)
    }

    /// The same for a program that is to be loaded, whose limits bind other policies or not.
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
                let tally = screen.err_look.paint(BAD, &report.tally().to_string());
                writeln!(screen.err, "{tally}; {then}")?;
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

/// Notes which of the files named on the command line could not be read: that is an error of usage,
/// whereas a missing `include` is a mistake in a rule file.
struct Roots {
    inner: Files,
    unreadable: Option<(String, String)>,
}

impl Loader for Roots {
    fn load(&mut self, path: &str, relative_to: Option<&str>) -> Result<Loaded, String> {
        let read = self.inner.load(path, relative_to);
        if let (Err(why), None, None) = (&read, relative_to, &self.unreadable) {
            self.unreadable = Some((path.to_owned(), why.clone()));
        }
        read
    }
}
