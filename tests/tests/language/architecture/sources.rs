//! The arrows of a crate, read from its sources: every file that `lib.rs` reaches by `mod`, as
//! words and signs. The invariant: what stands in comments, texts and modules of tests is no arrow;
//! paths by `crate`, by `super` and in braces are. (Rejected: a parser of Rust; paths are all that
//! is asked.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// An arrow between modules, or from a module to a crate: where it stands first.
pub type Arrows = BTreeMap<(String, String), String>;

/// What the sources of a crate say.
#[derive(Default)]
pub struct Sources {
    pub modules: BTreeSet<String>,
    /// From a top module to another.
    pub arrows: Arrows,
    /// From a top module, or the root, to a crate.
    pub crates: Arrows,
    /// What is public: items, and the methods of types and of traits. Fields, variants and
    /// re-exports are not in it.
    pub public: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

impl Sources {
    /// The modules that a module imports.
    pub fn below<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.arrows.keys().filter(move |(from, _)| from == name).map(|(_, to)| to.as_str())
    }
}

/// The text of a file of the project.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between two texts, or up to the end.
pub fn between(text: &str, from: &str, to: &str) -> String {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or(rest, |(part, _)| part).to_owned()
}

/// The name that a crate has in sources.
pub fn package(dir: &str) -> String {
    between(&read(&format!("{dir}/Cargo.toml")), "name = \"", "\"").replace('-', "_")
}

/// Reads the sources of a crate.
pub fn sources(dir: &str, crates: &[String]) -> Sources {
    let mut found = Sources::default();
    let file = PathBuf::from(dir).join("src/lib.rs");
    let mut todo = vec![(file, Vec::<String>::new())];
    while let Some((file, module)) = todo.pop() {
        let text = read(&file.to_string_lossy());
        let read = Reading { file: &file, crates, tokens: &tokens(&text) };
        for child in read.module(0, read.tokens.len(), &module, &mut found) {
            let is_root =
                matches!(file.file_name().and_then(|name| name.to_str()), Some("lib.rs" | "mod.rs"));
            let beside = if is_root { file.with_file_name("") } else { file.with_extension("") };
            // Modules that were declared in a block have their files in a folder of the block's
            // name.
            let inside = child[module.len()..child.len() - 1].iter().fold(beside, |dir, name| dir.join(name));
            let name = &child[child.len() - 1];
            let places = [inside.join(format!("{name}.rs")), inside.join(name).join("mod.rs")];
            let there = places.into_iter().find(|place| root().join(place).exists());
            let there = there.unwrap_or_else(|| panic!("{}: no file of `mod {name}`", file.display()));
            todo.push((there, child));
        }
    }
    found
}

/// A word or a sign of a source, and its line. Comments, texts and numbers are none.
type Token<'t> = (&'t str, usize);

fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut all, mut at, mut line) = (Vec::new(), 0, 1);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' | 'b' | 'c' if literal(rest).is_some() => literal(rest).unwrap(),
            '\'' => character(rest),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        if word(first) && literal(rest).is_none() || first.is_ascii_punctuation() && length == 1 {
            all.push((&rest[..length], line));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    all
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match &text[at..] {
            "" => return at,
            rest if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            rest if rest.starts_with("*/") && depth == 1 => return at + 2,
            rest if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            rest => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
}

/// How long a text in quotes is, which starts with its quote.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// How long a text is that has letters before its quote: raw, of bytes, of C.
fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let rest = &text[prefix.len()..];
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let raw = prefix.ends_with('r');
    match rest[hashes..].chars().next()? {
        '"' if raw => {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &rest[hashes + 1..];
            Some(text.len() - body.len() + body.find(&end).map_or(body.len(), |at| at + end.len()))
        }
        '"' if hashes == 0 => Some(prefix.len() + quoted(rest)),
        '\'' if prefix == "b" && hashes == 0 => Some(prefix.len() + character(rest)),
        _ => None,
    }
}

/// How long a character is; of a lifetime, only its mark.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[3.min(text.len())..].find('\'').map_or(1, |at| at + 4),
        Some((_, _)) if matches!(chars.next(), Some((_, '\''))) => {
            text.char_indices().nth(3).map_or(text.len(), |(at, _)| at)
        }
        _ => 1,
    }
}

