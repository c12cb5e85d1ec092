//! The whole daemon as a process: what its clients, its operators and its disk see.

mod lives;
