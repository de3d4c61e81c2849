//! An interface of a capture, and the clock of its time stamps. Invariant: a time is whole
//! nanoseconds since the Unix epoch in `0..=i64::MAX` (until the year 2262). A time beyond is
//! clamped to the nearest end and reported. Clocks finer than nanoseconds are rounded down.
//! (Rejected: seconds and a fraction, as in the files; windows and holds need one number that can
//! be subtracted.)

use super::LinkType;
use mrule_compiler::abi::Link;

/// Where packets of a capture came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name; empty when the file does not say.
    pub name: String,
    /// The interface's description; empty when the file does not say.
    pub description: String,
    /// The value of `frame.interface_name`. As in Wireshark, it is the name, else the description,
    /// else `unknown`; empty when the file has no interfaces.
    pub label: String,
    /// The link type, as found.
    pub link_type: LinkType,
    /// The layout of frames. `None`: the link type is not supported.
    pub link: Option<Link>,
    pub(super) clock: Clock,
}

impl Interface {
    /// An interface of this machine, whose packets have times in nanoseconds.
    pub fn live(name: &str, link_type: LinkType) -> Interface {
        let named = Interface::new(link_type, Clock::NANOSECONDS);
        Interface { name: name.to_owned(), label: name.to_owned(), ..named }
    }

    pub(super) fn new(link_type: LinkType, clock: Clock) -> Interface {
        let (name, description, label) = (String::new(), String::new(), String::new());
        Interface { name, description, label, link_type, link: link_type.link(), clock }
    }
}

/// The length of a tick, and the time at which counting began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    scale: Scale,
    offset_seconds: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// A tick is this number of nanoseconds.
    Multiply(u64),
    /// This number of ticks is a nanosecond.
    Divide(u64),
    /// 2^n ticks are a second.
    Binary(u32),
    /// A tick is so short that 2^64 ticks are less than a nanosecond.
    Nothing,
}

impl Clock {
    /// The default of pcapng (draft-ietf-opsawg-pcapng, if_tsresol).
    pub(super) const MICROSECONDS: Clock = Clock { scale: Scale::Multiply(1_000), offset_seconds: 0 };
    pub(super) const NANOSECONDS: Clock = Clock { scale: Scale::Multiply(1), offset_seconds: 0 };

    /// A clock from the options `if_tsresol` (the most significant bit: a power of 2, else of 10)
    /// and `if_tsoffset`.
    pub(super) fn new(resolution: u8, offset_seconds: i64) -> Clock {
        let exponent = u32::from(resolution & 0x7f);
        let scale = match resolution & 0x80 {
            0 if exponent <= 9 => Scale::Multiply(10_u64.pow(9 - exponent)),
            0 => 10_u64.checked_pow(exponent - 9).map_or(Scale::Nothing, Scale::Divide),
            _ => Scale::Binary(exponent),
        };
        Clock { scale, offset_seconds }
    }

    /// Nanoseconds since the Unix epoch, and whether they had to be clamped.
    pub(super) fn nanoseconds(self, ticks: u64) -> (i64, bool) {
        if let (Scale::Multiply(factor), 0) = (self.scale, self.offset_seconds)
            && let Some(time) = ticks.checked_mul(factor).and_then(|time| i64::try_from(time).ok())
        {
            return (time, false);
        }
        let ticks = i128::from(ticks);
        let time = match self.scale {
            Scale::Multiply(factor) => ticks * i128::from(factor),
            Scale::Divide(divisor) => ticks / i128::from(divisor),
            Scale::Binary(bits) => (ticks * 1_000_000_000) >> bits,
            Scale::Nothing => 0,
        } + i128::from(self.offset_seconds) * 1_000_000_000;
        let nearest = time.clamp(0, i128::from(i64::MAX));
        (nearest as i64, nearest != time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_and_two() {
        assert_eq!(Clock::new(6, 0), Clock::MICROSECONDS);
        assert_eq!(Clock::new(9, 0), Clock::NANOSECONDS);
        assert_eq!(Clock::new(0, 0).nanoseconds(7), (7_000_000_000, false));
        assert_eq!(Clock::new(3, 0).nanoseconds(7), (7_000_000, false));
        assert_eq!(Clock::new(12, 0).nanoseconds(7_999), (7, false));
        assert_eq!(Clock::new(0x80, 0).nanoseconds(3), (3_000_000_000, false));
        assert_eq!(Clock::new(0x8a, 0).nanoseconds(1024 + 512), (1_500_000_000, false));
        // 2^-32 s: 1 tick is 0.23 ns.
        assert_eq!(Clock::new(0xa0, 0).nanoseconds((5 << 32) + 5), (5_000_000_001, false));
        assert_eq!(Clock::new(0xff, 0).nanoseconds(u64::MAX), (0, false));
        assert_eq!(Clock::new(0x7f, 0).nanoseconds(u64::MAX), (0, false));
        assert_eq!(Clock::new(28, 0).nanoseconds(u64::MAX), (1, false));
    }

    #[test]
    fn offset_shifts_and_range_is_kept() {
        assert_eq!(Clock::new(6, 100).nanoseconds(1), (100_000_001_000, false));
        assert_eq!(Clock::new(6, -1).nanoseconds(1_000_001), (1_000, false));
        assert_eq!(Clock::new(6, -1).nanoseconds(999_999), (0, true));
        assert_eq!(Clock::new(6, i64::MIN).nanoseconds(0), (0, true));
        assert_eq!(Clock::new(6, i64::MAX).nanoseconds(0), (i64::MAX, true));
        assert_eq!(Clock::MICROSECONDS.nanoseconds(u64::MAX), (i64::MAX, true));
        assert_eq!(Clock::NANOSECONDS.nanoseconds(i64::MAX as u64), (i64::MAX, false));
        assert_eq!(Clock::NANOSECONDS.nanoseconds(i64::MAX as u64 + 1), (i64::MAX, true));
    }
}
