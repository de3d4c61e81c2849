//! The rows of tables, inline or from a CSV file: one row a line, the parts of the key and then the value, separated by
//! commas, blanks around them cut, `#` comments and blank lines skipped, quotes as in RFC 4180. A first line whose cells
//! are all words, of which at least one should be something else than text, is a header. The invariant: every row of
//! the program has its table's type, and no key stands twice. (Rejected: columns by header name; two ways to say it.)

use super::Checker;
use super::constant::mac;
use super::params::example;
use super::tables::type_name;
use crate::hir::{self, Value, ValueTy};
use mrule_grammar::ast::{self, ExprKind, TableInit};
use mrule_grammar::codes::{oddities, settings as codes};
use mrule_grammar::diagnostic::{Diagnostic, Severity};
use mrule_grammar::span::{FileId, Span};
use mrule_grammar::units::{UNITS, UnitKind};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How many rows a table may have.
pub const MAX_ROWS: usize = 1 << 22;

/// How many findings of one table are told one by one.
const MAX_TOLD: usize = 20;

type Row = (Vec<Value>, Option<Value>);

/// Rows in the making.
struct Rows {
    rows: Vec<Row>,
    places: Vec<Span>,
    index: HashMap<Vec<Value>, usize>,
    findings: Vec<Diagnostic>,
    /// How many errors and how many warnings are only counted.
    untold: (usize, usize),
    full: bool,
}

impl Rows {
    fn tell(&mut self, finding: Diagnostic) {
        if self.findings.len() < MAX_TOLD {
            self.findings.push(finding);
        } else if finding.severity() == Severity::Error {
            self.untold.0 += 1;
        } else {
            self.untold.1 += 1;
        }
    }

    fn add(&mut self, key: Vec<Value>, value: Option<Value>, place: Span) {
        if let Some(&first) = self.index.get(&key) {
            let known = self.rows.get(first).and_then(|r| r.1.as_ref());
            let (code, message, help) = if known == value.as_ref() {
                (oddities::DUPLICATE_ROW, "this row is there already", "remove one of them")
            } else {
                (
                    codes::DUPLICATE_KEY,
                    "this key has another value already",
                    "a key has one value: remove one of the rows",
                )
            };
            let mut finding = Diagnostic::new(code, message).at(place, "again here").help(help);
            if let Some(first) = self.places.get(first) {
                finding = finding.at(*first, "first here");
            }
            return self.tell(finding);
        }
        if self.rows.len() >= MAX_ROWS {
            if !self.full {
                self.full = true;
                let message = format!("a table has at most {MAX_ROWS} rows");
                let finding = Diagnostic::new(codes::TABLE_TOO_LARGE, message).at(place, "one too many");
                self.findings.insert(0, finding.help("join neighbouring networks, or split the table"));
            }
            return;
        }
        self.index.insert(key.clone(), self.rows.len());
        self.rows.push((key, value));
        self.places.push(place);
    }
}

impl Checker<'_> {
    /// Fills all tables; `files` are the texts of those that are read from files, by the place of their path.
    pub fn table_rows(&mut self, files: &HashMap<Span, FileId>) -> Vec<hir::Table> {
        let mut tables = Vec::with_capacity(self.names.tables.len());
        for (index, item) in self.names.tables.clone().into_iter().enumerate() {
            let ty = self.tables.get(index).cloned().unwrap_or_default();
            let Some(key) = ty.key else { continue };
            let mut rows = Rows {
                rows: Vec::new(),
                places: Vec::new(),
                index: HashMap::new(),
                findings: Vec::new(),
                untold: (0, 0),
                full: false,
            };
            match &item.init {
                TableInit::Empty => {}
                TableInit::Inline(inline) => {
                    for row in inline {
                        let before = self.diagnostics.len();
                        self.inline_row(&key, ty.value, row, &mut rows);
                        for finding in self.diagnostics.split_off(before) {
                            rows.tell(finding);
                        }
                    }
                }
                TableInit::File(path) => {
                    if let Some(file) = files.get(&path.span) {
                        self.csv(&key, ty.value, *file, &mut rows);
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
            tables.push(hir::Table {
                name: item.name.node.clone(),
                span: item.name.span,
                key,
                value: ty.value,
                rows: rows.rows,
            });
        }
        tables
    }

    fn inline_row(&mut self, types: &[ValueTy], value: Option<ValueTy>, row: &ast::Row, rows: &mut Rows) {
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
            parts.iter().zip(types).map(|(part, ty)| self.typed_constant(*ty, part, "this key")).collect();
        let value = match (value, &row.value) {
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
            rows.add(found, value, key.span);
        }
    }

    fn csv(&mut self, types: &[ValueTy], value: Option<ValueTy>, file: FileId, rows: &mut Rows) {
        let Some(source) = self.sources.get(file) else { return };
        let (skipped, text) = match source.text.strip_prefix('\u{feff}') {
            Some(text) => (3, text),
            None => (0, source.text.as_str()),
        };
        let columns: Vec<ValueTy> = types.iter().copied().chain(value).collect();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        let mut first = true;
        loop {
            let start = reader.position().byte() as usize;
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                // The text is UTF-8 and lines may differ in length: nothing is left to go wrong.
                Err(error) => {
                    let span = Span::new(file, skipped + start, skipped + start);
                    let finding = Diagnostic::new(codes::ROW, format!("this file cannot be read: {error}"));
                    rows.tell(finding.at(span, "here").help("write one row a line, separated by commas"));
                    break;
                }
            }
            let start = record.position().map_or(start, |p| p.byte() as usize);
            let is_first = std::mem::take(&mut first);
            let blank = record.iter().all(str::is_empty) && record.len() == 1;
            if blank || record.get(0).is_some_and(|cell| cell.starts_with('#')) {
                first = is_first;
                continue;
            }
            if is_first && is_header(&record, &columns) {
                continue;
            }
            let line = Line { file, skipped, start, text };
            row(&record, &columns, types.len(), &line, rows);
        }
    }
}

fn s(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Where a record is.
struct Line<'a> {
    file: FileId,
    skipped: usize,
    start: usize,
    text: &'a str,
}

impl Line<'_> {
    /// The places of the record's cells, as far as they go.
    fn cells(&self) -> Vec<Span> {
        let (mut cells, mut from, mut quoted) = (Vec::new(), self.start, false);
        let bytes = self.text.as_bytes();
        // The record may begin with line ends of blank lines before it.
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
        Span::new(self.file, self.skipped + from, self.skipped + to)
    }

    fn whole(&self) -> Span {
        let cells = self.cells();
        match (cells.first(), cells.last()) {
            (Some(first), Some(last)) => first.to(*last),
            _ => Span::new(self.file, self.skipped + self.start, self.skipped + self.start),
        }
    }
}

