//! Before a policy binds all others, the file `binding` in the state says so: a restart then
//! withholds copies unless the state has that version. The invariants: a client's binding policy is
//! refused where nothing on the disk would say that it was there; the owner's is loaded, and the
//! answer says what a restart forgets; a load that is refused leaves the file as it was. (Rejected:
//! to refuse the owner, too; a policy that binds until the restart is better than none.)

use super::health::Scope;
use super::{Asked, Bundle, Control, Refusal};

/// A load that is about to bind all policies, or not.
pub(super) struct Intent<'a> {
    control: &'a Control,
    name: String,
    /// The file is to say what is at work when it is over.
    is_marked: bool,
    is_binding: bool,
    /// Why the file does not say it.
    unmarked: Option<String>,
}

impl Control {
    /// Notes that a policy is to bind all others, if it is.
    ///
    /// # Errors
    /// [`Refusal`]: a client's that cannot be kept.
    pub(super) fn intend(&self, asked: &Asked, name: &str, bundle: &Bundle) -> Result<Intent<'_>, Refusal> {
        let is_binding = bundle.is_binding();
        let (name, unmarked) = (name.to_owned(), None);
        let mut intent = Intent { control: self, name, is_marked: false, is_binding, unmarked };
        if !is_binding || asked.dry {
            return Ok(intent);
        }
        let marked = {
            let mut state = self.lock();
            state.may_load(&asked.by, &intent.name, bundle)?;
            let before = state.policies.get(&intent.name).or_else(|| state.unloaded.get(&intent.name));
            let version = before.map_or(1, |before| before.now.version + 1);
            state.keeping.intend(&intent.name, version)
        };
        let marked = marked.and_then(|marked| {
            intent.is_marked = marked.is_some();
            marked.map_or(Ok(()), super::keeper::Marked::wait)
        });
        intent.unmarked = marked.err();
        match &intent.unmarked {
            Some(why) if !asked.by.origin().is_owner() => Err(Refusal::Busy(format!(
                "policy `{}` would bind all others, and a restart would go on without it: {why}; nothing was loaded, only \
                 the owner can load it now",
                intent.name
            ))),
            _ => Ok(intent),
        }
    }
}

impl Intent<'_> {
    /// It is loaded: says why it is not kept, if it is not, and what follows.
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

impl Drop for Intent<'_> {
    fn drop(&mut self) {
        if !self.is_marked {
            return;
        }
        let mut state = self.control.lock();
        let now = state.policies.get(&self.name).map(|held| &held.now);
        let version = now.filter(|now| now.bundle.is_binding()).map(|now| now.version);
        let is_missing = state.failures.get(&self.name).is_some_and(|failure| failure.scope == Scope::All);
        state.keeping.intended(&self.name, version, is_missing);
    }
}
