//! Memory, code size and compile time that one program can take. Each budget is exceeded on
//! purpose; the process lives on and the answer names the budget. (Rejected: limits of the
//! operating system; they end the process.)
