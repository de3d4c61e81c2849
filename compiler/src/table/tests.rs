//! Tables compared with a list of rows and a plain search.
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

/// Addresses that often coincide: few bits vary, in both families.
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

/// The length of a prefix that covers an address, computed bit by bit.
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
            // A later row of the same key replaces an earlier row. The index is therefore the last
            // word.
            let best = rows.iter().enumerate()
                .filter(|(_, row)| row.1 == *n)
                .filter_map(|(i, row)| Some((covers(&row.0, a)?, covers(&row.2, b)?, i)))
                .max();
            let key = [to_key(a), KeyValue::Num(*n), to_key(b)];
            prop_assert_eq!(table.get(&key, 0).cloned(), best.map(|(.., i)| Value::Num(i as u64)));
        }
    }
}

fn pair(unordered: bool, ty: ValueTy) -> Table {
    Table::of(Form { unordered, ..Form::new(&[ty, ty], Some(ValueTy::Uint)) }, 100).unwrap()
}

#[test]
fn a_pair_without_order_stands_for_both() {
    let mut table = pair(true, ValueTy::Cidr);
    let (a, b) = (v4("10.0.0.0", 8), v4("192.0.2.0", 24));
    assert_eq!(table.insert(&[a.clone(), b.clone()], Some(Value::Num(1))), Ok(None));
    assert_eq!(table.insert(&[b.clone(), a.clone()], Some(Value::Num(2))), Ok(Some(Value::Num(1))));
    for key in [["10.1.2.3", "192.0.2.9"], ["192.0.2.9", "10.1.2.3"]] {
        assert_eq!(table.get(&key.map(ip), 0), Some(&Value::Num(2)), "{key:?}");
    }
    assert!(!table.contains(&[ip("10.1.2.3"), ip("10.1.2.4")], 0));
    // A longer prefix wins, in whichever part of the key it is.
    table.insert(&[v4("0.0.0.0", 0), v4("10.1.0.0", 16)], Some(Value::Num(3))).unwrap();
    assert_eq!(table.get(&[ip("192.0.2.9"), ip("10.1.2.3")], 0), Some(&Value::Num(2)), "/24 before /16");
    assert_eq!(table.get(&[ip("192.0.3.9"), ip("10.1.2.3")], 0), Some(&Value::Num(3)));
    // Parts of a key may be of different families.
    table.insert(&[v4("10.0.0.0", 8), v4("2001:db8::", 32)], Some(Value::Num(4))).unwrap();
    assert_eq!(table.get(&[ip("10.9.9.9"), ip("2001:db8::1")], 0), Some(&Value::Num(4)));
    assert_eq!(table.get(&[ip("2001:db8::1"), ip("10.9.9.9")], 0), Some(&Value::Num(4)));
    assert_eq!(table.remove(&[a, b]), Ok(true));
    assert_eq!(table.len(), 2);
    let mut names = pair(true, ValueTy::String);
    let text = |text: &str| Value::Text(text.as_bytes().into());
    names.insert(&[text("b"), text("a")], Some(Value::Num(1))).unwrap();
    assert!(names.contains(&[KeyValue::Bytes(b"a"), KeyValue::Bytes(b"b")], 0));
    assert!(names.contains(&[KeyValue::Bytes(b"b"), KeyValue::Bytes(b"a")], 0));
    let form = Form { unordered: true, ..Form::new(&[ValueTy::Ip, ValueTy::Mac], None) };
    assert_eq!(Table::of(form, 1).err(), Some(TableError::NoPair));
}

#[test]
fn rows_end_and_go() {
    let mut table = Table::new(&[ValueTy::Cidr], Some(ValueTy::Uint), 3).unwrap();
    let put = |table: &mut Table, len, value, until, now| {
        table.insert_until(&[v4("10.0.0.0", len)], Some(Value::Num(value)), until, now)
    };
    put(&mut table, 8, 8, None, 0).unwrap();
    put(&mut table, 16, 16, Some(100), 0).unwrap();
    put(&mut table, 32, 32, Some(50), 0).unwrap();
    let get = |table: &Table, now| table.get(&[ip("10.0.0.0")], now).cloned();
    assert_eq!(get(&table, 49), Some(Value::Num(32)));
    assert_eq!(get(&table, 50), Some(Value::Num(16)), "its end is no longer its time");
    assert_eq!(get(&table, 100), Some(Value::Num(8)));
    assert_eq!(put(&mut table, 20, 20, None, 49), Err(TableError::Full(3)));
    assert_eq!(put(&mut table, 20, 20, None, 50), Ok(None), "the ended one made room");
    assert_eq!((table.len(), table.due()), (3, Some(100)));
    // The end is postponed, then removed.
    put(&mut table, 16, 17, Some(200), 60).unwrap();
    assert_eq!(table.expire(150, 10), 0);
    assert_eq!((get(&table, 150), table.due()), (Some(Value::Num(20)), Some(200)));
    put(&mut table, 16, 18, None, 150).unwrap();
    assert_eq!(table.expire(1000, 10), 0);
    assert_eq!((table.len(), table.due()), (3, None));
    // Renewing does not fill memory.
    let mut renewed = Table::new(&[ValueTy::Uint], None, 10).unwrap();
    for now in 0..10_000 {
        renewed.insert_until(&[Value::Num(now as u64 % 3)], None, Some(20_000 - now), now).unwrap();
    }
    assert!(renewed.expiry.len() <= 72, "{}", renewed.expiry.len());
    assert_eq!((renewed.expire(20_000, 100), renewed.len()), (3, 0));
}

