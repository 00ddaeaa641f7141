//! The system call table and each call's checks and conversions. No state here.

/// Registers become typed arguments.
mod argument;

/// What a call knows about its caller.
mod context;

/// Open files: read, write, close, dup, fcntl, ioctl, …
mod file;

/// mmap, brk and relatives.
mod memory;

/// Names in the file tree: open, stat, rename, mount, …
mod path;

/// poll, select, epoll.
mod poll;

/// clone, exec, wait, ids, limits, …
mod process;

/// Signals.
mod signal;

/// The index of the kernel: one line a call.
mod table;

/// Clocks, sleeping, timers.
mod time;
