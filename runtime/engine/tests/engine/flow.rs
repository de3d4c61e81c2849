//! Tests of the flow table: case by case, against a model, and against hostile packets.

mod frames;
mod hostile;
mod model;
mod offsets;
mod table;
mod traffic;
