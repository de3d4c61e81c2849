//! The keys of saved rows as text: part of the primary key in users' databases. The invariants: one
//! key has one text, and each text that is read stands for one key; the encoding changes only with
//! the schema version (`schema.rs`), whose tests pin it byte for byte. (Rejected: the `Debug` text
//! of the values, which schema 1 had; a renamed variant would lose rows. JSON; one key has several
//! texts.)
//!
//! Encoding of schema 2: parts with one space between them, each a letter and a text.
//!
//! | part | text | example |
//! | --- | --- | --- |
//! | number, flag, MAC, duration | `n`, decimal | `n443` |
//! | address | `i`, address as in RFC 5952, comma, prefix length | `i10.0.0.0,8` |
//! | text | `t[`, its bytes in decimal with commas, `]` | `t[98,50]` |
//!
//! The parts of a pair without order are sorted by their texts. The texts of two parts of one type
//! have the order that they had in schema 1: a migration needs no program to know which pairs have
//! no order.

use mrule_compiler::hir::Value;
use std::fmt::Write;
use std::net::IpAddr;

/// The text of a key.
pub(super) fn encode(key: &[Value], unordered: bool) -> String {
    let mut parts: Vec<String> = key.iter().map(part).collect();
    if unordered {
        parts.sort_unstable();
    }
    parts.join(" ")
}

fn part(value: &Value) -> String {
    match value {
        Value::Num(number) => format!("n{number}"),
        Value::Ip(ip, length) => format!("i{ip},{length}"),
        Value::Text(bytes) => {
            let mut text = "t[".to_owned();
            for (at, byte) in bytes.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                // A string takes whatever is written.
                let _infallible = write!(text, "{comma}{byte}");
            }
            text + "]"
        }
    }
}

/// The key that a text stands for; none if it is not one that [`encode`] gives.
pub(super) fn decode(text: &str) -> Option<Vec<Value>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let value = |part: &str| match part.split_at_checked(1)? {
        ("n", number) => Some(Value::Num(number.parse().ok()?)),
        ("i", address) => {
            let (ip, length) = address.split_once(',')?;
            address_of(ip, length)
        }
        ("t", list) => bytes_of(list.strip_prefix('[')?.strip_suffix(']')?, ","),
        _ => None,
    };
    let key: Vec<Value> = text.split(' ').map(value).collect::<Option<_>>()?;
    // What parsers accept beside it (`+1`, `::0`) would be a second text of one key.
    (encode(&key, false) == text).then_some(key)
}

/// The key that a text of schema 1 stands for: `Ip(10.0.0.0, 8), Num(443), Text([98, 50])`.
pub(super) fn decode_schema_1(text: &str) -> Option<Vec<Value>> {
    let (mut key, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        if !key.is_empty() {
            rest = rest.strip_prefix(", ")?;
        }
        let (name, after) = rest.split_once('(')?;
        let (inside, after) = after.split_once(')')?;
        key.push(match name {
            "Num" => Value::Num(inside.parse().ok()?),
            "Ip" => {
                let (ip, length) = inside.split_once(", ")?;
                address_of(ip, length)?
            }
            "Text" => bytes_of(inside.strip_prefix('[')?.strip_suffix(']')?, ", ")?,
            _ => return None,
        });
        rest = after;
    }
    Some(key)
}

fn address_of(ip: &str, length: &str) -> Option<Value> {
    let (ip, length): (IpAddr, u8) = (ip.parse().ok()?, length.parse().ok()?);
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    (length <= bits).then_some(Value::Ip(ip, length))
}

