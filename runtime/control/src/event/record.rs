//! An event record, in one form for all receivers: files, listeners, the history, alarms. The
//! invariant: a record as text is one line of JSON that begins with its time and its kind; its
//! `note` or `reason` is the text for people. (Rejected: a type for each kind; every receiver only
//! needs text with names.)

use super::{client, time_text};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A trigger became active.
    Raised,
    /// An active trigger was extended.
    Extended,
    /// A trigger was not raised: its `unless` held.
    Vetoed,
    /// A trigger was not raised: its key is suppressed.
    Suppressed,
    /// A trigger was not raised: its capacity is used up.
    Full,
    /// A trigger was cleared.
    Cleared,
    /// A key was suppressed.
    Suppression,
    /// A suppression ended.
    SuppressionEnded,
    /// A station does not accept copies.
    StationDown,
    /// A station accepts copies again.
    StationUp,
    /// An interface that mirrorc reads is down or gone.
    InterfaceDown,
    /// An interface is back.
    InterfaceUp,
    /// The frames of an interface are not forwarded, or not correctly.
    ForwardingDown,
    /// The frames of an interface are forwarded again.
    ForwardingUp,
    /// A new reason of the health without a kind of its own.
    Degraded,
    /// A reason of the health is resolved.
    Recovered,
    /// There are too many drops.
    Drops,
    /// There are no longer too many drops.
    DropsCleared,
    /// A policy was loaded.
    Loaded,
    /// A policy was unloaded.
    Unloaded,
    /// A load was refused.
    Refused,
    /// A client requested a change.
    Change,
    /// A request had no valid token.
    Unauthenticated,
    /// Other information for the user.
    Note,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 24] = [
        Kind::Raised,
        Kind::Extended,
        Kind::Vetoed,
        Kind::Suppressed,
        Kind::Full,
        Kind::Cleared,
        Kind::Suppression,
        Kind::SuppressionEnded,
        Kind::StationDown,
        Kind::StationUp,
        Kind::InterfaceDown,
        Kind::InterfaceUp,
        Kind::ForwardingDown,
        Kind::ForwardingUp,
        Kind::Degraded,
        Kind::Recovered,
        Kind::Drops,
        Kind::DropsCleared,
        Kind::Loaded,
        Kind::Unloaded,
        Kind::Refused,
        Kind::Change,
        Kind::Unauthenticated,
        Kind::Note,
    ];

    /// The name of the kind in lines.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Raised => "raised",
            Kind::Extended => "extended",
            Kind::Vetoed => "vetoed",
            Kind::Suppressed => "suppressed",
            Kind::Full => "full",
            Kind::Cleared => "cleared",
            Kind::Suppression => "suppression",
            Kind::SuppressionEnded => "suppression_ended",
            Kind::StationDown => "station_down",
            Kind::StationUp => "station_up",
            Kind::InterfaceDown => "interface_down",
            Kind::InterfaceUp => "interface_up",
            Kind::ForwardingDown => "forwarding_down",
            Kind::ForwardingUp => "forwarding_up",
            Kind::Degraded => "degraded",
            Kind::Recovered => "recovered",
            Kind::Drops => "drops",
            Kind::DropsCleared => "drops_cleared",
            Kind::Loaded => "loaded",
            Kind::Unloaded => "unloaded",
            Kind::Refused => "refused",
            Kind::Change => "change",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Note => "note",
        }
    }

    /// The kind with a name; `-` or a blank may replace `_`.
    pub fn named(name: &str) -> Option<Kind> {
        let plain = name.trim().replace([' ', '-'], "_");
        Kind::ALL.into_iter().find(|kind| kind.name() == plain)
    }

    /// Whether the history records this kind; it does not record what every packet of an active key
    /// causes.
    pub fn is_kept(self) -> bool {
        !matches!(self, Kind::Extended | Kind::Vetoed | Kind::Suppressed | Kind::Full)
    }

    /// Whether packets cause this kind, so that there can be very many.
    pub fn is_of_packets(self) -> bool {
        self == Kind::Raised || !self.is_kept()
    }

    /// Whether this kind is an alarm.
    pub fn is_alarm(self) -> bool {
        let quiet =
            [Kind::Suppression, Kind::SuppressionEnded, Kind::Change, Kind::Unauthenticated, Kind::Note];
        self.is_kept() && !quiet.contains(&self)
    }
}

