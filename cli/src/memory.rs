//! The memory options of a run: the number of flows, their timeouts, the buffer for streams. The
//! invariant: every value has a unit of the language, and a value that is not given is the
//! runtime's default. (Rejected: a settings file; a few options are enough.)

use mrule_control::budget::MemoryLimits;
use mrule_engine::decider::Limits;
use mrule_engine::flow::{self, Timeouts};
use mrule_grammar::units::{UnitKind, unit};
use std::time::Duration;

/// The options of commands that track flows.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Memory")]
pub struct Memory {
    /// Keep at most N flows, 128 bytes each; if there are more, the flow that is idle longest is
    /// removed first [default: 1048576]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=flow::Limits::MAX_FLOWS as u64))]
    flows: Option<u64>,
    /// Idle time after which a flow ends: `tcp-established=2h`, `udp=10s`
    ///
    /// The kinds and their defaults: tcp-opening 60s, tcp-established 1h, tcp-closing 2m,
    /// tcp-closed 10s, udp 30s, udp-established 3m, icmp 30s, other 10m. The option may be given
    /// several times.
    #[arg(long, value_name = "KIND=TIME", value_parser = timeout)]
    flow_timeout: Vec<(Kind, i64)>,
    /// Memory limit of all programs together, checked before a program is loaded [default: three
    /// quarters of the memory of the machine or control group]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<usize>,
    /// Memory limit of each policy that is loaded by command or API [default: half of `--memory`]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    policy_memory: Option<usize>,
    /// Buffer at most SIZE bytes of out-of-order segments and incomplete messages [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    stream_pool: Option<usize>,
    /// Give a gap in a stream up when more than SIZE bytes wait behind it [default: 64KiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    stream_gap_bytes: Option<usize>,
    /// Give a gap in a stream up when more than N packets wait behind it [default: 64]
    #[arg(long, value_name = "N")]
    stream_gap_packets: Option<u64>,
    /// Give a gap in a stream up when bytes wait behind it for longer than TIME [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = gap_time)]
    stream_gap_time: Option<i64>,
}

type Kind = fn(&mut Timeouts) -> &mut i64;

/// The kinds of flows that have their own timeout.
const KINDS: &[(&str, Kind)] = &[
    ("tcp-opening", |t| &mut t.tcp_opening),
    ("tcp-established", |t| &mut t.tcp_established),
    ("tcp-closing", |t| &mut t.tcp_closing),
    ("tcp-closed", |t| &mut t.tcp_closed),
    ("udp", |t| &mut t.udp),
    ("udp-established", |t| &mut t.udp_established),
    ("icmp", |t| &mut t.icmp),
    ("other", |t| &mut t.other),
];

impl Memory {
    /// The memory limits of programs.
    pub fn budget(&self) -> MemoryLimits {
        let bytes = |size: Option<usize>| size.map(|size| size as u64);
        MemoryLimits::of(bytes(self.memory), bytes(self.policy_memory))
    }

    /// The limits that the options give.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(flows) = self.flows {
            limits.flows.flows = usize::try_from(flows).unwrap_or(usize::MAX);
        }
        for (kind, time) in &self.flow_timeout {
            *kind(&mut limits.flows.timeouts) = *time;
        }
        if let Some(pool) = self.stream_pool {
            limits.streams.pool = pool;
        }
        let streams = &mut limits.streams;
        streams.gap_bytes = self.stream_gap_bytes.unwrap_or(streams.gap_bytes);
        streams.gap_packets = self.stream_gap_packets.unwrap_or(streams.gap_packets);
        streams.gap_time = self.stream_gap_time.unwrap_or(streams.gap_time);
        // A direction must be able to hold as much as may wait.
        streams.held_per_direction = streams.held_per_direction.max(streams.gap_bytes.saturating_mul(4));
        limits
    }
}

fn timeout(text: &str) -> Result<(Kind, i64), String> {
    let kinds = || KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some((name, time)) = text.split_once('=') else {
        return Err("write KIND=TIME, as in `udp=10s`".to_owned());
    };
    let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) else {
        return Err(format!("there is no kind `{name}`; the kinds are {}", kinds()));
    };
    let time = quantity(time, UnitKind::Duration).filter(|time| *time > 0);
    let time = time.and_then(|time| i64::try_from(time).ok());
    Ok((*kind, time.ok_or("write a time with its unit, as in `500ms`, `30s`, `5m` or `2h`")?))
}

/// A size with its unit: `1500`, `64KiB`; at most 1 TiB.
pub fn size(text: &str) -> Result<usize, String> {
    let size = quantity(text, UnitKind::Size).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| *size <= 1 << 40)
        .ok_or_else(|| "write a size as in `1500`, `64KiB` or `64MiB`; at most 1 TiB".to_owned())
}

/// A time with its unit: `500ms`, `1s`; at least a tenth of a second.
pub fn duration(text: &str) -> Result<Duration, String> {
    let time = quantity(text, UnitKind::Duration).map(Duration::from_nanos);
    time.filter(|time| *time >= Duration::from_millis(100))
        .ok_or_else(|| "write a time of at least 100ms with its unit, as in `500ms`, `1s` or `1m`".to_owned())
}

/// A time that bytes may wait behind a gap: `0s`, `200ms`, `1s`.
fn gap_time(text: &str) -> Result<i64, String> {
    let time = quantity(text, UnitKind::Duration).and_then(|time| i64::try_from(time).ok());
    time.ok_or_else(|| "write a time with its unit, as in `200ms`, `1s` or `1m`".to_owned())
}

/// A number with a unit of the language; a size may have no unit.
pub fn quantity(text: &str, kind: UnitKind) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, name) = text.split_at(digits);
    let scale = match unit(name) {
        Some(unit) if unit.kind == kind => unit.scale,
        None if name.is_empty() && kind == UnitKind::Size => 1,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1500"), Ok(1500));
        assert!(
            size("64 KiB").is_err() && size("1m").is_err() && size("").is_err() && size("2000TB").is_err()
        );
        let mut timeouts = Timeouts::default();
        if let Ok((kind, time)) = timeout("udp=1500ms") {
            *kind(&mut timeouts) = time;
        }
        assert_eq!(timeouts, Timeouts { udp: 1_500_000_000, ..Timeouts::default() });
        for wrong in ["udp", "udp=10", "udp=0s", "sctp=10s", "udp=10KiB"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
