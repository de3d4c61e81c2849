//! Events as JSON lines: changes of a policy at packet times ([`input`]), and events of its
//! triggers ([`output`]); [`Hub`] passes all events on to their subscribers. The invariant: a line
//! is one JSON object, times are RFC 3339 in UTC with nanoseconds, keys are lists of their parts.
//! (Rejected: our own format; every log collector reads JSON lines.)

mod client;
mod extended;
mod hub;
pub mod input;
mod live;
pub mod output;
mod record;
pub mod verb;

pub use client::{CLIENT_BURST, CLIENT_RATE, OWNER, on_behalf};
pub use hub::{
    EVENT_RATE_LIMIT, Hub, Journal, Listener, LossMonitor, PublishedEvent, Subscriber, UNAUTHENTICATED_RATE,
};
pub use record::{Kind, Record};

use jiff::Timestamp;
use mrule_engine::trigger::KeyPart;
use serde_json::Value as Json;

/// A time as text.
pub fn time_text(nanoseconds: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => format!("{time:.9}"),
        Err(_) => nanoseconds.to_string(),
    }
}

/// A part of a key: numbers as numbers, others as text; bytes that are not UTF-8 as hexadecimal.
pub(crate) fn part_json(part: &KeyPart) -> Json {
    match part {
        KeyPart::Num(number) => Json::from(*number),
        KeyPart::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Json::from(text),
            Err(_) => Json::from(text.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")),
        },
        KeyPart::Ip(_) | KeyPart::Hash(_) => Json::from(part.to_string()),
    }
}
