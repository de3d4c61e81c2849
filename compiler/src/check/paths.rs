//! Paths that look as if a shell would expand them, or as if the file were compressed. The
//! invariant: such a path is used as it is written, with a warning, or with advice where the file
//! cannot be read. (Rejected: expanding `~` and `$HOME`; a daemon has another home than the
//! author.)

use super::Checker;
use mrule_grammar::ast::Expr;
use mrule_grammar::codes::oddities;
use mrule_grammar::diagnostic::Diagnostic;

/// The ends of the names of compressed files.
const COMPRESSED: &[&str] = &[".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"];

/// Whether a shell would put something else in place of a part of this path.
fn expands(path: &str) -> bool {
    let home = path == "~" || path.starts_with("~/");
    let name = |behind: &str| behind.starts_with(|c: char| c.is_ascii_alphabetic() || "_{(".contains(c));
    home || path.split('$').skip(1).any(name)
}

fn compressed(path: &str) -> Option<&'static str> {
    COMPRESSED.iter().copied().find(|end| path.ends_with(end))
}

/// What to do about a file that cannot be read. `parent`: the file that names it.
pub(crate) fn unreadable(path: &str, parent: Option<&str>) -> String {
    match (parent, compressed(path)) {
        _ if expands(path) => {
            "no shell reads the path: write it in full, such as `/etc/mirrorc/rows.csv`".into()
        }
        (_, Some(end)) => format!("files are read as text: unpack it, and leave `{end}` out"),
        (Some(parent), None) => format!("the path is relative to the directory of `{parent}`"),
        (None, None) => "check the path".to_owned(),
    }
}

impl Checker<'_> {
    /// Warns of the path of a station that looks as if it meant another file. `file`: it is a
    /// regular file, not a FIFO.
    pub fn taken_literally(&mut self, path: &str, word: &Expr, file: bool) {
        let (message, label, help) = match compressed(path).filter(|_| file) {
            _ if expands(path) => (
                format!("the path `{path}` is taken literally"),
                "no shell reads it",
                "write the whole path, such as `/var/captures/lake.pcapng`".to_owned(),
            ),
            Some(end) => (
                format!("`{path}` will not be compressed"),
                "its name says that it is",
                format!("leave `{end}` out, and compress files after they are rotated"),
            ),
            None => return,
        };
        let finding = Diagnostic::new(oddities::LITERAL_PATH, message).at(word.span, label);
        self.report(finding.help(help));
    }
}
