//! The events of a run, in words. Invariant: the words are those that the user of the run sees.
//! (Rejected: calling the listener where events happen; it would have to be passed down to stations
//! and interfaces.)

use crate::station;
use std::fmt;

/// An event that a user should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface that is read is down: no frames come from it.
    Down(String),
    /// The interface is up again.
    Up(String),
    /// An interface that is read is gone.
    Removed(String),
    /// An interface with this name is there again.
    Back(String),
    /// An interface that is read has another name now; reading continues.
    Renamed {
        /// What it was called before.
        from: String,
        /// What it is called now.
        to: String,
    },
    /// The kernel had no memory for rings of the requested size.
    SmallRing {
        /// The interface.
        name: String,
        /// The requested size of each worker's ring, in bytes.
        wanted: u64,
        /// The actual size, in bytes.
        got: u64,
    },
    /// Fewer long frames than intended may wait for the workers at this interface.
    LongQueue(String),
    /// An interface is there again, but cannot be read.
    Failed(String),
    /// The kernel redirected these frames already, because of an earlier run.
    Adopted {
        /// Where they enter.
        from: String,
        /// Where they leave.
        to: String,
    },
    /// The redirect of frames that enter by this interface was removed.
    NotForwarding(String),
    /// The two ends of a bridge accept packets of different lengths.
    Mtu {
        /// The end that accepts longer packets.
        wide: String,
        /// The end that accepts shorter packets.
        narrow: String,
        /// The MTU of the narrow end, in bytes.
        mtu: u32,
    },
    /// The redirect of frames that enter by this interface is there again.
    Forwarding(String),
    /// The redirect of frames that enter by this interface leads to another interface.
    Diverted(String),
    /// A redirect that disappeared, or led elsewhere, was put back.
    Repaired {
        /// Where frames enter.
        name: String,
        /// How often it was put back without staying.
        times: u32,
    },
    /// A filter of another program is where frames enter.
    ForeignFilter {
        /// Where frames enter.
        name: String,
        /// A description of the filter.
        found: String,
        /// Whether the filter is in place of the redirect, or beside it.
        instead: bool,
    },
    /// An event of a station.
    Station(station::Event),
    /// A message about receivers of alarms.
    Alarms(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Down(name) => write!(f, "interface {name} is down"),
            Event::Up(name) => write!(f, "interface {name} is up again"),
            Event::Removed(name) => write!(f, "interface {name} is gone"),
            Event::Back(name) => write!(f, "interface {name} is back"),
            Event::Renamed { from, to } => {
                write!(f, "interface {from} is called {to} now; it is read on, and counted as {from}")
            }
            Event::SmallRing { name, wanted, got } => write!(
                f,
                "the kernel has no memory for rings of {wanted} bytes on {name}: they have {got} bytes, \
                 and hold packets for a shorter time"
            ),
            Event::LongQueue(name) => write!(
                f,
                "frames of {name} that are longer than 16,000 bytes (GRO, GSO) may wait only as far as \
                 net.core.rmem_max allows; CAP_NET_ADMIN, or `sysctl net.core.rmem_max={}`, gives them room",
                crate::sys::tap::LONG_QUEUE
            ),
            Event::Failed(why) => write!(f, "{why}"),
            Event::Adopted { from, to } => {
                write!(f, "found an existing redirect {from} -> {to} and took it over")
            }
            Event::NotForwarding(name) => {
                write!(f, "the redirect of {name} was removed: what enters there is not forwarded")
            }
            Event::Forwarding(name) => write!(f, "{name} is redirected again"),
            Event::Diverted(name) => {
                write!(
                    f,
                    "the redirect of {name} leads to another interface: it is not forwarded as it should be"
                )
            }
            Event::Repaired { name, times: 1 } => write!(f, "the redirect of {name} was put back"),
            Event::Repaired { name, times } => write!(
                f,
                "the redirect of {name} was put back; that was {times} times, and next time it takes longer"
            ),
            Event::ForeignFilter { name, found, instead: true } => write!(
                f,
                "{name} has a filter of another program in place of the redirect ({found}): what enters there is \
                 not forwarded, and nothing is put back while it is there"
            ),
            Event::ForeignFilter { name, found, instead: false } => {
                write!(f, "{name} has a filter of another program beside the redirect: {found}")
            }
            Event::Mtu { wide, narrow, mtu } => {
                write!(
                    f,
                    "{narrow} takes packets of at most {mtu} bytes, {wide} longer ones: those will not pass"
                )
            }
            Event::Station(event) => event.fmt(f),
            Event::Alarms(what) => f.write_str(what),
        }
    }
}
