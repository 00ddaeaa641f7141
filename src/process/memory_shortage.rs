//! No memory is left for a program: a process is killed, and the log says which; the first one is spared.

use super::{Process, Thread, exit, table};
use crate::machine::console::log;
use crate::machine::memory::{PAGE_SIZE, total_pages};
use crate::machine::{task, time};
use crate::process::signal::{Signal, SignalInfo};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

/// How long to wait for a victim's memory before another one is looked for.
const PATIENCE_NS: u64 = 1_000_000_000;
/// How often to look whether it is gone.
const STEP_NS: u64 = 5_000_000;
/// The oom_score_adj that spares a process.
const SPARED: i32 = -1000;

/// Frees memory by killing a process, and waits until it is gone. The caller then tries again, or ends if it was chosen.
pub(crate) fn relieve(thread: &Thread) {
    let Some(victim) = choose() else {
        // Nobody but the first process is left, and it has nothing to run on.
        return exit::end_process(thread.process(), Signal::KILL.number());
    };
    if victim.state.lock().ending.is_none() {
        report(&victim);
    }
    // One that ends already may be in the stop that tells its tracer so, which SIGKILL ends.
    victim.send_signal(SignalInfo::kernel(Signal::KILL));
    let end = time::monotonic_ns() + PATIENCE_NS;
    while !victim.has_ended() && !thread.needs_attention() && time::monotonic_ns() < end {
        // A signal ends the sleep, and then the loop.
        let _ = task::sleep_until(time::monotonic_ns() + STEP_NS);
    }
}

/// Returns a process that is ending already, else one of the process group that holds the most memory: of a job that
/// grows by many processes, one of these goes and not the shell that started it. Within the group it is the one that
/// holds the most, by Linux's measure (resident pages and page tables, shifted by oom_score_adj thousandths of all
/// memory, and what its areas take), and of several alike the youngest.
fn choose() -> Option<Arc<Process>> {
    let total = total_pages() as i64;
    let mut groups: BTreeMap<i32, i64> = BTreeMap::new();
    let mut candidates = Vec::new();
    for process in table::all() {
        let adjustment = process.oom_score_adjustment();
        let is_spared = process.id() == table::INIT || adjustment == SPARED;
        let Some(space) = process.space().filter(|_| !is_spared) else { continue };
        if process.state.lock().ending.is_some() {
            return Some(process);
        }
        let sizes = space.statistics();
        let pages = (sizes.resident + sizes.tables + sizes.bookkeeping) / PAGE_SIZE as u64;
        let points = pages as i64 + i64::from(adjustment) * total / 1000;
        *groups.entry(process.group_id()).or_default() += points.max(0);
        candidates.push((points, process));
    }
    let rank = |(points, process): &(i64, Arc<Process>)| {
        (groups.get(&process.group_id()).copied(), *points, process.start_time_ns(), process.id())
    };
    candidates.into_iter().max_by_key(rank).map(|(_, process)| process)
}

fn report(victim: &Process) {
    let memory = victim.space().map(|space| space.statistics()).unwrap_or_default();
    let name = victim.main_thread().map(|thread| thread.name()).unwrap_or_default();
    log!(
        Error,
        "Out of memory: Killed process {} ({}) total-vm:{}kB, rss:{}kB, UID:{} pgtables:{}kB oom_score_adj:{}",
        victim.id(),
        String::from_utf8_lossy(&name),
        memory.total >> 10,
        memory.resident >> 10,
        victim.main_identity().map_or(0, |identity| identity.uid),
        memory.tables >> 10,
        victim.oom_score_adjustment(),
    );
}
