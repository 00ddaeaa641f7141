//! A new program in place of the old: finds the interpreter, maps the ELF segments, lays out the first stack.
//! Does not touch the calling process: the result replaces its parts only when nothing can fail any more.

use crate::errno::Result;
use crate::fs::{Path, View};
use crate::vm::AddressSpace;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A program ready to run.
pub(crate) struct Program {
    pub(crate) space: Arc<AddressSpace>,
    pub(crate) entry: u64,
    pub(crate) stack_pointer: u64,
    /// The file that /proc/PID/exe shows (the ELF file; for `#!`, the interpreter).
    pub(crate) executable: Path,
    /// The new thread name: the last path component, at most 15 bytes.
    pub(crate) command: Vec<u8>,
    /// Set-user-ID and set-group-ID owners to take over, if any.
    pub(crate) set_uid: Option<u32>,
    pub(crate) set_gid: Option<u32>,
    /// Where argv and envp lie, for /proc/PID/cmdline and environ.
    pub(crate) arguments: core::ops::Range<u64>,
    pub(crate) environment: core::ops::Range<u64>,
    /// The auxiliary vector, for /proc/PID/auxv.
    pub(crate) auxiliary: Vec<(u64, u64)>,
}

/// What the loader needs to know about the caller.
pub(crate) struct Limits {
    /// RLIMIT_STACK in bytes.
    pub(crate) stack: u64,
}

/// Loads the program named `path` (`file` is its open path for AT_FDCWD-relative and descriptor execs) with `argv` and `envp`.
/// Errors in Linux's order: execve(2).
pub(crate) fn load_program(
    _view: &View,
    _file: Path,
    _name: &[u8],
    _argv: Vec<Vec<u8>>,
    _envp: Vec<Vec<u8>>,
    _limits: &Limits,
) -> Result<Program> {
    todo!()
}
