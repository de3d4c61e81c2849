//! Walks over all conditions and numbers of a program, for passes that collect from them: search
//! patterns, fields that are read, data that must be tracked. (Rejected: a visitor trait with a
//! method per form; every user needs one or two forms.)

use super::{
    Key, Length, Num, NumKind, OwnKey, Pred, PredKind, Program, Rule, Scope, TriggerId, Window, WindowId,
    WindowKind,
};
use crate::abi::bit;
use crate::fields::{App, Facet, FlowSlot, Layer};

/// The data that a program needs besides the packet. Other data need not be tracked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uses {
    /// Any data of flows. All members below imply it.
    pub flows: bool,
    /// Counts or times of flows.
    pub numbers: bool,
    /// The numbers of flows, as keys.
    pub ids: bool,
    /// `app`, or fields of application messages.
    pub app: bool,
    /// Fields of HTTP messages.
    pub http: bool,
    /// Fields of TLS messages.
    pub tls: bool,
    /// Fields of DNS messages.
    pub dns: bool,
    /// Fields of QUIC packets.
    pub quic: bool,
    /// Patterns in streams.
    pub streams: bool,
    /// Triggers that conditions raise: packets are then evaluated one after the other.
    pub triggers: bool,
    /// Some of these triggers have keys or windows: the packets' keys and events must be computed
    /// first.
    pub keyed: bool,
}

impl Pred {
    /// Calls `f` with this condition and every condition in it, each before its parts.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Pred)) {
        let mut todo = vec![self];
        while let Some(pred) = todo.pop() {
            f(pred);
            match pred.kind() {
                PredKind::Not(inner) => todo.push(inner),
                PredKind::And(parts) | PredKind::Or(parts) => todo.extend(parts.iter().rev()),
                _ => {}
            }
        }
    }
}

impl Pred {
    /// How many nodes it has: each condition in it is a node, and so are each eight elements of a
    /// set.
    pub fn nodes(&self) -> u64 {
        let mut nodes = 0;
        self.visit(&mut |pred| {
            let elements = match pred.kind() {
                PredKind::In(_, set) | PredKind::TagIn(_, set) | PredKind::FacetIn(_, set) => {
                    set.parts().len()
                }
                PredKind::AddressIn(_, set) => set.parts().len(),
                _ => 0,
            };
            nodes += 1 + elements as u64 / 8;
        });
        nodes
    }
}

impl Rule {
    /// How many nodes its conditions have.
    pub fn nodes(&self) -> u64 {
        self.matches.nodes() + self.asks.iter().map(|ask| ask.when.nodes()).sum::<u64>()
    }
}

impl Program {
    /// The windows of a trigger.
    pub fn windows_of(&self, trigger: TriggerId) -> impl Iterator<Item = (WindowId, &Window)> {
        let all = (0u32..).map(WindowId).zip(&self.windows);
        all.filter(move |(_, window)| window.trigger == trigger)
    }

    /// The triggers with a condition and keys, in order. Triggers with the same key form a group;
    /// the group's key is the first trigger's [`crate::hir::Trigger::own`].
    pub fn key_groups(&self) -> Vec<(&[OwnKey], Vec<TriggerId>)> {
        let mut groups: Vec<(&[OwnKey], Vec<TriggerId>)> = Vec::new();
        for (id, trigger) in (0u32..).map(TriggerId).zip(&self.triggers) {
            if trigger.when.is_none() || trigger.own.is_empty() {
                continue;
            }
            match groups.iter_mut().find(|(own, _)| *own == trigger.own) {
                Some((_, alike)) => alike.push(id),
                None => groups.push((&trigger.own, vec![id])),
            }
        }
        groups
    }

    /// Whether raising a trigger can make copies fewer or smaller: a limit reads a trigger, a
    /// condition tests that a trigger is not active, or the condition of a trigger reads another.
    pub fn raises_may_lessen(&self) -> bool {
        fn asks(pred: &Pred) -> bool {
            let mut asks = false;
            pred.visit(&mut |pred| {
                asks |= matches!(pred.kind(), PredKind::Active { .. } | PredKind::FlowActive(_))
            });
            asks
        }
        let limits = self.limits.iter().any(|l| asks(&l.matches) || l.asks.iter().any(|ask| asks(&ask.when)));
        let triggers = self.triggers.iter().any(|trigger| trigger.when.as_ref().is_some_and(asks));
        let mut negated = false;
        self.visit_preds(&mut |pred| negated |= matches!(pred.kind(), PredKind::Not(inner) if asks(inner)));
        limits || triggers || negated
    }

