//! What one client of the API can take from others: connections, bodies, audit entries, event
//! streams. Each bound is reached by a real client while another client still gets its answer.
//! (Rejected: unit tests of counters alone; the shared threads are what fails.)
