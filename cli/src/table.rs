//! Tables of right-aligned numbers, and numbers for people. The invariant: rounding never shows a
//! non-zero value as zero, or a part as 100%. (Rejected: a table crate; names and number columns
//! need none.)

use crate::screen::{DIM, Look, printable};
use std::io::{self, Write};

/// A table: a name and right-aligned numbers in each row, and an optional note.
pub struct Table {
    heads: Vec<String>,
    rows: Vec<(Vec<String>, String)>,
}

impl Table {
    /// An empty table.
    pub fn new(heads: &[&str]) -> Table {
        Table { heads: heads.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }

    /// Appends a row: its cells, and a note after them.
    pub fn row(&mut self, cells: Vec<String>, note: String) {
        self.rows.push((cells, note));
    }

    /// The width that the first column needs.
    pub fn first(&self) -> usize {
        let names = self.rows.iter().filter_map(|(cells, _)| cells.first());
        names.chain(self.heads.first()).map(|c| c.chars().count()).max().unwrap_or(0)
    }

    /// The lines of the table, headings first, with a first column of width `first`; none if it is
    /// empty.
    pub fn lines(&self, first: usize) -> Vec<String> {
        let line = |cells: &[String], note: &str| {
            let mut line = String::new();
            for (i, cell) in cells.iter().enumerate() {
                line.push_str(&if i == 0 { format!("{cell:first$}") } else { format!("  {cell:>13}") });
            }
            if note.is_empty() { line } else { format!("{line}  {}", printable(note)) }
        };
        let heads = (!self.rows.is_empty()).then(|| line(&self.heads, ""));
        heads.into_iter().chain(self.rows.iter().map(|(cells, note)| line(cells, note))).collect()
    }

    /// Prints the table with a first column of width `first`; nothing if it is empty.
    pub fn print(&self, first: usize, look: Look, out: &mut dyn Write) -> io::Result<()> {
        for (at, line) in self.lines(first).iter().enumerate() {
            if at == 0 {
                writeln!(out, "\n{}", look.paint(DIM, line))?;
            } else {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 packet`, `1,234 packets`.
pub fn packets(n: u64) -> String {
    format!("{} packet{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Bytes in the units of the language: `999 B`, `1.2 kB`, `34.5 MB`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    // Not 1000: 999.96 would show as 1000.0.
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// `12.3%`; a share above 0 never shows as 0.0%, nor a share below 100 as 100.0%.
pub fn percent(share: f64) -> String {
    let text = format!("{share:.1}%");
    match text.as_str() {
        "0.0%" if share > 0.0 => "<0.1%".into(),
        "100.0%" if share < 100.0 => ">99.9%".into(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let shown = [0, 999, 1000, 999_949, 999_950, 1_500_000, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.5 MB", "18.4 EB"]);
        assert_eq!(
            [0.0, 0.01, 12.34, 99.99, 100.0].map(percent),
            ["0.0%", "<0.1%", "12.3%", ">99.9%", "100.0%"]
        );
    }
}
