//! What only one mirrorc can have: the control socket, the interfaces of bridges, the address of
//! the API. Another mirrorc has them, and this run is refused; or it hands them over. The
//! invariant: what somebody else has is found out before anything is taken over, so that a refused
//! run leaves the old one at work. (Rejected: each where it is used; a socket that is taken would
//! be found when the old one has ended.)

use super::live::Ports;
use crate::exit::Failure;
use crate::screen::{DOUBT, Screen};
use mrule_control::api::{Reservation, Socket, TlsListener};
use mrule_dataplane::live::{Ownership, owner};
use mrule_dataplane::patience;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What this run has.
pub(super) struct Claimed {
    pub socket: Option<Socket>,
    pub ownership: Arc<Ownership>,
    pub afar: Option<TlsListener>,
}

/// Makes the control socket, owns the interfaces, and listens at the address of the API; `warn`:
/// what was taken over is shown.
///
/// # Errors
/// Somebody has one of them, and is not to be replaced.
pub(super) fn claim(
    args: &Ports,
    reservation: Option<Reservation>,
    stop: &AtomicBool,
    warn: bool,
    screen: &mut Screen<'_>,
) -> Result<Claimed, Failure> {
    let ends: Vec<String> = args.bridge.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let path = args.control.as_deref();
    // First: where another mirrorc listens there, its bridge should not be touched. One that is
    // taken over gives up its socket, its files and its state.
    let early = match path {
        Some(path) if args.take_over => {
            will_be_free(path, &ends, stop)?;
            None
        }
        path => path.map(|path| listen(path, stop)).transpose()?,
    };
    let in_use = reservation.as_ref().and_then(Reservation::in_use);
    let mut ownership = Ownership::claim(&ends, args.take_over, in_use)?;
    for what in ownership.told().into_iter().filter(|_| warn) {
        writeln!(screen.err, "{} {what}", screen.err_look.paint(DOUBT, "note:"))?;
    }
    let handed = ownership.handed();
    let afar = reservation.map(|reservation| reservation.listen(handed, args.take_over)).transpose()?;
    if let Some(afar) = &afar {
        let failed = |error| Failure::file("listen at", "the API's address", &error);
        ownership.offer(afar.listener()).map_err(failed)?;
    }
    let socket = match (early, path) {
        (None, Some(path)) => Some(listen(path, stop)?),
        (early, _) => early,
    };
    Ok(Claimed { socket, ownership: Arc::new(ownership), afar })
}

/// Makes the control socket, where the system answers in time.
fn listen(path: &Path, stop: &AtomicBool) -> Result<Socket, Failure> {
    let at = path.to_owned();
    in_time(path, stop, move || Socket::listen(&at))
}

/// That nobody listens at the control socket, or only who is to be replaced.
fn will_be_free(path: &Path, ends: &[String], stop: &AtomicBool) -> Result<(), Failure> {
    let at = path.to_owned();
    let Some(holder) = in_time(path, stop, move || Socket::holder(&at))? else { return Ok(()) };
    let owners = ends.iter().filter_map(|name| owner(name).ok().flatten());
    if owners.into_iter().any(|owner| owner.pid.unwrap_or(0) == holder) {
        return Ok(());
    }
    let why = format!(
        "`{}` is the control socket of process {holder}, which is not the mirrorc to be replaced; nothing was taken over",
        path.display()
    );
    Err(Failure::usage(why).help("choose another path for `--control`, or end that process"))
}

fn in_time<T: Send + 'static>(
    path: &Path,
    stop: &AtomicBool,
    work: impl FnOnce() -> Result<T, mrule_dataplane::Error> + Send + 'static,
) -> Result<T, Failure> {
    let done = patience::within(patience::OPENING, stop, work);
    let hung = || format!("cannot listen at `{}`: its file system does not answer", path.display());
    Ok(done.ok_or_else(|| Failure::usage(hung()))??)
}
