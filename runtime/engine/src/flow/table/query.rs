//! Questions about the live flows, and changes to one flow from outside. Invariants: a search by a
//! whole name looks at one place of the index; a search through all flows works in slices whose
//! length the caller chooses; a flow that is over at the given time is not found. (Rejected: a list
//! of all flows, which no worker has the time to write.)

use super::super::entry::{Entry, flag};
use super::super::key::Seeds;
use super::super::name::FlowName;
use super::FlowTable;
use crate::flow::FlowId;
use mrule_compiler::fields::App;

/// What is known about one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowAbout {
    /// The flow's whole name, the client's end first.
    pub name: FlowName,
    /// The application; [`App::Undecided`] also where nothing looks for it.
    pub app: App,
    /// Packets that the client sent, and packets that the server sent.
    pub packets: [u64; 2],
    /// Bytes that the client sent, and bytes that the server sent.
    pub bytes: [u64; 2],
    /// Time of the first packet: nanoseconds since the Unix epoch.
    pub first: i64,
    /// Time of the last packet: nanoseconds since the Unix epoch.
    pub last: i64,
    /// Both ends have spoken.
    pub established: bool,
    /// Triggers with the key `flow` that are active as long as the flow lives, one bit each.
    pub active: u64,
    /// The number that tells the flow from others, where the program asks for it.
    pub id: Option<u64>,
}

/// How far [`FlowTable::look`] has come.
pub enum Slice {
    /// Continue at this place.
    More(usize),
    /// There are no more places.
    End,
}

impl FlowTable {
    /// The flow with this name at the time `now`. Parts that the name does not say (tags, id) must
    /// be absent in the flow.
    pub fn find(&self, name: &FlowName, now: i64) -> Option<FlowId> {
        let key = name.key();
        let id = self.index.find(self.seeds.key(&key), |id| self.at(id).is_some_and(|flow| flow.is(&key)))?;
        self.at(id).filter(|flow| !self.is_over(flow, now)).map(|_| FlowId(id))
    }

    /// Whether a flow lives at the time `now`.
    pub(crate) fn lives(&self, id: FlowId, now: i64) -> bool {
        self.at(id.0).is_some_and(|flow| flow.has(flag::ALIVE) && !self.is_over(flow, now))
    }

    fn at(&self, id: u32) -> Option<&Entry> {
        self.flows.get(id as usize)
    }

    /// Calls `f` for the live flows in at most `most` places, from the place `from` on.
    pub fn look(&self, from: usize, most: usize, now: i64, mut f: impl FnMut(&FlowTable, FlowId)) -> Slice {
        let end = from.saturating_add(most).min(self.flows.len());
        for (at, flow) in self.flows.iter().enumerate().take(end).skip(from) {
            if flow.has(flag::ALIVE) && !self.is_over(flow, now) {
                f(self, FlowId(at as u32));
            }
        }
        if end < self.flows.len() { Slice::More(end) } else { Slice::End }
    }

    /// Whether the name may mean this flow: parts that the name does not say match anything.
    pub fn may_be(&self, flow: FlowId, name: &FlowName) -> bool {
        self.at(flow.0).is_some_and(|flow| flow.proto() == name.proto && name.may_be(&flow.key()))
    }

    /// Packets and bytes of both directions together.
    pub fn volume(&self, flow: FlowId) -> (u64, u64) {
        let Some(flow) = self.at(flow.0) else { return (0, 0) };
        let [(p, b), (q, c)] = [0, 1].map(|end| flow.counted(end));
        (p + q, b + c)
    }

    /// What is known about a flow.
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

    /// The number that tells a flow from others, as in its packets' views.
    pub(crate) fn number(&self, flow: FlowId) -> Option<u64> {
        let ids: &Seeds = self.wanted.ids.as_ref()?;
        self.at(flow.0).map(|flow| ids.flow(&flow.key(), flow.first))
    }

    /// Whether at least one of these triggers is active for a flow.
    pub(crate) fn is_active(&self, flow: FlowId, triggers: u64) -> bool {
        self.at(flow.0).is_some_and(|flow| flow.active & triggers != 0)
    }

    /// Makes triggers active or inactive for a flow. Returns which of them were active before.
    pub(crate) fn set_active(&mut self, flow: FlowId, triggers: u64, active: bool) -> u64 {
        let Some(flow) = self.alive(flow) else { return 0 };
        let were = flow.active & triggers;
        flow.active = if active { flow.active | triggers } else { flow.active & !triggers };
        were
    }
}

impl FlowTable {
    /// Makes triggers active for a flow, one bit each, until the flow ends.
    pub fn raise(&mut self, flow: FlowId, triggers: u64) {
        if let Some(flow) = self.alive(flow) {
            flow.active |= triggers;
        }
    }

    /// Renumbers the triggers of all flows. `bits` has the old and the new bit of each trigger that
    /// goes on; all other triggers end.
    pub(crate) fn renumber(&mut self, bits: &[(u32, u32)]) {
        for flow in self.flows.iter_mut().filter(|flow| flow.active != 0) {
            let moved = bits.iter().map(|(was, is)| (flow.active >> was & 1) << is);
            flow.active = moved.fold(0, |all, bit| all | bit);
        }
    }

    /// Notes that content has shown which end is the client.
    pub fn set_client(&mut self, flow: FlowId, end: usize) {
        if let Some(flow) = self.alive(flow) {
            flow.set_client(end);
            flow.set(flag::CONTENT);
        }
    }

    /// Sets the application of a flow.
    pub fn set_app(&mut self, flow: FlowId, app: App) {
        if let Some(flow) = self.alive(flow) {
            flow.set_app(app);
        }
    }

    /// The application of a flow.
    pub fn app(&self, flow: FlowId) -> App {
        let number = self.flows.get(flow.index()).map_or(0, Entry::app);
        App::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }
}
