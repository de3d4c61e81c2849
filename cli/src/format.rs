//! The forms in which commands print what they tell. The invariant: every command that has a choice
//! has this one, under one name. (Rejected: a type for each command.)

/// How what a command tells is printed, where it is for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}
