//! What happened to a run, as a record for those who are told. The invariant: the words are those that the user of the run
//! sees. (Rejected: telling the hub where things happen; it would have to be handed down to stations and interfaces.)

use super::Event;
use crate::event::{Kind, Record};
use crate::station::State;
use serde_json::json;

impl Event {
    /// As a record, of now.
    pub fn record(&self) -> Record {
        let note = self.to_string();
        match self {
            Event::Down(name) | Event::Gone(name) => {
                Record::now(Kind::InterfaceDown, json!({ "interface": name, "note": note }))
            }
            Event::Up(name) | Event::Back(name) => {
                Record::now(Kind::InterfaceUp, json!({ "interface": name, "note": note }))
            }
            Event::Station(event) => {
                let station = &event.station;
                match &event.state {
                    State::Down { reason } => {
                        let members = json!({ "station": station, "reason": reason, "note": note });
                        Record::now(Kind::StationDown, members)
                    }
                    State::Up => Record::now(Kind::StationUp, json!({ "station": station, "note": note })),
                    State::Note { .. } => Record::note(&note),
                }
            }
            _ => Record::note(&note),
        }
    }
}
