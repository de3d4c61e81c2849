//! The units that may follow a number without a blank. The invariant: a unit has one meaning
//! everywhere. Sizes with an `i` are powers of 1024, all others powers of 1000. Bits are eighths of
//! bytes, so a bare `bit` is not a unit. (Rejected: `KB` as 1024, which some tools mean and others
//! do not.)

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitKind {
    /// Bytes.
    Size,
    /// Time.
    Duration,
}

/// A unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// The spelling after a number.
    pub name: &'static str,
    /// What it measures.
    pub kind: UnitKind,
    /// How many bytes or nanoseconds the unit is.
    pub scale: u64,
}

const fn size(name: &'static str, scale: u64) -> Unit {
    Unit { name, kind: UnitKind::Size, scale }
}

const fn time(name: &'static str, scale: u64) -> Unit {
    Unit { name, kind: UnitKind::Duration, scale }
}

/// Every unit.
pub const UNITS: &[Unit] = &[
    size("B", 1),
    size("kB", 1_000),
    size("KB", 1_000),
    size("MB", 1_000_000),
    size("GB", 1_000_000_000),
    size("TB", 1_000_000_000_000),
    size("KiB", 1 << 10),
    size("MiB", 1 << 20),
    size("GiB", 1 << 30),
    size("TiB", 1 << 40),
    size("kbit", 125),
    size("Mbit", 125_000),
    size("Gbit", 125_000_000),
    size("Tbit", 125_000_000_000),
    time("ns", 1),
    time("us", 1_000),
    time("ms", 1_000_000),
    time("s", 1_000_000_000),
    time("m", 60_000_000_000),
    time("h", 3_600_000_000_000),
    time("d", 86_400_000_000_000),
];

/// The unit with this name.
pub fn unit(name: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|u| u.name == name)
}
