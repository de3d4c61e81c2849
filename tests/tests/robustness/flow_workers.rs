//! Every traffic that belongs to one flow gives equal copies with one worker and with four.
//! (Rejected: hash values compared by hand; copies are the promise.)
