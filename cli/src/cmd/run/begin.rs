//! What a live run does while it still may do everything: reads keys and secrets, listens at ports,
//! and then gives its privileges up. The invariant: nothing is read from an interface before that.
//! (Rejected: in the loop of the run; what is opened with which privileges is to be seen at a
//! glance.)

use super::live::Ports;
use crate::alarms;
use crate::exit::Failure;
use crate::screen::{DOUBT, Screen};
use mrule_control::api::Reservation;
use mrule_dataplane::confine::Grants;
use mrule_dataplane::privilege::{self, Keep, User};
use mrule_dataplane::sys::tap::Spares;

/// What was opened, and as whom the run goes on.
pub(super) struct Privileged {
    /// None: as who started it.
    pub user: Option<User>,
    pub afar: Option<Reservation>,
    pub alarms: Vec<alarms::Target>,
    /// For taps that are opened without CAP_NET_ADMIN.
    pub spares: Spares,
    /// What clients may reach.
    pub grants: Grants,
}

/// How often each tap may be opened with room for long frames.
const OPENINGS: usize = 4;

impl Privileged {
    /// Opens what others need not be able to, and gives up what is not needed; `warn`: what a user
    /// should know is shown.
    ///
    /// # Errors
    /// Files and addresses that cannot be used; no such user.
    pub fn new(args: &Ports, warn: bool, screen: &mut Screen<'_>) -> Result<Privileged, Failure> {
        let user = match &args.user {
            Some(name) => Some(User::find(name)?),
            None => User::behind_sudo(),
        };
        let (afar, alarms) = (args.listen.open(args.take_over)?, args.alarms.targets()?);
        let spares = Spares::make(if args.bridge.is_empty() { OPENINGS * args.taps_of_workers() } else { 0 });
        let grants = args.listen.grants()?;
        let keep = Keep { user: user.clone(), admin: !args.bridge.is_empty(), calls: args.no_seccomp };
        for what in privilege::give_up(&keep)?.into_iter().filter(|_| warn) {
            writeln!(screen.err, "{} {what}", screen.err_look.paint(DOUBT, "warning:"))?;
        }
        args.listen.check_grants(&grants, args.state.as_deref())?;
        if warn && grants.directories().next().is_some() && !privilege::has_landlock() {
            let doubt = screen.err_look.paint(DOUBT, "note:");
            writeln!(
                screen.err,
                "{doubt} this kernel has no Landlock: what clients' stations may write is checked by mirrorc alone"
            )?;
        }
        Ok(Privileged { user, afar, alarms, spares, grants })
    }
}

/// A failure, with who was refused something if that is not who started the run.
pub(super) fn refused(failure: Failure, user: Option<&User>, args: &Ports) -> Failure {
    let Some(user) = user.filter(|_| failure.help.is_none() && failure.message.contains("ermission denied"))
    else {
        return failure;
    };
    let why =
        if args.user.is_some() { "as `--user` says" } else { "who called sudo; `--user root` changes that" };
    failure.help(format!("mirrorc runs as `{}`, {why}", user.name))
}
