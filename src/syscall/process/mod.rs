//! Calls on processes and threads: each family in its file.

/// fork, vfork, clone, exit.
mod clone;

/// prctl, arch_prctl, personality, capabilities.
mod control;

/// execve.
mod exec;

/// Who one is: process, group, session, user and group ids.
mod ids;

/// Descriptors that name processes.
mod pidfd;

/// ioprio_get, ioprio_set.
mod io_priority;

/// Resource limits, usage, priorities.
mod limits;

/// Copies between two programs.
mod remote;

/// ptrace.
mod trace;

/// wait4, waitid.
mod wait;

pub(crate) use clone::{
    clone, clone3, exit, exit_group, fork, get_robust_list, rseq, set_robust_list, set_tid_address, setns, unshare,
    vfork,
};
pub(crate) use control::{arch_prctl, capget, capset, personality, prctl};
pub(crate) use exec::execve;
pub(crate) use ids::{
    getegid, geteuid, getgid, getgroups, getpgid, getpgrp, getpid, getppid, getresgid, getresuid, getsid, gettid,
    getuid, setfsgid, setfsuid, setgid, setgroups, setpgid, setregid, setresgid, setresuid, setreuid, setsid, setuid,
};
pub(crate) use io_priority::{ioprio_get, ioprio_set};
pub(crate) use limits::{getpriority, getrlimit, getrusage, prlimit64, setpriority, setrlimit, times};
pub(crate) use pidfd::{pidfd_getfd, pidfd_open, pidfd_send_signal};
pub(crate) use remote::{kcmp, process_vm_readv, process_vm_writev};
pub(crate) use trace::ptrace;
pub(crate) use wait::{wait4, waitid};
