//! Native code for a program. This module owns the code and its constants, and only it calls the
//! code. The invariant (V6): the entry points never leave this module. Code, pool and nodes live as
//! long as [`Jit`], which is borrowed during every call. (Rejected: handing out a function pointer,
//! which can outlive its code.)

mod ask;
mod compile;
mod decide;
mod emit;
mod fire;
mod member;
mod needs;
mod nodes;
mod probe;
mod shape;
mod shims;
mod start;

pub use compile::{JitError, Listing, listing};

use crate::abi::{Context, Cut, Head, MAX_KEY, OwnKeyWords, Packet, Verdict, WindowEvent};
use crate::batch::Batch;
use crate::budget::CompileBudget;
use crate::context::{BatchContext, Fired, PacketContext, Probe};
use crate::environment::{Environment, Scratch};
use crate::hir::Program;
use cranelift_jit::JITModule;
use nodes::Node;
use shims::Host;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Arc, Mutex};

type Entry = unsafe extern "C" fn(*mut Context, *const Packet, usize);

/// A program as native code.
pub struct Jit {
    decide: Entry,
    /// The functions that write the packets' keys and window events, and that write which triggers
    /// they raise. `None`: no trigger has conditions.
    raise: Option<(Entry, Entry)>,
    pool: Vec<u64>,
    nodes: Vec<Node>,
    /// For the rules without code.
    program: Arc<Program>,
    stations: usize,
    rules: usize,
    limits: usize,
    params: usize,
    triggers: usize,
    patterns: usize,
    windows: usize,
    groups: usize,
    /// Whether the code reads heads and flows.
    flows: bool,
    /// Taken in `drop`. The lock is never contended; it exists so that workers may share the rest.
    module: Mutex<Option<JITModule>>,
}

impl Jit {
    /// Compiles a program. Any environment made of the same program can be used with it.
    #[expect(unsafe_code, reason = "the generated functions' addresses become functions")]
    pub fn new(
        program: &Arc<Program>,
        environment: &Environment,
        budget: &CompileBudget,
    ) -> Result<Jit, JitError> {
        let compile::Compiled { module, decide, raise, pool, nodes } =
            compile::compile(program, environment, budget)?;
        let entry = |id| {
            let address = module.get_finalized_function(id);
            // SAFETY: the code was generated with exactly this signature, for this machine's C
            // calling convention.
            unsafe { std::mem::transmute::<*const u8, Entry>(address) }
        };
        Ok(Jit {
            decide: entry(decide),
            raise: raise.map(|(probe, fire)| (entry(probe), entry(fire))),
            pool,
            nodes,
            program: program.clone(),
            stations: program.stations.len(),
            rules: program.rules.len(),
            limits: program.limits.len(),
            params: program.params.len(),
            triggers: program.triggers.len(),
            patterns: program.streams.len(),
            windows: program.windows.len(),
            groups: program.key_groups().len(),
            flows: program.uses().flows,
            module: Mutex::new(Some(module)),
        })
    }

    /// The approximate bytes of its constants and nodes. The code itself is within the code budget.
    pub fn memory(&self) -> usize {
        size_of_val(self.pool.as_slice()) + size_of_val(self.nodes.as_slice())
    }

    /// Decides a part of a batch of packets. It decides no packet, and asks for no copy, if the
    /// batch or the context is too small, or if the batch, the context or the environment was made
    /// for another program.
    pub fn decide(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        part: Range<usize>,
        context: &BatchContext,
        batch: &mut Batch,
    ) {
        let fits = batch.fits(packets.len(), self.stations, self.rules, self.limits);
        let Some(packets) =
            packets.get(part.clone()).filter(|_| fits && self.sees(environment, part.end, context))
        else {
            batch.asked.fill(0);
            return;
        };
        let at = part.start;
        let (asked, verdicts) = (batch.asked.get_mut(at..), batch.verdicts.get_mut(at * self.stations..));
        let (Some(asked), Some(verdicts)) = (asked, verdicts) else { return };
        let out = Out {
            asked,
            verdicts,
            counters: &mut batch.counters,
            seen: &mut batch.seen,
            cuts: &mut batch.cuts,
            serial: batch.serial + 1,
            ..Out::default()
        };
        self.call(self.decide, environment, scratch, packets, PacketContext::of(context, at), out);
        batch.serial += packets.len() as u64;
    }

