//! The kernel's prefilter: the socket of each ring has a filter made from the program
//! (`mrule_compiler::bpf`), so that packets that no rule could want are never read. Of the other
//! packets, no more bytes than needed are read. Invariants: where a worker forwards, nothing is
//! filtered, because unread frames would not be forwarded. A filter can be changed while its ring
//! is read elsewhere, without privileges. Where the kernel has no room for a filter, a wider one
//! takes its place. (Rejected: counting the dropped packets, which the kernel does not report; the
//! interface's own count is reported instead.)

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
    /// The program that the filters are made from. `None`: everything is kept.
    program: Option<Arc<Program>>,
    /// Which worker gets a packet.
    spreading: Spreading,
    ports: Vec<Port>,
}

#[derive(Debug)]
struct Port {
    link: Link,
    /// Whether the port may have a filter.
    filtered: bool,
    /// The sockets of the port's workers.
    taps: Vec<Handle>,
    /// Not all frames are kept whole.
    narrows: bool,
    /// The interface's counter at the last query.
    counted: u64,
    /// What the interface counted in total.
    entered: u64,
}

impl Prefilter {
    /// The prefilter of ports with these links, some of which may be filtered, if `wanted`. At
    /// first everything is kept.
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

    /// Makes the taps of a port listen. The port's earlier taps receive nothing from then on, so
    /// that no frame is read by both.
    pub fn listen(&mut self, at: usize, name: &str, of: &Interfaces, taps: Vec<Handle>) -> io::Result<()> {
        let Some(port) = self.ports.get_mut(at) else { return Ok(()) };
        port.deafen();
        port.counted = of.received(name).unwrap_or(0);
        port.taps = taps;
        port.spread(self.spreading)?;
        port.attach(self.program.as_deref())
    }

    /// Makes all taps deaf. When this returns, all received frames are counted, so that the
    /// workers' and the kernel's counters can be compared.
    pub fn deafen(&self) {
        self.ports.iter().for_each(Port::deafen);
        packet::settle();
    }

    /// Whether the taps of a port still receive from the interface with this index.
    pub fn is_bound(&self, at: usize, index: u32) -> bool {
        self.ports.get(at).is_some_and(|port| port.taps.iter().all(|tap| tap.is_bound(index)))
    }

    /// Makes all rings receive what this program could want. `None`: everything.
    pub fn change(&mut self, program: Option<Arc<Program>>) -> io::Result<()> {
        self.program = program.filter(|_| self.wanted);
        self.ports.iter_mut().try_for_each(|port| port.attach(self.program.as_deref()))
    }

    /// How packets are spread over the workers.
    pub fn spreading(&self) -> Spreading {
        self.spreading
    }

    /// Changes how packets are spread from now on.
    pub fn spread(&mut self, spreading: Spreading) -> io::Result<()> {
        self.ports.iter().try_for_each(|port| port.spread(spreading))?;
        self.spreading = spreading;
        Ok(())
    }

    /// What the interface of a port counted since it was first read.
    pub fn entered(&mut self, at: usize, name: &str, of: &Interfaces) -> u64 {
        let Some(port) = self.ports.get_mut(at) else { return 0 };
        // A missing interface counts no more; a new one began at 0.
        if let Ok(now) = of.received(name) {
            port.entered += now.checked_sub(port.counted).unwrap_or(now);
            port.counted = now;
        }
        port.entered
    }

    /// Whether not all frames that enter by a port are kept whole.
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
            // A tap that cannot be made deaf is gone, or counts on; draining it then ends by time.
            let _gone = tap.deafen();
        }
    }

    fn spread(&self, spreading: Spreading) -> io::Result<()> {
        match self.taps.as_slice() {
            // The group has one program; any member sets it for all.
            [first, _, ..] => first.spread(&spreading.program(self.link)),
            _ => Ok(()),
        }
    }

    fn attach(&mut self, program: Option<&Program>) -> io::Result<()> {
        let program = program.filter(|_| self.filtered);
        let filter = |most| program.map_or_else(Filter::everything, |p| bpf::compile(p, self.link, most));
        // The last filter has four instructions.
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
