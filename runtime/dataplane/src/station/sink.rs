//! Makes the sink for a station's target. Invariant: only this module knows all kinds of sinks.
//! (Rejected: an enum of sinks; each kind would know about the others.)

use super::file::Files;
use super::link::Interface;
use super::pipe::Pipe;
use super::queue::{Sink, SinkStatus};
use super::scope::Scope;
use super::tunnel::Tunnel;
use crate::capture;
use crate::error::Error;
use mrule_compiler::hir::{Station, Target};

/// Opens a station.
pub(super) fn open(
    station: &Station,
    interfaces: &[capture::Interface],
    scope: &Scope,
    status: &SinkStatus,
) -> Result<Box<dyn Sink>, Error> {
    let name = &station.name;
    Ok(match &station.target {
        Target::Interface { name: interface } => Box::new(Interface::open(name, interface, status)?),
        Target::Tunnel { host, encap, fragment } => {
            Box::new(Tunnel::open(name, *host, *encap, *fragment, status)?)
        }
        Target::Pcapng { path, rotate, keep } => {
            Box::new(Files::open(name, path, *rotate, *keep, interfaces, scope, status)?)
        }
        Target::Pipe { path } => Box::new(Pipe::open(name, path.as_deref(), interfaces, scope, status)?),
    })
}
