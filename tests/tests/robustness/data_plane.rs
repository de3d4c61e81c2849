//! Sums, rings, redirects and stations under stops, bursts and renamed interfaces. Judged by the
//! kernel's own counters. (Rejected: a mocked ring; the kernel's timing is what matters.)
