//! Captures that come slowly, are interrupted, damaged or many. What was decided is in the files.
//! (Rejected: readers tested alone; the signal path is what lost copies.)