/// An event.
#[derive(Debug, Clone)]
pub struct Record {
    /// The kind.
    pub kind: Kind,
    /// The time, in nanoseconds since the Unix epoch.
    pub time: i64,
    /// The client of the API that caused the event, if any.
    pub client: Option<Arc<str>>,
    /// All other members, by name.
    pub members: Map<String, Json>,
}

/// The longest line before its texts are cut, in bytes.
const LONG: usize = 2048;

/// The length of cut texts, in bytes.
const CUT: usize = 200;

impl Record {
    /// An event that happens now, with these members.
    pub fn now(kind: Kind, members: Json) -> Record {
        let members = match members {
            Json::Object(members) => members,
            _ => Map::new(),
        };
        Record { kind, time: mrule_dataplane::clock::now(), client: client::current(), members }
    }

    /// A note for the user.
    pub fn note(text: &str) -> Record {
        Record::now(Kind::Note, json!({ "note": text }))
    }

    /// The record as one line, without its line end.
    pub fn text(&self) -> String {
        self.json().to_string()
    }

    /// The record as a JSON object.
    pub fn json(&self) -> Json {
        let mut line = Map::new();
        line.insert("time".into(), time_text(self.time).into());
        line.insert("event".into(), self.kind.name().into());
        line.extend(self.members.iter().map(|(name, value)| (name.clone(), value.clone())));
        Json::Object(line)
    }

    /// The record with its texts cut, if the line would be too long.
    pub fn short(self) -> Record {
        if self.text().len() <= LONG {
            return self;
        }
        let mut short = self;
        short.members.values_mut().for_each(cut);
        if short.text().len() > LONG {
            short.members.retain(|_, value| !value.is_array() && !value.is_object());
            short.members.insert("cut".into(), true.into());
        }
        if short.text().len() > LONG {
            short.members.clear();
        }
        short
    }

    /// A member that is text.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Json::as_str)
    }
}

fn cut(value: &mut Json) {
    match value {
        Json::String(text) if text.len() > CUT => {
            text.truncate(text.floor_char_boundary(CUT));
            text.push('…');
        }
        Json::Array(parts) => parts.iter_mut().for_each(cut),
        Json::Object(members) => members.values_mut().for_each(cut),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn names_are_found_again() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            assert_eq!(Kind::named(&kind.name().replace('_', " ")), Some(kind));
            assert!(!kind.name().contains(' '), "{kind:?}");
            assert!(!kind.is_alarm() || kind.is_kept(), "{kind:?}: an alarm is in the history");
        }
        assert_eq!(Kind::named("odd"), None);
    }

    #[test]
    fn long_lines_become_short_and_stay_json() {
        let text = "é".repeat(5000);
        let many: Vec<Json> = (0..5000).map(Json::from).collect();
        for members in [
            json!({ "trigger": "t", "reason": text }),
            json!({ "trigger": "t", "key": [text, text] }),
            json!({ "trigger": "t", "key": many }),
            (0..500).map(|n| (n.to_string(), Json::from(n))).collect::<Map<_, _>>().into(),
        ] {
            let line = Record::now(Kind::Raised, members).short().text();
            assert!(line.len() <= LONG, "{} bytes", line.len());
            let read: Json = serde_json::from_str(&line).unwrap();
            assert_eq!(read["event"], "raised");
        }
        let short = Record::note("a").short();
        assert_eq!(short.word("note"), Some("a"));
    }
}
