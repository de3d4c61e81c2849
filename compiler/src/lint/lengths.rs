//! Whether one capture length always covers another, whatever the packet. The invariant: a "yes" is
//! never wrong; lengths of different kinds are mostly not comparable. (Rejected: comparing them at
//! one usual packet size.)

use super::cube::bounds;
use crate::hir::{Length, Num, NumKind, Program};

/// Whether the range of `wide` contains the range of `narrow` for every packet.
pub(super) fn covers(program: &Program, wide: &Length, narrow: &Length) -> bool {
    let at_least = |a: &Num, b: &Num| at_least(program, a, b);
    match (wide, narrow) {
        _ if asks_nothing(program, narrow) => true,
        (Length::Full, _) => true,
        (Length::Percent(n), _) if bounds(program, n).0 >= 100 => true,
        (Length::Bytes(a), Length::Bytes(b)) => at_least(a, b),
        (Length::Percent(a), Length::Percent(b)) => at_least(a, b),
        (Length::Headers(a), Length::Headers(b)) => at_least(a, b),
        (Length::Bytes(a), Length::Slice(_, end)) => at_least(a, end),
        (Length::Slice(start, end), Length::Slice(first, last)) => {
            at_least(first, start) && at_least(end, last)
        }
        (Length::Slice(start, end), Length::Bytes(n)) => bounds(program, start).1 == 0 && at_least(end, n),
        _ => false,
    }
}

/// Whether a length asks for nothing of any packet.
pub(super) fn asks_nothing(program: &Program, length: &Length) -> bool {
    match length {
        Length::None => true,
        Length::Bytes(n) | Length::Percent(n) => bounds(program, n).1 == 0,
        Length::Slice(start, end) => at_least(program, start, end),
        Length::Full | Length::Headers(_) => false,
    }
}

/// Whether `a >= b` always holds.
fn at_least(program: &Program, a: &Num, b: &Num) -> bool {
    let same = a == b && matches!(a.kind(), NumKind::Const(_) | NumKind::Param(_));
    same || bounds(program, a).0 >= bounds(program, b).1
}
