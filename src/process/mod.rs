//! Processes, threads, signals and program start. No system call numbers here.
