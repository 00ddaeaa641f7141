//! RLIMIT_CPU (getrlimit(2)): a timer on the process' CPU time looks at it each second once the soft limit is reached.

use super::signal::{Signal, SignalInfo};
use super::{Limit, Process, Resource, UNLIMITED, exit};
use alloc::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;

/// Starts to watch the limit, if there is one: after it was set or inherited.
pub(crate) fn watch(process: &Arc<Process>) {
    let limit = process.limit(Resource::CpuTime);
    if limit != UNLIMITED {
        // "A limit of 0 is treated as 1", as Linux does.
        process.timers().watch_cpu_limit(process, limit.max(1).saturating_mul(SECOND_NS));
    }
}

/// Sends what the limit asks for: SIGXCPU at the soft limit and each second after, SIGKILL at the hard one.
pub(super) fn check(process: &Arc<Process>) {
    let Limit { soft, hard } = process.limits().get(Resource::CpuTime);
    let usage = process.usage();
    let used = (usage.user_ns + usage.system_ns) / SECOND_NS;
    if used >= hard.max(1) {
        exit::end_process(process, Signal::KILL.number());
    } else if used >= soft.max(1) {
        process.limits().raise_soft(Resource::CpuTime, used + 1);
        process.send_signal(SignalInfo::kernel(Signal::XCPU));
    }
}
