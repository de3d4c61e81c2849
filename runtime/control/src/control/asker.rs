//! Who asks for a change of policies, and what share of them is whose. The invariants: a right is
//! looked at under the lock, just before the change, as tokens are taken back and policies become
//! binding meanwhile; a client has a bounded share of the places for policies and of the versions
//! of unloaded ones, and a part of both is the owner's. (Rejected: to look when the request comes
//! only; its program waits for others, and its stations for the system.)

use super::{Bundle, Control, Held, Refusal, State};
use mrule_dataplane::live::MAX_POLICIES;
use mrule_engine::policy::Origin;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many policies at work one client's texts may be, and how many unloaded ones of a client are
/// kept.
pub const OF_CLIENT: usize = 8;

/// How many of the places for policies are left to the owner.
pub const OF_OWNER: usize = 8;

/// Who asks for a change.
#[derive(Clone)]
pub struct Asker {
    origin: Origin,
    may_bind: bool,
    /// Whether the client's token is still known.
    is_known: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Asker {
    /// Whoever started the run, sends it signals or can open its control socket.
    pub fn owner() -> Asker {
        Asker { origin: Origin::Owner, may_bind: true, is_known: None }
    }

    /// The holder of a token, which says whether binding policies may be loaded, replaced and
    /// unloaded; and whether it is known still, which is asked again just before a change.
    pub fn client(name: &str, may_bind: bool, is_known: impl Fn() -> bool + Send + Sync + 'static) -> Asker {
        Asker { origin: Origin::client(name), may_bind, is_known: Some(Arc::new(is_known)) }
    }

    /// As whom it writes.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it may load, replace and unload what binds all policies.
    pub fn may_bind(&self) -> bool {
        self.may_bind
    }

    /// Whether it may still ask.
    ///
    /// # Errors
    /// [`Refusal::Revoked`].
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match &self.is_known {
            Some(is_known) if !is_known() => Err(Refusal::Revoked),
            _ => Ok(()),
        }
    }
}

/// Why what binds all others is refused.
pub(super) fn binds(name: &str) -> String {
    format!("policy `{name}` binds all others, or would: that needs admin, and a token that names no policy")
}

impl Control {
    /// Whether this one may load a policy, as binding or not; it is asked again when it is loaded.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]
    pub fn check(&self, by: &Asker, name: &str, binding: bool) -> Result<(), Refusal> {
        match by.may_bind || !(binding || self.is_binding(name)) {
            true => Ok(()),
            false => Err(Refusal::Forbidden(binds(name))),
        }
    }
}

impl State {
    /// Whether this one may still load a bundle under this name.
    ///
    /// # Errors
    /// [`Refusal`]
    pub(super) fn may_load(&self, by: &Asker, name: &str, bundle: &Bundle) -> Result<(), Refusal> {
        by.check()?;
        if !by.may_bind && (bundle.is_binding() || self.is_binding(name)) {
            return Err(Refusal::Forbidden(binds(name)));
        }
        // The owner goes back to whose texts it likes.
        match by.origin.is_owner() {
            true => Ok(()),
            false => self.has_place(&by.origin, bundle.origin(), name),
        }
    }

    /// Whether there is a place for a policy that a client loads, with a text of its own or with
    /// one that it goes back to.
    fn has_place(&self, by: &Origin, of: &Origin, name: &str) -> Result<(), Refusal> {
        if of.is_owner() && self.policies.contains_key(name) {
            return Ok(());
        }
        let others = self.policies.iter().filter(|(other, _)| *other != name);
        let origins: Vec<&Origin> = others.map(|(_, held)| held.now.bundle.origin()).collect();
        for whose in [by, of] {
            let Origin::Client(client) = whose else { continue };
            if origins.iter().filter(|origin| **origin == whose).count() >= OF_CLIENT {
                return Err(Refusal::Conflict(format!(
                    "`{client}` has loaded {OF_CLIENT} policies that are at work, which is the most for a client; unload one"
                )));
            }
        }
        // A text of the owner's that a client brings back takes a place of clients, too.
        let clients = origins.iter().filter(|origin| of.is_owner() || !origin.is_owner()).count();
        if clients >= MAX_POLICIES - OF_OWNER {
            let most = MAX_POLICIES - OF_OWNER;
            return Err(Refusal::Conflict(format!(
                "clients have loaded {most} policies, which is the most; the other {OF_OWNER} places are the owner's"
            )));
        }
        Ok(())
    }

    /// Forgets unloaded policies of which there are too many, none that could not be restored: of a
    /// client with more than its share, and then of the one who has the most, the one that was
    /// loaded first. Gives their names.
    pub(super) fn forget(&mut self) -> Vec<String> {
        let mut forgotten = Vec::new();
        loop {
            let may_go = || self.unloaded.iter().filter(|(name, _)| !self.failures.contains_key(*name));
            let mut shares: BTreeMap<Option<&str>, usize> = BTreeMap::new();
            for (_, held) in may_go() {
                *shares.entry(owner(held)).or_default() += 1;
            }
            let most = shares.iter().filter(|(whose, count)| match whose {
                Some(_) => **count > OF_CLIENT || self.unloaded.len() > super::store::UNLOADED,
                None => self.unloaded.len() > super::store::UNLOADED,
            });
            let Some((whose, _)) = most.max_by_key(|(_, count)| **count) else { return forgotten };
            let of = may_go().filter(|(_, held)| owner(held) == *whose);
            let oldest = of.min_by_key(|(_, held)| held.now.loaded).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return forgotten };
            self.unloaded.remove(&oldest);
            forgotten.push(oldest);
        }
    }
}

/// The client whose texts alone a policy is; none where one of them is the owner's.
fn owner(held: &Held) -> Option<&str> {
    match held.now.bundle.origin() {
        Origin::Client(name) if held.older.iter().all(|older| !older.bundle.origin().is_owner()) => {
            Some(name)
        }
        Origin::Client(_) | Origin::Owner => None,
    }
}
