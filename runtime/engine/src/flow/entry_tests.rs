//! Each packed number of an entry keeps its value when the others change.

use super::*;

/// All numbers that an entry holds.
fn all(e: &Entry) -> [u64; 16] {
    let counted = |end| e.counted(end);
    [
        e.key().tags,
        u64::from(e.app()),
        e.last() as u64,
        u64::from(e.next()),
        u64::from(e.prev()),
        u64::from(e.base(0)),
        u64::from(e.base(1)),
        e.top(0),
        e.top(1),
        counted(0).0,
        counted(0).1,
        counted(1).0,
        counted(1).1,
        u64::from(e.has(flag::RESET)),
        e.active,
        e.first as u64,
    ]
}

#[test]
fn every_number_keeps_to_its_bits() {
    let key = Key { addresses: [1, 2, 3, 4], ports: u64::MAX, tags: KEY };
    for flip in [false, true] {
        let mut e = Entry::new(&key, 1, 1000);
        type Setter = (usize, fn(&mut Entry, bool));
        let setters: [Setter; 10] = [
            (1, |e, b| e.set_app(if b { App::Git } else { App::Undecided })),
            (2, |e, b| e.set_last(if b { -1000 } else { 4000 })),
            (3, |e, b| e.set_next(if b { 0xff_ffff } else { 0 })),
            (4, |e, b| e.set_prev(if b { 0xff_ffff } else { 0 })),
            (5, |e, b| e.set_base(0, if b { u32::MAX } else { 0 })),
            (6, |e, b| e.set_base(1, if b { u32::MAX } else { 0 })),
            (7, |e, b| e.set_top(0, if b { u64::MAX } else { 0 })),
            (8, |e, b| e.set_top(1, if b { u64::MAX } else { 0 })),
            (13, |e, b| if b { e.set(flag::RESET) } else { e.clear(flag::RESET) }),
            (9, |e, _| e.count(0, 0)),
        ];
        for round in 0..4 {
            for (changed, set) in setters {
                let before = all(&e);
                set(&mut e, (round % 2 == 0) != flip);
                let after = all(&e);
                for i in (0..16).filter(|&i| i != changed) {
                    assert_eq!(before[i], after[i], "{changed} changed {i}");
                }
                assert!(e.is(&key));
            }
        }
    }
}

#[test]
fn numbers_are_exact_and_then_stop() {
    let mut e = Entry::new(&Key::default(), 0, i64::MIN);
    assert_eq!((e.last(), e.client()), (i64::MIN, 0));
    e.set_last(e.after(i64::MAX));
    assert_eq!(e.last(), i64::MIN + (1 << 55) - 1);
    let mut e = Entry::new(&Key::default(), 1, 100);
    for time in [100, 99, -5, 1 << 54, -(1 << 54)] {
        e.set_last(e.after(time));
        assert_eq!(e.last(), time);
    }
    e.set_next(0x12_3456);
    e.set_prev(0xab_cdef);
    e.set_base(0, 0x1122_3344);
    e.set_base(1, 0x5566_7788);
    assert_eq!((e.next(), e.prev()), (0x12_3456, 0xab_cdef));
    assert_eq!((e.base(0), e.base(1)), (0x1122_3344, 0x5566_7788));
    e.set_top(1, MOST + 5);
    assert_eq!((e.top(0), e.top(1)), (0, MOST));
    add(&mut e.sides[1].packets, MOST - 1);
    add(&mut e.sides[1].bytes, MOST - 10);
    e.count(1, 100);
    assert_eq!(e.counted(1), (MOST, MOST));
    e.count(1, u32::MAX);
    assert_eq!(e.counted(1), (MOST, MOST));
    assert_eq!(e.base(1), 0x5566_7788);
}
