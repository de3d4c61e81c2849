//! What a program's limits leave of any copy: a program of its own, with the same limits, and one
//! station that is asked for everything. Whoever holds its verdicts against copies of other
//! programs has them cut by these limits. The invariant: limits, triggers, tables, params, windows
//! and patterns stand where they stand in the whole program, so that both are run on one
//! environment and one context. (Rejected: to compile the limits into the other programs, whose
//! tables and triggers they do not have.)

use super::{Ask, Length, Pred, Program, Rule, Station, Target};

impl Program {
    /// A program whose verdicts, one for each packet, are what limits without `to` leave of it;
    /// none where there is no such limit.
    pub fn bounds(&self) -> Option<Program> {
        if !self.limits.iter().any(|limit| limit.everywhere) {
            return None;
        }
        let station = Station {
            name: "*".to_owned(),
            span: Default::default(),
            // Nothing is opened: nobody sends by it.
            target: Target::Pipe { path: None },
            limit: None,
        };
        let all = Ask { when: Pred::always(), length: Length::Full, span: Default::default() };
        let rule = Rule {
            name: "*".to_owned(),
            span: Default::default(),
            matches: Pred::always(),
            asks: vec![all],
            stations: 1,
            everywhere: false,
        };
        let mut bounds = self.clone();
        for limit in &mut bounds.limits {
            limit.stations = u64::from(limit.everywhere);
        }
        Some(Program { rules: vec![rule], stations: vec![station], ..bounds })
    }
}
