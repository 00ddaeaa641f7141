//! The start of further CPUs (SDM vol. 3A, 9.4): each gets an index, in the order of the firmware's list, runs
//! asm/ap_boot.s, makes itself ready and then runs tasks.
//!
//! One after the other, as they share the page below 1 MiB in which they start. A CPU that does not answer is left out;
//! if it comes later all the same, it finds no stack and halts.

use super::asm::{ApParameters, ap_boot_code, direct_map_address, early_page_table};
use super::console::log;
use super::memory::{self, KernelStack};
use super::platform::{self, local_apic};
use super::{boot, cpu, task, time, trap};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

/// How long a CPU takes after INIT until it takes a start-up interrupt (SDM 9.4.4.1).
const INIT_NS: u64 = 10_000_000;
/// When the start-up interrupt is sent again.
const START_AGAIN_NS: u64 = 1_000_000;
/// How long a CPU may take to begin, and then to be ready: much, as a virtual one may not run for long.
const LIMIT_NS: u64 = 5_000_000_000;

/// How many CPUs are ready to be counted.
static READY: AtomicUsize = AtomicUsize::new(1);

/// Starts the CPUs that the firmware lists, as many as `maxcpus=` and `nosmp` allow. On the boot CPU.
pub(super) fn start() {
    memory::set_shoot_down(|cpus, range| platform::run_on(cpus, &|| memory::flush_here(range.clone())));
    let Some(apic) = local_apic() else { return };
    let Some(page) = boot::memory_map().start_page else { return };
    let (others, unreachable): (Vec<u32>, Vec<u32>) =
        platform::cpu_ids().iter().filter(|id| **id != apic.id()).partition(|id| apic.reaches(**id));
    for id in unreachable {
        log!(Warning, "the CPU with APIC id {id} is out of reach without x2APIC");
    }
    let allowed = most_allowed();
    if others.is_empty() || allowed == 1 {
        return;
    }

    let start_ns = time::monotonic_ns();
    let parameters = prepare(page);
    for &id in others.iter().take(allowed - 1) {
        apic.send_init(id);
    }
    wait_until(INIT_NS, || false);
    for &id in &others {
        if cpu::count() == allowed {
            break;
        }
        match start_one(id, page, parameters) {
            Ok(()) => {
                time::compare();
                cpu::add();
            }
            Err(Failure::NoAnswer) => log!(Warning, "the CPU with APIC id {id} does not answer: left out"),
            Err(Failure::Stuck) => {
                // It may still come, with the index that the next one would get.
                log!(Error, "the CPU with APIC id {id} does not finish its start: no more are started");
                break;
            }
        }
    }
    let milliseconds = (time::monotonic_ns() - start_ns) / 1_000_000;
    log!(Info, "{} of {} CPUs run, after {milliseconds} ms", cpu::count(), others.len() + 1);
}

/// Returns how many CPUs may run, by the words that Linux has for it (0 and 1 mean the same).
fn most_allowed() -> usize {
    let wanted = boot::word("maxcpus").and_then(|value| value.parse::<usize>().ok());
    let wanted = if boot::has_word("nosmp") { Some(1) } else { wanted };
    wanted.map_or(cpu::MAX_CPUS, |count| count.clamp(1, cpu::MAX_CPUS))
}

/// Why a CPU does not run.
enum Failure {
    NoAnswer,
    Stuck,
}

/// Puts the code for further CPUs into the page at the physical address `page`; returns its parameters.
fn prepare(page: u64) -> &'static ApParameters {
    let code = ap_boot_code();
    let copy = direct_map_address(page);
    // SAFETY: the memory map keeps the page for this, the code is shorter, and its end is made for the parameters:
    // aligned, as the code's start is and theirs within it, and only ever used as atomics.
    let parameters = unsafe {
        copy.copy_from_nonoverlapping(code.as_ptr(), code.len());
        &*copy.add(code.len() - size_of::<ApParameters>()).cast::<ApParameters>()
    };
    parameters.early_table.store(early_page_table(), Ordering::Relaxed);
    parameters.final_table.store(memory::root_address(), Ordering::Relaxed);
    parameters
}

/// Starts the CPU with APIC id `id`; it will have the next index.
fn start_one(id: u32, page: u64, parameters: &ApParameters) -> Result<(), Failure> {
    let index = cpu::count();
    let (Some(apic), Ok(stack)) = (local_apic(), KernelStack::new()) else { return Err(Failure::NoAnswer) };
    let top = (stack.top().as_u64() - size_of::<u64>() as u64) as *mut u64;
    // SAFETY: the top of a stack that nobody uses yet; ap_boot.s pops the index from there.
    unsafe { top.write(index as u64) };
    parameters.stack.store(top as u64, Ordering::SeqCst);

    let has_begun = || parameters.stack.load(Ordering::SeqCst) == 0;
    apic.send_start(id, page);
    if !wait_until(START_AGAIN_NS, has_begun) {
        apic.send_start(id, page);
        wait_until(LIMIT_NS, has_begun);
    }
    if parameters.stack.swap(0, Ordering::SeqCst) != 0 {
        return Err(Failure::NoAnswer);
    }
    // From here on the stack is the CPU's, for ever.
    core::mem::forget(stack);
    if wait_until(LIMIT_NS, || READY.load(Ordering::Acquire) > index) { Ok(()) } else { Err(Failure::Stuck) }
}

/// Waits for a condition, but not longer than `limit_ns`; returns whether it came true.
fn wait_until(limit_ns: u64, condition: impl Fn() -> bool) -> bool {
    let end = time::monotonic_ns() + limit_ns;
    while !condition() {
        if time::monotonic_ns() > end {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// A further CPU's first Rust function: asm/ap_boot.s calls it with interrupts off, on a stack of its own.
#[unsafe(no_mangle)]
extern "C" fn ap_start(index: usize) -> ! {
    cpu::install(index);
    // Before anything is copied: the boot CPU has found by what means.
    cpu::enable_protections();
    trap::start_cpu(index);
    platform::start_cpu();
    time::start_cpu();
    task::join();
    READY.store(index + 1, Ordering::Release);
    time::answer();
    // What is done for all CPUs, is done for this one too from when it is counted.
    while cpu::count() <= index {
        core::hint::spin_loop();
    }
    task::run()
}
