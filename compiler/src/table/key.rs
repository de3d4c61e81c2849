//! The parts of keys: in the form for look-ups, in the stored form, and how much of them a row
//! compares. The invariant: stored parts have no host bits, so equal keys have equal parts.
//! (Rejected: addresses of both families in one form; `::/0` would contain IPv4 addresses.)

use crate::value::Value;
use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

/// A part of a key to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyValue<'a> {
    /// A number, a MAC, a flag.
    Num(u64),
    /// An IPv4 address.
    V4(u32),
    /// An IPv6 address.
    V6(u128),
    /// Text or bytes.
    Bytes(&'a [u8]),
}

/// A part of a row's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyPart {
    Num(u64),
    V4(u32),
    V6([u64; 2]),
    Bytes(Arc<[u8]>),
}

/// The shape of a key's part, the same for all rows of a group: not an address, or the address
/// family and the number of bits to compare. In this order, longer prefixes come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    V6(Reverse<u8>),
    V4(Reverse<u8>),
    Other,
}

impl KeyPart {
    /// The part as a value. An address has its full length.
    pub fn value(&self) -> Value {
        match self {
            KeyPart::Num(n) => Value::Num(*n),
            KeyPart::V4(ip) => Value::Ip(IpAddr::V4((*ip).into()), 32),
            KeyPart::V6([high, low]) => {
                Value::Ip(IpAddr::V6((u128::from(*high) << 64 | u128::from(*low)).into()), 128)
            }
            KeyPart::Bytes(bytes) => Value::Text(bytes.clone()),
        }
    }

    /// Bytes of memory outside of the part.
    pub fn outside(&self) -> usize {
        if let KeyPart::Bytes(bytes) = self { bytes.len() + 16 } else { 0 }
    }
}

impl Shape {
    /// A value with the prefix length of this shape.
    pub fn value(self, value: Value) -> Value {
        match (self, value) {
            (Shape::V4(Reverse(len)) | Shape::V6(Reverse(len)), Value::Ip(ip, _)) => Value::Ip(ip, len),
            (_, value) => value,
        }
    }
}

/// A value as a part of a row's key.
pub(super) fn stored(value: &Value) -> (Shape, KeyPart) {
    match value {
        Value::Num(n) => (Shape::Other, KeyPart::Num(*n)),
        Value::Text(text) => (Shape::Other, KeyPart::Bytes(text.clone())),
        Value::Ip(IpAddr::V4(ip), len) => {
            (Shape::V4(Reverse(*len)), KeyPart::V4(ip.to_bits() & mask_v4(*len)))
        }
        Value::Ip(IpAddr::V6(ip), len) => {
            let bits = ip.to_bits() & mask_v6(*len);
            (Shape::V6(Reverse(*len)), KeyPart::V6([(bits >> 64) as u64, bits as u64]))
        }
    }
}

/// The first `len` bits of 32.
pub(super) fn mask_v4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0)
}

/// The first `len` bits of 128.
pub(super) fn mask_v6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0)
}

/// The part as far as a row of this shape compares it; `None` if the families differ.
pub(super) fn mask(part: KeyValue, shape: Shape) -> Option<KeyValue> {
    match (part, shape) {
        (KeyValue::V4(ip), Shape::V4(len)) => Some(KeyValue::V4(ip & mask_v4(len.0))),
        (KeyValue::V6(ip), Shape::V6(len)) => Some(KeyValue::V6(ip & mask_v6(len.0))),
        (KeyValue::Num(_) | KeyValue::Bytes(_), Shape::Other) => Some(part),
        _ => None,
    }
}

pub(super) fn key_value(part: &KeyPart) -> KeyValue<'_> {
    match part {
        KeyPart::Num(n) => KeyValue::Num(*n),
        KeyPart::V4(ip) => KeyValue::V4(*ip),
        KeyPart::V6([high, low]) => KeyValue::V6(u128::from(*high) << 64 | u128::from(*low)),
        KeyPart::Bytes(bytes) => KeyValue::Bytes(bytes),
    }
}
