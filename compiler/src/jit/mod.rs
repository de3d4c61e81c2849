//! Native code for a program: owns the code and its constants, and is the one place that calls it. The invariant (V6):
//! the entry point never leaves this module, and code, pool and nodes live as long as [`Jit`], which is borrowed during
//! every call. (Rejected: handing out a function pointer, which can outlive its code.)

mod compile;
mod decide;
mod emit;
mod member;
mod nodes;
mod plan;
mod shape;
mod shims;

pub use compile::{JitError, Listing, listing};

use crate::abi::{Context, Head, MAX_KEY, Packet};
use crate::batch::Batch;
use crate::hir::Program;
use crate::world::{Scratch, World};
use cranelift_jit::JITModule;
use nodes::Node;
use shims::Host;
use std::marker::PhantomData;
use std::sync::Mutex;

type Entry = unsafe extern "C" fn(*mut Context, *const Packet, usize);

/// A program as native code.
pub struct Jit {
    entry: Entry,
    pool: Vec<u64>,
    nodes: Vec<Node>,
    stations: usize,
    rules: usize,
    limits: usize,
    params: usize,
    /// Taken when dropped. The lock is never contended: it only says that workers may share the rest.
    module: Mutex<Option<JITModule>>,
}

impl Jit {
    /// Compiles a program; any world made of the same program can be used with it.
    #[expect(unsafe_code, reason = "the generated function's address becomes a function")]
    pub fn new(program: &Program, world: &World) -> Result<Jit, JitError> {
        let compile::Compiled { module, entry, pool, nodes } = compile::compile(program, world)?;
        let address = module.get_finalized_function(entry);
        // SAFETY: the code was generated with exactly this signature, for this machine's C calling convention.
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(address) };
        let (rules, limits) = (program.rules.len(), program.limits.len());
        let (stations, params) = (program.stations.len(), program.params.len());
        Ok(Jit { entry, pool, nodes, stations, rules, limits, params, module: Mutex::new(Some(module)) })
    }

    /// Decides a batch of packets. Decides none when the batch is too small for them, or was made for another program, or
    /// the world was: then nothing is asked for.
    #[expect(unsafe_code, reason = "the one call of generated code")]
    pub fn decide(&self, world: &World, scratch: &mut Scratch, packets: &[Packet], batch: &mut Batch) {
        let fits = batch.fits(packets.len(), self.stations, self.rules, self.limits);
        let params = world.params();
        if !fits || params.len() < self.params * 2 {
            batch.asked.fill(0);
            return;
        }
        let mut host = Host {
            world,
            scratch,
            nodes: &self.nodes,
            cuts: &mut batch.cuts,
            stations: self.stations,
            scratch_serial: 0,
        };
        let mut context = Context {
            asked: batch.asked.as_mut_ptr(),
            verdicts: batch.verdicts.as_mut_ptr(),
            tally: batch.tally.as_mut_ptr(),
            seen: batch.seen.as_mut_ptr(),
            params: params.as_ptr(),
            pool: self.pool.as_ptr(),
            serial: batch.serial + 1,
            head_serial: 0,
            key: [[0; 2]; MAX_KEY],
            head: Head::default(),
            host: std::ptr::from_mut(&mut host).cast(),
            lives: PhantomData,
        };
        // SAFETY: V1: `Packet` keeps its pointer and length true. V4: the batch was checked to have room for these packets,
        // stations, rules and limits, and is borrowed mutably until the call returns. V6: `self` owns the code, its pool
        // and its nodes, and is borrowed until the call returns; so are the world and the scratch in `host`.
        unsafe { (self.entry)(&raw mut context, packets.as_ptr(), packets.len()) };
        batch.serial += packets.len() as u64;
    }
}

impl Drop for Jit {
    #[expect(unsafe_code, reason = "code is freed by hand")]
    fn drop(&mut self) {
        let module = self.module.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(module) = module.take() {
            // SAFETY: V6: the entry point is private to `self`, every call borrows `self`, so no code runs any more.
            unsafe { module.free_memory() };
        }
    }
}

impl std::fmt::Debug for Jit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jit")
            .field("pool", &self.pool.len())
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
