//! All texts of a program as they were when it was loaded: rule files, included files, table files,
//! and the links between paths and texts. The invariant: a bundle always compiles to the same
//! program again, whatever happens to the files; two versions share equal texts. (Rejected: reading
//! the files again for a rollback.)

use super::saved::SavedOrigin;
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::{Compiled, Loaded, Loader, MemoryLoader, compile_within};
use mrule_compiler::hir::{Program, Station};
use mrule_dataplane::source::Files;
use mrule_engine::policy::Origin;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The time limit for a line-by-line comparison of two texts.
const DIFF: Duration = Duration::from_secs(1);

/// The texts of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The root files, in order.
    roots: Vec<String>,
    /// Values for params.
    sets: Vec<(String, String)>,
    /// The text that a path in another text leads to.
    links: BTreeMap<(Option<String>, String), String>,
    texts: BTreeMap<String, Arc<str>>,
    binding: bool,
    /// The party that wrote it.
    origin: Origin,
    /// Stations of a client's text that keep the owner's permissions, because the owner wrote the
    /// same station before.
    inherited: BTreeSet<String>,
}

/// A loader that records what another loader reads.
struct Recorder<'l> {
    inner: &'l mut dyn Loader,
    bundle: Bundle,
}

impl Loader for Recorder<'_> {
    fn load(&mut self, path: &str, relative_to: Option<&str>) -> Result<Loaded, String> {
        let loaded = self.inner.load(path, relative_to)?;
        let from = (relative_to.map(str::to_owned), path.to_owned());
        self.bundle.links.insert(from, loaded.name.clone());
        if !self.bundle.texts.contains_key(&loaded.name) {
            self.bundle.texts.insert(loaded.name.clone(), loaded.text.as_str().into());
        }
        Ok(loaded)
    }
}

/// A loader that returns the texts of a bundle.
struct Replayer<'b>(&'b Bundle);

impl Loader for Replayer<'_> {
    fn load(&mut self, path: &str, relative_to: Option<&str>) -> Result<Loaded, String> {
        let from = (relative_to.map(str::to_owned), path.to_owned());
        let name = self.0.links.get(&from).ok_or("no such file")?;
        let text = self.0.texts.get(name).ok_or("no such file")?;
        Ok(Loaded { name: name.clone(), text: text.to_string() })
    }
}

/// A rule file that was named and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{path}`: {why}")]
pub struct Unreadable {
    /// As given.
    pub path: String,
    /// Why.
    pub why: String,
}

/// Notes which of the files that were named could not be read: that is no mistake in a rule file,
/// whereas a missing `include` is one.
struct Roots {
    inner: Files,
    unreadable: Option<Unreadable>,
}

impl Loader for Roots {
    fn load(&mut self, path: &str, relative_to: Option<&str>) -> Result<Loaded, String> {
        let read = self.inner.load(path, relative_to);
        if let (Err(why), None, None) = (&read, relative_to, &self.unreadable) {
            self.unreadable = Some(Unreadable { path: path.to_owned(), why: why.clone() });
        }
        read
    }
}

impl Bundle {
    /// Compiles the files at these paths, and keeps all texts that it reads.
    pub fn read(
        paths: &[String],
        loader: &mut dyn Loader,
        sets: &[(String, String)],
        budget: &CompileBudget,
    ) -> (Compiled, Bundle) {
        let bundle = Bundle { roots: paths.to_vec(), sets: sets.to_vec(), ..Bundle::default() };
        let mut recorder = Recorder { inner: loader, bundle };
        let compiled = compile_within(paths, &mut recorder, sets, budget);
        (compiled, recorder.bundle)
    }

    /// The same of files on disk or standard input.
    ///
    /// # Errors
    /// [`Unreadable`]: one of them cannot be read. A file that they include and that cannot be read
    /// is an error of the program.
    pub fn read_files(
        files: &[String],
        sets: &[(String, String)],
        budget: &CompileBudget,
    ) -> Result<(Compiled, Bundle), Unreadable> {
        let mut loader = Roots { inner: Files::default(), unreadable: None };
        let read = Bundle::read(files, &mut loader, sets, budget);
        loader.unreadable.map_or(Ok(read), Err)
    }

    /// The bundle, with limits that bind all policies or not.
    pub fn binding(self, binding: bool) -> Bundle {
        Bundle { binding, ..self }
    }

    /// Whether its limits bind all policies.
    pub fn is_binding(&self) -> bool {
        self.binding
    }

    /// The bundle, written by this party.
    pub fn given_by(self, origin: Origin) -> Bundle {
        Bundle { origin, ..self }
    }

    /// The party that wrote it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Records which stations are as the owner wrote them before: in a client's text, these keep
    /// the owner's permissions.
    pub(super) fn inherit(&mut self, program: &Program, before: &[(Station, Origin)]) {
        if self.origin.is_owner() {
            return;
        }
        let same = |station: &&Station| {
            before.iter().any(|(old, origin)| {
                origin.is_owner() && old.name == station.name && old.target == station.target
            })
        };
        self.inherited.extend(program.stations.iter().filter(same).map(|station| station.name.clone()));
    }

