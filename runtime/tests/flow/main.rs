//! The table of flows: case by case, against a model, against packets made to harm it.
#![allow(clippy::unwrap_used, reason = "a failed test stops")]

mod frames;
mod hostile;
mod model;
mod offsets;
mod table;
mod traffic;
