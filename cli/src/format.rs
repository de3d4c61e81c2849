//! The output formats of commands. The invariant: every command with a choice of text and JSON uses
//! this type and the same option. (Rejected: a type for each command.)

/// An output format, for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}
