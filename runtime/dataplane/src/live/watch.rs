//! Watches the interfaces that are read. An interface is identified by its index, and by whether
//! the sockets are still bound to it; its name may change. Invariant: sockets are opened again only
//! where the earlier sockets receive nothing any more, so that no packet is read twice. (Rejected:
//! to look for the name alone; two sockets would read an interface for a while that is renamed and
//! back.)

use super::{Event, Live};
use crate::error::Error;
use crate::sys::interface::State;
use std::time::Instant;

impl Live {
    /// Checks whether interfaces changed, and opens interfaces that came back. Call it several
    /// times a second.
    pub fn watch(&mut self) {
        let now = Instant::now();
        for handle in &mut self.workers {
            handle.watcher.look(now);
            handle.catch_up();
        }
        for at in 0..self.ports.len() {
            let Some(port) = self.ports.get(at) else { return };
            let (name, before) = (port.name.clone(), port.state);
            // The same interface, whatever its name is now; else another interface with the name.
            let bound = before.filter(|before| self.prefilter.is_bound(at, before.index));
            let same = bound.and_then(|before| self.same(before.index));
            let is_same = same.is_some();
            let (called, now) = match same {
                Some((called, now)) => (called, Some(now)),
                // A new interface that is down counts as missing: it cannot be read.
                None => (name.clone(), self.interfaces.get(&name).ok().filter(|now| now.up)),
            };
            if is_same && port.called != called {
                let from = port.called.clone();
                self.tell(Event::Renamed { from, to: called.clone() });
            }
            if let Some(gone) = before.filter(|_| !is_same) {
                self.ownership.give_up(gone.index);
            }
            let mut seen = now;
            match (before, now) {
                (Some(before), Some(now)) if is_same => {
                    if before.up != now.up {
                        self.tell(if now.up { Event::Up(name) } else { Event::Down(name) });
                    }
                }
                (before, Some(now)) => match self.open_again(at, &name, now) {
                    Ok(()) => self.tell(Event::Back(name)),
                    Err(error) => {
                        // Retried, but reported once.
                        if before.is_some() {
                            self.tell(Event::Failed(error.to_string()));
                        }
                        seen = None;
                    }
                },
                (Some(_), None) => self.tell(Event::Removed(name)),
                (None, None) => {}
            }
            self.bridges.call(at, &called);
            if let Some(port) = self.ports.get_mut(at) {
                (port.state, port.called) = (seen, called);
                let silent = seen.is_some_and(|state| state.up && !state.running);
                port.silent = port.silent.or_else(|| Some(Instant::now())).filter(|_| silent);
            }
        }
        let ports = &self.ports;
        let index = |at: usize| ports.get(at).and_then(|port| Some(port.state?.index));
        for event in self.bridges.tend(Instant::now(), index) {
            self.tell(event);
        }
    }

    /// The interface with this index, and its present name.
    fn same(&self, index: u32) -> Option<(String, State)> {
        let name = self.interfaces.name(index).ok()?;
        self.interfaces.get(&name).ok().filter(|state| state.index == index).map(|state| (name, state))
    }

    /// Opens an interface that has come back.
    fn open_again(&mut self, at: usize, name: &str, state: State) -> Result<(), Error> {
        let promiscuous = self.ports.get(at).is_some_and(|port| port.promiscuous);
        let mut squatted = None;
        if self.bridges.peer(at).is_some() {
            squatted = self.ownership.renew(name, state.index)?;
        }
        let (taps, note) = self.opening.taps(name, state.index, promiscuous)?;
        if let Some(feeder) = self.bridges.feeds(at) {
            let outs = self.bridges.outs(self.workers.len(), name, state.index)?;
            self.hand_out_sockets(feeder, outs);
        }
        if let Some(port) = self.ports.get_mut(at) {
            name.clone_into(&mut port.called);
        }
        self.bridges.call(at, name);
        self.hear(at, taps)?;
        note.into_iter().chain(squatted.map(Event::Failed)).for_each(|note| self.tell(note));
        if let Err(error) = self.bridges.install_again(at) {
            // The taps listen all the same.
            self.tell(Event::Failed(error.to_string()));
        }
        Ok(())
    }
}
