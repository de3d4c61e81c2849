//! The two engines behind one interface: an engine is made once for a program, and workers share
//! it. The invariant: both kinds give the same verdicts for the same packets, environments and
//! programs. (Rejected: a trait object per worker; there are two engines and both are known.)

use crate::abi::Packet;
use crate::batch::Batch;
use crate::budget::CompileBudget;
use crate::context::{BatchContext, Fired, PacketContext, Probe};
use crate::environment::{Environment, Scratch};
use crate::eval::Eval;
use crate::hir::{Program, Station};
#[cfg(feature = "jit")]
use crate::jit::{Jit, JitError};
#[cfg(not(feature = "jit"))]
use crate::no_jit::{Jit, JitError};
use std::ops::Range;
use std::sync::Arc;

/// The kind of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Native code. A build without the feature `jit` has none, and [`Engine::new`] returns an
    /// error.
    Jit,
    /// The reference interpreter.
    Interp,
}

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Native code could not be made. The interpreter is still available.
    #[error(transparent)]
    Jit(#[from] JitError),
}

/// A program ready to run.
#[derive(Debug)]
pub struct Engine {
    program: Arc<Program>,
    jit: Option<Arc<Jit>>,
}

impl Engine {
    /// Makes an engine for a program. Any environment made of the same program can be used with it.
    ///
    /// # Errors [`EngineError`]
    pub fn new(
        kind: EngineKind,
        program: Arc<Program>,
        environment: &Environment,
    ) -> Result<Engine, EngineError> {
        Engine::within(kind, program, environment, &CompileBudget::default())
    }

    /// As [`Engine::new`], within a budget: rules whose code does not fit are interpreted.
    ///
    /// # Errors [`EngineError`], also if the compilation was stopped.
    pub fn within(
        kind: EngineKind,
        program: Arc<Program>,
        environment: &Environment,
        budget: &CompileBudget,
    ) -> Result<Engine, EngineError> {
        let jit = match kind {
            EngineKind::Jit => Some(Arc::new(Jit::new(&program, environment, budget)?)),
            EngineKind::Interp => None,
        };
        Ok(Engine { program, jit })
    }

    /// Bytes of native code's constants; 0 for the interpreter.
    pub fn memory(&self) -> usize {
        self.jit.as_ref().map_or(0, |jit| jit.memory())
    }

    /// The same engine for a program with another station at this place: the code does not depend
    /// on a station's target.
    pub fn with_station(&self, at: usize, station: Station) -> Engine {
        let mut program = Program::clone(&self.program);
        if let Some(place) = program.stations.get_mut(at) {
            *place = station;
        }
        Engine { program: Arc::new(program), jit: self.jit.clone() }
    }

    /// Which kind it is.
    pub fn kind(&self) -> EngineKind {
        if self.jit.is_some() { EngineKind::Jit } else { EngineKind::Interp }
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Decides a batch of packets, at most as many as the batch has room for. `context` is the
    /// context of their flows; programs that do not read flows ignore it. The batch, the context
    /// and the environment must have been made for the same program.
    pub fn decide(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        context: &BatchContext,
        batch: &mut Batch,
    ) {
        self.decide_part(environment, scratch, packets, 0..packets.len(), context, batch);
    }

    /// Decides some packets of a batch, for programs whose triggers change between packets. The
    /// other packets keep their verdicts.
    pub fn decide_part(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        part: Range<usize>,
        context: &BatchContext,
        batch: &mut Batch,
    ) {
        match &self.jit {
            Some(jit) => jit.decide(environment, scratch, packets, part, context, batch),
            None => self.interpret(environment, scratch, packets, part, context, batch),
        }
    }

    /// Writes the packets' keys and events for the triggers and windows of the program. `seen` is
    /// the context of the first packet. Nothing is written if `probe` was made for another program
    /// or has no room for the packets.
    pub fn probe(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        seen: PacketContext,
        probe: &mut Probe,
    ) {
        if let Some(jit) = &self.jit {
            return jit.probe(environment, scratch, packets, seen, probe);
        }
        let (leads, rows) = probe.rows();
        for ((i, packet), (keys, events)) in packets.iter().enumerate().zip(rows) {
            let seen = seen.on(i, 0);
            let head = seen.head_of(packet);
            Eval::new(environment, scratch, packet, &head, seen).probe(&self.program, leads, keys, events);
        }
    }

    /// Determines which triggers packets raise. `seen` is the context of the first packet, with the
    /// values of windows for each packet. `fired` has room for every packet and trigger of the
    /// program.
    pub fn fire(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        seen: PacketContext,
        fired: &mut [Fired],
    ) {
        if let Some(jit) = &self.jit {
            return jit.fire(environment, scratch, packets, seen, fired);
        }
        let rows = fired.chunks_mut(self.program.triggers.len().max(1));
        for ((i, packet), fired) in packets.iter().enumerate().zip(rows) {
            let seen = seen.on(i, self.program.windows.len());
            let head = seen.head_of(packet);
            let mut eval = Eval::new(environment, scratch, packet, &head, seen);
            for (trigger, fired) in self.program.triggers.iter().zip(fired) {
                *fired = eval.fire(trigger);
            }
        }
    }

    fn interpret(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        part: Range<usize>,
        context: &BatchContext,
        batch: &mut Batch,
    ) {
        let stations = self.program.stations.len();
        for at in part {
            let (Some(packet), Some(asked)) = (packets.get(at), batch.asked.get_mut(at)) else { return };
            let seen = PacketContext::of(context, at);
            let head = seen.head_of(packet);
            let verdicts = batch.verdicts.get_mut(at * stations..(at + 1) * stations).unwrap_or(&mut []);
            *asked = Eval::new(environment, scratch, packet, &head, seen).decide(
                &self.program,
                verdicts,
                &mut batch.counters,
            );
        }
    }
}

#[cfg(test)]
mod tests;