    /// The writer of each station of its program, in order.
    pub(super) fn origins(&self, program: &Program) -> Vec<Origin> {
        let of = |station: &Station| match self.inherited.contains(&station.name) {
            true => Origin::Owner,
            false => self.origin.clone(),
        };
        program.stations.iter().map(of).collect()
    }

    /// Compiles the bundle again.
    pub fn compile(&self, budget: &CompileBudget) -> Compiled {
        compile_within(&self.roots, &mut Replayer(self), &self.sets, budget)
    }

    /// The root files.
    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    /// The values of params.
    pub fn sets(&self) -> &[(String, String)] {
        &self.sets
    }

    /// All texts, by name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text.as_ref()))
    }

    /// The names of the texts outside the directories of the root files.
    pub fn outside(&self) -> impl Iterator<Item = &str> {
        let folder = |name: &str| Path::new(name).parent().unwrap_or(Path::new("")).to_owned();
        let named = self.links.iter().filter(|((from, _), _)| from.is_none());
        let folders: Vec<PathBuf> = named.map(|(_, name)| folder(name)).collect();
        let inside = move |name: &str| folders.iter().any(|folder| Path::new(name).starts_with(folder));
        self.texts.keys().map(String::as_str).filter(move |name| !inside(name))
    }

    /// The files for [`MemoryLoader`]: the root files, and the text of each path. A rule file with
    /// several paths is there once; the other paths have empty texts.
    pub fn files(&self) -> (Vec<String>, BTreeMap<String, String>) {
        let (mut files, mut roots) = (BTreeMap::new(), Vec::new());
        let mut placed: BTreeMap<&str, String> = BTreeMap::new();
        for root in &self.roots {
            let Some(name) = self.links.get(&(None, root.clone())) else { continue };
            let place = MemoryLoader::name(root, None);
            if !placed.contains_key(name.as_str()) {
                placed.insert(name, place.clone());
                roots.push(place);
            }
        }
        let mut left: Vec<_> = self.links.iter().collect();
        while !left.is_empty() {
            let before = left.len();
            left.retain(|((from, path), name)| {
                // The directory of the text with the path; unknown until that text has a place.
                let folder = from.as_ref().map(|from| placed.get(from.as_str()).cloned());
                if folder == Some(None) {
                    return true;
                }
                let place = MemoryLoader::name(path, folder.flatten().as_deref());
                let is_rules = from.as_ref().is_none_or(|from| self.includes(from, path));
                let first = placed.entry(name).or_insert_with(|| place.clone());
                let text = self.texts.get(*name).filter(|_| !is_rules || *first == place);
                let text = text.map(|text| text.to_string()).unwrap_or_default();
                files.entry(place).or_insert(text);
                false
            });
            if left.len() == before {
                break;
            }
        }
        (roots, files)
    }

    /// Whether a text includes a path as rules, not as a table.
    fn includes(&self, from: &str, path: &str) -> bool {
        let (text, quoted) = (self.texts.get(from).map_or("", |text| text), format!("\"{path}\""));
        let before = text.match_indices(&quoted).map(|(at, _)| text.get(..at).unwrap_or_default().trim_end());
        before.into_iter().any(|before| before.ends_with("include"))
    }

    /// The bundle as text, to save it.
    pub(super) fn to_json(&self) -> String {
        let links: Vec<_> = self.links.iter().map(|((from, path), name)| (from, path, name)).collect();
        let texts: BTreeMap<_, _> = self.texts().collect();
        let (binding, origin) = (self.binding, SavedOrigin::from(&self.origin));
        let whole = serde_json::json!({
            "roots": self.roots, "sets": self.sets, "links": links, "texts": texts, "binding": binding,
            "origin": origin, "inherited": self.inherited,
        });
        whole.to_string()
    }

    /// From such a text.
    ///
    /// # Errors
    /// It is not one.
    pub(super) fn from_json(text: &str) -> Result<Bundle, serde_json::Error> {
        #[derive(serde::Deserialize)]
        struct Whole {
            roots: Vec<String>,
            sets: Vec<(String, String)>,
            links: Vec<(Option<String>, String, String)>,
            texts: BTreeMap<String, String>,
            #[serde(default)]
            binding: bool,
            origin: Option<SavedOrigin>,
            #[serde(default)]
            inherited: BTreeSet<String>,
        }
        let Whole { roots, sets, links, texts, binding, origin, inherited } = serde_json::from_str(text)?;
        let origin = SavedOrigin::origin(origin);
        let links = links.into_iter().map(|(from, path, name)| ((from, path), name)).collect();
        let texts = texts.into_iter().map(|(name, text)| (name, text.into())).collect();
        Ok(Bundle { roots, sets, links, texts, binding, origin, inherited })
    }

    /// The size of the texts, in bytes.
    pub fn size(&self) -> usize {
        self.texts.values().map(|text| text.len()).sum()
    }

    /// Shares equal texts with another bundle.
    pub(super) fn share(&mut self, other: &Bundle) {
        for (name, text) in &mut self.texts {
            if let Some(same) = other.texts.get(name).filter(|other| *other == text) {
                *text = same.clone();
            }
        }
    }

    /// The differences from an earlier bundle, in the format of `diff -u`; empty if there are none.
    pub fn diff(&self, older: &Bundle, older_is: &str, is: &str) -> String {
        let mut out = String::new();
        let names: std::collections::BTreeSet<&String> =
            self.texts.keys().chain(older.texts.keys()).collect();
        for name in names {
            let text = |bundle: &Bundle| bundle.texts.get(name).cloned().unwrap_or_default();
            let (was, now) = (text(older), text(self));
            if was == now {
                continue;
            }
            // After the time limit the comparison is coarser: it shows larger parts as changed.
            let diff = similar::TextDiff::configure().timeout(DIFF).diff_lines(was.as_ref(), now.as_ref());
            let heads = (format!("{name} ({older_is})"), format!("{name} ({is})"));
            out.push_str(&diff.unified_diff().header(&heads.0, &heads.1).to_string());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    const MAIN: &str = "include \"parts/a.mrule\"\nstation s { pcapng \"s.pcapng\" }\n";
    const PART: &str =
        "table bad : set<ip> from \"../bad.csv\"\nrule r { match net.src in bad snaplen full to s }\n";

    fn read(csv: &str) -> Bundle {
        let texts = [("main.mrule", MAIN), ("parts/a.mrule", PART), ("bad.csv", csv)];
        let (compiled, bundle) = Bundle::read(
            &["main.mrule".into()],
            &mut MemoryLoader::new(texts),
            &[],
            &CompileBudget::default(),
        );
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        bundle
    }

    #[test]
    fn a_bundle_compiles_again() {
        let bundle = read("192.0.2.1\n");
        let again = Bundle::from_json(&bundle.to_json()).unwrap();
        assert_eq!(again, bundle);
        let again = again.compile(&CompileBudget::default());
        assert_eq!(again.program.unwrap().tables[0].start.len(), 1);
        assert_eq!(
            bundle.texts().map(|(name, _)| name).collect::<Vec<_>>(),
            ["bad.csv", "main.mrule", "parts/a.mrule"]
        );
    }

    #[test]
    fn texts_outside_of_the_folder_are_named() {
        let texts = [
            ("/p/main.mrule", "include \"parts/a.mrule\"\nstation s { pcapng \"s.pcapng\" }\n"),
            ("/p/parts/a.mrule", "table bad : set<ip> from \"/q/bad.csv\"\n"),
            ("/q/bad.csv", "192.0.2.1\n"),
        ];
        let (compiled, bundle) = Bundle::read(
            &["/p/main.mrule".into()],
            &mut MemoryLoader::new(texts),
            &[],
            &CompileBudget::default(),
        );
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        assert_eq!(bundle.outside().collect::<Vec<_>>(), ["/q/bad.csv"]);
    }

    #[test]
    fn a_file_that_two_paths_lead_to_is_sent_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name).to_str().unwrap().to_owned()
        };
        let part =
            "rule r { match net.src in bad  snaplen full  to s }\ntable bad : set<ip> from \"bad.csv\"\n";
        write("part.mrule", part);
        write("bad.csv", "192.0.2.1\n");
        std::os::unix::fs::symlink(dir.path().join("part.mrule"), dir.path().join("alias.mrule")).unwrap();
        let one = write("one.mrule", "include \"part.mrule\"\nstation s { pcapng \"s.pcapng\" }\n");
        let two = write("two.mrule", "include \"alias.mrule\"\ntable worse : set<ip> from \"bad.csv\"\n");
        let again =
            format!("{}/./../{}/one.mrule", dir.path().display(), dir.path().file_name().unwrap().display());
        let roots = [one, two, again];
        let (compiled, bundle) = Bundle::read(
            &roots,
            &mut mrule_dataplane::source::Files::default(),
            &[],
            &CompileBudget::default(),
        );
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        let (roots, files) = bundle.files();
        assert_eq!(roots.len(), 2, "{roots:?}");
        let (sent, _) = Bundle::read(&roots, &mut MemoryLoader::new(files), &[], &CompileBudget::default());
        assert!(!sent.has_errors(), "{:?}", sent.diagnostics);
        let rows = |compiled: &Compiled| -> Vec<usize> {
            compiled.program.iter().flat_map(|p| &p.tables).map(|table| table.start.len()).collect()
        };
        assert_eq!((rows(&sent), rows(&compiled)), (vec![1, 1], vec![1, 1]));
    }

    #[test]
    fn versions_share_texts_and_differ_by_lines() {
        let (old, mut new) = (read("192.0.2.1\n"), read("192.0.2.2\n"));
        new.share(&old);
        assert!(Arc::ptr_eq(&old.texts["main.mrule"], &new.texts["main.mrule"]));
        let diff = new.diff(&old, "version 1", "version 2");
        assert_eq!(
            diff,
            "--- bad.csv (version 1)\n+++ bad.csv (version 2)\n@@ -1 +1 @@\n-192.0.2.1\n+192.0.2.2\n"
        );
        assert_eq!(new.diff(&new, "a", "b"), "");
    }
}
