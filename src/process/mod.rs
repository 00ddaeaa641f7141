//! Processes, threads, signals and program start. No system call numbers here.

/// A new program in place of the old: execve.
mod exec;

/// One process: what its threads share.
mod process;

/// One thread of a process.
mod thread;

pub(crate) use exec::{Program, load_program};
pub(crate) use process::{Process, Resource};
pub(crate) use thread::Thread;
