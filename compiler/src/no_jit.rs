//! Replaces native code in a build without the feature `jit`: a type without values. The invariant:
//! it has the interface of the real type, so an engine reads the same with and without the feature,
//! and `EngineKind` has the same variants in both. (Rejected: a variant that is absent; if one user
//! of the library switches the feature on, the `match` of another would fail.)

use crate::abi::Packet;
use crate::batch::Batch;
use crate::budget::CompileBudget;
use crate::context::{BatchContext, Fired, PacketContext, Probe};
use crate::environment::{Environment, Scratch};
use crate::hir::Program;
use std::ops::Range;
use std::sync::Arc;

/// Why a program could not be compiled to native code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JitError {
    /// This build has no code generator.
    #[error(
        "native code is not available: mrule-compiler was built without its feature `jit`; use the interpreter, or \
         build with the feature"
    )]
    Absent,
}

/// A program as native code. There are no values of this type.
#[derive(Debug)]
pub enum Jit {}

impl Jit {
    pub fn new(_: &Arc<Program>, _: &Environment, _: &CompileBudget) -> Result<Jit, JitError> {
        Err(JitError::Absent)
    }

    pub fn memory(&self) -> usize {
        match *self {}
    }

    pub fn decide(
        &self,
        _: &Environment,
        _: &mut Scratch,
        _: &[Packet],
        _: Range<usize>,
        _: &BatchContext,
        _: &mut Batch,
    ) {
        match *self {}
    }

    pub fn fire(&self, _: &Environment, _: &mut Scratch, _: &[Packet], _: PacketContext, _: &mut [Fired]) {
        match *self {}
    }

    pub fn probe(&self, _: &Environment, _: &mut Scratch, _: &[Packet], _: PacketContext, _: &mut Probe) {
        match *self {}
    }
}