/// A file that is being read.
struct Reading<'r> {
    file: &'r Path,
    crates: &'r [String],
    tokens: &'r [Token<'r>],
}

impl Reading<'_> {
    fn is(&self, at: usize, what: &[&str]) -> bool {
        what.iter()
            .enumerate()
            .all(|(i, what)| self.tokens.get(at + i).is_some_and(|(token, _)| token == what))
    }

    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |(token, _)| token)
    }

    /// One past the bracket that closes the one at `at`.
    fn closed(&self, at: usize) -> usize {
        let mut depth = 0;
        for (i, (token, _)) in self.tokens.iter().enumerate().skip(at) {
            match *token {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return i + 1;
            }
        }
        self.tokens.len()
    }

    /// One past the item that starts at `at`.
    fn item(&self, mut at: usize) -> usize {
        while at < self.tokens.len() {
            match self.token(at) {
                "{" => return self.closed(at),
                "(" | "[" => at = self.closed(at),
                ";" | "," => return at + 1,
                "}" => return at,
                _ => at += 1,
            }
        }
        at
    }

    /// Reads a part of the file, which is in a module, and gives the modules that have files of
    /// their own.
    fn module(&self, from: usize, to: usize, module: &[String], found: &mut Sources) -> Vec<Vec<String>> {
        let mut files = Vec::new();
        let mut at = from;
        while at < to {
            let inner = |name: &str| module.iter().cloned().chain([name.to_owned()]).collect::<Vec<_>>();
            if self.is(at, &["#", "[", "cfg"]) {
                let end = self.closed(at + 1);
                let of_test =
                    (at..end).any(|i| self.token(i) == "test") && !(at..end).any(|i| self.token(i) == "not");
                at = if of_test { self.item(self.attributes(end)) } else { end };
            } else if self.is(at, &["mod"]) && self.is(at + 2, &[";"]) {
                files.push(inner(self.token(at + 1)));
                at += 3;
            } else if self.is(at, &["mod"]) && self.is(at + 2, &["{"]) {
                let end = self.closed(at + 2);
                let child = inner(self.token(at + 1));
                self.declare(&child, found);
                files.extend(self.module(at + 3, end - 1, &child, found));
                at = end;
            } else {
                self.public(at, found);
                at = self.path(at, module, found);
            }
        }
        self.declare(module, found);
        files
    }

    /// Notes the item that is public from `at` on; of a trait, its methods, too.
    fn public(&self, at: usize, found: &mut Sources) {
        const KINDS: [&str; 9] =
            ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "macro_rules"];
        if !self.is(at, &["pub"]) {
            return;
        }
        let (mut at, line) = (at + 1, self.tokens[at].1);
        while self.is(at + 1, &["fn"]) || matches!(self.token(at), "unsafe" | "async" | "extern") {
            at += 1;
        }
        let mut note = |at: usize| {
            found.public.push(format!(
                "{}:{line}: {} {}",
                self.file.display(),
                self.token(at),
                self.token(at + 1)
            ));
        };
        if KINDS.contains(&self.token(at)) {
            note(at);
        }
        if self.token(at) == "trait" {
            (at..self.item(at)).filter(|at| self.token(*at) == "fn").for_each(note);
        }
    }

    fn declare(&self, module: &[String], found: &mut Sources) {
        found.modules.extend(module.first().cloned());
    }

    /// One past the attributes that start at `at`.
    fn attributes(&self, mut at: usize) -> usize {
        while self.is(at, &["#", "["]) {
            at = self.closed(at + 1);
        }
        at
    }

    /// Notes the arrow of a path that starts at `at`, and gives the place to go on from.
    fn path(&self, at: usize, module: &[String], found: &mut Sources) -> usize {
        let (token, line) = self.tokens[at];
        let from = module.first().cloned().unwrap_or_default();
        let place = format!("{}:{line}", self.file.display());
        if self.crates.iter().any(|name| name == token) && self.is(at + 1, &[":", ":"]) {
            found.crates.entry((from, token.to_owned())).or_insert(place);
            return at + 1;
        }
        let mut behind = at;
        let mut up = if token == "crate" { module.len() } else { 0 };
        if token == "crate" && self.is(at + 1, &[":", ":"]) {
            behind += 3;
        }
        while self.is(behind, &["super", ":", ":"]) || self.is(behind, &["self", ":", ":"]) {
            up += usize::from(self.token(behind) == "super");
            behind += 3;
        }
        if behind == at {
            return at + 1;
        }
        if up != module.len() || from.is_empty() {
            return behind;
        }
        for to in self.firsts(behind).into_iter().filter(|to| *to != from) {
            found.arrows.entry((from.clone(), to)).or_insert_with(|| place.clone());
        }
        behind
    }

    /// The first names of what a path goes on with: a name, or several in braces.
    fn firsts(&self, at: usize) -> Vec<String> {
        if !self.is(at, &["{"]) {
            return vec![self.token(at).to_owned()];
        }
        let (mut names, mut i, end) = (Vec::new(), at + 1, self.closed(at) - 1);
        while i < end {
            names.push(self.token(i).to_owned());
            while i < end && self.token(i) != "," {
                i = if self.token(i) == "{" { self.closed(i) } else { i + 1 };
            }
            i += 1;
        }
        names
    }
}

