//! The rows of tables, inline or from a CSV file. A file has one row per line: the parts of the
//! key, then the value, separated by commas. Blanks around cells are removed; `#` comments and
//! blank lines are skipped; quotes are as in RFC 4180. A first line is a header if all its cells
//! are words and at least one of them is in a column of another type than text. The invariant:
//! every row of the program has its table's type, and no key occurs twice. (Rejected: columns by
//! header name; it would be a second way to write the same.)

use super::Checker;
use super::params::example;
use super::tables::type_name;
use super::value::{Bound, BoundKind, Const};
use crate::hir::{self, TableId, Value, ValueTy};
use crate::table::{DEFAULT_ROWS, Form, Table, text};
use mrule_grammar::ast::{self, ExprKind, TableInit};
use mrule_grammar::codes::{oddities, settings as codes};
use mrule_grammar::diagnostic::{Diagnostic, Severity};
use mrule_grammar::span::{FileId, Span};
use std::collections::HashMap;

/// How many rows a table may have.
pub const MAX_ROWS: usize = DEFAULT_ROWS;

/// How many findings of one table are reported one by one.
const MAX_TOLD: usize = 20;

/// Rows under construction.
struct Rows<'t> {
    table: Table,
    /// The place of each row. For a file: where its line begins.
    places: Vec<Span>,
    /// The text of the file, if the rows are from a file.
    text: Option<&'t str>,
    findings: Vec<Diagnostic>,
    /// How many errors and how many warnings are counted and not reported.
    untold: (usize, usize),
    full: bool,
}

impl Rows<'_> {
    fn tell(&mut self, finding: Diagnostic) {
        if self.findings.len() < MAX_TOLD {
            self.findings.push(finding);
        } else if finding.severity() == Severity::Error {
            self.untold.0 += 1;
        } else {
            self.untold.1 += 1;
        }
    }

    fn add(&mut self, key: &[Value], value: Option<Value>, place: Span) {
        if self.places.len() >= MAX_ROWS {
            if let Ok(Some(first)) = self.table.number(key) {
                return self.again(first, value.as_ref(), place);
            }
            if !self.full {
                self.full = true;
                let message = format!("a table has at most {MAX_ROWS} rows");
                let place = self.whole(place);
                let finding = Diagnostic::new(codes::TABLE_TOO_LARGE, message).at(place, "one too many");
                self.findings.insert(0, finding.help("join neighbouring networks, or split the table"));
            }
            return;
        }
        // One look-up per row: a table may have a million rows.
        let rows = self.table.len();
        match self.table.insert(key, value.clone()) {
            Ok(_) if self.table.len() > rows => self.places.push(place),
            // The key exists already: its old value is restored.
            Ok(old) => {
                let _replaced = self.table.insert(key, old);
                if let Ok(Some(first)) = self.table.number(key) {
                    self.again(first, value.as_ref(), place);
                }
            }
            // Unreachable: the row was built for the types of its table.
            Err(error) => {
                let finding = Diagnostic::new(codes::ROW, format!("this row does not fit: {error}"));
                let place = self.whole(place);
                self.tell(finding.at(place, "this row").help("write it as the table's type says"));
            }
        }
    }

    /// Reports a key that exists already.
    fn again(&mut self, first: u32, value: Option<&Value>, place: Span) {
        let known = self.table.row(first).and_then(|row| row.1);
        let (code, message, help) = if known.as_ref() == value {
            (oddities::DUPLICATE_ROW, "this row exists already", "remove one of them")
        } else {
            (
                codes::DUPLICATE_KEY,
                "this key has another value already",
                "a key has one value: remove one of the rows",
            )
        };
        let mut finding = Diagnostic::new(code, message).at(self.whole(place), "again here").help(help);
        if let Some(&first) = self.places.get(first as usize) {
            finding = finding.at(self.whole(first), "first here");
        }
        self.tell(finding);
    }

    /// The span of a whole row. For a file, `place` is only the start of the row's line.
    fn whole(&self, place: Span) -> Span {
        self.text.map_or(place, |text| Line { text, place }.whole())
    }
}

