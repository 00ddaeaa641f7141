//! The system call table and each call's checks and conversions. No state here.

/// Changing a file's mode, owner and times.
mod attributes;

/// Registers become typed arguments.
mod argument;

/// What a call knows about its caller.
mod context;

/// Listing directories: getdents.
mod directory;

/// epoll and eventfd.
mod epoll;

/// How large a file is, where it has space, and when it is on the medium.
mod extent;

/// fcntl, ioctl and flock.
mod fcntl;

/// Open files: read, write and their relatives, lseek, close, dup, pipe.
mod file;

/// futex and the robust list.
mod futex;

/// Watching files.
mod inotify;

/// System V interprocess communication.
mod ipc;

/// mmap, brk and relatives.
mod memory;

/// membarrier(2).
mod memory_barrier;

/// Sending and receiving on sockets.
mod message;

/// POSIX message queues.
mod mqueue;

/// The tree of mounts.
mod mount;

/// Names in the file tree: open, stat, rename, mount, …
mod path;

/// poll, ppoll, select, pselect6.
mod poll;

/// clone, exec, wait, ids, limits, …
mod process;

/// Who runs when.
mod schedule;

/// Signals.
mod signal;

/// Signals for readiness.
mod signal_io;

/// The first process.
mod start;

/// What a file is: stat, statx, statfs.
mod stat;

/// Sockets: making, naming, connecting, options.
mod socket;

/// The machine as a whole: names, memory, log, random bytes, its end.
mod system;

/// The index of the kernel: one line a call.
mod table;

/// Clocks, sleeping, timers.
mod time;

/// Times and durations as user space passes them.
mod time_value;

/// Timers that send signals.
mod timer;

/// Moving bytes between two files inside the kernel.
mod transfer;

/// The life of a thread.
mod user_loop;

/// Extended attributes.
mod xattr;

pub(crate) use start::start_first_process;
