//! What only one process can have: the control socket, the interfaces of bridges, the address of
//! the API. Another process has them, and this daemon is refused; or it hands them over. The
//! invariant: what somebody else has is found out before anything is taken over, so that a refused
//! daemon leaves the old one at work. (Rejected: each where it is used; a socket that is taken
//! would be found when the old one has ended.)

use super::options::Options;
use super::{DaemonError, Notice, Observer};
use crate::api::{Reservation, Socket, TlsListener};
use mrule_dataplane::Error;
use mrule_dataplane::live::{Ownership, owner};
use mrule_dataplane::patience;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What this daemon has.
pub(super) struct Claimed {
    pub socket: Option<Socket>,
    pub ownership: Arc<Ownership>,
    pub tls: Option<TlsListener>,
}

/// Makes the control socket, owns the interfaces, and listens at the address of the API.
///
/// # Errors
/// Somebody has one of them, and is not to be replaced.
pub(super) fn claim(
    options: &Options,
    reservation: Option<Reservation>,
    observer: &mut dyn Observer,
) -> Result<Claimed, DaemonError> {
    let (take_over, stop) = (options.take_over, &*options.stop);
    let ends: Vec<String> = options.live.bridges.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let path = options.control.as_deref();
    // First: where another process listens there, its bridge should not be touched. One that is
    // taken over gives up its socket, its files and its state.
    let early = match path {
        Some(path) if take_over => {
            will_be_free(path, &ends, stop)?;
            None
        }
        path => path.map(|path| listen(path, stop)).transpose()?,
    };
    let in_use = reservation.as_ref().and_then(Reservation::in_use);
    let mut ownership = Ownership::claim(&ends, take_over, in_use)?;
    for what in ownership.told() {
        observer.notice(Notice::HandedOver(&what))?;
    }
    let handed = ownership.handed();
    let tls = reservation.map(|reservation| reservation.listen(handed, take_over)).transpose()?;
    if let Some(tls) = &tls {
        ownership.offer(tls.listener()).map_err(DaemonError::Address)?;
    }
    let socket = match (early, path) {
        (None, Some(path)) => Some(listen(path, stop)?),
        (early, _) => early,
    };
    Ok(Claimed { socket, ownership: Arc::new(ownership), tls })
}

/// Makes the control socket, where the system answers in time.
fn listen(path: &Path, stop: &AtomicBool) -> Result<Socket, DaemonError> {
    let at = path.to_owned();
    in_time(path, stop, move || Socket::listen(&at))
}

/// That nobody listens at the control socket, or only who is to be replaced.
fn will_be_free(path: &Path, ends: &[String], stop: &AtomicBool) -> Result<(), DaemonError> {
    let at = path.to_owned();
    let Some(holder) = in_time(path, stop, move || Socket::holder(&at))? else { return Ok(()) };
    let owners = ends.iter().filter_map(|name| owner(name).ok().flatten());
    if owners.into_iter().any(|owner| owner.pid.unwrap_or(0) == holder) {
        return Ok(());
    }
    Err(DaemonError::SocketHeld { path: path.to_owned(), holder })
}

fn in_time<T: Send + 'static>(
    path: &Path,
    stop: &AtomicBool,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, DaemonError> {
    let done = patience::within(patience::OPENING, stop, work);
    Ok(done.ok_or_else(|| DaemonError::Hung(path.to_owned()))??)
}
