//! `mirrorc fmt` on files: what it writes, and above all what it leaves alone. The layout itself is
//! the grammar's and is tested there. (Rejected: trusting that a rename is enough; links and
//! permissions are lost by it.)

use mirrorc::{Exit, Look};
use mrule_tests::cli::{mirrorc, mirrorc_with};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

const UGLY: &str = "# a comment\nrule  dns{match udp.port==53\nsnaplen full to lake}\n";

fn file(text: &str) -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mrule");
    fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap().to_owned();
    (dir, path, name)
}

fn pretty() -> String {
    mirrorc_with(&["fmt", "-"], UGLY.as_bytes(), Look::PLAIN).stdout
}

#[test]
fn a_file_is_rewritten_once() {
    let (dir, path, name) = file(UGLY);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let run = mirrorc(&["fmt", &name]);
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (Exit::Clean, "", ""));
    let now = fs::read_to_string(&path).unwrap();
    assert_eq!(now, pretty());
    assert!(now.contains("# a comment") && now.contains("udp.port == 53"), "{now}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let first = fs::metadata(&path).unwrap().ino();
    mirrorc(&["fmt", &name]);
    assert_eq!(fs::metadata(&path).unwrap().ino(), first, "a formatted file is not written again");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_link_stays_a_link() {
    let (dir, path, _) = file(UGLY);
    let link = dir.path().join("link.mrule");
    symlink(&path, &link).unwrap();
    mirrorc(&["fmt", link.to_str().unwrap()]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), pretty());
}

#[test]
fn check_changes_nothing_and_shows_the_difference() {
    let (_dir, path, name) = file(UGLY);
    let run = mirrorc(&["fmt", "--check", &name]);
    assert_eq!(run.exit, Exit::Problems);
    assert!(run.stdout.starts_with(&name) && run.stdout.contains("- rule  dns{match"), "{}", run.stdout);
    assert_eq!(run.stderr, "1 file not formatted; run `mirrorc fmt` to format\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), UGLY);
    fs::write(&path, pretty()).unwrap();
    let run = mirrorc(&["fmt", "--check", &name]);
    assert_eq!((run.exit, run.stdout.as_str(), run.stderr.as_str()), (Exit::Clean, "", ""));
}

#[test]
fn a_file_with_errors_is_left_alone_and_the_others_are_not() {
    let (dir, good, good_name) = file(UGLY);
    let bad = dir.path().join("bad.mrule");
    fs::write(&bad, "rule  x{match udp.port=53}\n").unwrap();
    let run = mirrorc(&["fmt", bad.to_str().unwrap(), &good_name]);
    assert_eq!(run.exit, Exit::Problems);
    assert!(run.stderr.contains("error[E0017]"), "{}", run.stderr);
    assert!(run.stderr.ends_with("1 file not formatted because of errors\n"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(&bad).unwrap(), "rule  x{match udp.port=53}\n");
    assert_eq!(fs::read_to_string(&good).unwrap(), pretty());
}

#[test]
fn what_cannot_be_read_is_an_error_of_usage() {
    let (dir, path, name) = file(UGLY);
    let run = mirrorc(&["fmt", dir.path().to_str().unwrap()]);
    assert_eq!(run.exit, Exit::Usage);
    assert!(run.stderr.ends_with("`: is a directory\n"), "{}", run.stderr);
    fs::write(&path, b"rule \xff").unwrap();
    let run = mirrorc(&["fmt", &name]);
    assert_eq!(
        (run.exit, run.stderr),
        (Exit::Usage, format!("error: cannot read `{name}`: byte 5 is not UTF-8\n"))
    );
}
