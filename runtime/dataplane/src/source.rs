//! Reads the compiler's texts from the file system: rule files, their includes, and table files. A
//! path in a file is relative to that file's directory; `-` on the command line is standard input.
//! Invariants: no more is read than a limit allows, whatever kind of file it is (a device, a pipe).
//! A file reached by two paths has one name, so that the compiler sees it once and finds cycles.
//! (Rejected: names by path alone, which a symbolic link defeats. Rejected: lossy decoding, which
//! would move each position behind the first bad byte.)

use mrule_compiler::compile::{Loaded, Loader};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The longest rule file, in bytes.
pub const MAX_RULES: u64 = 16 << 20;
/// The longest table file (named `*.csv`), in bytes.
pub const MAX_TABLE: u64 = 1 << 30;
/// The name for standard input.
pub const STDIN: &str = "<stdin>";

/// Texts from the file system.
#[derive(Debug, Default)]
pub struct Files {
    /// The name by which each file was first reached, by its canonical path.
    names: HashMap<PathBuf, String>,
    /// Standard input, once it was read.
    stdin: Option<Result<String, String>>,
}

impl Loader for Files {
    fn load(&mut self, path: &str, relative_to: Option<&str>) -> Result<Loaded, String> {
        if path == "-" && relative_to.is_none() {
            let text = self.stdin.get_or_insert_with(|| decode(bounded(io::stdin(), MAX_RULES)?));
            return Ok(Loaded { name: STDIN.to_owned(), text: text.clone()? });
        }
        let directory = relative_to.map(Path::new).and_then(Path::parent);
        let full = directory.map_or_else(|| PathBuf::from(path), |directory| directory.join(path));
        let text = text_of(&full)?;
        let shown = full.to_string_lossy().into_owned();
        // A file without a canonical path (a pipe) keeps the name that it was given.
        let truth = full.canonicalize().unwrap_or(full);
        let name = self.names.entry(truth).or_insert(shown).clone();
        Ok(Loaded { name, text })
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| explain(&error))?;
    let about = file.metadata().map_err(|error| explain(&error))?;
    if about.is_dir() {
        return Err("it is a directory".to_owned());
    }
    let is_table = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let most = if is_table { MAX_TABLE } else { MAX_RULES };
    if about.is_file() && about.len() > most {
        return Err(too_long(&size(about.len()), most));
    }
    decode(bounded(file, most)?)
}

