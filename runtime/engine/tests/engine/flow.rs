//! The table of flows: case by case, against a model, against packets made to harm it.

mod frames;
mod hostile;
mod model;
mod offsets;
mod table;
mod traffic;
