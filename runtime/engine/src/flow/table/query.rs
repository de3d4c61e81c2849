//! What may be asked of the flows that are there, and done to one of them from outside. The
//! invariants: finding a flow by its whole name looks at one place of the index; whatever looks at
//! all flows does so in slices, as long as whoever asks chooses; a flow that is over at the moment
//! in question is not there. (Rejected: a list of all flows, which no worker has the time to
//! write.)

use super::super::entry::{Entry, flag};
use super::super::key::Seeds;
use super::super::name::FlowName;
use super::FlowTable;
use crate::flow::FlowId;
use mrule_compiler::fields::App;

/// What is known of one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowAbout {
    /// Its whole name, the client's end first.
    pub name: FlowName,
    /// The application; [`App::Undecided`] also where nobody looks.
    pub app: App,
    /// Packets that the client sent, and that the server sent.
    pub packets: [u64; 2],
    /// Bytes, likewise.
    pub bytes: [u64; 2],
    /// When its first packet came: nanoseconds since the Unix epoch.
    pub first: i64,
    /// When its last packet came.
    pub last: i64,
    /// Both ends have spoken.
    pub established: bool,
    /// Triggers by flow that hold as long as it lives, one bit each.
    pub active: u64,
    /// The number that tells it from other flows, where the program asks for that.
    pub id: Option<u64>,
}

/// Some flows out of all.
pub enum Slice {
    /// Go on here.
    More(usize),
    /// That was the last one.
    End,
}

impl FlowTable {
    /// The flow of this name at a time, what the name does not say (tags, id) being absent.
    pub fn find(&self, name: &FlowName, now: i64) -> Option<FlowId> {
        let key = name.key();
        let id = self.index.find(self.seeds.key(&key), |id| self.at(id).is_some_and(|flow| flow.is(&key)))?;
        self.at(id).filter(|flow| !self.is_over(flow, now)).map(|_| FlowId(id))
    }

    /// Whether a flow is there at a time.
    pub(crate) fn lives(&self, id: FlowId, now: i64) -> bool {
        self.at(id.0).is_some_and(|flow| flow.has(flag::ALIVE) && !self.is_over(flow, now))
    }

    fn at(&self, id: u32) -> Option<&Entry> {
        self.flows.get(id as usize)
    }

    /// Looks at the flows in at most `most` places, from the place `from` on.
    pub fn look(&self, from: usize, most: usize, now: i64, mut f: impl FnMut(&FlowTable, FlowId)) -> Slice {
        let end = from.saturating_add(most).min(self.flows.len());
        for (at, flow) in self.flows.iter().enumerate().take(end).skip(from) {
            if flow.has(flag::ALIVE) && !self.is_over(flow, now) {
                f(self, FlowId(at as u32));
            }
        }
        if end < self.flows.len() { Slice::More(end) } else { Slice::End }
    }

    /// Whether a name may mean this flow: what it does not say may be anything.
    pub fn may_be(&self, flow: FlowId, name: &FlowName) -> bool {
        self.at(flow.0).is_some_and(|flow| flow.proto() == name.proto && name.may_be(&flow.key()))
    }

    /// Packets and bytes of both directions.
    pub fn volume(&self, flow: FlowId) -> (u64, u64) {
        let Some(flow) = self.at(flow.0) else { return (0, 0) };
        let [(p, b), (q, c)] = [0, 1].map(|end| flow.counted(end));
        (p + q, b + c)
    }

    /// All that is known of a flow.
    pub fn about(&self, id: FlowId) -> Option<FlowAbout> {
        let flow = self.at(id.0).filter(|flow| flow.has(flag::ALIVE))?;
        let client = flow.client();
        let [(p, b), (q, c)] = [client, 1 - client].map(|end| flow.counted(end));
        Some(FlowAbout {
            name: FlowName::of(&flow.key(), client),
            app: self.app(id),
            packets: [p, q],
            bytes: [b, c],
            first: flow.first,
            last: flow.last(),
            established: flow.has(flag::ESTABLISHED),
            active: flow.active,
            id: self.number(id),
        })
    }

    /// The number that tells a flow from others, as its packets' views say it.
    pub fn number(&self, flow: FlowId) -> Option<u64> {
        let ids: &Seeds = self.wanted.ids.as_ref()?;
        self.at(flow.0).map(|flow| ids.flow(&flow.key(), flow.first))
    }

    /// Whether one of these triggers is active for a flow.
    pub fn is_active(&self, flow: FlowId, triggers: u64) -> bool {
        self.at(flow.0).is_some_and(|flow| flow.active & triggers != 0)
    }

    /// Makes triggers active for a flow, or ends that; which of them were.
    pub fn set_active(&mut self, flow: FlowId, triggers: u64, active: bool) -> u64 {
        let Some(flow) = self.alive(flow) else { return 0 };
        let were = flow.active & triggers;
        flow.active = if active { flow.active | triggers } else { flow.active & !triggers };
        were
    }
}

impl FlowTable {
    /// Makes triggers active for a flow, one bit each, until it ends.
    pub fn raise(&mut self, flow: FlowId, triggers: u64) {
        if let Some(flow) = self.alive(flow) {
            flow.active |= triggers;
        }
    }

    /// Numbers the triggers of all flows anew: `bits` says which bit each one that goes on had and
    /// gets; the others end.
    pub fn renumber(&mut self, bits: &[(u32, u32)]) {
        for flow in self.flows.iter_mut().filter(|flow| flow.active != 0) {
            let moved = bits.iter().map(|(was, is)| (flow.active >> was & 1) << is);
            flow.active = moved.fold(0, |all, bit| all | bit);
        }
    }

    /// Says which application a flow is.
    pub fn set_app(&mut self, flow: FlowId, app: App) {
        if let Some(flow) = self.alive(flow) {
            flow.set_app(app);
        }
    }

    /// Which application a flow is.
    pub fn app(&self, flow: FlowId) -> App {
        let number = self.flows.get(flow.index()).map_or(0, Entry::app);
        App::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }
}
