//! The entry point: texts in, a checked program and all diagnostics out. It reads the given files,
//! their includes and the files of their tables through a [`Loader`], so the compiler itself does
//! no I/O. The invariant: every input ends in diagnostics or a program, never in a panic or an
//! endless read; a file that is reached twice counts once. (Rejected: one name space per file with
//! imports; users combine files that were written independently.)

use crate::budget::CompileBudget;
use crate::check;
use crate::check::paths;
use crate::hir::Program;
use crate::lint;
use crate::plan::cost::{self, Interpreted};
use mrule_grammar::ast::{self, Item, TableInit};
use mrule_grammar::codes::{budgets, files, later, lints, names, syntax};
use mrule_grammar::diagnostic::{Diagnostic, Severity};
use mrule_grammar::span::{FileId, SourceMap, Span, Spanned};
use std::collections::{HashMap, HashSet};

/// The greatest number of bytes of rule files for each node of the budget.
const TEXT: u64 = 8;

/// The bytes of rule files that are always allowed, whatever the budget.
const LEAST_TEXT: u64 = 1 << 20;

/// The greatest depth of includes.
pub const MAX_INCLUDE_DEPTH: usize = 32;

/// The greatest number of rule files of a program, and of `include`s.
pub const MAX_FILES: usize = 4096;

/// A text and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The name to show. Two loads of the same file must give the same name: it identifies a file
    /// that is included twice, and a cycle.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Gives the compiler its texts.
pub trait Loader {
    /// The text at `path`, relative to the directory of the text named `relative_to`, if given. The
    /// error is the reason: a text that completes "cannot read `path`: ".
    fn load(&mut self, path: &str, relative_to: Option<&str>) -> Result<Loaded, String>;
}

/// A loader over texts in memory, for tests and tools. A path is relative to the including text.
#[derive(Debug, Clone, Default)]
pub struct MemoryLoader {
    texts: HashMap<String, String>,
}

impl MemoryLoader {
    /// A loader of these texts, by name.
    pub fn new<N: Into<String>, T: Into<String>>(texts: impl IntoIterator<Item = (N, T)>) -> Self {
        MemoryLoader { texts: texts.into_iter().map(|(n, t)| (n.into(), t.into())).collect() }
    }
}

impl MemoryLoader {
    /// The name of the text at `path`, included by the text named `relative_to`. `.` and, as far as
    /// possible, `..` are resolved.
    pub fn name(path: &str, relative_to: Option<&str>) -> String {
        let folder = relative_to.and_then(|name| name.rsplit_once('/')).map(|(folder, _)| folder);
        let joined = match folder {
            Some(folder) if !path.starts_with('/') => format!("{folder}/{path}"),
            _ => path.to_owned(),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "." => {}
                ".." if parts.last().is_some_and(|p| *p != ".." && !p.is_empty()) => {
                    parts.pop();
                }
                _ => parts.push(part),
            }
        }
        parts.join("/")
    }
}

impl Loader for MemoryLoader {
    fn load(&mut self, path: &str, relative_to: Option<&str>) -> Result<Loaded, String> {
        let name = MemoryLoader::name(path, relative_to);
        match self.texts.get(&name) {
            Some(text) => Ok(Loaded { name, text: text.clone() }),
            None => Err("no such file".to_owned()),
        }
    }
}

/// The result of [`compile`].
#[derive(Debug, Default)]
pub struct Compiled {
    /// The program, if there are no errors. There may be warnings.
    pub program: Option<Program>,
    /// All diagnostics without duplicates, sorted by file and place. Diagnostics without a place
    /// come first.
    pub diagnostics: Vec<Diagnostic>,
    /// All texts: rule files, included files and table files, in the order in which they were read.
    pub sources: SourceMap,
    /// The syntax trees of the rule files.
    pub files: Vec<(FileId, ast::File)>,
}

impl Compiled {
    /// Whether the program is refused.
    pub fn has_errors(&self) -> bool {
        self.program.is_none()
    }
}

/// Compiles the files at `paths` and their includes into one program. `sets` are the `NAME=VALUE`
/// pairs that override the defaults of params.
pub fn compile(paths: &[String], loader: &mut dyn Loader, sets: &[(String, String)]) -> Compiled {
    compile_within(paths, loader, sets, &CompileBudget::default())
}

