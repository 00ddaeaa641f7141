//! Processes, threads, signals and program start. No system call numbers here.

/// Who may look into another process and change it.
mod access;

/// A thread's name and other small settings.
mod attributes;

/// New threads and processes.
mod create;

/// RLIMIT_CPU.
pub(crate) mod cpu_limit;

/// Root directory, working directory, umask.
mod directories;

/// An ELF file's way into an address space.
mod elf;

/// A new program in place of the old: execve.
mod exec;

/// The stack that a program finds at its entry.
mod first_stack;

/// The end of threads and processes.
pub(crate) mod exit;

/// A program's own faults become signals.
pub(crate) mod fault;

/// Sleeping on a word of user memory.
pub(crate) mod futex;

/// Job control: stop and continue, process groups and sessions.
pub(crate) mod job_control;

/// Resource limits.
mod limits;

/// What happens when no memory is left.
pub(crate) mod memory_shortage;

/// Descriptors that name processes.
mod pidfd;

/// The change to a new program that is loaded.
mod replace;

/// Restartable sequences.
pub(crate) mod rseq;

/// Sessions and their controlling terminals.
mod session;

/// Signals.
pub(crate) mod signal;

/// Signals for readiness.
pub(crate) mod signal_io;

/// Signals as bytes to read.
mod signalfd;

/// The names that uname(2) shows.
pub(crate) mod system_name;

/// The reader's side of the kernel's log.
pub(crate) mod system_log;

/// All processes and how they relate.
pub(crate) mod table;

/// One thread of a process.
mod thread;

/// Timers that send signals.
pub(crate) mod timers;

/// A process: what its threads share.
mod thread_group;

/// Tracing.
pub(crate) mod trace;

/// Waiting for children.
mod wait;

pub(crate) use directories::Directories;
/// The clock calls that programs make without entering the kernel.
mod vdso;

pub(crate) use access::{AccessMode, may_access};
pub(crate) use attributes::{NAME_LENGTH, Scheduling};
pub(crate) use exec::{Program, SetId, load_program};
pub(crate) use limits::{Limit, Limits, Resource, UNLIMITED, threads_max};
pub(crate) use session::{ControllingTerminal, Session};
pub(crate) use signal::{Signal, SignalInfo, SignalSet};
pub(crate) use signalfd::SignalFd;
pub(crate) use thread::{AlternateStack, Thread};
pub(crate) use thread_group::{Process, Usage};

/// How an interrupted call goes on (restart_syscall(2)): a closure that the call's own room made and takes back.
pub(crate) type Restart = alloc::boxed::Box<dyn core::any::Any + Send>;

pub(crate) use create::{CloneFlags, CloneRequest, create, create_first, wait_for_vfork};
pub(crate) use pidfd::PidFd;
pub(crate) use replace::{replace_program, set_id_for};
pub(crate) use vdso::update_clock;
pub(crate) use wait::{WaitOptions, Which, wait};