fn bytes_of(list: &str, comma: &str) -> Option<Value> {
    let bytes: Vec<u8> = match list {
        "" => Vec::new(),
        list => list.split(comma).map(|byte| byte.parse().ok()).collect::<Option<_>>()?,
    };
    Some(Value::Text(bytes.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str, length: u8) -> Value {
        Value::Ip(text.parse().unwrap(), length)
    }

    fn text(text: &[u8]) -> Value {
        Value::Text(text.into())
    }

    /// Each key, its text, and its text of schema 1. These stand in users' databases: another text
    /// needs another schema version and a migration.
    #[test]
    fn the_encoding_is_pinned() {
        let max = u64::MAX;
        let cases = [
            (vec![], "", ""),
            (vec![Value::Num(0)], "n0", "Num(0)"),
            (vec![Value::Num(max)], "n18446744073709551615", "Num(18446744073709551615)"),
            (vec![ip("10.0.0.0", 8)], "i10.0.0.0,8", "Ip(10.0.0.0, 8)"),
            (vec![ip("0.0.0.0", 0)], "i0.0.0.0,0", "Ip(0.0.0.0, 0)"),
            (vec![ip("2001:db8::1", 128)], "i2001:db8::1,128", "Ip(2001:db8::1, 128)"),
            (vec![ip("::ffff:10.0.0.1", 128)], "i::ffff:10.0.0.1,128", "Ip(::ffff:10.0.0.1, 128)"),
            (vec![text(b"")], "t[]", "Text([])"),
            (vec![text(b"b2")], "t[98,50]", "Text([98, 50])"),
            (vec![text(&[0, 255])], "t[0,255]", "Text([0, 255])"),
            (
                vec![ip("10.0.0.1", 32), Value::Num(443), text(b"a")],
                "i10.0.0.1,32 n443 t[97]",
                "Ip(10.0.0.1, 32), Num(443), Text([97])",
            ),
        ];
        for (key, now, before) in cases {
            assert_eq!(encode(&key, false), now);
            assert_eq!(decode(now).unwrap(), key, "{now}");
            assert_eq!(decode_schema_1(before).unwrap(), key, "{before}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in [
            "x5",
            "n",
            "n+5",
            "n05",
            "n5 ",
            " n5",
            "n5  n6",
            "i10.0.0.1",
            "i10.0.0.1,33",
            "i10.0.0.1/32",
            "i::0,128",
            "t[",
            "t[256]",
            "t[1,]",
            "t[01]",
            "Num(5)",
            "n18446744073709551616",
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
        for wrong in ["n5", "Num(5", "Num(x)", "Num(5),Num(6)", "Num(5) ", "Ip(10.0.0.1, 33)", "Text(97)"] {
            assert_eq!(decode_schema_1(wrong), None, "{wrong}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u64>().prop_map(Value::Num),
            (any::<u32>(), 0..=32u8).prop_map(|(ip, length)| Value::Ip(IpAddr::V4(ip.into()), length)),
            (any::<u128>(), 0..=128u8).prop_map(|(ip, length)| Value::Ip(IpAddr::V6(ip.into()), length)),
            (0..4u128, 0..=128u8).prop_map(|(ip, length)| Value::Ip(IpAddr::V6((ip << 30).into()), length)),
            prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| Value::Text(bytes.into())),
        ]
    }

    /// As schema 1 wrote keys.
    fn schema_1(key: &[Value], unordered: bool) -> String {
        let mut parts: Vec<String> = key.iter().map(|part| format!("{part:?}")).collect();
        if unordered {
            parts.sort_unstable();
        }
        parts.join(", ")
    }

    proptest! {
        #[test]
        fn keys_come_back_from_both_encodings(key in prop::collection::vec(value(), 0..4)) {
            prop_assert_eq!(decode(&encode(&key, false)), Some(key.clone()));
            prop_assert_eq!(decode_schema_1(&schema_1(&key, false)), Some(key));
        }

        #[test]
        fn a_pair_without_order_has_the_same_order_in_both(a in value(), b in value()) {
            prop_assume!(std::mem::discriminant(&a) == std::mem::discriminant(&b));
            let pair = [a, b];
            let migrated = decode_schema_1(&schema_1(&pair, true)).unwrap();
            prop_assert_eq!(encode(&migrated, false), encode(&pair, true));
        }
    }
}
