//! Which prefix length applies where: the address space of each family cut at the boundaries of all prefixes, each
//! piece with the longest prefix that covers it. One search answers for any number of lengths. The invariant: pieces
//! are changed only between a prefix's own first and last address, so inserting and removing cost what lies in it.
//! (Rejected: probing one hash map per length, up to 162 of them; a trie, which is more code for the same cost.)

use super::{KeyValue, Part, Shape};
use crate::sets::Point;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// First address of a piece, and the length of the longest prefix there.
type Pieces<A> = BTreeMap<A, Option<u8>>;

#[derive(Debug, Clone, Default)]
pub(super) struct Prefixes {
    v4: Pieces<u32>,
    v6: Pieces<u128>,
}

impl Prefixes {
    /// The longest prefix that covers an address.
    pub(super) fn longest(&self, key: KeyValue) -> Option<Shape> {
        match key {
            KeyValue::V4(ip) => at(&self.v4, ip).map(|len| Shape::V4(Reverse(len))),
            KeyValue::V6(ip) => at(&self.v6, ip).map(|len| Shape::V6(Reverse(len))),
            KeyValue::Num(_) | KeyValue::Bytes(_) => None,
        }
    }

    /// Adds a prefix whose first address is `part`.
    pub(super) fn insert(&mut self, part: &Part, shape: Shape) {
        match (part, shape) {
            (&Part::V4(ip), Shape::V4(Reverse(len))) => {
                insert(&mut self.v4, ip, ip | !super::mask_v4(len), len);
            }
            (&Part::V6(ip), Shape::V6(Reverse(len))) => {
                insert(&mut self.v6, ip, ip | !super::mask_v6(len), len);
            }
            _ => {}
        }
    }

    /// Takes a prefix out; `shorter` is the longest of those left that cover it.
    pub(super) fn remove(&mut self, part: &Part, shape: Shape, shorter: Option<Shape>) {
        let left = match shorter {
            Some(Shape::V4(Reverse(len)) | Shape::V6(Reverse(len))) => Some(len),
            Some(Shape::Other) | None => None,
        };
        match (part, shape) {
            (&Part::V4(ip), Shape::V4(Reverse(len))) => {
                remove(&mut self.v4, ip, ip | !super::mask_v4(len), len, left);
            }
            (&Part::V6(ip), Shape::V6(Reverse(len))) => {
                remove(&mut self.v6, ip, ip | !super::mask_v6(len), len, left);
            }
            _ => {}
        }
    }
}

fn at<A: Point>(pieces: &Pieces<A>, ip: A) -> Option<u8> {
    pieces.range(..=ip).next_back().and_then(|(_, &len)| len)
}

/// Makes a boundary before `ip`.
fn cut<A: Point>(pieces: &mut Pieces<A>, ip: A) {
    let longest = at(pieces, ip);
    pieces.entry(ip).or_insert(longest);
}

fn insert<A: Point>(pieces: &mut Pieces<A>, first: A, last: A, len: u8) {
    cut(pieces, first);
    if let Some(next) = last.next() {
        cut(pieces, next);
    }
    for (_, longest) in pieces.range_mut(first..=last) {
        *longest = (*longest).max(Some(len));
    }
}

fn remove<A: Point>(pieces: &mut Pieces<A>, first: A, last: A, len: u8, left: Option<u8>) {
    // A neighbour of the same length may have been joined with it.
    cut(pieces, first);
    if let Some(next) = last.next() {
        cut(pieces, next);
    }
    for (_, longest) in pieces.range_mut(first..=last) {
        if *longest == Some(len) {
            *longest = left;
        }
    }
    // Pieces that no longer differ from the one before them are joined, so that churn does not grow the list.
    let mut before = first.previous().and_then(|previous| at(pieces, previous));
    let end = last.next().unwrap_or(last);
    let joined: Vec<A> = pieces
        .range(first..=end)
        .filter_map(|(&start, &longest)| {
            std::mem::replace(&mut before, longest).eq(&longest).then_some(start)
        })
        .collect();
    for start in joined {
        pieces.remove(&start);
    }
}
