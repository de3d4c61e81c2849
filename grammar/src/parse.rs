//! Text to syntax tree. A scanner finds comments, brackets and where each item starts, and reports
//! what is wrong with single characters; then each item is read by the pest grammar on its own, and
//! an item with an error once more, clause by clause. The invariant: any text gives a tree and
//! diagnostics, in time linear in its length, and no recursion deeper than
//! [`MAX_NESTING`](crate::MAX_NESTING) allows. This module and its children are the only ones that
//! know pest. (Rejected: reading the whole file at once, where the first error hides all others.)

mod expr;
mod items;
mod literal;
mod operand;
mod recover;
mod report;
mod scan;
mod sink;
mod tokens;

use crate::ast::{File, Item};
use crate::codes::syntax;
use crate::diagnostic::Diagnostic;
use crate::limits::MAX_FILE;
use crate::span::{FileId, Span};
use items::Builder;
use pest::Parser;
use recover::Recovery;
use scan::{Chunk, Scan};
use sink::Sink;

#[derive(pest_derive::Parser)]
#[grammar = "mrule.pest"]
struct Grammar;

type Pair<'t> = pest::iterators::Pair<'t, Rule>;
type Pairs<'t> = pest::iterators::Pairs<'t, Rule>;

/// What [`parse`] makes of a text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// The tree of what could be read.
    pub file: File,
    /// What is wrong, in the order of the text, all of severity error. Empty: the tree is the whole
    /// text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a text. Never fails: what cannot be read is told in the diagnostics, and left out of the
/// tree or put there as `Broken`.
pub fn parse(file: FileId, text: &str) -> Parsed {
    let mut sink = Sink::new(file);
    if text.len() > MAX_FILE {
        let message = format!("this file has {} bytes; at most {} are read", text.len(), MAX_FILE);
        let place = Span::new(file, 0, 0);
        sink.push(
            Diagnostic::new(syntax::FILE_TOO_LARGE, message)
                .at(place, "this file")
                .help("move long lists into a table file (`table t : set<ip> from \"t.csv\"`), or split it"),
        );
        return Parsed { file: File::default(), diagnostics: sink.finish() };
    }
    let scan = Scan::new(text, &mut sink);
    let comments = scan.comments.iter().map(|c| Span::new(file, c.start, c.end)).collect();
    let mut items = Vec::with_capacity(scan.chunks.len());
    for chunk in &scan.chunks {
        read_chunk(&scan, chunk, &mut sink, &mut items);
    }
    Parsed { file: File { items, comments }, diagnostics: sink.finish() }
}

/// Reads one item.
fn read_chunk(scan: &Scan, chunk: &Chunk, sink: &mut Sink, items: &mut Vec<Item>) {
    let text = scan.text.get(chunk.range.clone()).unwrap_or("");
    match Grammar::parse(Rule::one_item, text) {
        Ok(mut pairs) => {
            let mut builder = Builder { base: chunk.range.start, sink };
            if let Some(pair) = pairs.next() {
                items.push(builder.item(pair));
            }
        }
        Err(error) => Recovery { scan, sink, items }.item(chunk, error),
    }
}