impl Checker<'_> {
    /// Fills all tables. `files` has the text of each table file, by the place of its path.
    pub fn table_rows(&mut self, files: &HashMap<Span, FileId>) -> Vec<hir::Table> {
        let mut tables = Vec::with_capacity(self.names.tables.len());
        for (index, item) in self.names.tables.clone().into_iter().enumerate() {
            let ty = self.tables.get(index).cloned().unwrap_or_default();
            let Some(key) = ty.key else { continue };
            let form = Form { key, value: ty.value, unordered: ty.unordered, words: ty.words };
            let Ok(table) = Table::of(form, DEFAULT_ROWS) else { continue };
            let mut rows = Rows {
                table,
                places: Vec::new(),
                text: None,
                findings: Vec::new(),
                untold: (0, 0),
                full: false,
            };
            match &item.init {
                TableInit::Empty => {}
                TableInit::Inline(inline) => {
                    for row in inline {
                        let before = self.diagnostics.len();
                        self.inline_row(TableId(index as u32), row, &mut rows);
                        for finding in self.diagnostics.split_off(before) {
                            rows.tell(finding);
                        }
                    }
                }
                TableInit::File(path) => {
                    if let Some(&file) = files.get(&path.span)
                        && let Some(source) = self.sources.get(file)
                    {
                        csv(&source.text, file, &mut rows);
                    }
                }
            }
            let last = rows.findings.last().and_then(|d| d.labels.first()).map(|l| l.span);
            for finding in rows.findings {
                self.report(finding);
            }
            for (code, count) in [(codes::MORE_ROWS, rows.untold.0), (oddities::DUPLICATE_ROW, rows.untold.1)]
            {
                if let (true, Some(last)) = (count > 0, last) {
                    let message = format!("table `{}`: {count} more rows are like these", item.name.node);
                    let end = Span { start: last.end, ..last };
                    self.report(Diagnostic::new(code, message).at(end, "and more").help("mend these first"));
                }
            }
            tables.push(hir::Table { name: item.name.node.clone(), span: item.name.span, start: rows.table });
        }
        tables
    }

    fn inline_row(&mut self, table: TableId, row: &ast::Row, rows: &mut Rows) {
        let Form { key: types, value, .. } = rows.table.form().clone();
        let key = &row.key;
        let mut inner = key;
        while let ExprKind::Paren(x) = &inner.kind {
            inner = x;
        }
        let parts = match &inner.kind {
            ExprKind::Tuple(parts) => parts.as_slice(),
            _ => std::slice::from_ref(key),
        };
        if parts.len() != types.len() {
            if matches!(inner.kind, ExprKind::Broken) {
                return;
            }
            let (want, got) = (types.len(), parts.len());
            let message = format!(
                "a key of this table has {want} part{}; here {} {got}",
                s(want),
                if got == 1 { "is" } else { "are" }
            );
            let names: Vec<_> = types.iter().map(|t| type_name(*t)).collect();
            let finding = Diagnostic::new(codes::ROW, message).at(key.span, format!("{got} part{}", s(got)));
            return rows.tell(finding.help(format!("write ({})", names.join(", "))));
        }
        let found: Vec<_> =
            parts.iter().zip(&types).map(|(part, ty)| self.typed_constant(*ty, part, "this key")).collect();
        let value = match (value, &row.value) {
            (Some(ValueTy::Word), Some(expr)) => match self.row_word(table, expr) {
                Some(value) => Some(value),
                None => return,
            },
            (Some(ty), Some(expr)) => match self.typed_constant(ty, expr, "the value of this row") {
                Some(value) => Some(value),
                None => return,
            },
            (None, None) => None,
            (Some(ty), None) => {
                let finding = Diagnostic::new(codes::ROW, "a row of a map has a value");
                let finding = finding.at(key.span, "no value");
                return rows.tell(finding.help(format!(
                    "write `{} -> ...`: {}",
                    self.text(key.span),
                    example(ty)
                )));
            }
            (None, Some(expr)) => {
                let finding =
                    Diagnostic::new(codes::ROW, "a row of a set has no value").at(expr.span, "a value");
                return rows.tell(finding.help("leave it out, or make the table a map: `map<ip, string>`"));
            }
        };
        if let Some(found) = found.into_iter().collect::<Option<Vec<Value>>>() {
            rows.add(&found, value, key.span);
        }
    }

    /// A word as the value of a row. `None`: reported.
    fn row_word(&mut self, table: TableId, expr: &ast::Expr) -> Option<Value> {
        match &expr.kind {
            ExprKind::Broken => None,
            ExprKind::Path(name) => match self.word(table, name) {
                Some(number) => Some(Value::Num(number)),
                None => {
                    self.unknown_word(table, name, expr.span);
                    None
                }
            },
            _ => {
                let constant = BoundKind::Const(Const::Bool(false));
                self.no_word(table, &Bound { span: expr.span, kind: constant });
                None
            }
        }
    }
}

