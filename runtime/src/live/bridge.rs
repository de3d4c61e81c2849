//! Pairs of ports between which frames are forwarded, by the kernel ([`Redirects`]) or by the workers. The invariants: a
//! frame is forwarded by one of the two, never by both; redirects are installed after the taps hear, so nothing passes
//! unseen; what this run installed is removed when it ends, unless it is to stay. (Rejected: falling back to the workers
//! where the kernel refuses: what an operator believes about overload would not hold.)

use super::counts::RedirectCounts;
use super::open::refused;
use super::redirect::{Came, Redirect, Redirects};
use super::{Event, Forward};
use crate::error::Error;
use crate::sys::interface::State;
use crate::sys::packet::Socket;
use mrule_compiler::abi::Link;

/// What forwards, and between which ports.
#[derive(Debug)]
pub(super) struct Bridges {
    /// For each port, the one that its frames leave by.
    peers: Vec<Option<usize>>,
    names: Vec<String>,
    redirects: Option<Redirects>,
    keep: bool,
    /// By port: what the kernel counted when it was asked last, and in all.
    counts: Vec<(Option<Redirect>, RedirectCounts)>,
    /// By port: its redirect was missed and that was told.
    missed: Vec<bool>,
}

impl Bridges {
    /// Of these ports, of which the last `2 * pairs` are the ends of bridges, two by two.
    pub fn new(
        ports: &[(String, Link, State)],
        pairs: usize,
        forward: Forward,
        keep: bool,
    ) -> Result<Bridges, Error> {
        let first = ports.len().saturating_sub(2 * pairs);
        let peer = |at: usize| (at >= first).then(|| first + ((at - first) ^ 1));
        let peers: Vec<Option<usize>> = (0..ports.len()).map(peer).collect();
        for (port, peer) in ports.iter().zip(&peers) {
            if peer.is_some() && port.1 != Link::Ethernet {
                return Err(Error::Ports(format!(
                    "`{}` carries no Ethernet frames: it cannot be bridged",
                    port.0
                )));
            }
        }
        let names: Vec<String> = ports.iter().map(|(name, ..)| name.clone()).collect();
        let redirects = if pairs > 0 { Some(Redirects::new()?) } else { None };
        if forward == Forward::Userspace
            && let Some(redirects) = &redirects
        {
            // What an earlier run left would forward every frame once more.
            for (name, _) in names.iter().zip(&peers).filter(|(_, peer)| peer.is_some()) {
                redirects.remove(name)?;
            }
        }
        Ok(Bridges {
            redirects: redirects.filter(|_| forward == Forward::Kernel),
            keep,
            counts: vec![(None, RedirectCounts::default()); ports.len()],
            missed: vec![false; ports.len()],
            peers,
            names,
        })
    }

    /// Whether the workers forward what enters by this port.
    pub fn is_ours(&self, port: usize) -> bool {
        self.redirects.is_none() && self.peer(port).is_some()
    }

    fn peer(&self, port: usize) -> Option<usize> {
        self.peers.get(port).copied().flatten()
    }

    fn name(&self, port: usize) -> &str {
        self.names.get(port).map_or("", |name| name)
    }

    /// The port whose frames leave by this one, where the workers forward.
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

    /// Installs the redirects of all bridges. Where one fails, those that were new are taken back.
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
                        // The first error is the one to tell.
                        let _also_failed = redirects.remove(self.name(port));
                    }
                    return Err(error);
                }
            }
        }
        for port in 0..self.peers.len() {
            // What an adopted one has counted before is not this run's.
            let now = self.ask(port);
            if let Some((before, _)) = self.counts.get_mut(port) {
                *before = now;
            }
        }
        Ok(events)
    }

    /// Installs the redirects from and to an interface that is there again.
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

    /// Adds what the kernel counted since the last time. Gives the ports whose redirect is missing for the first time,
    /// though their interface is there.
    pub fn count(&mut self, is_there: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut missing = Vec::new();
        for port in 0..self.peers.len() {
            if self.redirects.is_none() || self.peer(port).is_none() {
                continue;
            }
            let now = self.ask(port);
            let gone = now.is_none() && is_there(port);
            if let Some(missed) = self.missed.get_mut(port) {
                if gone && !*missed {
                    missing.push(port);
                }
                *missed = gone;
            }
            if let (Some(now), Some((before, sum))) = (now, self.counts.get_mut(port)) {
                sum.add(before.as_ref(), &now);
                *before = Some(now);
            }
        }
        missing
    }

    /// What the kernel forwarded of what entered by this port.
    pub fn counted(&self, port: usize) -> Option<RedirectCounts> {
        self.redirects.as_ref()?;
        self.peer(port)?;
        self.counts.get(port).map(|(_, sum)| *sum)
    }

    /// Takes the redirects away, unless they are to stay.
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

/// Says when two ends take frames of different lengths.
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
