//! One program, ready to decide packets one by one: the entry point for embedders. Invariant:
//! policy and decider are made from the same program and cannot be exchanged. (Rejected: five
//! objects that the caller keeps together; objects of two programs get mixed.)

use crate::decider::{Decider, Limits};
use crate::policy::Policy;
use mrule_compiler::abi::{NO_LIMIT, Packet};
use mrule_compiler::compile::{Compiled, MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_grammar::diagnostic::Severity;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

/// A program and its state: flows, streams, triggers.
///
/// It decides packets in the order in which they are given; times are packet times. The same
/// packets always give the same decisions.
#[derive(Debug)]
pub struct Session {
    policy: Policy,
    decider: Decider,
}

/// One copy of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The station that gets the copy.
    pub station: &'a str,
    /// The range of the captured bytes that the copy has.
    pub bytes: Range<usize>,
    /// The rule that asked for the most bytes.
    pub rule: &'a str,
    /// The limit that cut the copy. `None`: the copy is as long as the rule asked.
    pub limit: Option<&'a str>,
}

/// Why a text is not a valid program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The errors in the order of the text, each as `LINE:COLUMN: CODE: MESSAGE`. Lines and columns
    /// count from 1.
    pub errors: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.errors.join("\n"))
    }
}

impl std::error::Error for Refused {}

impl Refused {
    fn of(compiled: &Compiled) -> Refused {
        let errors = compiled.diagnostics.iter().filter(|found| found.severity() == Severity::Error);
        let text = |found: &mrule_grammar::diagnostic::Diagnostic| {
            let place = found.labels.first().map(|label| {
                let (line, column) = compiled.sources.line_column(label.span.file, label.span.start);
                format!("{line}:{column}: ")
            });
            format!("{}{}: {}", place.unwrap_or_default(), found.code, found.message)
        };
        Refused { errors: errors.map(text).collect() }
    }

    fn because(error: impl fmt::Display) -> Refused {
        Refused { errors: vec![error.to_string()] }
    }
}

impl FromStr for Session {
    type Err = Refused;

    /// Compiles one text to native code. The text can include no files and read no tables from
    /// files.
    fn from_str(text: &str) -> Result<Session, Refused> {
        let name = "program.mrule".to_owned();
        let mut loader = MemoryLoader::new([(name.clone(), text)]);
        Session::new(compile(&[name], &mut loader, &[]), EngineKind::Jit, &Limits::default())
    }
}

impl Session {
    /// A session for a program compiled by the caller, whose loader may provide files and params.
    ///
    /// # Errors
    /// [`Refused`]: the program has errors, its native code cannot be generated, or there is no
    /// memory for its state.
    pub fn new(mut compiled: Compiled, kind: EngineKind, limits: &Limits) -> Result<Session, Refused> {
        let Some(program) = compiled.program.take() else { return Err(Refused::of(&compiled)) };
        let program = Arc::new(program);
        let environment = Environment::new(&program).map_err(Refused::because)?;
        let engine = Engine::new(kind, program, &environment).map_err(Refused::because)?;
        let policy = Policy::try_repeatable(Arc::new(engine), environment).map_err(Refused::because)?;
        let decider = Decider::new(&policy, limits, 1).map_err(Refused::because)?;
        Ok(Session { policy, decider })
    }

    /// Decides a packet. Returns its copies, by station in the order of names. A station is left
    /// out when a limit leaves nothing of its copy.
    pub fn decide(&mut self, packet: &Packet<'_>) -> Vec<Decision<'_>> {
        let program = self.policy.program();
        let batch = self.decider.decide(&self.policy, &[*packet]);
        let copies = batch.verdicts(0).filter(|(_, verdict)| verdict.start < verdict.end);
        let decision =
            |(station, verdict): (mrule_compiler::hir::StationId, mrule_compiler::abi::Verdict)| {
                let limit = program.limits.get(verdict.limit as usize).filter(|_| verdict.limit != NO_LIMIT);
                Some(Decision {
                    station: &program.stations.get(station.index())?.name,
                    bytes: verdict.start as usize..verdict.end as usize,
                    rule: &program.rules.get(verdict.rule as usize)?.name,
                    limit: limit.map(|limit| limit.name.as_str()),
                })
            };
        copies.filter_map(decision).collect()
    }

    /// The policy: its program, tables and triggers.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy, to change tables, params and triggers by [`change`](crate::change).
    pub fn policy_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }
}