    /// The triggers with keys that can reduce copies. If such a trigger cannot be raised, more may
    /// be copied. A limit reads it, a condition tests that it is not active, or another trigger
    /// reads it.
    pub fn triggers_that_lessen(&self) -> Vec<TriggerId> {
        let mut found = Vec::new();
        let mut ask = |pred: &Pred| {
            pred.visit(&mut |pred| {
                if let PredKind::Active { trigger, .. } = pred.kind()
                    && !found.contains(trigger)
                {
                    found.push(*trigger);
                }
            });
        };
        for limit in &self.limits {
            ask(&limit.matches);
            limit.asks.iter().for_each(|line| ask(&line.when));
        }
        self.triggers.iter().filter_map(|trigger| trigger.when.as_ref()).for_each(&mut ask);
        self.visit_preds(&mut |pred| {
            if let PredKind::Not(inner) = pred.kind() {
                ask(inner);
            }
        });
        found
    }

    /// Calls `f` with every condition of every rule, limit and trigger, and every condition in
    /// those.
    pub fn visit_preds<'a>(&'a self, f: &mut impl FnMut(&'a Pred)) {
        for rule in self.rules.iter().chain(&self.limits) {
            rule.matches.visit(f);
            for ask in &rule.asks {
                ask.when.visit(f);
            }
        }
        for trigger in &self.triggers {
            if let Some(when) = &trigger.when {
                when.visit(f);
            }
            trigger.unless.visit(f);
            trigger.own.iter().for_each(|own| own.when.visit(f));
        }
        for window in &self.windows {
            window.when.visit(f);
            if let WindowKind::Distinct(values) = &window.kind {
                values.iter().for_each(|value| value.when.visit(f));
            }
        }
    }

    /// The data that must be tracked for it, found by a walk.
    pub(super) fn find_uses(&self) -> Uses {
        let mut uses = Uses { streams: !self.streams.is_empty(), ..Uses::default() };
        self.visit_preds(&mut |pred| uses.pred(pred));
        for ask in self.rules.iter().chain(&self.limits).flat_map(|rule: &Rule| &rule.asks) {
            match &ask.length {
                Length::None | Length::Full => {}
                Length::Bytes(n) | Length::Percent(n) | Length::Headers(n) => uses.num(n),
                Length::Slice(m, n) => {
                    uses.num(m);
                    uses.num(n);
                }
            }
        }
        for window in &self.windows {
            uses.num(&window.per);
            match &window.kind {
                WindowKind::Count => {}
                WindowKind::Sum(num) => uses.num(num),
                WindowKind::Distinct(values) => values.iter().for_each(|value| uses.key(&value.key)),
            }
        }
        for trigger in &self.triggers {
            trigger.own.iter().for_each(|own| uses.key(&own.key));
            uses.keyed |= trigger.when.is_some() && !trigger.own.is_empty();
            uses.triggers |= trigger.when.is_some();
            uses.flows |= matches!(trigger.scope, Scope::Flow(_));
        }
        uses.flows |= uses.contents() || uses.streams;
        uses
    }
}

/// The bits that only flow tracking sets.
const FLOW_BITS: u64 = bit::FLOW | bit::FROM_CLIENT | bit::FROM_SERVER | bit::STREAM | bit::ISN;

impl Uses {
    /// Whether the applications of flows must be known.
    pub fn contents(&self) -> bool {
        self.app || self.http || self.tls || self.dns || self.quic
    }

    fn facet(&mut self, facet: Facet) {
        match facet.app() {
            App::Http => self.http = true,
            App::Tls => self.tls = true,
            App::Dns => self.dns = true,
            App::Quic => self.quic = true,
            _ => {}
        }
    }

    fn num(&mut self, num: &Num) {
        match num.kind() {
            NumKind::Flow { slot, .. } => {
                self.flows = true;
                self.app |= *slot == FlowSlot::App;
                self.numbers |= slot.is_number();
                self.ids |= *slot == FlowSlot::Id;
            }
            NumKind::Load(load) => self.flows |= load.bits & FLOW_BITS != 0,
            NumKind::Lookup { key, .. } => self.key(key),
            NumKind::Arith(_, a, b) | NumKind::Else(a, b) => {
                self.num(a);
                self.num(b);
            }
            _ => {}
        }
    }

    fn key(&mut self, key: &[Key]) {
        for part in key {
            match part {
                Key::Num(n) | Key::Ipv4(n) => self.num(n),
                Key::Ipv6(a) => self.flows |= a.bits & FLOW_BITS != 0,
                Key::Facet(facet) => self.facet(*facet),
                Key::Bytes(_) | Key::Text(_) => {}
            }
        }
    }

    fn pred(&mut self, pred: &Pred) {
        match pred.kind() {
            PredKind::Bits { layer: Layer::Outer, bits } => self.flows |= bits & FLOW_BITS != 0,
            PredKind::In(n, _) => self.num(n),
            PredKind::Compare(_, a, b) => {
                self.num(a);
                self.num(b);
            }
            PredKind::InTable { key, .. } | PredKind::LookupIs { key, .. } | PredKind::Active { key, .. } => {
                self.key(key);
            }
            PredKind::FlowActive(_) | PredKind::Stream(_) => self.flows = true,
            PredKind::HasFacet(f)
            | PredKind::FacetIn(f, _)
            | PredKind::FacetText(f, _)
            | PredKind::FacetInTable(f, _) => self.facet(*f),
            _ => {}
        }
    }
}
