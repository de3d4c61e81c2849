//! What happened to a run, in words. The invariant: the words are those that the user of the run
//! sees. (Rejected: telling whoever listens where things happen; it would have to be handed down to
//! stations and interfaces.)

use crate::station;
use std::fmt;

/// Something that a user should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface that is read is down: nothing comes from it.
    Down(String),
    /// It is up again.
    Up(String),
    /// An interface that is read is gone.
    Gone(String),
    /// An interface of the name is there again.
    Back(String),
    /// An interface that is read has another name now; it is read on.
    Renamed {
        /// What it was called before.
        from: String,
        /// What it is called now.
        to: String,
    },
    /// The kernel had no memory for rings as large as was asked for.
    SmallRing {
        /// The interface.
        name: String,
        /// How large each worker's ring was to be, in bytes.
        wanted: u64,
        /// How large it is.
        got: u64,
    },
    /// Fewer long frames may wait for the workers than should, at this interface.
    LongQueue(String),
    /// An interface is there again and cannot be read.
    Failed(String),
    /// The kernel redirected these frames already: an earlier run left that.
    Adopted {
        /// Where they enter.
        from: String,
        /// Where they leave.
        to: String,
    },
    /// Somebody removed the redirect of what enters by this interface.
    NotForwarding(String),
    /// The two ends of a bridge take packets of different lengths.
    Mtu {
        /// The end that takes longer ones.
        wide: String,
        /// The end that does not.
        narrow: String,
        /// What that one takes, in bytes.
        mtu: u32,
    },
    /// The redirect of what enters by this interface is there again.
    Forwarding(String),
    /// The redirect of what enters by this interface leads elsewhere.
    Diverted(String),
    /// A redirect that vanished, or led elsewhere, was put back.
    Repaired {
        /// Where frames enter.
        name: String,
        /// How often, while it did not stay.
        times: u32,
    },
    /// Somebody else's filter is where frames enter.
    ForeignFilter {
        /// Where frames enter.
        name: String,
        /// What it is.
        found: String,
        /// It is in the place of the redirect, and not beside it.
        instead: bool,
    },
    /// Of a station.
    Station(station::Event),
    /// Of those who are told of alarms, in words.
    Alarms(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Down(name) => write!(f, "interface {name} is down"),
            Event::Up(name) => write!(f, "interface {name} is up again"),
            Event::Gone(name) => write!(f, "interface {name} is gone"),
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
                "{name} has a filter of somebody else in place of the redirect ({found}): what enters there is \
                 not forwarded, and nothing is put back while it is there"
            ),
            Event::ForeignFilter { name, found, instead: false } => {
                write!(f, "{name} has a filter of somebody else beside the redirect: {found}")
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
