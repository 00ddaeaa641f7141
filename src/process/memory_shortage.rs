//! No memory is left for a program: the process that holds the most is killed, as on Linux, unless the one that asks
//! is that process itself; the first process is spared.

use super::{Process, Thread, exit, table};
use crate::machine::console::log;
use crate::machine::memory::{PAGE_SIZE, statistics};
use crate::machine::{task, time};
use crate::process::signal::Signal;
use alloc::string::String;
use alloc::sync::Arc;

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
        exit::end_process(&victim, Signal::KILL.number());
    }
    let end = time::monotonic_ns() + PATIENCE_NS;
    while !victim.has_ended() && !thread.needs_attention() && time::monotonic_ns() < end {
        // A signal ends the sleep, and then the loop.
        let _ = task::sleep_until(time::monotonic_ns() + STEP_NS);
    }
}

/// Returns a process that is ending already, else the one that holds the most memory by Linux's measure: resident
/// pages, shifted by oom_score_adj thousandths of all memory.
fn choose() -> Option<Arc<Process>> {
    let total = statistics().total as i64;
    let mut worst = None;
    for process in table::all() {
        let is_spared = process.id() == table::INIT || process.oom_score_adjustment() == SPARED;
        let Some(space) = process.space().filter(|_| !is_spared) else { continue };
        if process.state.lock().ending.is_some() {
            return Some(process);
        }
        let pages = space.statistics().resident / PAGE_SIZE as u64;
        let points = pages as i64 + i64::from(process.oom_score_adjustment()) * total / 1000;
        if worst.as_ref().is_none_or(|(most, _)| points > *most) {
            worst = Some((points, process));
        }
    }
    worst.map(|(_, process)| process)
}

fn report(victim: &Process) {
    let memory = victim.space().map(|space| space.statistics()).unwrap_or_default();
    let name = victim.main_thread().map(|thread| thread.name()).unwrap_or_default();
    log!(
        Error,
        "Out of memory: Killed process {} ({}) total-vm:{}kB, rss:{}kB, UID:{} oom_score_adj:{}",
        victim.id(),
        String::from_utf8_lossy(&name),
        memory.total >> 10,
        memory.resident >> 10,
        victim.main_identity().map_or(0, |identity| identity.uid),
        victim.oom_score_adjustment(),
    );
}
