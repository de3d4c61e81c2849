//! The wall clock. Invariant: one place reads the time that events and state carry. (Rejected: a
//! call in each module, with its own unit.)

/// Nanoseconds since the Unix epoch.
pub fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
