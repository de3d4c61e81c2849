//! A mirrorc on a bridge with a control socket, and the commands that talk to it. The invariant:
//! commands run in place, in this process, as a user's would in another. (Rejected: calling the
//! API's functions; the socket is what is tested.)

use crate::cli::mirrorc;
use crate::copies::{LabelledCopy, labelled_copies};
use crate::wire::{Mirrorc, Wire, write_rules};
use mirrorc::Exit;
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

/// A mirrorc with a control socket.
pub struct ControlledRun {
    /// Where its files are.
    pub dir: TempDir,
    /// The process.
    pub run: Mirrorc,
    /// Its control socket.
    pub socket: PathBuf,
}

impl ControlledRun {
    /// Starts one on a bridge; `DIR` in the rules stands for its directory.
    pub fn start(wire: &Wire, binary: &str, rules: &str, more: &[&str]) -> ControlledRun {
        ControlledRun::start_in(tempfile::tempdir().unwrap(), wire, binary, rules, more)
    }

    /// The same in a directory that is there.
    pub fn start_in(dir: TempDir, wire: &Wire, binary: &str, rules: &str, more: &[&str]) -> ControlledRun {
        let path = write_rules(dir.path(), rules);
        let socket = dir.path().join("control");
        let first = [path.as_str(), "--bridge", "in0:out0", "--control", socket.to_str().unwrap()];
        let run = wire.mirrorc(binary, &[&first, more].concat());
        ControlledRun { dir, run, socket }
    }

    /// Kills it and starts another one with the same files.
    pub fn killed_and_started(self, wire: &Wire, binary: &str, more: &[&str]) -> ControlledRun {
        let ControlledRun { dir, run, socket } = self;
        run.kill();
        let rules = dir.path().join("a.mrule");
        let first = [rules.to_str().unwrap(), "--bridge", "in0:out0", "--control", socket.to_str().unwrap()];
        let run = wire.mirrorc(binary, &[&first, more].concat());
        ControlledRun { dir, run, socket }
    }

    /// A command that talks to it, which succeeds.
    pub fn command(&self, words: &[&str]) -> String {
        let run = mirrorc(&[words, &["--to", self.socket.to_str().unwrap()]].concat());
        assert_eq!(run.exit, Exit::Clean, "{words:?}: {}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// A command that is refused; what it says.
    pub fn refused(&self, words: &[&str]) -> (Exit, String) {
        let run = mirrorc(&[words, &["--to", self.socket.to_str().unwrap()]].concat());
        assert_ne!(run.exit, Exit::Clean, "{words:?}: {}", run.stdout);
        (run.exit, run.stderr)
    }

    /// The answer to a command as JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.command(&[words, &["--json"]].concat())).unwrap()
    }

    /// What `mirrorc status` says, and whether all is well.
    pub fn status(&self) -> (Exit, Value) {
        let run = mirrorc(&["status", "--json", "--to", self.socket.to_str().unwrap()]);
        let said = serde_json::from_str(&run.stdout);
        (run.exit, said.unwrap_or_else(|error| panic!("{error}: {}{}", run.stdout, run.stderr)))
    }

    /// The kinds of what is wrong.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.status().1["reasons"].clone();
        let kind = |reason: &Value| reason["kind"].as_str().unwrap().to_owned();
        reasons.as_array().unwrap().iter().map(kind).collect()
    }

    /// Writes a file; its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text.replace("DIR", self.dir.path().to_str().unwrap())).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The copies in a station's file.
    pub fn copies(&self, name: &str) -> Vec<LabelledCopy> {
        labelled_copies(&self.dir.path().join(name))
    }
}
