//! Tables against a list of rows searched in the plainest way.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use proptest::prelude::*;

fn v4(text: &str, len: u8) -> Value {
    Value::Ip(text.parse().unwrap(), len)
}

fn ip(text: &str) -> KeyValue<'static> {
    match text.parse().unwrap() {
        IpAddr::V4(ip) => KeyValue::V4(ip.to_bits()),
        IpAddr::V6(ip) => KeyValue::V6(ip.to_bits()),
    }
}

#[test]
fn the_longest_prefix_gives_the_value() {
    let mut table = Table::new(&[ValueTy::Cidr], Some(ValueTy::Uint), 10).unwrap();
    for (cidr, len, value) in [("10.0.0.0", 8, 8), ("10.1.2.3", 16, 16), ("10.1.2.0", 24, 24), ("::", 0, 60)]
    {
        assert_eq!(table.insert(&[v4(cidr, len)], Some(Value::Num(value))), Ok(None));
    }
    let get = |table: &Table, text| table.get(&[ip(text)], 0).cloned();
    assert_eq!(get(&table, "10.1.2.3"), Some(Value::Num(24)));
    assert_eq!(get(&table, "10.1.3.3"), Some(Value::Num(16)));
    assert_eq!(get(&table, "10.2.3.3"), Some(Value::Num(8)));
    assert_eq!(get(&table, "11.2.3.3"), None, "::/0 holds no IPv4 address");
    assert_eq!(get(&table, "::ffff:11.2.3.3"), Some(Value::Num(60)));
    assert_eq!(table.remove(&[v4("10.1.0.0", 16)]), Ok(true));
    assert_eq!(table.remove(&[v4("10.1.0.0", 16)]), Ok(false));
    assert_eq!(get(&table, "10.1.3.3"), Some(Value::Num(8)));
    assert_eq!(table.insert(&[v4("10.1.2.9", 24)], Some(Value::Num(7))), Ok(Some(Value::Num(24))));
    assert_eq!(get(&table, "10.1.2.3"), Some(Value::Num(7)));
    assert_eq!(table.len(), 3);
}

#[test]
fn neighbours_of_one_length_are_taken_out_one_by_one() {
    let mut table = Table::new(&[ValueTy::Cidr], None, 10).unwrap();
    for (cidr, len) in [("10.0.0.0", 8), ("11.0.0.0", 8), ("11.0.0.0", 16)] {
        table.insert(&[v4(cidr, len)], None).unwrap();
    }
    table.remove(&[v4("11.0.0.0", 16)]).unwrap();
    table.remove(&[v4("10.0.0.0", 8)]).unwrap();
    assert!(table.contains(&[ip("11.0.0.1")], 0));
    assert!(!table.contains(&[ip("10.0.0.1")], 0));
}

#[test]
fn tuples_try_the_first_part_longest_first() {
    let mut table = Table::new(&[ValueTy::Cidr, ValueTy::Cidr], Some(ValueTy::Uint), 10).unwrap();
    table.insert(&[v4("10.0.0.0", 8), v4("10.0.0.0", 32)], Some(Value::Num(1))).unwrap();
    table.insert(&[v4("10.0.0.0", 16), v4("0.0.0.0", 0)], Some(Value::Num(2))).unwrap();
    assert_eq!(table.get(&[ip("10.0.0.1"), ip("10.0.0.0")], 0), Some(&Value::Num(2)));
    assert_eq!(table.get(&[ip("10.1.0.1"), ip("10.0.0.0")], 0), Some(&Value::Num(1)));
    assert_eq!(table.get(&[ip("10.1.0.1"), ip("10.0.0.1")], 0), None);
    assert_eq!(table.get(&[ip("10.0.0.1")], 0), None, "another number of parts");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut table = Table::new(&[ValueTy::Mac, ValueTy::String], None, 1).unwrap();
    let text = Value::Text(b"a".as_slice().into());
    let mac = Value::Num(0x0200_0000_0001);
    assert_eq!(
        table.insert(std::slice::from_ref(&mac), None),
        Err(TableError::Arity { expected: 2, found: 1 })
    );
    assert_eq!(table.insert(&[Value::Num(1 << 48), text.clone()], None), Err(TableError::Type));
    assert_eq!(table.insert(&[mac.clone(), text.clone()], Some(Value::Num(1))), Err(TableError::Type));
    assert_eq!(table.insert(&[mac.clone(), text.clone()], None), Ok(None));
    assert_eq!(table.insert(&[mac.clone(), text.clone()], None), Ok(None), "replaced, not added");
    assert_eq!(table.insert(&[Value::Num(5), text.clone()], None), Err(TableError::Full(1)));
    assert!(table.contains(&[KeyValue::Num(0x0200_0000_0001), KeyValue::Bytes(b"a")], 0));
    assert!(!table.contains(&[KeyValue::Num(0x0200_0000_0001), KeyValue::Bytes(b"")], 0));
    table.clear();
    assert!(table.is_empty());
    assert_eq!(Table::new(&[ValueTy::Uint; 9], None, 1).err(), Some(TableError::Wide));
    let mut ips = Table::new(&[ValueTy::Ip], None, 9).unwrap();
    assert_eq!(ips.insert(&[v4("10.0.0.0", 8)], None), Err(TableError::Type));
    let mut switch = Table::new(&[], None, 1).unwrap();
    assert!(!switch.contains(&[], 0));
    switch.insert(&[], None).unwrap();
    assert!(switch.contains(&[], 0));
}

