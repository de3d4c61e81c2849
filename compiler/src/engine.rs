//! The two engines behind one face: a program is made into an engine once, and workers share it. The invariant: both
//! kinds give the same verdicts for the same packets, worlds and programs. (Rejected: a trait object per worker; there
//! are two engines and both are known.)

use crate::abi::Packet;
use crate::batch::Batch;
use crate::eval::Eval;
use crate::hir::Program;
use crate::jit::{Jit, JitError};
use crate::wire;
use crate::world::{Scratch, World};
use std::sync::Arc;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Native code.
    Jit,
    /// The reference interpreter.
    Interp,
}

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Native code could not be made; the interpreter still can.
    #[error(transparent)]
    Jit(#[from] JitError),
}

/// A program ready to run.
#[derive(Debug)]
pub struct Engine {
    program: Arc<Program>,
    jit: Option<Jit>,
}

impl Engine {
    /// Makes an engine for a program; any world made of the same program can be used with it.
    pub fn new(kind: EngineKind, program: Arc<Program>, world: &World) -> Result<Engine, EngineError> {
        let jit = match kind {
            EngineKind::Jit => Some(Jit::new(&program, world)?),
            EngineKind::Interp => None,
        };
        Ok(Engine { program, jit })
    }

    /// Which kind it is.
    pub fn kind(&self) -> EngineKind {
        if self.jit.is_some() { EngineKind::Jit } else { EngineKind::Interp }
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Decides a batch of packets, at most as many as the batch has room for. The batch and the world must have been made
    /// for the same program.
    pub fn decide(&self, world: &World, scratch: &mut Scratch, packets: &[Packet], batch: &mut Batch) {
        match &self.jit {
            Some(jit) => jit.decide(world, scratch, packets, batch),
            None => self.interpret(world, scratch, packets, batch),
        }
    }

    fn interpret(&self, world: &World, scratch: &mut Scratch, packets: &[Packet], batch: &mut Batch) {
        let stations = self.program.stations.len();
        for (i, (packet, asked)) in packets.iter().zip(&mut batch.asked).enumerate() {
            let head = wire::dissect(packet);
            let verdicts = batch.verdicts.get_mut(i * stations..(i + 1) * stations).unwrap_or(&mut []);
            *asked =
                Eval::new(world, scratch, packet, &head).decide(&self.program, verdicts, &mut batch.tally);
        }
    }
}
