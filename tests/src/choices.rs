//! Where generators get their choices from: a seed, or the bytes of a fuzzer. The invariant:
//! choices never end; behind the last byte every choice is the first one, which generators make the
//! smallest, so they stop. (Rejected: proptest strategies; the same generators must also be driven
//! by a fuzzer's bytes.)

/// A source of choices.
#[derive(Debug, Clone)]
pub struct Choices<'a> {
    bytes: &'a [u8],
    /// The state of a generator that goes on where the bytes end.
    seed: Option<u64>,
}

impl<'a> Choices<'a> {
    /// Choices without end, the same for the same seed.
    pub fn of_seed(seed: u64) -> Choices<'static> {
        Choices { bytes: &[], seed: Some(seed) }
    }

    /// The choices that these bytes stand for.
    pub fn of_bytes(bytes: &'a [u8]) -> Choices<'a> {
        Choices { bytes, seed: None }
    }

    /// Whether all further choices are the first.
    pub fn is_over(&self) -> bool {
        self.bytes.is_empty() && self.seed.is_none()
    }

    fn byte(&mut self) -> u8 {
        if let Some((&first, rest)) = self.bytes.split_first() {
            self.bytes = rest;
            return first;
        }
        self.word().map_or(0, |word| (word >> 56) as u8)
    }

    /// The next number of the seed: SplitMix64 (Steele, Lea, Flood 2014).
    fn word(&mut self) -> Option<u64> {
        let seed = self.seed.as_mut()?;
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = *seed;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(word ^ word >> 31)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        match n {
            0 | 1 => 0,
            2..=256 => usize::from(self.byte()) * n / 256,
            _ => (self.bits(32) as usize) % n,
        }
    }

    /// A number of at most so many bits.
    pub fn bits(&mut self, bits: u32) -> u64 {
        let bytes = bits.div_ceil(8).min(8);
        let value = (0..bytes).fold(0, |value, _| value << 8 | u64::from(self.byte()));
        if bits >= 64 { value } else { value & ((1 << bits) - 1) }
    }

    /// True so many times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        // The first choice is no.
        self.below(100) >= 100 - percent.min(100)
    }

    /// One of them.
    pub fn pick<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        let at = self.below(all.len());
        all.get(at)
    }

    /// One of some texts, the first of which is the simplest.
    pub fn word_of(&mut self, all: &[&'static str]) -> &'static str {
        self.pick(all).copied().unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_then_nothing() {
        let mut choices = Choices::of_bytes(&[0, 128, 255, 1, 2, 3, 4]);
        assert_eq!([choices.below(10), choices.below(10), choices.below(10)], [0, 5, 9]);
        assert_eq!(choices.bits(16), 0x102);
        assert_eq!(choices.bits(12), 0x304);
        assert!(choices.is_over());
        assert_eq!((choices.below(7), choices.bits(64), choices.chance(99)), (0, 0, false));
    }

    #[test]
    fn a_seed_reaches_everything() {
        let mut choices = Choices::of_seed(1);
        let mut seen = [false; 300];
        (0..20_000).for_each(|_| seen[choices.below(300)] = true);
        assert!(seen.iter().all(|s| *s));
        let yes = (0..1000).filter(|_| choices.chance(30)).count();
        assert!((200..400).contains(&yes), "{yes}");
        let (mut a, mut b) = (Choices::of_seed(7), Choices::of_seed(7));
        assert_eq!(
            (0..50).map(|_| a.bits(64)).collect::<Vec<_>>(),
            (0..50).map(|_| b.bits(64)).collect::<Vec<_>>()
        );
    }
}
