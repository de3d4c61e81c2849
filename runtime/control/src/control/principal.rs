//! The callers that change policies, and their shares. The invariants: a right is checked under the
//! lock, just before the change, because tokens can be revoked and policies can become binding
//! meanwhile; a client has a bounded share of the policies and of the kept versions of unloaded
//! policies, and a part of both is reserved for the owner. (Rejected: checking only when the
//! request arrives; its program then waits for others, and its stations for the system.)

use super::{Bundle, Control, PolicyEntry, Refusal, State};
use mrule_dataplane::live::MAX_POLICIES;
use mrule_engine::policy::Origin;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The largest number of loaded policies with texts of one client, and of kept unloaded policies of
/// one client.
pub const OF_CLIENT: usize = 8;

/// The number of policies that are reserved for the owner.
pub const OF_OWNER: usize = 8;

/// The caller of a change.
#[derive(Clone)]
pub struct Principal {
    origin: Origin,
    may_bind: bool,
    /// Whether the client's token is still valid.
    is_known: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Principal").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Principal {
    /// The user who started the run, sends it signals or can open its control socket.
    pub fn owner() -> Principal {
        Principal { origin: Origin::Owner, may_bind: true, is_known: None }
    }

    /// The holder of a token. `may_bind`: it may load, replace and unload binding policies.
    /// `is_known`: whether the token is still valid, which is checked again just before a change.
    pub fn client(
        name: &str,
        may_bind: bool,
        is_known: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Principal {
        Principal { origin: Origin::client(name), may_bind, is_known: Some(Arc::new(is_known)) }
    }

    /// The party as which it writes.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it may load, replace and unload binding policies.
    pub fn may_bind(&self) -> bool {
        self.may_bind
    }

    /// Checks that the caller's token is still valid.
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

/// The message of a refusal because of a binding policy.
pub(super) fn binds(name: &str) -> String {
    format!("policy `{name}` binds all others, or would: that needs admin, and a token that names no policy")
}

impl Control {
    /// Checks that the caller may load a policy, binding or not; the load checks again.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]
    pub fn check(&self, by: &Principal, name: &str, binding: bool) -> Result<(), Refusal> {
        match by.may_bind || !(binding || self.is_binding(name)) {
            true => Ok(()),
            false => Err(Refusal::Forbidden(binds(name))),
        }
    }
}

impl State {
    /// Checks that the caller may still load a bundle under this name.
    ///
    /// # Errors
    /// [`Refusal`]
    pub(super) fn may_load(&self, by: &Principal, name: &str, bundle: &Bundle) -> Result<(), Refusal> {
        by.check()?;
        if !by.may_bind && (bundle.is_binding() || self.is_binding(name)) {
            return Err(Refusal::Forbidden(binds(name)));
        }
        // The owner may roll back to any text.
        match by.origin.is_owner() {
            true => Ok(()),
            false => self.has_place(&by.origin, bundle.origin(), name),
        }
    }

    /// Checks that there is a place for a policy that a client loads or rolls back to.
    fn has_place(&self, by: &Origin, of: &Origin, name: &str) -> Result<(), Refusal> {
        if of.is_owner() && self.policies.contains_key(name) {
            return Ok(());
        }
        let others = self.policies.iter().filter(|(other, _)| *other != name);
        let origins: Vec<&Origin> = others.map(|(_, entry)| entry.now.bundle.origin()).collect();
        for whose in [by, of] {
            let Origin::Client(client) = whose else { continue };
            if origins.iter().filter(|origin| **origin == whose).count() >= OF_CLIENT {
                return Err(Refusal::Conflict(format!(
                    "`{client}` has loaded {OF_CLIENT} policies that are at work, which is the most for a client; unload one"
                )));
            }
        }
        // An owner's text that a client brings back uses a place of the clients, too.
        let clients = origins.iter().filter(|origin| of.is_owner() || !origin.is_owner()).count();
        if clients >= MAX_POLICIES - OF_OWNER {
            let most = MAX_POLICIES - OF_OWNER;
            return Err(Refusal::Conflict(format!(
                "clients have loaded {most} policies, which is the most; the other {OF_OWNER} places are the owner's"
            )));
        }
        Ok(())
    }

    /// Removes unloaded policies over the limit, but none that could not be restored: first of a
    /// client over its share, then of the party with most; of these, the policy that was loaded
    /// first. Returns their names.
    pub(super) fn forget(&mut self) -> Vec<String> {
        let mut forgotten = Vec::new();
        loop {
            let may_go = || self.unloaded.iter().filter(|(name, _)| !self.failures.contains_key(*name));
            let mut shares: BTreeMap<Option<&str>, usize> = BTreeMap::new();
            for (_, entry) in may_go() {
                *shares.entry(owner(entry)).or_default() += 1;
            }
            let most = shares.iter().filter(|(whose, count)| match whose {
                Some(_) => **count > OF_CLIENT || self.unloaded.len() > super::store::UNLOADED,
                None => self.unloaded.len() > super::store::UNLOADED,
            });
            let Some((whose, _)) = most.max_by_key(|(_, count)| **count) else { return forgotten };
            let of = may_go().filter(|(_, entry)| owner(entry) == *whose);
            let oldest = of.min_by_key(|(_, entry)| entry.now.loaded).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return forgotten };
            self.unloaded.remove(&oldest);
            forgotten.push(oldest);
        }
    }
}

/// The client that wrote all texts of a policy; none if one of them is the owner's.
fn owner(entry: &PolicyEntry) -> Option<&str> {
    match entry.now.bundle.origin() {
        Origin::Client(name) if entry.older.iter().all(|older| !older.bundle.origin().is_owner()) => {
            Some(name)
        }
        Origin::Client(_) | Origin::Owner => None,
    }
}
