//! Pairs of ports between which frames are forwarded, by the kernel ([`Redirects`]) or by the
//! workers. Invariants: a frame is forwarded by one of the two, never by both. Redirects are
//! installed after the taps listen, so nothing passes unseen. Redirects installed by this run are
//! removed at its end, unless they must stay. (Rejected: a fallback to the workers where the kernel
//! refuses; an operator's assumption about overload would be wrong.)

use super::counts::RedirectCounts;
use super::open::refused;
use super::redirect::{Came, Redirect, Redirects};
use super::{Event, Forward};
use crate::error::Error;
use crate::sys::interface::State;
use crate::sys::packet::Socket;
use mrule_compiler::abi::Link;
use std::time::{Duration, Instant};

/// What forwards, and between which ports.
#[derive(Debug)]
pub(super) struct Bridges {
    /// For each port, the port that its frames leave by.
    peers: Vec<Option<usize>>,
    names: Vec<String>,
    redirects: Option<Redirects>,
    keep: bool,
    /// By port: the kernel's counters at the last query, and in total.
    counts: Vec<(Option<Redirect>, RedirectCounts)>,
    /// By port: the state of its redirect.
    watched: Vec<Watched>,
    /// Whether a redirect that disappears is put back.
    repair: bool,
}

/// The state of a port's redirect, and the repairs.
#[derive(Debug, Clone, Default)]
struct Watched {
    condition: Condition,
    /// How often the redirect was put back without staying.
    repairs: u32,
    /// When the redirect was last put back.
    repaired: Option<Instant>,
}

/// The condition of a redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Condition {
    /// The redirect is there.
    #[default]
    Well,
    /// The redirect is there, and so is this filter of another program, which may take frames
    /// before it.
    Beside(String),
    /// The redirect is missing.
    Missing,
    /// The redirect is missing, and this filter of another program is there.
    Foreign(String),
    /// The redirect leads to another interface than it should.
    Diverted,
}

/// The longest pause before a redirect that is removed again and again is put back. There is no
/// first pause; the next one is [`STEP`], and each is twice the one before.
const PAUSE: Duration = Duration::from_secs(60);

/// The second pause. A redirect that stayed for two minutes is put back immediately again.
const STEP: Duration = Duration::from_secs(1);

impl Watched {
    /// Whether a missing redirect must be put back now.
    fn is_due(&self, now: Instant) -> bool {
        let pause = STEP.saturating_mul(1 << self.repairs.saturating_sub(1).min(6)).min(PAUSE);
        self.repaired.is_none_or(|repaired| now.saturating_duration_since(repaired) >= pause)
    }

    fn repaired(&mut self, now: Instant) {
        let stayed = self.repaired.is_none_or(|last| now.saturating_duration_since(last) > 2 * PAUSE);
        self.repairs = if stayed { 1 } else { self.repairs.saturating_add(1) };
        self.repaired = Some(now);
    }
}

/// Checks that ends of bridges carry Ethernet frames.
pub(super) fn are_ethernet<'a>(
    mut ends: impl Iterator<Item = &'a (String, Link, State)>,
) -> Result<(), Error> {
    match ends.find(|(_, link, _)| *link != Link::Ethernet) {
        Some((name, ..)) => Err(Error::NotEthernet { name: name.clone() }),
        None => Ok(()),
    }
}

impl Bridges {
    /// The bridges of these ports. The last `2 * pairs` ports are the ends of bridges, two by two.
    pub fn new(
        ports: &[(String, Link, State)],
        pairs: usize,
        forward: Forward,
        keep: bool,
        repair: bool,
    ) -> Result<Bridges, Error> {
        let first = ports.len().saturating_sub(2 * pairs);
        let peer = |at: usize| (at >= first).then(|| first + ((at - first) ^ 1));
        let peers: Vec<Option<usize>> = (0..ports.len()).map(peer).collect();
        are_ethernet(ports.iter().skip(first))?;
        let names: Vec<String> = ports.iter().map(|(name, ..)| name.clone()).collect();
        let redirects = if pairs > 0 { Some(Redirects::new()?) } else { None };
        if forward == Forward::Userspace
            && let Some(redirects) = &redirects
        {
            // Redirects of an earlier run would forward each frame a second time.
            for (name, _) in names.iter().zip(&peers).filter(|(_, peer)| peer.is_some()) {
                redirects.remove(name)?;
            }
        }
        Ok(Bridges {
            redirects: redirects.filter(|_| forward == Forward::Kernel),
            keep,
            counts: vec![(None, RedirectCounts::default()); ports.len()],
            watched: vec![Watched::default(); ports.len()],
            repair,
            peers,
            names,
        })
    }