/// As [`compile`], within a budget. A program that exceeds it, or must stop, is refused with a
/// diagnostic that names its largest rule. A program whose code does not fit is accepted, with a
/// warning that rules are interpreted.
pub fn compile_within(
    paths: &[String],
    loader: &mut dyn Loader,
    sets: &[(String, String)],
    budget: &CompileBudget,
) -> Compiled {
    let mut reader = Reader {
        budget,
        bytes: 0,
        loader,
        sources: SourceMap::default(),
        files: Vec::new(),
        seen: HashMap::new(),
        chain: Vec::new(),
        includes: 0,
        diagnostics: Vec::new(),
    };
    for path in paths {
        reader.read(path, None);
    }
    let tables = reader.read_tables();
    let Reader { sources, files, mut diagnostics, .. } = reader;
    let input = check::Input { sources: &sources, files: &files, tables: &tables, sets, budget };
    let program = check::check(&input, &mut diagnostics);
    one_error_a_name(&mut diagnostics);
    let has_errors = |all: &[Diagnostic]| all.iter().any(|d| d.severity() == Severity::Error);
    if !has_errors(&diagnostics) {
        let lints = lint::lint(&program, &files, budget).and_then(|mut lints| {
            lints.extend(cost::interpreted(&program, budget)?.map(interpreted));
            Ok(lints)
        });
        let lints = lints.unwrap_or_else(|stop| vec![check::stopped(stop, largest(&program))]);
        let told: Vec<Span> = diagnostics.iter().filter_map(|d| d.labels.first()).map(|l| l.span).collect();
        // An empty range is reported at the range. The condition that therefore never holds is not
        // reported again.
        let follows = |d: &Diagnostic| {
            let inside = |at: Span| told.iter().any(|t| t.file == at.file && at.to(*t) == at);
            d.code == lints::NEVER && d.labels.iter().any(|l| inside(l.span))
        };
        diagnostics.extend(lints.into_iter().filter(|d| !follows(d)));
    }
    sort(&mut diagnostics);
    let refused = has_errors(&diagnostics);
    Compiled { program: (!refused).then_some(program), diagnostics, sources, files }
}

/// The rule or limit with the most nodes.
fn largest(program: &Program) -> Option<(Span, u64)> {
    program.rules.iter().chain(&program.limits).map(|r| (r.span, r.nodes())).max_by_key(|(_, nodes)| *nodes)
}

/// The warning that rules are interpreted.
fn interpreted(what: Interpreted) -> Diagnostic {
    let Interpreted { rules, bytes, costliest } = what;
    let are = if rules == 1 { "rule or limit is" } else { "rules and limits are" };
    let message = format!("{rules} {are} interpreted: native code of this program would take {bytes} bytes");
    let finding = Diagnostic::new(budgets::CODE, message).help(
        "write rules in one form, put long lists into tables, or raise the budget: `--compile-code SIZE`",
    );
    match costliest {
        Some((span, _, bytes)) => finding.at(span, format!("takes the most code: {bytes} bytes")),
        None => finding,
    }
}

/// Sorts by file and place and removes duplicates.
fn sort(diagnostics: &mut Vec<Diagnostic>) {
    let place = |d: &Diagnostic| d.labels.first().map(|l| l.span);
    diagnostics.sort_by(|a, b| (place(a), a.code.id(), &a.message).cmp(&(place(b), b.code.id(), &b.message)));
    diagnostics.dedup_by(|a, b| place(a) == place(b) && a.code == b.code && a.message == b.message);
}

