//! Records in the file `binding` of the state that a policy will bind all others, before it does: a
//! restart then withholds copies unless the state has that version. The invariants: a client's
//! binding policy is refused if nothing on the disk would record it; the owner's policy is loaded,
//! and the answer says what a restart loses; a refused load leaves the file unchanged. (Rejected:
//! refusing the owner, too; a policy that binds until the restart is better than none.)

use super::health::Scope;
use super::{Bundle, Control, LoadRequest, Refusal};

/// A load that is about to make a policy binding, or not.
pub(super) struct BindingIntent<'a> {
    control: &'a Control,
    name: String,
    /// Whether the file must be updated when the load ends.
    is_marked: bool,
    is_binding: bool,
    /// Why the file does not have the record.
    unmarked: Option<String>,
}

impl Control {
    /// Records that a policy will bind all others, if it will.
    ///
    /// # Errors
    /// [`Refusal`]: a client's that cannot be kept.
    pub(super) fn intend(
        &self,
        request: &LoadRequest,
        name: &str,
        bundle: &Bundle,
    ) -> Result<BindingIntent<'_>, Refusal> {
        let is_binding = bundle.is_binding();
        let (name, unmarked) = (name.to_owned(), None);
        let mut intent = BindingIntent { control: self, name, is_marked: false, is_binding, unmarked };
        if !is_binding || request.dry {
            return Ok(intent);
        }
        let marked = {
            let mut state = self.lock();
            state.may_load(&request.by, &intent.name, bundle)?;
            let before = state.policies.get(&intent.name).or_else(|| state.unloaded.get(&intent.name));
            let version = before.map_or(1, |before| before.now.version + 1);
            state.persistence.intend(&intent.name, version)
        };
        let marked = marked.and_then(|marked| {
            intent.is_marked = marked.is_some();
            marked.map_or(Ok(()), super::store_thread::Marked::wait)
        });
        intent.unmarked = marked.err();
        match &intent.unmarked {
            Some(why) if !request.by.origin().is_owner() => Err(Refusal::Busy(format!(
                "policy `{}` would bind all others, and a restart would go on without it: {why}; nothing was loaded, only \
                 the owner can load it now",
                intent.name
            ))),
            _ => Ok(intent),
        }
    }
}

impl BindingIntent<'_> {
    /// Called after the load: returns why the policy is not saved, if it is not, and what follows.
    pub fn loaded(self) -> Option<String> {
        let name = &self.name;
        if let Some(why) = &self.unmarked {
            return Some(format!(
                "policy `{name}` binds copies and is not kept: {why}; a restart goes on without it"
            ));
        }
        let why = self.control.trouble()?;
        let then = match self.is_binding {
            true => "a restart withholds the copies of all policies until it is loaded again or released",
            false => {
                "a restart withholds its copies until it is loaded again or released, or, where the file `binding` \
                 cannot be written either, goes on with the version before"
            }
        };
        Some(format!("policy `{name}` is loaded and not kept yet: {why}; {then}"))
    }
}

impl Drop for BindingIntent<'_> {
    fn drop(&mut self) {
        if !self.is_marked {
            return;
        }
        let mut state = self.control.lock();
        let now = state.policies.get(&self.name).map(|entry| &entry.now);
        let version = now.filter(|now| now.bundle.is_binding()).map(|now| now.version);
        let is_missing = state.failures.get(&self.name).is_some_and(|failure| failure.scope == Scope::All);
        state.persistence.intended(&self.name, version, is_missing);
    }
}