    /// Determines which triggers packets raise. None, if the context, the environment or `fired`
    /// does not belong to this program.
    pub fn fire(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        seen: PacketContext,
        fired: &mut [Fired],
    ) {
        let count = packets.len();
        let fits = fired.len() >= count * self.triggers && seen.windows.len() >= count * self.windows;
        match self.raise {
            Some((_, fire)) if fits && self.sees(environment, seen.at + count, seen.context) => {
                let out = Out { fired, serial: 1, ..Out::default() };
                self.call(fire, environment, scratch, packets, seen, out);
            }
            _ => fired.fill(Fired::No),
        }
    }

    /// Writes the packets' keys for triggers and their events for windows. It writes nothing if the
    /// context, the environment or `probe` does not belong to this program.
    pub fn probe(
        &self,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        seen: PacketContext,
        probe: &mut Probe,
    ) {
        let sees = self.sees(environment, seen.at + packets.len(), seen.context);
        match (self.raise.filter(|_| sees), probe.room(packets.len(), self.groups, self.windows)) {
            (Some((entry, _)), Some((keys, events))) => {
                let out = Out { keys, events, serial: 1, ..Out::default() };
                self.call(entry, environment, scratch, packets, seen, out);
            }
            _ => probe.clear(),
        }
    }

    /// Whether the environment, and the context for this many packets, belong to this program.
    fn sees(&self, environment: &Environment, packets: usize, context: &BatchContext) -> bool {
        environment.params().len() >= self.params * 2 && (!self.flows || context.fits(packets, self.patterns))
    }

    #[expect(unsafe_code, reason = "the one call of generated code")]
    fn call(
        &self,
        entry: Entry,
        environment: &Environment,
        scratch: &mut Scratch,
        packets: &[Packet],
        seen: PacketContext,
        out: Out,
    ) {
        let serial = out.serial;
        let mut host = Host {
            environment,
            scratch,
            nodes: &self.nodes,
            program: &self.program,
            cuts: out.cuts,
            stations: self.stations,
            scratch_serial: 0,
            seen,
            tracked: self.flows,
            serial,
            windows: self.windows,
        };
        let PacketContext { context, at, windows } = seen;
        let (words, stride) = context.found_words();
        let mut context = Context {
            asked: out.asked.as_mut_ptr(),
            verdicts: out.verdicts.as_mut_ptr(),
            counters: out.counters.as_mut_ptr(),
            seen: out.seen.as_mut_ptr(),
            params: environment.params().as_ptr(),
            pool: self.pool.as_ptr(),
            serial,
            head_serial: 0,
            key: [[0; 2]; MAX_KEY],
            head: Head::default(),
            heads: context.heads.get(at..).unwrap_or(&[]).as_ptr(),
            flows: context.flows.get(at..).unwrap_or(&[]).as_ptr(),
            found: words.get(at * stride..).unwrap_or(&[]).as_ptr(),
            keys: out.keys.as_mut_ptr(),
            events: out.events.as_mut_ptr(),
            windows: windows.as_ptr(),
            fired: out.fired.as_mut_ptr().cast(),
            host: std::ptr::from_mut(&mut host).cast(),
            lives: PhantomData,
        };
        // SAFETY: V1: `Packet` keeps its pointer and length true. V2, V4: batch, context and
        // `fired` were checked to have room for these packets, stations, rules, limits, patterns,
        // triggers and windows. The written memory is borrowed mutably until the call returns;
        // `Fired` has every value that `fire` stores. V6: `self` owns the code, its pool and its
        // nodes, and is borrowed until the call returns; so are the environment, the scratch and
        // the context in `host`.
        unsafe { (entry)(&raw mut context, packets.as_ptr(), packets.len()) };
    }
}

/// The memory that a call writes. A part is empty if the function does not write it.
#[derive(Default)]
struct Out<'a> {
    asked: &'a mut [u64],
    verdicts: &'a mut [Verdict],
    counters: &'a mut [u64],
    seen: &'a mut [u64],
    cuts: &'a mut [Cut],
    fired: &'a mut [Fired],
    keys: &'a mut [OwnKeyWords],
    events: &'a mut [WindowEvent],
    serial: u64,
}

impl Drop for Jit {
    #[expect(unsafe_code, reason = "code is freed by hand")]
    fn drop(&mut self) {
        let module = self.module.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(module) = module.take() {
            // SAFETY: V6: the entry points are private to `self`, every call borrows `self`, so no
            // code runs any more.
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
