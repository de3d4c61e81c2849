//! Runs: items of one kind on consecutive lines share columns, as in `gofmt`: names, types, keys of
//! triggers, clauses, and the comments at the ends of lines. A clause has a column where all items
//! of the run have the same clause in that place. The invariant: the tree and the author's line
//! breaks decide the items and the columns of a run, so formatting the result finds the same run.
//! (Rejected: columns over a whole file, where one long name would move every line; a run that is
//! split at its longest line, as authors cannot foresee which lines share columns.)

use super::items::Line;
use super::{Printer, WIDTH, width};
use crate::ast::{Item, TableInit};

/// The widths of the columns of a run. 0: not aligned.
#[derive(Default)]
pub(super) struct Columns {
    /// Names.
    pub name: usize,
    /// Types.
    pub ty: usize,
    /// The `by KEY` of triggers.
    pub key: usize,
    /// Clauses, except the last clause of an item.
    pub cells: Vec<usize>,
    /// Lines up to the comments at their ends.
    comment: usize,
}

impl Printer<'_> {
    pub(super) fn file(&mut self, items: &[Item]) {
        let mut from = 0;
        while from < items.len() {
            let rest = items.get(from..).unwrap_or_default();
            let long = self.run(rest);
            let run = rest.get(..long.len()).unwrap_or(rest);
            let columns = self.columns(run, &long);
            for (n, (item, is_long)) in run.iter().zip(&long).enumerate() {
                self.line(item.span().start, from + n == 0);
                self.hang = 4;
                self.comment_column = 0;
                self.item(item, &columns);
                self.comment_column = if *is_long { 0 } else { columns.comment };
            }
            from += long.len().max(1);
        }
        let end = self.text.len() as u32;
        self.last_line(end.saturating_add(1), 0, items.is_empty());
        self.out.truncate(self.out.trim_end().len());
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// The run at the front: for each of its items, whether it has more than one line. Only the
    /// last item of a run can have more, and only a `let`, `param` or `table`, whose value may be a
    /// long list.
    fn run(&self, items: &[Item]) -> Vec<bool> {
        let mut run: Vec<bool> = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let is_long = self.is_long(item);
            if let Some(before) = n.checked_sub(1).and_then(|n| items.get(n)) {
                let braces = !matches!(item, Item::Let(_) | Item::Param(_) | Item::Table(_));
                if std::mem::discriminant(before) != std::mem::discriminant(item)
                    || (is_long && braces)
                    || self.is_apart(before, item)
                {
                    break;
                }
            }
            run.push(is_long);
            if is_long {
                break;
            }
        }
        run
    }

    /// Whether a blank line or a line of comment stands between two items.
    fn is_apart(&self, a: &Item, b: &Item) -> bool {
        let between = self.text.get(a.span().end as usize..b.span().start as usize).unwrap_or("");
        let mut lines = between.lines().skip(1);
        let is_blank = between.matches('\n').count() > 1 && lines.clone().any(|l| l.trim().is_empty());
        is_blank || lines.any(|l| l.trim_start().starts_with('#'))
    }

    /// Whether an item is printed on more than one line.
    fn is_long(&self, item: &Item) -> bool {
        let span = item.span();
        let next = self.comments.partition_point(|c| c.start < span.start);
        let commented = self.comments.get(next).is_some_and(|c| c.start < span.end);
        commented || self.rendered(|p| p.item(item, &Columns::default())).contains('\n')
    }

    /// The columns of a run. If the lines would be too long, the columns of clauses are left out;
    /// if they still are, all columns are.
    fn columns(&self, run: &[Item], long: &[bool]) -> Columns {
        let has_braces =
            |i: &Item| matches!(i, Item::Station(_) | Item::Rule(_) | Item::Limit(_) | Item::Trigger(_));
        let mut columns = self.widths(run);
        let mut lines = self.lines(run, &columns);
        // Items without braces are not checked: a value may be of any length.
        if run.iter().any(has_braces) && !fit(&lines) {
            columns.cells = Vec::new();
            lines = self.lines(run, &columns);
            if !fit(&lines) {
                columns = Columns::default();
                lines = self.lines(run, &columns);
            }
        }
        let commented =
            run.iter().zip(lines).zip(long).filter(|((i, _), long)| !**long && self.has_comment(i));
        let comment = commented.map(|((_, line), _)| width(&line)).max().unwrap_or(0);
        columns.comment = if comment > WIDTH { 0 } else { comment };
        columns
    }

    fn lines(&self, run: &[Item], columns: &Columns) -> Vec<String> {
        run.iter().map(|item| self.rendered(|p| p.item(item, columns))).collect()
    }

    /// Whether a comment follows an item on its line.
    fn has_comment(&self, item: &Item) -> bool {
        let end = item.span().end;
        let next = self.comments.partition_point(|c| c.start < end);
        self.comments.get(next).is_some_and(|c| {
            self.text
                .get(end as usize..c.start as usize)
                .is_some_and(|t| t.trim_matches([' ', '\t']).is_empty())
        })
    }

    /// The widest of each column.
    fn widths(&self, run: &[Item]) -> Columns {
        let mut columns = Columns::default();
        let mut rows = Vec::new();
        for item in run {
            let (name, lines) = match item {
                Item::Let(x) => (&x.name, Vec::new()),
                Item::Param(x) => {
                    columns.ty = columns.ty.max(self.type_width(&x.ty));
                    (&x.name, Vec::new())
                }
                Item::Table(x) => {
                    let typed = if x.init == TableInit::Empty { 0 } else { self.type_width(&x.ty) };
                    columns.ty = columns.ty.max(typed);
                    (&x.name, Vec::new())
                }
                Item::Station(x) => (&x.name, Vec::new()),
                Item::Rule(x) | Item::Limit(x) => (&x.name, x.clauses.iter().map(Line::of_rule).collect()),
                Item::Trigger(x) => {
                    columns.key = columns.key.max(self.key_width(x));
                    (&x.name, x.clauses.iter().map(Line::of_trigger).collect())
                }
                Item::Include(_) | Item::Broken(_) => continue,
            };
            columns.name = columns.name.max(name.node.len());
            rows.push(lines);
        }
        columns.cells = self.cells(&rows);
        columns
    }

    /// The widths of the clauses in each place, up to the first place in which items have different
    /// clauses. The last clause of an item needs no padding.
    fn cells(&self, rows: &[Vec<Line>]) -> Vec<usize> {
        let mut cells = Vec::new();
        for place in 0.. {
            let mut there = rows.iter().filter_map(|row| Some((row.get(place)?, place + 1 < row.len())));
            let Some((first, _)) = there.clone().next() else { break };
            if there.any(|(line, _)| line.keyword != first.keyword) {
                break;
            }
            let there = rows.iter().filter(|row| place + 1 < row.len()).filter_map(|row| row.get(place));
            cells.push(there.map(|line| width(&self.cell(line))).max().unwrap_or(0));
        }
        cells
    }
}

/// Whether each item has one line that is not too long.
fn fit(lines: &[String]) -> bool {
    lines.iter().all(|line| !line.contains('\n') && width(line) <= WIDTH)
}
