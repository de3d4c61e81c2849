//! `mirrorc emit`: the stages of a few programs, as recorded. A change of the code generator shows
//! here, to be read and agreed to. Assembler is not recorded: it differs between processors.
//! (Rejected: recording many programs; the differential tests are what finds mistakes, these are
//! for reading.)

use mirrorc::Exit;
use mrule_tests::cli::{compare, mirrorc};
use std::path::{Path, PathBuf};

fn programs() -> Vec<PathBuf> {
    let all = std::fs::read_dir("emit").unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "mrule")).collect();
    found.sort();
    found
}

fn emit(program: &Path, stage: &str) -> String {
    let run = mirrorc(&["emit", program.to_str().unwrap(), "--stage", stage]);
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""), "{}", program.display());
    run.stdout
}

#[test]
fn stages_are_as_recorded() {
    let mut wrong = Vec::new();
    for program in programs() {
        for stage in ["ast", "hir", "clif", "bpf"] {
            wrong.extend(compare(&program.with_extension(stage), &emit(&program, stage)).err());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn machine_code_is_shown_and_has_no_addresses_of_this_run() {
    for program in programs() {
        let code = emit(&program, "asm");
        assert!(code.contains("ret"), "{code}");
        assert_eq!(code, emit(&program, "asm"));
    }
}

#[test]
fn a_broken_program_has_a_tree_and_nothing_more() {
    let broken = "ui/e0017_port.mrule";
    let run = mirrorc(&["emit", broken, "--stage", "ast"]);
    assert!(run.stdout.contains("(station lake pcapng"), "{}", run.stdout);
    let run = mirrorc(&["emit", broken, "--stage", "hir"]);
    assert_eq!((run.exit, run.stdout.as_str()), (Exit::Problems, ""));
}