/// Reads a file's rows.
fn csv<'t>(text: &'t str, file: FileId, rows: &mut Rows<'t>) {
    rows.text = Some(text);
    let form = rows.table.form().clone();
    let columns: Vec<ValueTy> = form.key.iter().copied().chain(form.value).collect();
    let skipped = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .from_reader(text.get(skipped..).unwrap_or("").as_bytes());
    let mut record = csv::ByteRecord::new();
    let mut values = Vec::with_capacity(columns.len());
    let mut first = true;
    loop {
        let start = reader.position().byte() as usize;
        let place = |start: usize| Span::new(file, skipped + start, skipped + start);
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            // Lines may differ in length, so this error does not occur.
            Err(error) => {
                let finding = Diagnostic::new(codes::ROW, format!("this file cannot be read: {error}"));
                rows.tell(finding.at(place(start), "here").help("write one row a line, separated by commas"));
                break;
            }
        }
        let place = place(record.position().map_or(start, |p| p.byte() as usize));
        let cells = Cells(&record);
        let blank = cells.len() == 1 && cells.get(0).is_empty();
        if blank || cells.get(0).starts_with('#') {
            continue;
        }
        if std::mem::take(&mut first) && is_header(&cells, &columns, &form.words) {
            continue;
        }
        row(&cells, &columns, &form, &Line { text, place }, &mut values, rows);
    }
}

/// The cells of a record, without the blanks around them. The file is UTF-8, and so is each cell.
struct Cells<'r>(&'r csv::ByteRecord);

impl Cells<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, at: usize) -> &str {
        self.0.get(at).and_then(|cell| std::str::from_utf8(cell).ok()).unwrap_or("").trim()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }
}

fn s(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// The text of a record's file, and where the record begins.
struct Line<'t> {
    text: &'t str,
    place: Span,
}

impl Line<'_> {
    /// The places of the record's cells, as far as they can be found.
    fn cells(&self) -> Vec<Span> {
        let (mut cells, mut from, mut quoted) = (Vec::new(), self.place.start as usize, false);
        let bytes = self.text.as_bytes();
        // Line ends of blank lines may precede the record.
        while bytes.get(from).is_some_and(|b| matches!(b, b'\r' | b'\n')) {
            from += 1;
        }
        let mut at = from;
        loop {
            match bytes.get(at) {
                Some(b'"') => quoted = !quoted,
                Some(b',') if !quoted => {
                    cells.push(self.cell(from, at));
                    from = at + 1;
                }
                Some(b'\n' | b'\r') | None if !quoted || at >= bytes.len() => {
                    cells.push(self.cell(from, at));
                    return cells;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn cell(&self, from: usize, to: usize) -> Span {
        let raw = self.text.get(from..to).unwrap_or("");
        let left = raw.len() - raw.trim_start().len();
        let right = raw.len() - raw.trim_end().len();
        let (from, to) = if left == raw.len() { (from, to) } else { (from + left, to - right) };
        Span::new(self.place.file, from, to)
    }

    fn whole(&self) -> Span {
        let cells = self.cells();
        match (cells.first(), cells.last()) {
            (Some(first), Some(last)) => first.to(*last),
            _ => self.place,
        }
    }
}

/// Whether the first record names the columns: it has as many words as there are columns, and no
/// cell is a value of a column of another type than text.
fn is_header(cells: &Cells, columns: &[ValueTy], words: &[String]) -> bool {
    let word = |cell: &str| {
        cell.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && cell.chars().all(|c| c.is_ascii_alphanumeric() || "_- ".contains(c))
    };
    let typed = |(_, ty): &(&str, &ValueTy)| **ty != ValueTy::String;
    let wrong = |(cell, ty): (&str, &ValueTy)| text::value(*ty, words, cell).is_none();
    cells.len() == columns.len()
        && columns.iter().any(|ty| *ty != ValueTy::String)
        && cells.iter().all(word)
        && cells.iter().zip(columns).filter(typed).all(wrong)
}

fn row(
    cells: &Cells,
    columns: &[ValueTy],
    form: &Form,
    line: &Line,
    values: &mut Vec<Value>,
    rows: &mut Rows,
) {
    if cells.len() != columns.len() {
        let (want, got) = (columns.len(), cells.len());
        let names: Vec<_> = columns.iter().map(|t| text::name(*t)).collect();
        let message = format!(
            "a row of this table has {want} cell{}; here {} {got}",
            s(want),
            if got == 1 { "is" } else { "are" }
        );
        let finding = Diagnostic::new(codes::ROW, message).at(line.whole(), format!("{got} cell{}", s(got)));
        return rows.tell(
            finding.help(format!("the cells are: {}; text with a comma stands in quotes", names.join(", "))),
        );
    }
    values.clear();
    for (at, (cell, ty)) in cells.iter().zip(columns).enumerate() {
        match text::value(*ty, &form.words, cell) {
            Some(value) => values.push(value),
            None => {
                let place = line.cells().get(at).copied().unwrap_or_else(|| line.whole());
                let shown: String = cell.chars().take(64).collect();
                let message = format!("`{shown}` is not of type `{}`", text::name(*ty));
                let finding =
                    Diagnostic::new(codes::ROW, message).at(place, format!("cell {} of this row", at + 1));
                return rows.tell(finding.help(format!("write {}", text::example(*ty, &form.words))));
            }
        }
    }
    let value = if values.len() > form.key.len() { values.pop() } else { None };
    rows.add(values, value, line.place);
}
