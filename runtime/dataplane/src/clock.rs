//! The wall clock. The invariant: one place asks for the time that events and state carry.
//! (Rejected: each module its own call, with its own unit.)

/// Nanoseconds since the Unix epoch.
pub fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
