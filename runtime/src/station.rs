//! Where copies go. So far: a pcapng file for each station. The invariant: a station is told of every copy once, and what
//! it could not take is an error, never silence. (Rejected: one file for all stations with the station in the comment;
//! the reader of a station is another person than the reader of the next.)

mod pcapng;

pub use pcapng::{Names, PcapngFile};