/// Reads files and what they include.
struct Reader<'l> {
    loader: &'l mut dyn Loader,
    budget: &'l CompileBudget,
    /// Bytes of all rule files.
    bytes: u64,
    sources: SourceMap,
    files: Vec<(FileId, ast::File)>,
    /// The files that were read, by name.
    seen: HashMap<String, FileId>,
    /// The names of the files that are being read, the outermost first.
    chain: Vec<String>,
    includes: usize,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Reads a file. `from` is the path in the `include` that names it. Recursion is bounded by
    /// [`MAX_INCLUDE_DEPTH`].
    fn read(&mut self, path: &str, from: Option<Span>) {
        let parent = self.chain.last().cloned();
        let loaded = match self.loader.load(path, parent.as_deref()) {
            Ok(loaded) => loaded,
            Err(why) => {
                let finding = Diagnostic::new(files::UNREADABLE, format!("cannot read `{path}`: {why}"));
                let finding = finding.help(paths::unreadable(path, parent.as_deref()));
                return self.report(finding, from, "this file");
            }
        };
        if let Some(at) = self.chain.iter().position(|name| *name == loaded.name) {
            let mut chain: Vec<&str> = self.chain.iter().skip(at).map(String::as_str).collect();
            chain.push(&loaded.name);
            let message = format!("`{}` includes itself: {}", loaded.name, chain.join(" -> "));
            let finding = Diagnostic::new(files::INCLUDE_CYCLE, message).help(
                "remove one of these includes; a file that is included from several places counts once",
            );
            return self.report(finding, from, "closes the circle");
        }
        if self.seen.contains_key(&loaded.name) {
            return;
        }
        if self.files.len() >= MAX_FILES {
            let message = format!("more than {MAX_FILES} rule files");
            let finding = Diagnostic::new(files::TOO_MANY_FILES, message).help("join some of them");
            return self.report(finding, from, "one too many");
        }
        if self.budget.stopped().is_some() {
            return;
        }
        let (before, most) = (self.bytes, self.budget.nodes.saturating_mul(TEXT).max(LEAST_TEXT));
        self.bytes = before.saturating_add(loaded.text.len() as u64);
        if self.bytes > most {
            if before <= most {
                let message = format!("the rule files are more than {most} bytes together");
                let finding = Diagnostic::new(budgets::NODES, message)
                    .help("put long lists into tables, or raise the budget: `--compile-nodes N`");
                self.report(finding, from, "with this file");
            }
            return;
        }
        let Some(id) = self.sources.add(loaded.name.clone(), loaded.text) else { return };
        self.seen.insert(loaded.name.clone(), id);
        let parsed = mrule_grammar::parse(id, self.sources.get(id).map_or("", |s| s.text.as_str()));
        self.diagnostics.extend(parsed.diagnostics);
        let includes: Vec<Spanned<String>> = parsed.file.items.iter().filter_map(included).cloned().collect();
        self.files.push((id, parsed.file));
        self.chain.push(loaded.name);
        for include in includes {
            self.include(&include);
        }
        self.chain.pop();
    }

    fn include(&mut self, path: &Spanned<String>) {
        self.includes += 1;
        if self.includes == MAX_FILES + 1 {
            let finding = Diagnostic::new(files::TOO_MANY_FILES, format!("more than {MAX_FILES} includes"))
                .help("join some of the files, or give them on the command line");
            return self.report(finding, Some(path.span), "one too many");
        }
        if self.includes > MAX_FILES {
            return;
        }
        if self.chain.len() >= MAX_INCLUDE_DEPTH {
            let chain = self.chain.join(" -> ");
            let message = format!("includes nest deeper than {MAX_INCLUDE_DEPTH}: {chain} -> {}", path.node);
            let finding = Diagnostic::new(files::INCLUDE_DEPTH, message)
                .help("include the file from a file that is nested less deeply");
            return self.report(finding, Some(path.span), "too deep");
        }
        self.read(&path.node, Some(path.span));
    }

    fn report(&mut self, finding: Diagnostic, place: Option<Span>, label: &str) {
        let finding = match place {
            Some(span) => finding.at(span, label),
            None => finding,
        };
        self.diagnostics.push(finding);
    }

    /// Reads the files of tables. Returns the file for the place of each path.
    fn read_tables(&mut self) -> HashMap<Span, FileId> {
        let mut wanted = Vec::new();
        for (id, file) in &self.files {
            for item in &file.items {
                if let Item::Table(ast::Table { init: TableInit::File(path), .. }) = item {
                    let parent = self.sources.get(*id).map(|s| s.name.clone());
                    wanted.push((path.clone(), parent));
                }
            }
        }
        let (mut tables, mut read) = (HashMap::new(), HashMap::<String, FileId>::new());
        let mut bad = HashSet::new();
        for (path, parent) in wanted {
            match self.loader.load(&path.node, parent.as_deref()) {
                Ok(loaded) => {
                    let known = read.get(&loaded.name).copied();
                    if let Some(id) = known.or_else(|| self.sources.add(loaded.name.clone(), loaded.text)) {
                        read.insert(loaded.name, id);
                        tables.insert(path.span, id);
                    } else if bad.insert(()) {
                        let finding = Diagnostic::new(files::TOO_MANY_FILES, "more than 65,536 files")
                            .help("join some of them");
                        self.report(finding, Some(path.span), "one too many");
                    }
                }
                Err(why) => {
                    let message = format!("cannot read `{}`: {why}", path.node);
                    let help = paths::unreadable(&path.node, parent.as_deref());
                    let finding = Diagnostic::new(files::UNREADABLE, message).help(help);
                    self.report(finding, Some(path.span), "this file");
                }
            }
        }
        tables
    }
}

fn included(item: &Item) -> Option<&Spanned<String>> {
    if let Item::Include(include) = item { Some(&include.path) } else { None }
}

/// Removes what is said of a name's spelling where there is more to say of the same name:
/// `radius.User_Name` is no field in any spelling.
fn one_error_a_name(diagnostics: &mut Vec<Diagnostic>) {
    let place = |d: &Diagnostic| d.labels.first().map(|label| label.span);
    let of_names = [names::UNKNOWN, names::WIRESHARK, names::OTHER_LANGUAGE, later::APPLICATION];
    let known: HashSet<Span> =
        diagnostics.iter().filter(|d| of_names.contains(&d.code)).filter_map(place).collect();
    diagnostics.retain(|d| d.code != syntax::NAME_STYLE || place(d).is_none_or(|at| !known.contains(&at)));
}