/// All bytes, if there are at most `most`.
fn bounded(stream: impl Read, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    stream.take(most + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
    if bytes.len() as u64 > most {
        return Err(too_long(&format!("more than {}", size(most)), most));
    }
    Ok(bytes)
}

fn too_long(is: &str, most: u64) -> String {
    let other = if most < MAX_TABLE {
        format!(" ({} of a table, when its name ends in `.csv`)", size(MAX_TABLE))
    } else {
        String::new()
    };
    format!("it has {is}; at most {} are read{other}", size(most))
}

fn size(bytes: u64) -> String {
    match bytes {
        0x4000_0000.. if bytes.is_multiple_of(0x4000_0000) => format!("{} GiB", bytes >> 30),
        0x10_0000.. if bytes.is_multiple_of(0x10_0000) => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}

fn decode(bytes: Vec<u8>) -> Result<String, String> {
    if let Some(format) = crate::capture::format(&bytes) {
        return Err(format!(
            "it is {format}, not text of rules or a table; give a capture with `--read FILE`"
        ));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16; save it as UTF-8".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes.iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
        let byte = bytes.get(at).copied().unwrap_or(0);
        format!("it is not UTF-8: byte 0x{byte:02x} at offset {at} (line {line})")
    })
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is not a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use mrule_compiler::compile::compile;

    struct TestDirectory(tempfile::TempDir);

    impl TestDirectory {
        fn new() -> TestDirectory {
            TestDirectory(tempfile::tempdir().unwrap())
        }
        fn put(&self, name: &str, text: impl AsRef<[u8]>) -> String {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        }
    }

    #[test]
    fn paths_are_taken_from_the_including_file() {
        let place = TestDirectory::new();
        let main = place.put("main.mrule", "main");
        let part = place.put("parts/part.mrule", "part");
        place.put("parts/more.csv", "1");
        let mut files = Files::default();
        assert_eq!(files.load(&main, None), Ok(Loaded { name: main.clone(), text: "main".to_owned() }));
        let loaded = files.load("parts/part.mrule", Some(&main)).unwrap();
        assert_eq!((&loaded.name, loaded.text.as_str()), (&part, "part"));
        assert!(files.load("more.csv", Some(&part)).unwrap().name.ends_with("parts/more.csv"));
        assert_eq!(files.load("more.csv", Some(&main)), Err("no such file".to_owned()));
        assert_eq!(files.load(&main, Some(&part)).unwrap().name, main, "an absolute path is one");
    }

    #[test]
    fn a_file_has_one_name() {
        let place = TestDirectory::new();
        let main = place.put("main.mrule", "main");
        place.put("parts/part.mrule", "part");
        std::os::unix::fs::symlink(&main, place.0.path().join("parts/link.mrule")).unwrap();
        let mut files = Files::default();
        let first = files.load("parts/../main.mrule", Some(&main)).unwrap().name;
        assert_eq!(files.load(&main, None).unwrap().name, first);
        assert_eq!(files.load("parts/link.mrule", Some(&main)).unwrap().name, first);
    }

    #[test]
    fn a_whole_program_of_files() {
        let place = TestDirectory::new();
        let main = place.put(
            "main.mrule",
            "include \"parts/stations.mrule\"\n\
             table bad : set<ip> from \"bad.csv\"\n\
             rule all { match net.src in bad snaplen full to ids }\n",
        );
        place.put("parts/stations.mrule", "include \"../main.mrule\"\nstation ids { interface \"mon0\" }\n");
        place.put("bad.csv", "192.0.2.1\n2001:db8::1\n");
        let compiled = compile(std::slice::from_ref(&main), &mut Files::default(), &[]);
        let said: Vec<&str> = compiled.diagnostics.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("includes itself"), "{said:?}");

        place.put("parts/stations.mrule", "station ids { interface \"mon0\" }\n");
        let compiled = compile(&[main], &mut Files::default(), &[]);
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        assert_eq!(compiled.program.unwrap().tables[0].start.len(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_told_why() {
        let place = TestDirectory::new();
        let why = |path: &str| Files::default().load(path, None).unwrap_err();
        let text = place.put("text", "x");
        assert_eq!(why(&format!("{text}/y")), "a part of its path is not a directory");
        assert_eq!(why(place.0.path().to_str().unwrap()), "it is a directory");
        assert_eq!(
            why(&place.put("latin", b"let a = 1\n# caf\xe9\n")),
            "it is not UTF-8: byte 0xe9 at offset 15 (line 2)"
        );
        assert_eq!(why(&place.put("cut", b"caf\xc3")), "it is not UTF-8: byte 0xc3 at offset 3 (line 1)");
        for (bytes, format) in [
            (b"\xd4\xc3\xb2\xa1\x02\0\x04\0".as_slice(), "a pcap capture"),
            (b"\xa1\xb2\x3c\x4d\0\x02\0\x04", "a pcap capture"),
            (b"\x0a\x0d\x0d\x0a\x1c\0\0\0", "a pcapng capture"),
            (b"\x1f\x8b\x08\0", "gzip-compressed"),
            (b"\x28\xb5\x2f\xfd\0", "zstd-compressed"),
        ] {
            let says =
                format!("it is {format}, not text of rules or a table; give a capture with `--read FILE`");
            assert_eq!(why(&place.put("capture", bytes)), says);
        }
        assert_eq!(why(&place.put("wide", b"\xff\xfel\0e\0t\0")), "it is UTF-16; save it as UTF-8");
        assert!(why("bad\0path").contains("NUL"));
    }

    #[test]
    fn nothing_is_read_without_bound() {
        let place = TestDirectory::new();
        let why = |path: &str| Files::default().load(path, None).unwrap_err();
        let limit = "at most 16 MiB are read (1 GiB of a table, when its name ends in `.csv`)";
        assert_eq!(why("/dev/zero"), format!("it has more than 16 MiB; {limit}"));
        for (name, length, says) in [
            ("a.mrule", MAX_RULES + 1, format!("it has 16777217 bytes; {limit}")),
            ("b.mrule", 1 << 40, format!("it has 1024 GiB; {limit}")),
            ("c.CSV", MAX_TABLE + (1 << 20), "it has 1025 MiB; at most 1 GiB are read".to_owned()),
        ] {
            // Sparse: it has a length and no blocks.
            let path = place.put(name, "");
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            assert_eq!(why(&path), says, "{name}");
        }
        let path = place.put("just", vec![b' '; MAX_RULES as usize]);
        assert_eq!(Files::default().load(&path, None).unwrap().text.len() as u64, MAX_RULES);
    }
}
