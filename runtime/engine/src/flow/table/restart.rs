//! SYNs that may begin another connection of the same ends. In an open flow, such a SYN is only
//! noted; the new connection takes the flow's place when the other end answers. So a single forged
//! SYN ends no flow. Invariants: the notes take a fixed amount of memory; a note that was
//! overwritten is like a SYN that was not seen. (Rejected: the note in the flow's entry, 12 bytes
//! more for each flow.)

use super::super::entry::flag;
use super::super::tcp::{self, Candidate, Tcp};
use super::super::view::payload_length;
use super::FlowTable;
use crate::memory::{NoMemory, list};
use mrule_compiler::abi::{Packet, Stack};

/// Number of flows that can have a candidate at once.
const CANDIDATES: usize = 1024;

#[derive(Debug, Clone, Copy, Default)]
struct Noted {
    flow: u32,
    time: i64,
    candidate: Candidate,
}

/// The candidates, by flow.
#[derive(Debug, Clone)]
pub(super) struct Candidates(Vec<Noted>);

/// Which flow a packet belongs to, of those with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belongs {
    /// The flow that is there.
    Here,
    /// The flow that is there, but the packet is a SYN that is no part of its streams.
    Aside,
    /// A new flow. Its SYN may have been seen before.
    Anew(Option<Candidate>),
}

impl Candidates {
    pub(super) const MEMORY: u64 = (CANDIDATES * size_of::<Noted>()) as u64;

    pub(super) fn new() -> Result<Candidates, NoMemory> {
        let mut slots = list(CANDIDATES)?;
        slots.resize(CANDIDATES, Noted::default());
        Ok(Candidates(slots))
    }
}

impl FlowTable {
    /// Which flow a TCP segment belongs to that has the key of flow `id`.
    #[inline(always)]
    pub(super) fn belongs(
        &mut self,
        id: u32,
        from: usize,
        tcp: &Tcp,
        packet: &Packet,
        stack: &Stack,
    ) -> Belongs {
        let flow = &self.flows[id as usize];
        let is_another = tcp.is_another(flow, from);
        if is_another || flow.has(flag::CANDIDATE) {
            let length = payload_length(packet, stack);
            return self.judge(id, from, tcp, (packet.time, length), is_another);
        }
        Belongs::Here
    }

    #[cold]
    fn judge(
        &mut self,
        id: u32,
        from: usize,
        tcp: &Tcp,
        (time, length): (i64, u32),
        is_another: bool,
    ) -> Belongs {
        let flow = &mut self.flows[id as usize];
        if is_another && !tcp::is_protected(flow) {
            return Belongs::Anew(None);
        }
        let slot = &mut self.candidates.0[id as usize % CANDIDATES];
        let fresh = slot.flow == id && time.saturating_sub(slot.time) <= self.timeouts.tcp_opening;
        if flow.has(flag::CANDIDATE) && fresh {
            let other_is_seen = flow.counted(1 - slot.candidate.from).0 > 0;
            if tcp.confirms(&slot.candidate, from, other_is_seen) {
                return Belongs::Anew(Some(slot.candidate));
            }
        }
        if is_another {
            *slot = Noted { flow: id, time, candidate: tcp.candidate(from, length) };
            flow.set(flag::CANDIDATE);
            return Belongs::Aside;
        }
        if !fresh {
            flow.clear(flag::CANDIDATE);
        }
        Belongs::Here
    }
}
