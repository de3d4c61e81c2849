//! What a daemon does while it still may do everything: reads keys and secrets, listens at ports,
//! and then gives its privileges up. The invariant: nothing is read from an interface before that.
//! (Rejected: where each thing is used; what is opened with which privileges is to be seen at a
//! glance.)

use super::options::Options;
use super::{DaemonError, Notice, Observer, receivers};
use crate::alarm::Target;
use crate::api::Reservation;
use mrule_dataplane::confine::Grants;
use mrule_dataplane::patience;
use mrule_dataplane::privilege::{self, Keep, User};
use mrule_dataplane::sys::tap::Spares;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What was opened, and as whom the process goes on.
#[derive(Debug)]
pub struct Privileged {
    pub(super) options: Options,
    /// None: as who started it.
    pub(super) user: Option<User>,
    pub(super) reservation: Option<Reservation>,
    pub(super) targets: Vec<Target>,
    /// For taps that are opened without CAP_NET_ADMIN.
    pub(super) spares: Spares,
    /// What clients may reach.
    pub(super) grants: Grants,
}

/// How often each tap may be opened with room for long frames.
const OPENINGS: usize = 4;

impl Privileged {
    /// Opens what others need not be able to, and gives up what is not needed, if the options say
    /// so.
    ///
    /// # Errors
    /// Files and addresses that cannot be used; no such user.
    pub fn open(options: Options, observer: &mut dyn Observer) -> Result<Privileged, DaemonError> {
        let is_bridge = !options.live.bridges.is_empty();
        let user = match &options.privileges {
            None => None,
            Some(privileges) => match &privileges.user {
                Some(name) => Some(User::find(name)?),
                None => User::behind_sudo(),
            },
        };
        let (reservation, targets) = (reserve(&options)?, receivers::targets(&options.receivers)?);
        let taps = options.live.worker_count() * options.live.taps.len();
        let spares = Spares::make(if is_bridge { 0 } else { OPENINGS * taps });
        let granted = &options.grants;
        let grants = Grants::open(&granted.directories, &granted.interfaces, &granted.networks)?;
        if let Some(privileges) = &options.privileges {
            let keep = Keep { user: user.clone(), admin: is_bridge, calls: privileges.all_calls };
            for what in privilege::give_up(&keep)? {
                observer.notice(Notice::Privileges(&what))?;
            }
        }
        check_grants(&grants, options.state.as_deref())?;
        if grants.directories().next().is_some() && !privilege::has_landlock() {
            observer.notice(Notice::NoLandlock)?;
        }
        Ok(Privileged { options, user, reservation, targets, spares, grants })
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// As whom the process goes on, where it has changed that.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }
}

/// Reads the files of the remote API and binds its address, if that is wanted; where another
/// process is to be replaced, the address may be in use by that.
fn reserve(options: &Options) -> Result<Option<Reservation>, DaemonError> {
    let Some(listen) = &options.listen else { return Ok(None) };
    let reservation = Reservation::new(listen.address, listen.files.clone())?;
    if !options.take_over {
        reservation.is_free()?;
    }
    Ok(Some(reservation))
}

/// Refuses directories that are the state's or in it. Where the state's file system hangs, names
/// are compared. To be called after privileges are given up: a thread that hangs cannot give them
/// up.
fn check_grants(grants: &Grants, state: Option<&Path>) -> Result<(), DaemonError> {
    let Some(state) = state.filter(|_| grants.directories().next().is_some()) else { return Ok(()) };
    let path = state.to_owned();
    let found =
        patience::within(patience::OPENING, &AtomicBool::new(false), move || path.canonicalize().ok());
    let state = match found {
        Some(found) => found,
        None => std::path::absolute(state).ok(),
    };
    let inside = |granted: &&Path| state.as_ref().is_some_and(|state| granted.starts_with(state));
    match grants.directories().find(inside) {
        Some(granted) => Err(DaemonError::GrantInState(granted.to_owned())),
        None => Ok(()),
    }
}
