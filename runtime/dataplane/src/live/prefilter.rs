//! What the kernel passes over: each ring's socket has a filter made of the program
//! (`mrule_compiler::bpf`), so that packets that nobody could want are never read, and of the
//! others no more bytes than can be needed. The invariants: where a worker forwards, nothing is
//! filtered, because what is not read there is not forwarded; a filter can be changed while a ring
//! is read elsewhere, without privileges; where the kernel has no room for one, a wider one takes
//! its place. (Rejected: counting what is passed over, which the kernel tells nobody; what the
//! interface itself counted is told beside.)

use super::spread::Spreading;
use crate::sys::interface::Interfaces;
use crate::sys::packet;
use crate::sys::tap::{Handle, Tap};
use mrule_compiler::abi::Link;
use mrule_compiler::bpf::{self, Filter};
use mrule_compiler::hir::Program;
use std::io;
use std::sync::Arc;

/// The filters of all ports.
#[derive(Debug)]
pub(super) struct Prefilter {
    wanted: bool,
    /// What they are made of; without it everything is kept.
    program: Option<Arc<Program>>,
    /// Which worker gets a packet.
    spreading: Spreading,
    ports: Vec<Port>,
}

#[derive(Debug)]
struct Port {
    link: Link,
    /// Whether it may have one.
    filtered: bool,
    /// The sockets of its workers.
    taps: Vec<Handle>,
    /// What enters is not all kept whole.
    narrows: bool,
    /// What the interface had counted when it was last asked.
    counted: u64,
    /// What it counted meanwhile, all together.
    entered: u64,
}

impl Prefilter {
    /// For ports with these links, of which some may be filtered, if filters are wanted; everything
    /// is kept at first.
    pub fn new(
        wanted: bool,
        spreading: Spreading,
        ports: impl IntoIterator<Item = (Link, bool)>,
    ) -> Prefilter {
        let port = |(link, filtered)| Port {
            link,
            filtered,
            taps: Vec::new(),
            narrows: false,
            counted: 0,
            entered: 0,
        };
        Prefilter { wanted, program: None, spreading, ports: ports.into_iter().map(port).collect() }
    }

    /// The taps of a port begin to hear. Those that it had before hear nothing from then on, so
    /// that no frame is read by both.
    pub fn listen(&mut self, at: usize, name: &str, of: &Interfaces, taps: Vec<Handle>) -> io::Result<()> {
        let Some(port) = self.ports.get_mut(at) else { return Ok(()) };
        port.deafen();
        port.counted = of.received(name).unwrap_or(0);
        port.taps = taps;
        port.spread(self.spreading)?;
        port.attach(self.program.as_deref())
    }

    /// No tap hears anything more, and what they heard is counted when this returns: what workers
    /// read and what the kernel counted can then be compared.
    pub fn deafen(&self) {
        self.ports.iter().for_each(Port::deafen);
        packet::settle();
    }

    /// Whether the taps of a port still hear the interface with this index.
    pub fn is_bound(&self, at: usize, index: u32) -> bool {
        self.ports.get(at).is_some_and(|port| port.taps.iter().all(|tap| tap.is_bound(index)))
    }

    /// All rings hear from now on what this program could want; without one, everything.
    pub fn change(&mut self, program: Option<Arc<Program>>) -> io::Result<()> {
        self.program = program.filter(|_| self.wanted);
        self.ports.iter_mut().try_for_each(|port| port.attach(self.program.as_deref()))
    }

    /// How packets are spread over the workers.
    pub fn spreading(&self) -> Spreading {
        self.spreading
    }

    /// Spreads packets otherwise from now on.
    pub fn spread(&mut self, spreading: Spreading) -> io::Result<()> {
        self.ports.iter().try_for_each(|port| port.spread(spreading))?;
        self.spreading = spreading;
        Ok(())
    }

    /// What the interface of a port counted since it was first read.
    pub fn entered(&mut self, at: usize, name: &str, of: &Interfaces) -> u64 {
        let Some(port) = self.ports.get_mut(at) else { return 0 };
        // One that is gone counts no more; one that is new began at 0.
        if let Ok(now) = of.received(name) {
            port.entered += now.checked_sub(port.counted).unwrap_or(now);
            port.counted = now;
        }
        port.entered
    }

    /// Whether what enters by a port is not all kept whole.
    pub fn narrows(&self, at: usize) -> bool {
        self.ports.get(at).is_some_and(|port| port.narrows)
    }
}

/// The handles of taps that are given to workers.
pub(super) fn handles(taps: &[Tap]) -> io::Result<Vec<Handle>> {
    taps.iter().map(Tap::handle).collect()
}

impl Port {
    fn deafen(&self) {
        for tap in &self.taps {
            // One that cannot be made deaf is gone, or counts on; draining it ends by time.
            let _gone = tap.deafen();
        }
    }

    fn spread(&self, spreading: Spreading) -> io::Result<()> {
        match self.taps.as_slice() {
            // One program is the group's: whoever sets it.
            [first, _, ..] => first.spread(&spreading.program(self.link)),
            _ => Ok(()),
        }
    }

    fn attach(&mut self, program: Option<&Program>) -> io::Result<()> {
        let program = program.filter(|_| self.filtered);
        let filter = |most| program.map_or_else(Filter::everything, |p| bpf::compile(p, self.link, most));
        // The last is four instructions.
        for most in [bpf::MOST, bpf::MOST / 4, 0] {
            let filter = filter(most);
            match self.taps.iter().try_for_each(|tap| tap.listen_to(filter.code())) {
                Ok(()) => {
                    self.narrows = !filter.is_everything();
                    break;
                }
                Err(error) if most > 0 && error.raw_os_error() == Some(libc::ENOMEM) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
