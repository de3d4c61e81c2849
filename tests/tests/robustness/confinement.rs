//! What a client of the API can do to the files, devices and interfaces of the host. Each route
//! to a file is tried with each role. (Rejected: tests of the path check alone; what counts is
//! what the file system shows.)
