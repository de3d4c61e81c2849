//! What the system offers and no safe library does. The invariant: `unsafe` of this crate is here and nowhere else, each
//! block one system call over memory that is borrowed for the call. (Rejected: `unsafe` where it is needed; it would have to
//! be looked for.)

pub(crate) mod socket;