#[test]
fn a_copy_stays_as_it_was() {
    let mut table = Table::new(&[ValueTy::Uint], Some(ValueTy::String), 100_000).unwrap();
    let text = |n: u64| Some(Value::Text(n.to_string().as_bytes().into()));
    for n in 0..50_000 {
        table.insert(&[Value::Num(n)], text(n % 7)).unwrap();
    }
    let before = table.clone();
    for n in (0..50_000).step_by(500) {
        table.remove(&[Value::Num(n)]).unwrap();
        table.insert(&[Value::Num(n + 1)], text(9)).unwrap();
    }
    assert_eq!((before.len(), table.len()), (50_000, 49_900));
    assert!((0..50_000).all(|n| before.get(&[KeyValue::Num(n)], 0).cloned() == text(n % 7)));
    assert!(!table.contains(&[KeyValue::Num(500)], 0));
    assert_eq!(table.get(&[KeyValue::Num(501)], 0).cloned(), text(9));
    assert!(before != table && before == before.clone());
}

#[test]
fn churn_takes_no_memory() {
    let mut table = Table::new(&[ValueTy::Cidr], Some(ValueTy::Uint), 1000).unwrap();
    let mut most = 0;
    for round in 0..200u32 {
        for n in 0..300u32 {
            let ip = IpAddr::V4((n.wrapping_mul(0x9e37_79b9) ^ round << 8).into());
            let len = 8 + (n % 25) as u8;
            table.insert(&[Value::Ip(ip, len)], Some(Value::Num(u64::from(round)))).unwrap();
        }
        let keys: Vec<Vec<Value>> = table.rows().map(|row| row.0).collect();
        keys.iter().for_each(|key| assert_eq!(table.remove(key), Ok(true)));
        assert!(table.is_empty());
        if round == 50 {
            most = table.memory();
        }
    }
    assert!(table.memory() <= most * 3 / 2, "{} after {most}", table.memory());
    assert_eq!(table.rows().count(), 0);
}

#[test]
fn keys_as_text() {
    let table = Table::new(&[ValueTy::Ip, ValueTy::Uint, ValueTy::Mac], Some(ValueTy::String), 1).unwrap();
    let key = table.parse_key(&["10.0.0.1", "443", "00:11:22:33:44:55"]).unwrap();
    assert_eq!(key, [v4("10.0.0.1", 32), Value::Num(443), Value::Num(0x0011_2233_4455)]);
    assert_eq!(table.parse_value("alice"), Ok(Value::Text(b"alice".as_slice().into())));
    assert_eq!(table.parse_key(&["10.0.0.1"]), Err(text::TextError::Arity { expected: 3, found: 1 }));
    let error = table.parse_key(&["10.0.0.300", "443", "x"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`10.0.0.300` is not of type `ip`: write an address: 192.0.2.1, 2001:db8::1"
    );
    for bad in ["10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "::/129", "10.0.0.0/8/8"] {
        assert_eq!(text::value(ValueTy::Cidr, &[], bad), None, "{bad}");
    }
    assert_eq!(text::value(ValueTy::Cidr, &[], "10.1.2.3/8"), Some(v4("10.0.0.0", 8)));
    assert_eq!(text::value(ValueTy::Uint, &[], "0x+f"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Many rows, so that the short cut is built and dropped. Some rows end.
    #[test]
    fn many_prefixes_agree_with_a_list(
        changes in prop::collection::vec((0u8..4, 0usize..8, 0u8..=32, prop::option::of(0i64..4)), 0..150),
        asked in prop::collection::vec((0usize..8, 0u32..3), 1..12),
    ) {
        const BASES: [u32; 8] =
            [0, 0x0a00_0000, 0x0a01_0203, 0x0a01_02ff, 0x0a01_0300, 0x0a10_0000, 0x8000_0000, u32::MAX - 1];
        let mut table = Table::new(&[ValueTy::Cidr], Some(ValueTy::Uint), 1000).unwrap();
        let mut list: Vec<(u32, u8, u64, i64)> = Vec::new();
        for (n, (what, base, len, until)) in changes.into_iter().enumerate() {
            let ip = BASES[base] & key::mask_v4(len);
            let value = Value::Ip(IpAddr::V4(ip.into()), len);
            let held = list.iter().any(|row| (row.0, row.1) == (ip, len));
            list.retain(|row| (row.0, row.1) != (ip, len));
            if what > 0 {
                let old = table.insert_until(&[value], Some(Value::Num(n as u64)), until, i64::MIN).unwrap();
                prop_assert_eq!(old.is_some(), held);
                list.push((ip, len, n as u64, until.unwrap_or(i64::MAX)));
            } else {
                prop_assert_eq!(table.remove(&[value]).unwrap(), held);
            }
            for now in [0, 2] {
                for (base, more) in &asked {
                    let ip = BASES[*base].wrapping_add(*more);
                    let best = list.iter().filter(|row| (ip ^ row.0) & key::mask_v4(row.1) == 0 && now < row.3)
                        .max_by_key(|row| row.1);
                    let got = table.get(&[KeyValue::V4(ip)], now).cloned();
                    prop_assert_eq!(got, best.map(|row| Value::Num(row.2)));
                }
            }
        }
    }
}