/// Addresses that meet often: few bits vary, in both families.
fn address() -> impl Strategy<Value = IpAddr> {
    let bits =
        prop::sample::select(vec![0u32, 1, 2, 0x0100, 0x0a00_0000, 0x0a01_0203, 0x8000_0000, u32::MAX]);
    (bits, any::<bool>()).prop_map(|(bits, six)| {
        if six {
            IpAddr::V6((u128::from(bits) << 96 | u128::from(bits)).into())
        } else {
            IpAddr::V4(bits.into())
        }
    })
}

fn prefix() -> impl Strategy<Value = Value> {
    (address(), 0u8..=128).prop_map(|(ip, len)| Value::Ip(ip, if ip.is_ipv4() { len % 33 } else { len }))
}

fn to_key(ip: &IpAddr) -> KeyValue<'static> {
    match ip {
        IpAddr::V4(ip) => KeyValue::V4(ip.to_bits()),
        IpAddr::V6(ip) => KeyValue::V6(ip.to_bits()),
    }
}

/// The length by which a prefix covers an address, told bit by bit.
fn covers(prefix: &Value, ip: &IpAddr) -> Option<u8> {
    let (mine, theirs, len): (Vec<u8>, Vec<u8>, u8) = match (prefix, ip) {
        (&Value::Ip(IpAddr::V4(p), len), IpAddr::V4(ip)) => (p.octets().into(), ip.octets().into(), len),
        (&Value::Ip(IpAddr::V6(p), len), IpAddr::V6(ip)) => (p.octets().into(), ip.octets().into(), len),
        _ => return None,
    };
    let bit = |bytes: &[u8], i: u8| bytes[usize::from(i / 8)] >> (7 - i % 8) & 1;
    (0..len).all(|i| bit(&mine, i) == bit(&theirs, i)).then_some(len)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Ip(a, n), Value::Ip(b, m)) => n == m && covers(&Value::Ip(*a, *n), b).is_some(),
        _ => false,
    }
}

proptest! {
    #[test]
    fn prefixes_agree_with_a_list(
        changes in prop::collection::vec((any::<bool>(), prefix()), 0..60),
        asked in prop::collection::vec(address(), 1..20),
    ) {
        let mut table = Table::new(&[ValueTy::Cidr], Some(ValueTy::Uint), 1000).unwrap();
        let mut list: Vec<(Value, u64)> = Vec::new();
        for (n, (add, prefix)) in changes.into_iter().enumerate() {
            let held = list.iter().position(|(p, _)| same(p, &prefix));
            if add {
                let old = table.insert(std::slice::from_ref(&prefix), Some(Value::Num(n as u64))).unwrap();
                prop_assert_eq!(old.is_some(), held.is_some());
                list.retain(|(p, _)| !same(p, &prefix));
                list.push((prefix, n as u64));
            } else {
                prop_assert_eq!(table.remove(std::slice::from_ref(&prefix)).unwrap(), held.is_some());
                list.retain(|(p, _)| !same(p, &prefix));
            }
            prop_assert_eq!(table.len(), list.len());
            for ip in &asked {
                let best = list.iter().filter_map(|(p, v)| Some((covers(p, ip)?, *v))).max();
                prop_assert_eq!(table.get(&[to_key(ip)], 0).cloned(), best.map(|(_, v)| Value::Num(v)));
                prop_assert_eq!(table.contains(&[to_key(ip)], 0), best.is_some());
            }
        }
    }

    #[test]
    fn pairs_agree_with_a_list(
        rows in prop::collection::vec((prefix(), 0u64..4, prefix()), 0..30),
        asked in prop::collection::vec((address(), 0u64..4, address()), 1..30),
    ) {
        let mut table =
            Table::new(&[ValueTy::Cidr, ValueTy::Uint, ValueTy::Cidr], Some(ValueTy::Uint), 1000).unwrap();
        for (i, (a, n, b)) in rows.iter().enumerate() {
            table.insert(&[a.clone(), Value::Num(*n), b.clone()], Some(Value::Num(i as u64))).unwrap();
        }
        for (a, n, b) in &asked {
            // A later row of the same key replaces an earlier one, hence the index as last word.
            let best = rows.iter().enumerate()
                .filter(|(_, row)| row.1 == *n)
                .filter_map(|(i, row)| Some((covers(&row.0, a)?, covers(&row.2, b)?, i)))
                .max();
            let key = [to_key(a), KeyValue::Num(*n), to_key(b)];
            prop_assert_eq!(table.get(&key, 0).cloned(), best.map(|(.., i)| Value::Num(i as u64)));
        }
    }
}
