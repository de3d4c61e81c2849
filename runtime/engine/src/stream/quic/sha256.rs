//! SHA-256 (FIPS 180-4), HMAC (RFC 2104) and the HKDF of TLS 1.3 (RFC 5869; RFC 8446, 7.1), for
//! inputs of at most [`MAX_INPUT`] bytes. Every observer of a packet has the bytes that all of this
//! is computed from, so nothing is secret, and nothing needs to be constant in time. Invariant: no
//! input makes it fail; what is too long is cut. (Rejected: a crate for it. The engine has room for
//! one more crate, the one for AES-GCM: AES needs the instructions of the CPU, SHA-256 does not.)

/// The longest input of an HMAC, in bytes.
const MAX_INPUT: usize = 55;

const BLOCK: usize = 64;

const START: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

const ROUND: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// Takes one block into a state.
fn compress(state: &mut [u32; 8], block: &[u8; BLOCK]) {
    let mut words = [0u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for i in 16..64 {
        let (a, b) = (words[i - 15], words[i - 2]);
        let low = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
        let high = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
        words[i] = words[i - 16].wrapping_add(low).wrapping_add(words[i - 7]).wrapping_add(high);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (word, constant) in words.iter().zip(&ROUND) {
        let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let one = h.wrapping_add(sum).wrapping_add(choice).wrapping_add(*constant).wrapping_add(*word);
        let sum = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e, d, c, b, a) =
            (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(sum.wrapping_add(majority)));
    }
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(new);
    }
}

/// HMAC-SHA-256 with a key. What depends on the key alone is computed once.
pub(super) struct Hmac {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Hmac {
    pub(super) fn new(key: &[u8]) -> Hmac {
        let state = |pad: u8| {
            let (mut state, mut block) = (START, [pad; BLOCK]);
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            compress(&mut state, &block);
            state
        };
        Hmac { inner: state(0x36), outer: state(0x5c) }
    }

    pub(super) fn of(&self, input: &[u8]) -> [u8; 32] {
        let input = input.get(..MAX_INPUT).unwrap_or(input);
        last(self.outer, &last(self.inner, input))
    }

    /// HKDF-Expand-Label without a context, of at most 32 bytes.
    pub(super) fn expand<const N: usize>(&self, label: &str) -> [u8; N] {
        let label = ["tls13 ", label].concat();
        let mut info = vec![0, N as u8, label.len() as u8];
        info.extend_from_slice(label.as_bytes());
        info.extend_from_slice(&[0, 1]);
        let output = self.of(&info);
        let mut expanded = [0; N];
        expanded.iter_mut().zip(output).for_each(|(to, from)| *to = from);
        expanded
    }
}

/// Takes the last block of a hash, of which one block came before.
fn last(mut state: [u32; 8], input: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    block.iter_mut().zip(input.iter().chain(&[0x80])).for_each(|(to, from)| *to = *from);
    let bits = (BLOCK + input.len()) as u64 * 8;
    block[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    compress(&mut state, &block);
    let mut hash = [0; 32];
    hash.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_be_bytes());
    hash
}

#[cfg(test)]
mod tests {
    use super::Hmac;

    /// RFC 4231, test cases 1 and 2.
    #[test]
    fn hmac_vectors() {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(Hmac::new(&[0x0b; 20]).of(b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(Hmac::new(b"Jefe").of(b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