/// What is found in a text that is the file of a module.
pub fn found(text: &str, module: &[&str]) -> Sources {
    let mut found = Sources::default();
    let (crates, file) = (["mrule_grammar".to_owned()], Path::new("x.rs"));
    let read = Reading { file, crates: &crates, tokens: &tokens(text) };
    let module: Vec<String> = module.iter().map(|name| (*name).to_owned()).collect();
    read.module(0, read.tokens.len(), &module, &mut found);
    found
}

#[test]
fn what_is_public_is_found_and_nothing_else() {
    let text = r##"
        pub struct A { pub field: u32 }
        impl A { pub const fn a(&self) {} pub(crate) fn b() {} pub const C: u32 = 1; fn d() {} }
        pub unsafe extern fn e() {} pub use x::y; pub mod f; // pub fn comment() {}
        pub trait G { fn g(&self); fn h(&self) -> u32 { 7 } }
        #[cfg(test)]
        mod tests { pub fn tested() {} }
        pub(crate) enum I { J } pub static K: &str = "pub fn text()";
    "##;
    let found_in = found(text, &["me"]);
    let names: Vec<&str> =
        found_in.public.iter().filter_map(|it| it.split_once(": ")).map(|it| it.1).collect();
    let wanted = ["struct A", "fn a", "const C", "fn e", "mod f", "trait G", "fn g", "fn h", "static K"];
    assert_eq!(names, wanted);
    assert_eq!(found_in.public[3], "x.rs:4: fn e");
}

#[test]
fn arrows_are_found_and_nothing_else() {
    let text = r##"
        //! crate::comment
        use crate::{one::{a, b}, two, three::c::{d, e}};
        use super::four; /* crate::comment /* nested */ crate::comment */
        #[cfg(test)]
        #[expect(x)]
        mod tests { use crate::tested; }
        #[cfg(test)]
        use crate::{tested, other};
        #[cfg(not(test))]
        fn f<'a>(x: &'a str) -> char { let _ = "crate::text \" crate::text"; '"' }
        pub(crate) fn g() { self::h(); crate::five::f(r#"crate::raw"#, b'\'', '\\'); mrule_grammar::parse() }
        mod inner { use super::super::six; use super::h; use super::inner::k; use crate::me; }
        macro_rules! m { () => { $crate::seven::x } }
    "##;
    let found_in = found(text, &["me"]);
    let to: Vec<&str> = found_in.arrows.keys().map(|(_, to)| to.as_str()).collect();
    assert_eq!(to, ["five", "four", "one", "seven", "six", "three", "two"]);
    assert_eq!(found_in.arrows[&("me".to_owned(), "five".to_owned())], "x.rs:12");
    assert_eq!(found_in.crates.keys().map(|(_, to)| to.as_str()).collect::<Vec<_>>(), ["mrule_grammar"]);
}
