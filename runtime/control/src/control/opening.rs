//! Prepares a change of stations: waits for its turn and opens the stations. The invariants:
//! nothing is opened while the state is locked, so a station that hangs delays no other request;
//! the holder of the turn finds the stations unchanged after they are open. (Rejected: one lock for
//! all; a hung file system stopped the control plane.)

use super::dataplane::{Open, Stations};
use super::{Bundle, Control, LoadRequest, Refusal, stations};
use mrule_compiler::engine::Engine;
use mrule_engine::policy::Label;
use mrule_engine::policy::Origin;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// The longest time that a change of policies or stations waits for others: enough for two changes
/// whose stations hang.
const TURN: Duration = Duration::from_secs(15);

impl Control {
    /// Waits until no other change of stations runs, and until only a few older programs still
    /// send.
    pub(super) fn turn(&self, what: String) -> Result<MutexGuard<'_, ()>, Refusal> {
        let until = Instant::now() + TURN;
        let late = |why: &str| Refusal::Conflict(format!("{why}; nothing was changed, try again"));
        loop {
            let over = Instant::now() >= until;
            match self.turn.try_lock() {
                Ok(turn) => {
                    if !self.lock().plane()?.is_ending_much() {
                        let doing = Some((what, Instant::now()));
                        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = doing;
                        return Ok(turn);
                    }
                    if over {
                        return Err(late("stations of many older programs still send what waits"));
                    }
                }
                Err(TryLockError::Poisoned(_)) => self.turn.clear_poison(),
                Err(TryLockError::WouldBlock) if over => {
                    let doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let (what, since) = doing.unwrap_or_else(|| ("another change".to_owned(), until));
                    let seconds = since.elapsed().as_secs();
                    return Err(late(&format!(
                        "{what} waits for the system to open its stations (for {seconds} s)"
                    )));
                }
                Err(TryLockError::WouldBlock) => {}
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Prepares the opening of the stations of a program, including changes by commands and
    /// clients; records the writer of each station in the bundle.
    pub(super) fn opening(
        &self,
        request: &LoadRequest,
        name: &str,
        engine: Arc<Engine>,
        bundle: &mut Bundle,
    ) -> Result<(Arc<Engine>, Vec<Origin>, Open), Refusal> {
        let state = self.lock();
        let plane = state.plane.as_ref().ok_or(Refusal::Ended)?;
        let entry = state.policies.get(name);
        request.expect.map_or(Ok(()), |expect| expect.check(name, entry))?;
        state.may_load(&request.by, name, bundle)?;
        let old = plane.policy(name);
        bundle.inherit(engine.program(), &old.map(|old| stations::written(&old)).unwrap_or_default());
        let mut origins = bundle.origins(engine.program());
        let engine = match entry {
            Some(entry) => stations::changed_engine(engine, &mut origins, &entry.changed.stations),
            None => engine,
        };
        let before = entry.or_else(|| state.unloaded.get(name));
        let version = before.map_or(1, |before| before.now.version + 1);
        let label = Label { policy: name.into(), version };
        let program = engine.program().clone();
        let stations =
            Stations { policy: name.to_owned(), program, origins: origins.clone(), label: Some(label) };
        Ok((engine, origins, plane.open(stations)?))
    }
}
