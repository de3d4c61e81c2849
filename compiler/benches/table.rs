//! The cost of tables: `cargo bench -p mrule-compiler --bench table [ROWS]`, a million rows by
//! default. Rows are random: IPv4 prefixes of 8 to 32 bits, most of them of 24, as in routing
//! tables, and IPv6 prefixes of 19 to 64. A look-up is timed over 2^20 addresses, drawn before,
//! half of them inside of rows, in 64 passes, each of 2^14 addresses of its own. A pass is long
//! enough for the clock, and short enough for at least one pass to run undisturbed on a busy
//! machine; the figure is the fastest pass. Each pass sums its results, so that nothing is
//! optimised away. Changes are timed alone and on a table that is shared. (Rejected: the same
//! address again and again; it would time the nearest cache.)
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark may stop")]

use mrule_compiler::hir::{Value, ValueTy};
use mrule_compiler::table::{KeyValue, Table};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

fn prefix(random: &mut Random, six: bool) -> Value {
    let r = random.next();
    if six {
        let len = if r & 1 == 0 { 48 } else { 19 + (r >> 8 & 255) % 46 };
        // In the range of assigned addresses: below 2000::/3.
        let bits = u128::from(random.next() >> 3 | 0x2000 << 48) << 64;
        Value::Ip(IpAddr::V6(bits.into()), len as u8)
    } else {
        let len = if r & 1 == 0 { 24 } else { 8 + (r >> 8 & 255) % 25 };
        Value::Ip(IpAddr::V4((random.next() as u32).into()), len as u8)
    }
}

fn address(random: &mut Random, value: &Value) -> KeyValue<'static> {
    let inside = random.next() & 1 == 0;
    match *value {
        Value::Ip(IpAddr::V4(ip), len) if inside => {
            let host = (random.next() as u32).checked_shr(len.into()).unwrap_or(0);
            KeyValue::V4(ip.to_bits() & !(u32::MAX.checked_shr(len.into()).unwrap_or(0)) | host)
        }
        Value::Ip(IpAddr::V4(_), _) => KeyValue::V4(random.next() as u32),
        Value::Ip(IpAddr::V6(ip), len) if inside => {
            let host = (u128::from(random.next()) << 64 | u128::from(random.next())) >> len;
            KeyValue::V6(ip.to_bits() & !(u128::MAX >> len) | host)
        }
        Value::Ip(IpAddr::V6(_), _) => {
            KeyValue::V6(u128::from(random.next() >> 3 | 0x2000 << 48) << 64 | u128::from(random.next()))
        }
        _ => panic!("not an address"),
    }
}

/// The fastest of `passes`, in nanoseconds for each of `count`.
fn best(passes: usize, count: usize, mut pass: impl FnMut(usize) -> u64) -> f64 {
    let times = (0..passes).map(|at| {
        let start = Instant::now();
        black_box(pass(at));
        start.elapsed().as_nanos() as f64 / count as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

fn main() {
    let rows = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000usize);
    println!(
        "{:<22} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "table", "rows", "bytes/row", "insert", "contains", "get"
    );
    type Draw = fn(&mut Random, usize) -> Vec<Value>;
    let kinds: &[(&str, &[ValueTy], Draw)] = &[
        ("v4 prefixes", &[ValueTy::Cidr], |r, _| vec![prefix(r, false)]),
        ("v6 prefixes", &[ValueTy::Cidr], |r, _| vec![prefix(r, true)]),
        ("v4 and v6 prefixes", &[ValueTy::Cidr], |r, i| vec![prefix(r, i % 2 == 0)]),
        ("v4 addresses", &[ValueTy::Ip], |r, _| vec![Value::Ip(IpAddr::V4((r.next() as u32).into()), 32)]),
        ("pairs of v4 addresses", &[ValueTy::Ip; 2], |r, _| {
            (0..2).map(|_| Value::Ip(IpAddr::V4((r.next() as u32).into()), 32)).collect()
        }),
    ];
    for (name, types, draw) in kinds {
        for value in [None, Some(ValueTy::String)] {
            let mut random = Random(7);
            let keys: Vec<Vec<Value>> = (0..rows).map(|i| draw(&mut random, i)).collect();
            let texts: Vec<Value> =
                (0..64).map(|i| Value::Text(format!("group {i}").as_bytes().into())).collect();
            let mut table = Table::new(types, value, rows).unwrap();
            let start = Instant::now();
            for (key, text) in keys.iter().zip(texts.iter().cycle()) {
                table.insert(key, value.map(|_| text.clone())).unwrap();
            }
            let insert = start.elapsed().as_nanos() as f64 / rows as f64;
            let asked: Vec<Vec<KeyValue>> = (0..1 << 20)
                .map(|_| {
                    let key = &keys[random.next() as usize % rows];
                    key.iter().map(|part| address(&mut random, part)).collect()
                })
                .collect();
            let flat: Vec<KeyValue> = asked.concat();
            let width = types.len();
            let pass = asked.len() / 64;
            let slice = |at: usize| flat.chunks_exact(width).skip(at * pass).take(pass);
            let contains = best(64, pass, |at| slice(at).map(|key| u64::from(table.contains(key, 0))).sum());
            let get = best(64, pass, |at| {
                let text = |key: &[KeyValue]| match table.get(key, 0) {
                    Some(Value::Text(text)) => u64::from(text[text.len() - 1]),
                    _ => 0,
                };
                slice(at).map(text).sum()
            });
            let bytes = table.memory() / table.len();
            let name = format!("{name}{}", if value.is_some() { ", map" } else { ", set" });
            let len = table.len();
            println!("{name:<27} {len:>9} {bytes:>5} {insert:>9.0} {contains:>9.1} {get:>9.1}");
            if value.is_some() {
                changes(&mut table, &keys, &texts);
            }
        }
    }
}

/// Rows removed and inserted, one at a time and while the table is shared.
fn changes(table: &mut Table, keys: &[Vec<Value>], texts: &[Value]) {
    let mut at = 0;
    let change = |table: &mut Table, at: &mut usize| {
        let (key, text) = (&keys[*at % keys.len()], &texts[*at % texts.len()]);
        *at += 7919;
        let there = table.remove(key).unwrap();
        table.insert(key, Some(text.clone())).unwrap();
        u64::from(there)
    };
    let count = 1000;
    let alone = best(64, count, |_| (0..count).map(|_| change(table, &mut at)).sum());
    let batch = best(64, 100, |_| {
        let shared = table.clone();
        let sum = (0..100).map(|_| change(table, &mut at)).sum();
        drop(shared);
        sum
    });
    let single = best(64, 10, |_| {
        (0..10)
            .map(|_| {
                let shared = table.clone();
                let there = change(table, &mut at);
                drop(shared);
                there
            })
            .sum()
    });
    println!(
        "    a row taken out and put in: {:.2} us; of 100 after a copy {:.1} us; with a copy for each {:.0} us",
        alone / 1e3,
        batch / 1e3,
        single / 1e3
    );
}
