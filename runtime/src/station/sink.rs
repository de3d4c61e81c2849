//! From a station's target to what takes its copies. (Rejected: an enum of sinks; each kind would know of the others.)

use super::lane::{Sink, Tally};
use crate::capture::Interface;
use crate::error::Error;
use mrule_compiler::hir::Station;
use std::sync::Arc;

/// Opens a station.
pub(super) fn open(
    station: &Station,
    _interfaces: &Arc<[Interface]>,
    _tally: &Tally,
) -> Result<Box<dyn Sink>, Error> {
    let reason = "this kind of station cannot be opened yet".to_owned();
    Err(Error::Station { station: station.name.clone(), reason })
}
