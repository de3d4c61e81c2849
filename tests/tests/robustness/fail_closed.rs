//! Promises of privacy and ownership of bridges after restarts, crashes and missing files; health
//! that says so. (Rejected: unit tests of the start order; a restart is what loses it.)
