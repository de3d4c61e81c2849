//! What happened, in one form for whoever is told: files, listeners, the history, alarms. The
//! invariant: a record as text is one line of JSON that begins with its time and its kind; what it
//! says in words for people is its `note` or its `reason`. (Rejected: a type for each kind; all
//! that ever becomes of them is text with names.)

use super::{client, time_text};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// Kinds of what can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A trigger is active from now on.
    Raised,
    /// It was active, and is for longer.
    Extended,
    /// Its `unless` held.
    Vetoed,
    /// It would be active, but for somebody who said that it should not.
    Suppressed,
    /// It has no room for the key.
    Full,
    /// Somebody ended its being active.
    Cleared,
    /// Somebody said that it should not be raised for a key.
    Suppression,
    /// Somebody took that back.
    SuppressionEnded,
    /// A station takes no copies.
    StationDown,
    /// It does again.
    StationUp,
    /// An interface that is read is down or gone.
    InterfaceDown,
    /// It is there again.
    InterfaceUp,
    /// What enters by an interface is not forwarded, or not as it should be.
    ForwardingDown,
    /// It is again.
    ForwardingUp,
    /// Something is wrong that has no kind of its own: a reason of the health that is new.
    Degraded,
    /// It is over.
    Recovered,
    /// More is dropped than there should be.
    Drops,
    /// It is not any more.
    DropsCleared,
    /// A policy was loaded.
    Loaded,
    /// A policy was unloaded.
    Unloaded,
    /// A policy was to be loaded, and was not.
    Refused,
    /// Somebody asked for a change.
    Change,
    /// A request without a token that is known.
    Unauthenticated,
    /// Anything else that a user should know of.
    Note,
}

impl Kind {
    /// All of them.
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

    /// Its name in lines.
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

    /// The kind of a name; `-` or a blank may stand in the place of `_`.
    pub fn named(name: &str) -> Option<Kind> {
        let plain = name.trim().replace([' ', '-'], "_");
        Kind::ALL.into_iter().find(|kind| kind.name() == plain)
    }

    /// Whether the history keeps it: not what every packet of an active key does.
    pub fn is_kept(self) -> bool {
        !matches!(self, Kind::Extended | Kind::Vetoed | Kind::Suppressed | Kind::Full)
    }

    /// Whether packets cause it, so that there can be very many.
    pub fn is_of_packets(self) -> bool {
        self == Kind::Raised || !self.is_kept()
    }

    /// Whether alarms tell it.
    pub fn is_alarm(self) -> bool {
        let quiet =
            [Kind::Suppression, Kind::SuppressionEnded, Kind::Change, Kind::Unauthenticated, Kind::Note];
        self.is_kept() && !quiet.contains(&self)
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its kind.
    pub kind: Kind,
    /// When: nanoseconds since the Unix epoch.
    pub time: i64,
    /// The client of the API whose request made it happen, if one did.
    pub client: Option<Arc<str>>,
    /// All else, by name.
    pub members: Map<String, Json>,
}

/// How many bytes a line may have before its texts are cut.
const LONG: usize = 2048;

/// How long texts are then, in bytes.
const CUT: usize = 200;

impl Record {
    /// Happens now, with these members.
    pub fn now(kind: Kind, members: Json) -> Record {
        let members = match members {
            Json::Object(members) => members,
            _ => Map::new(),
        };
        Record { kind, time: mrule_dataplane::clock::now(), client: client::current(), members }
    }

    /// Something that a user should know of, in words.
    pub fn note(text: &str) -> Record {
        Record::now(Kind::Note, json!({ "note": text }))
    }

    /// As one line, without its end.
    pub fn text(&self) -> String {
        self.json().to_string()
    }

    /// As an object of JSON.
    pub fn json(&self) -> Json {
        let mut line = Map::new();
        line.insert("time".into(), time_text(self.time).into());
        line.insert("event".into(), self.kind.name().into());
        line.extend(self.members.iter().map(|(name, value)| (name.clone(), value.clone())));
        Json::Object(line)
    }

    /// The same with texts cut, where the line would be long.
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
