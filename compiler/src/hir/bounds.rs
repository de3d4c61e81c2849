//! The effect of a program's limits on any copy, as a program: it has the same limits, and one
//! station that is asked for everything. Cutting the copies of other programs to its verdicts
//! applies these limits to them. The invariant: limits, triggers, tables, params, windows and
//! patterns have the same numbers as in the whole program, so both run on one environment and one
//! context. (Rejected: compiling the limits into the other programs, which do not have their tables
//! and triggers.)

use super::{Ask, Length, Pred, Program, Rule, Station, Target};

impl Program {
    /// A program with one verdict per packet: the range that limits without `to` leave of the
    /// packet. `None`: there is no such limit.
    pub fn bounds(&self) -> Option<Program> {
        if !self.limits.iter().any(|limit| limit.everywhere) {
            return None;
        }
        let station = Station {
            name: "*".to_owned(),
            span: Default::default(),
            // The station is never opened: no copy is sent to it.
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