/// Whether the first record names the columns.
fn is_header(record: &csv::StringRecord, columns: &[ValueTy]) -> bool {
    let word = |cell: &str| {
        cell.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && cell.chars().all(|c| c.is_ascii_alphanumeric() || "_- ".contains(c))
    };
    let wrong = |(cell, ty): (&str, &ValueTy)| *ty != ValueTy::String && cell_value(*ty, cell).is_none();
    let strings = columns.iter().all(|ty| *ty == ValueTy::String);
    let typed = |(_, ty): &(&str, &ValueTy)| **ty != ValueTy::String;
    record.len() == columns.len()
        && !strings
        && record.iter().all(word)
        && record.iter().zip(columns).filter(typed).all(wrong)
}

fn row(record: &csv::StringRecord, columns: &[ValueTy], keys: usize, line: &Line, rows: &mut Rows) {
    if record.len() != columns.len() {
        let (want, got) = (columns.len(), record.len());
        let names: Vec<_> = columns.iter().map(|t| type_name(*t)).collect();
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
    let mut values = Vec::with_capacity(columns.len());
    for (at, (cell, ty)) in record.iter().zip(columns).enumerate() {
        match cell_value(*ty, cell) {
            Some(value) => values.push(value),
            None => {
                let place = line.cells().get(at).copied().unwrap_or_else(|| line.whole());
                let message = format!("`{cell}` is not of type `{}`", type_name(*ty));
                let finding =
                    Diagnostic::new(codes::ROW, message).at(place, format!("cell {} of this row", at + 1));
                return rows.tell(finding.help(format!("write {}", example(*ty).replace('"', ""))));
            }
        }
    }
    let value = if values.len() > keys { values.pop() } else { None };
    rows.add(values, value, line.whole());
}

/// Text as a value of a type, as in the cells of a table's file.
pub fn cell_value(ty: ValueTy, cell: &str) -> Option<Value> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse::<u64>().ok(),
        None => None,
    };
    let with_unit = |kind: UnitKind| {
        let end = cell.find(|c: char| !c.is_ascii_digit()).unwrap_or(cell.len());
        let (digits, name) = cell.split_at(end);
        let unit = UNITS.iter().find(|u| u.kind == kind && u.name == name.trim_start())?;
        number(digits)?.checked_mul(unit.scale)
    };
    let number = match ty {
        ValueTy::Bool => match cell {
            "true" | "True" | "1" => Some(1),
            "false" | "False" | "0" => Some(0),
            _ => None,
        },
        ValueTy::Uint => number(cell),
        ValueTy::Size => number(cell).or_else(|| with_unit(UnitKind::Size)),
        ValueTy::Duration => with_unit(UnitKind::Duration).or_else(|| number(cell).filter(|n| *n == 0)),
        ValueTy::Mac => mac(cell).map(|m| m.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))),
        ValueTy::String => return Some(Value::Text(Arc::from(cell.as_bytes()))),
        ValueTy::Ip => {
            let ip: IpAddr = cell.parse().ok()?;
            return Some(Value::Ip(ip, if ip.is_ipv4() { 32 } else { 128 }));
        }
        ValueTy::Cidr => {
            let (ip, prefix) = match cell.split_once('/') {
                Some((ip, prefix)) => (ip.parse::<IpAddr>().ok()?, Some(prefix.parse::<u8>().ok()?)),
                None => (cell.parse::<IpAddr>().ok()?, None),
            };
            let width = if ip.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.unwrap_or(width);
            if prefix > width {
                return None;
            }
            let (low, _) = super::value::network(ip, prefix);
            let ip = if ip.is_ipv4() { IpAddr::V4((low as u32).into()) } else { IpAddr::V6(low.into()) };
            return Some(Value::Ip(ip, prefix));
        }
    };
    number.map(Value::Num)
}