    /// Whether the workers forward the frames that enter by this port.
    pub fn is_ours(&self, port: usize) -> bool {
        self.redirects.is_none() && self.peer(port).is_some()
    }

    /// The port at the other end of the bridge. `None`: the port is not an end.
    pub fn peer(&self, port: usize) -> Option<usize> {
        self.peers.get(port).copied().flatten()
    }

    /// Sets the present name of a port.
    pub fn call(&mut self, port: usize, name: &str) {
        if let Some(before) = self.names.get_mut(port).filter(|before| *before != name) {
            name.clone_into(before);
        }
    }

    fn name(&self, port: usize) -> &str {
        self.names.get(port).map_or("", |name| name)
    }

    /// The port whose frames leave by this port, where the workers forward.
    pub fn feeds(&self, port: usize) -> Option<usize> {
        self.peer(port).filter(|_| self.redirects.is_none())
    }

    /// A socket for each worker to send on an interface.
    pub fn outs(&self, workers: usize, name: &str, index: u32) -> Result<Vec<Socket>, Error> {
        let doing = format!("sending on `{name}`");
        let fail = |error| refused(&doing, "CAP_NET_RAW", error);
        let open = || {
            let socket = Socket::open().map_err(fail)?;
            socket.with_offloads().map_err(fail)?;
            socket.bypass_queues().map_err(fail)?;
            socket.bind_to_send(index).map_err(fail)?;
            Ok(socket)
        };
        (0..workers).map(|_| open()).collect()
    }

    /// Installs the redirects of all bridges. If one fails, the new redirects are removed again.
    pub fn install(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let mut new = Vec::new();
        for port in 0..self.peers.len() {
            let (Some(redirects), Some(peer)) = (&self.redirects, self.peer(port)) else { continue };
            match redirects.install(self.name(port), self.name(peer)) {
                Ok(Came::Installed) => new.push(port),
                Ok(Came::Adopted) => {
                    let (from, to) = (self.name(port).to_owned(), self.name(peer).to_owned());
                    events.push(Event::Adopted { from, to });
                }
                Err(error) => {
                    for port in new {
                        // The first error is the one to report.
                        let _also_failed = redirects.remove(self.name(port));
                    }
                    return Err(error);
                }
            }
        }
        for port in 0..self.peers.len() {
            // What an adopted redirect counted before does not belong to this run.
            let now = self.ask(port);
            if let Some((before, _)) = self.counts.get_mut(port) {
                *before = now;
            }
        }
        Ok(events)
    }

    /// Installs the redirects from and to an interface that has come back.
    pub fn install_again(&self, port: usize) -> Result<(), Error> {
        let (Some(redirects), Some(peer)) = (&self.redirects, self.peer(port)) else { return Ok(()) };
        redirects.install(self.name(port), self.name(peer))?;
        redirects.install(self.name(peer), self.name(port))?;
        Ok(())
    }

    fn ask(&self, port: usize) -> Option<Redirect> {
        let redirects = self.redirects.as_ref().filter(|_| self.peer(port).is_some())?;
        redirects.get(self.name(port)).ok().flatten()
    }

    /// Adds what the kernel counted since the last time.
    pub fn count(&mut self) {
        for port in 0..self.peers.len() {
            let now = self.ask(port);
            if let (Some(now), Some((before, sum))) = (now, self.counts.get_mut(port)) {
                sum.count(before.as_ref(), &now);
                *before = Some(now);
            }
        }
    }

