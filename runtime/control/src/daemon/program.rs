//! The program that a daemon starts with: checked, counted against the budget of memory, compiled.
//! The invariant: it is made as a policy that is loaded later is. (Rejected: to load it when the
//! run has started; the first packets would meet no rules.)

use super::DaemonError;
use super::options::Options;
use crate::control::{Bundle, Prepared, memory, prepare};
use mrule_compiler::environment::Environment;
use mrule_compiler::hir::Program as Checked;
use mrule_dataplane::live::MAIN;
use mrule_engine::policy::Policy;

/// A program that is ready to run, and its texts.
#[derive(Debug)]
pub struct Program {
    /// It.
    pub policy: Policy,
    /// Its texts.
    pub bundle: Bundle,
}

impl Program {
    /// Reads the rules and makes them ready.
    ///
    /// # Errors
    /// [`DaemonError::Unreadable`], [`DaemonError::Program`], [`DaemonError::Refused`].
    pub fn of(options: &Options) -> Result<Program, DaemonError> {
        let budget = options.compile.budget();
        let (mut compiled, bundle) = options.rules.read(&budget)?;
        let Some(program) = compiled.program.take() else {
            return Err(DaemonError::Program(Box::new(compiled)));
        };
        let (mut cost, mut over) = (None, None);
        let admit = |program: &Checked, environment: &Environment| {
            match options.memory().admit(program, environment, None, MAIN, bundle.origin())? {
                Ok(counted) => cost = Some(counted),
                Err(too_much) => over = Some(too_much),
            }
            Ok(())
        };
        let made = prepare(options.engine, program, false, &budget, admit);
        if let Some(over) = over {
            memory::refused(&mut compiled, &over);
            return Err(DaemonError::Program(Box::new(compiled)));
        }
        let Prepared { engine, environment, .. } = made?;
        let policy = Policy::try_new(engine, environment).map_err(mrule_dataplane::Error::from)?;
        let bytes = cost.map_or(0, |cost| cost.bytes_without_tables());
        Ok(Program { policy: policy.counted(bytes), bundle })
    }
}
