//! Text to syntax tree. A scanner finds comments, brackets and the start of each item, and reports
//! wrong single characters. The pest grammar then reads each item on its own. It reads an item with
//! an error a second time, clause by clause. The invariant: any text gives a tree and diagnostics,
//! in time linear in its length, and recursion is no deeper than
//! [`MAX_NESTING`](crate::MAX_NESTING) allows. Only this module and its children use pest.
//! (Rejected: reading the whole file at once; the first error would hide all others.)

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

/// The result of [`parse`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// The tree of all parts that could be read.
    pub file: File,
    /// All errors, in the order of the text. If there are none, the tree is the whole text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a text. It never fails: a part that cannot be read is reported in the diagnostics. The
/// tree omits that part or has `Broken` in its place.
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
