//! Events of a live run as records. The invariant: the words are those that the user of the run
//! sees. (Rejected: events of the data plane that know their JSON.)

use super::{Kind, Record};
use mrule_dataplane::live::Event;
use mrule_dataplane::station::State;
use serde_json::json;

impl From<&Event> for Record {
    /// A record of an event that happens now.
    fn from(event: &Event) -> Record {
        let note = event.to_string();
        match event {
            Event::Down(name) | Event::Removed(name) => {
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
            Event::NotForwarding(name)
            | Event::Diverted(name)
            | Event::ForeignFilter { name, instead: true, .. } => {
                Record::now(Kind::ForwardingDown, json!({ "interface": name, "note": note }))
            }
            Event::Forwarding(name) | Event::Repaired { name, .. } => {
                Record::now(Kind::ForwardingUp, json!({ "interface": name, "note": note }))
            }
            _ => Record::note(&note),
        }
    }
}
