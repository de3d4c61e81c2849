//! The protection of a client's Initial packets: AES-128-GCM and AES for the header, with keys that
//! are made of the client's first destination connection id (RFC 9001, 5.2 to 5.4; RFC 9369, 3.3).
//! Invariant: a packet is opened only if its tag is right, so what is read is what the client sent.
//! (Rejected: to decrypt without the tag, which is half the work; wrong keys would give random
//! frames.)

use super::sha256::Hmac;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::{AeadInOut, Aes128Gcm};

/// The versions whose packets are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Version {
    pub(super) fn of(number: u32) -> Option<Version> {
        match number {
            1 => Some(Version::V1),
            0x6b33_43cf => Some(Version::V2),
            _ => None,
        }
    }
}

/// Length of an authentication tag, and of the sample for the header, in bytes.
const TAG: usize = 16;

/// The keys of a client's Initial packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) key: [u8; 16],
    pub(super) iv: [u8; 12],
    pub(super) header: [u8; 16],
}

impl Keys {
    pub(super) const BYTES: usize = 44;

    pub(super) fn new(version: Version, destination: &[u8]) -> Keys {
        let (salt, key, iv, header) = match version {
            Version::V1 => (
                b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
                "quic key",
                "quic iv",
                "quic hp",
            ),
            Version::V2 => (
                b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
                "quicv2 key",
                "quicv2 iv",
                "quicv2 hp",
            ),
        };
        let initial = Hmac::new(&Hmac::new(salt).of(destination));
        let client = Hmac::new(&initial.expand::<32>("client in"));
        Keys { key: client.expand(key), iv: client.expand(iv), header: client.expand(header) }
    }

    /// The keys as bytes, to be kept.
    pub(super) fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.key);
        bytes[16..28].copy_from_slice(&self.iv);
        bytes[28..].copy_from_slice(&self.header);
        bytes
    }

    /// The keys that were kept.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Keys> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (iv, rest) = rest.split_first_chunk()?;
        Some(Keys { key: *key, iv: *iv, header: *rest.first_chunk()? })
    }

    /// The bytes that protect the first byte of a packet and its number.
    pub(super) fn mask(&self, sample: &[u8; TAG]) -> [u8; TAG] {
        let mut block = (*sample).into();
        Aes128::new(&self.header.into()).encrypt_block(&mut block);
        block.into()
    }

    /// Opens a packet whose number begins at `number`. Leaves the packet without its protection in
    /// `buffer`. Returns the offset of its frames; `None` if these are not its keys.
    pub(super) fn open(&self, packet: &[u8], number: usize, buffer: &mut Vec<u8>) -> Option<usize> {
        let mask = self.mask(packet.get(number + 4..)?.first_chunk()?);
        let (sealed, tag) = packet.split_last_chunk::<TAG>()?;
        buffer.clear();
        buffer.extend_from_slice(sealed);
        let first = buffer.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let frames = number + 1 + usize::from(*first & 3);
        let mut nonce = self.iv;
        let (header, payload) = buffer.split_at_mut_checked(frames)?;
        let place = nonce.len() - (frames - number);
        for ((byte, mask), nonce) in
            header.get_mut(number..)?.iter_mut().zip(&mask[1..]).zip(&mut nonce[place..])
        {
            *byte ^= mask;
            *nonce ^= *byte;
        }
        let cipher = Aes128Gcm::new(&self.key.into());
        cipher.decrypt_inout_detached(&nonce.into(), header, payload.into(), &(*tag).into()).ok()?;
        Some(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, Version};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 9001, appendix A.1, and RFC 9369, appendix A.1.
    #[test]
    fn keys_are_those_of_the_rfcs() {
        let destination = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
        for (version, key, iv, header) in [
            (
                Version::V1,
                "1f369613dd76d5467730efcbe3b1a22d",
                "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2",
            ),
            (
                Version::V2,
                "8b1a0bc121284290a29e0971b5cd045d",
                "91f73e2351d8fa91660e909f",
                "45b95e15235d6f45a6b19cbcb0294ba9",
            ),
        ] {
            let keys = Keys::new(version, destination);
            assert_eq!([hex(&keys.key), hex(&keys.iv), hex(&keys.header)], [key, iv, header]);
            assert_eq!(Keys::of_bytes(&keys.bytes()), Some(keys));
        }
    }

    /// RFC 9001, appendix A.2, and RFC 9369, appendix A.2.
    #[test]
    fn header_protection_is_that_of_the_rfcs() {
        let destination = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
        let mask =
            |version, sample: u128| hex(&Keys::new(version, destination).mask(&sample.to_be_bytes())[..5]);
        assert_eq!(mask(Version::V1, 0xd1b1c98dd7689fb8ec11d242b123dc9b), "437b9aec36");
        assert_eq!(mask(Version::V2, 0xffe67b6abcdb4298b485dd04de806071), "94a0c95e80");
    }
}