    /// Checks that each redirect is there. A redirect that disappeared is put back: immediately at
    /// first, later with longer pauses. Filters that another program has put in its place are left
    /// alone. `index` returns the present interface of a port, if there is one.
    pub fn tend(&mut self, now: Instant, index: impl Fn(usize) -> Option<u32>) -> Vec<Event> {
        let mut events = Vec::new();
        for port in 0..self.peers.len() {
            let (Some(redirects), Some(peer)) = (&self.redirects, self.peer(port)) else { continue };
            // Where an end is missing, there is nothing to redirect; this is reported elsewhere.
            let (Some(_), Some(to)) = (index(port), index(peer)) else { continue };
            // An interface that disappears just now is found next time.
            let Ok((ours, of_others)) = redirects.look(self.name(port)) else { continue };
            let is = match (ours, of_others) {
                (Some(ours), _) if !ours.leads_to(to) => Condition::Diverted,
                (Some(_), Some(found)) => Condition::Beside(found),
                (Some(_), None) => Condition::Well,
                (None, Some(found)) => Condition::Foreign(found),
                (None, None) => Condition::Missing,
            };
            let name = self.name(port).to_owned();
            let Some(mut watched) = self.watched.get(port).cloned() else { continue };
            if watched.condition != is {
                events.extend(match &is {
                    Condition::Missing => Some(Event::NotForwarding(name.clone())),
                    Condition::Diverted => Some(Event::Diverted(name.clone())),
                    Condition::Foreign(found) => {
                        Some(Event::ForeignFilter { name: name.clone(), found: found.clone(), instead: true })
                    }
                    Condition::Beside(found) => Some(Event::ForeignFilter {
                        name: name.clone(),
                        found: found.clone(),
                        instead: false,
                    }),
                    Condition::Well => None,
                });
                let was_out = !matches!(watched.condition, Condition::Well | Condition::Beside(_));
                if was_out && matches!(is, Condition::Well | Condition::Beside(_)) {
                    events.push(Event::Forwarding(name.clone()));
                }
                watched.condition = is;
            }
            let broken = matches!(watched.condition, Condition::Missing | Condition::Diverted);
            if broken && self.repair && watched.is_due(now) {
                watched.repaired(now);
                let before = self.counts.get(port).and_then(|(before, _)| before.as_ref());
                let made = before.map_or(0, Redirect::made);
                match redirects.install_over(&name, self.name(peer), made) {
                    Ok(_) => {
                        watched.condition = Condition::Well;
                        events.push(Event::Repaired { name, times: watched.repairs });
                    }
                    Err(error) => events.push(Event::Failed(error.to_string())),
                }
            }
            if let Some(place) = self.watched.get_mut(port) {
                *place = watched;
            }
        }
        events
    }

    /// The condition of a port's redirect at the last check.
    pub fn condition(&self, port: usize) -> Condition {
        self.watched.get(port).map(|watched| watched.condition.clone()).unwrap_or_default()
    }

    /// Lets the redirects stay after the end of the run.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// What the kernel forwarded of the frames that entered by this port.
    pub fn counted(&self, port: usize) -> Option<RedirectCounts> {
        self.redirects.as_ref()?;
        self.peer(port)?;
        self.counts.get(port).map(|(_, sum)| *sum)
    }

    /// Removes the redirects, unless they must stay.
    pub fn remove(&self) -> Result<(), Error> {
        let Some(redirects) = self.redirects.as_ref().filter(|_| !self.keep) else { return Ok(()) };
        let mut first = Ok(());
        for port in (0..self.peers.len()).filter(|port| self.peer(*port).is_some()) {
            match redirects.remove(self.name(port)) {
                // An interface that is gone has taken its redirect along.
                Ok(_) | Err(Error::NoInterface { .. }) => {}
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    }
}

/// Reports ends of a bridge with different MTUs.
pub(super) fn mtu(ports: &[(String, Link, State)], pairs: usize) -> Vec<Event> {
    let first = ports.len().saturating_sub(2 * pairs);
    let ends = ports.get(first..).unwrap_or(&[]).chunks_exact(2);
    let differ = ends.filter_map(|pair| match pair {
        [(a, _, first), (b, _, second)] if first.mtu != second.mtu => {
            let (wide, narrow) = if first.mtu > second.mtu { (a, b) } else { (b, a) };
            Some(Event::Mtu { wide: wide.clone(), narrow: narrow.clone(), mtu: first.mtu.min(second.mtu) })
        }
        _ => None,
    });
    differ.collect()
}
