//! Opens the rings of interfaces, and reports errors of the user's options in words. Invariant: no
//! tap listens before everything is set up, and nothing is left open after a failure. (Rejected: to
//! try without privileges and run with less than was asked for.)

use super::{Event, Forward, Live, bridge};
use crate::error::Error;
use crate::sys::interface::{self, Interfaces, State};
use crate::sys::packet::{Direction, Socket};
use crate::sys::ring::Shape;
use crate::sys::tap::{Spares, Tap};
use mrule_compiler::abi::Link;
use mrule_compiler::hir::{Program, Station, Target};
use rustix::thread::{CapabilitySet, CpuSet, capabilities, sched_getaffinity, sched_setaffinity};
use std::io;

/// How rings are opened.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub workers: usize,
    pub ring: Shape,
    pub spares: Spares,
}

impl Opening {
    /// Opens the sockets of each worker, in their order, for the interface with this name and
    /// index. They receive nothing yet. If the kernel has no memory for rings of the requested
    /// shape, all of them are smaller, and the second value reports it.
    pub fn taps(
        &self,
        name: &str,
        index: u32,
        promiscuous: bool,
    ) -> Result<(Vec<Tap>, Option<Event>), Error> {
        let mut shape = self.ring;
        loop {
            match self.of_shape(index, shape, promiscuous) {
                Ok(taps) => {
                    let told = (shape != self.ring).then(|| Event::SmallRing {
                        name: name.to_owned(),
                        wanted: self.ring.bytes(),
                        got: shape.bytes(),
                    });
                    let cramped = taps.iter().any(|tap| !tap.is_roomy());
                    return Ok((taps, told.or_else(|| cramped.then(|| Event::LongQueue(name.to_owned())))));
                }
                Err(error) if is_no_memory(&error) && shape.blocks > Shape::FEWEST => {
                    shape.blocks = (shape.blocks / 2).max(Shape::FEWEST);
                }
                Err(error) => return Err(reading(name, error)),
            }
        }
    }

    fn of_shape(&self, index: u32, shape: Shape, promiscuous: bool) -> io::Result<Vec<Tap>> {
        let mut taps = Vec::new();
        let mut groups = None;
        for _ in 0..self.workers {
            let tap = Tap::open(index, shape, promiscuous, &self.spares)?;
            if self.workers > 1 {
                groups = Some(tap.join(groups, Direction::Entering)?);
            }
            taps.push(tap);
        }
        Ok(taps)
    }
}

fn is_no_memory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS))
}

/// The error for an interface that cannot be read.
pub(super) fn reading(name: &str, error: io::Error) -> Error {
    refused(&format!("reading `{name}`"), "CAP_NET_RAW", error)
}

/// Checks the requested ports.
pub(super) fn check(interfaces: &Interfaces, names: &[String]) -> Result<Vec<(String, Link, State)>, Error> {
    let mut ports: Vec<(String, Link, State)> = Vec::new();
    for name in names {
        let state = interfaces.get(name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::NoInterface { name: name.clone(), there: interfaces.names().join(", ") }
            }
            _ => failed(format!("looking at `{name}`"))(error),
        })?;
        if ports.iter().any(|(other, _, at)| other == name || at.index == state.index) {
            return Err(Error::InterfaceTwice { name: name.clone() });
        }
        if !state.up {
            return Err(Error::InterfaceDown { name: name.clone() });
        }
        let link = match state.hardware {
            interface::ETHERNET | interface::LOOPBACK => Link::Ethernet,
            interface::NONE => Link::RawIp,
            hardware => return Err(Error::Hardware { name: name.clone(), hardware }),
        };
        ports.push((name.clone(), link, state));
    }
    Ok(ports)
}

impl Live {
    /// Checks what can be known about a run before it replaces another run: its interfaces can be
    /// read and bridged, the process may do so, and no station of `program` sends into them. Opens
    /// nothing that the other run holds.
    ///
    /// # Errors
    /// [`Error`], as [`Live::start`] would return it after the end of the other run.
    pub fn check_start(
        taps: &[String],
        bridges: &[(String, String)],
        forward: Forward,
        pin: &[usize],
        program: &Program,
    ) -> Result<(), Error> {
        let interfaces = Interfaces::new().map_err(failed("looking at interfaces"))?;
        let ends = bridges.iter().flat_map(|(a, b)| [a.clone(), b.clone()]);
        let names: Vec<String> = taps.iter().cloned().chain(ends).collect();
        let ports = check(&interfaces, &names)?;
        bridge::are_ethernet(ports.iter().skip(taps.len()))?;
        check_processors(pin)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        program.stations.iter().try_for_each(|station| no_echo(&names, station))?;
        let Some(first) = names.first() else { return Ok(()) };
        drop(Socket::open().map_err(|error| reading(first, error))?);
        let held = capabilities(None).map_err(|error| failed("asking for capabilities")(error.into()))?;
        match bridges.first().filter(|_| forward == Forward::Kernel) {
            Some((a, b)) if !held.effective.contains(CapabilitySet::NET_ADMIN) => {
                let doing = format!("having the kernel forward between `{a}` and `{b}`");
                Err(Error::Privilege { doing, needs: "CAP_NET_ADMIN" })
            }
            _ => Ok(()),
        }
    }
}

/// Checks that workers may run on these processors.
pub(super) fn check_processors(pin: &[usize]) -> Result<(), Error> {
    if pin.is_empty() {
        return Ok(());
    }
    let ours = sched_getaffinity(None).map_err(|error| failed("asking for processors")(error.into()))?;
    match pin.iter().find(|processor| **processor >= CpuSet::MAX_CPU || !ours.is_set(**processor)) {
        Some(other) => {
            let all: Vec<String> =
                (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu)).map(|cpu| cpu.to_string()).collect();
            Err(Error::NoProcessor { processor: *other, there: all.join(", ") })
        }
        None => Ok(()),
    }
}

/// Pins the calling thread to a processor, if it is available.
pub(super) fn stay_on(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    let _taken_away_meanwhile = sched_setaffinity(None, &set);
}

/// Checks that no station of a program sends into a port.
pub(super) fn no_echo(ports: &[&str], station: &Station) -> Result<(), Error> {
    match &station.target {
        Target::Interface { name } if ports.contains(&name.as_str()) => {
            Err(Error::Echo { station: station.name.clone(), name: name.clone() })
        }
        _ => Ok(()),
    }
}

/// The error for a refusal by the system: a missing privilege, or the system's reason.
pub(super) fn refused(doing: &str, needs: &'static str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::PermissionDenied => Error::Privilege { doing: doing.to_owned(), needs },
        _ => Error::Interface { doing: doing.to_owned(), source },
    }
}

/// The error for an operation that the system did not do.
pub(super) fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Interface { doing, source }
}
