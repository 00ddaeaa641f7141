//! RLIMIT_CPU (getrlimit(2)): looked at when an interrupt comes while the program runs.

use super::signal::{Signal, SignalInfo};
use super::{Limit, Process, Resource, Thread, UNLIMITED, exit};
use alloc::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;

/// Sends what the limit asks for: SIGXCPU at the soft limit and each second after, SIGKILL at the hard one.
pub(crate) fn check(thread: &Thread) {
    let process: &Arc<Process> = thread.process();
    if process.limit(Resource::CpuTime) == UNLIMITED {
        return;
    }
    let Limit { soft, hard } = process.limits().get(Resource::CpuTime);
    let usage = process.usage();
    let used = (usage.user_ns + usage.system_ns) / SECOND_NS;
    if used >= hard {
        exit::end_process(process, Signal::KILL.number());
    } else if used >= soft {
        process.limits().raise_soft(Resource::CpuTime, used + 1);
        process.send_signal(SignalInfo::kernel(Signal::XCPU));
    }
}
