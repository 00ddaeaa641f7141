//! Calls from one CPU to others: to flush translations, to pass a memory barrier, to stop for good.
//!
//! Each CPU has one call of its own, which the CPUs in its mask run in an interrupt, each taking its bit out when it is
//! done. Who waits for others serves their calls meanwhile, so two may call one another. What must not be is a caller
//! that holds an `IrqLock`: a CPU that spins for that lock with interrupts off would never serve the call.

use super::local_apic::{self, send_interrupt};
use super::port::pause_microsecond;
use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::sync::{self, InterruptsOff};
use crate::machine::trap::{self, LocalVector};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use x86_64::instructions::{hlt, interrupts};

/// What is called; alive until every CPU in the mask has taken its bit out.
type Function = *const (dyn Fn() + Sync);

/// One CPU's call.
#[repr(align(64))]
struct Call {
    function: UnsafeCell<Option<Function>>,
    /// The CPUs that have not run it yet, one bit each.
    waiting: AtomicU64,
}

// SAFETY: `function` is written by the caller while no bit is set, and read by a CPU whose bit is.
unsafe impl Sync for Call {}

static CALLS: [Call; MAX_CPUS] =
    [const { Call { function: UnsafeCell::new(None), waiting: AtomicU64::new(0) } }; MAX_CPUS];

/// Lets this PC's CPUs call one another.
pub(super) fn start() {
    trap::set_local_handler(LocalVector::Call, serve);
    trap::set_local_handler(LocalVector::Stop, stop_here);
    trap::set_nmi_handler(serve_nmi);
}

/// Calls `function` on those CPUs of the mask `cpus` that run, this one left out, in interrupt context, and returns when
/// all have: they have then passed a full memory barrier. `function` must not call others. Not with an `IrqLock` held.
pub(crate) fn run_on(cpus: u64, function: &(dyn Fn() + Sync)) {
    let _off = InterruptsOff::new();
    let cpus = cpus & cpu::online() & !(1 << cpu::index());
    if cpus == 0 {
        return;
    }
    sync::assert_may_call();
    let call = &CALLS[cpu::index()];
    // SAFETY: no bit is set, as the last call has been waited for. The lifetime is widened, but the function is used
    // only until the bits are gone, for which this waits.
    unsafe { *call.function.get() = Some(core::mem::transmute::<&(dyn Fn() + Sync), Function>(function)) };
    // Release: who sees its bit sees the function. Acquire below: what the others did comes before what follows.
    call.waiting.store(cpus, Ordering::Release);
    each(cpus, |cpu| send_interrupt(cpu, LocalVector::Call));
    while call.waiting.load(Ordering::Acquire) != 0 {
        serve();
        core::hint::spin_loop();
    }
}

/// Runs what other CPUs want of this one. Interrupts are off.
fn serve() {
    let here = 1 << cpu::index();
    for call in &CALLS[..cpu::count()] {
        if call.waiting.load(Ordering::Acquire) & here != 0 {
            // SAFETY: the bit is set, so the caller has written the function and keeps it.
            if let Some(function) = unsafe { *call.function.get() } {
                // SAFETY: as above.
                unsafe { (*function)() };
            }
            call.waiting.fetch_and(!here, Ordering::AcqRel);
        }
    }
}

fn each(cpus: u64, mut act: impl FnMut(usize)) {
    (0..MAX_CPUS).filter(|cpu| cpus >> cpu & 1 == 1).for_each(&mut act);
}

/// The CPU that stopped the others; `usize::MAX`: none.
static STOPPER: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The CPUs that have stopped, one bit each.
static STOPPED: AtomicU64 = AtomicU64::new(0);

/// Stops all other CPUs for good, those that have interrupts off by NMI; does not return on a second CPU that tries.
/// Any context, with whatever locks held.
pub(in crate::machine) fn stop_others() {
    // Before others run, there may be no index yet.
    if cpu::count() == 1 {
        return;
    }
    interrupts::disable();
    let here = cpu::index();
    match STOPPER.compare_exchange(usize::MAX, here, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => (),
        Err(stopper) if stopper == here => return,
        Err(_) => stop_here(),
    }
    let others = cpu::online() & !(1 << here);
    let left = || others & !STOPPED.load(Ordering::SeqCst);
    each(others, |cpu| send_interrupt(cpu, LocalVector::Stop));
    // First the gentle way: who takes an interrupt holds no lock that the log or a panic report wants.
    wait_while(100_000, || left() != 0);
    each(left(), local_apic::send_nmi);
    wait_while(100_000, || left() != 0);
}

fn wait_while(microseconds: u32, mut condition: impl FnMut() -> bool) {
    for _ in 0..microseconds {
        if !condition() {
            return;
        }
        pause_microsecond();
    }
}

/// Stops this CPU if that is what the NMI is for.
fn serve_nmi() {
    let stopper = STOPPER.load(Ordering::SeqCst);
    if stopper != usize::MAX && stopper != cpu::index() {
        stop_here();
    }
}

fn stop_here() {
    STOPPED.fetch_or(1 << cpu::index(), Ordering::SeqCst);
    loop {
        interrupts::disable();
        hlt();
    }
}
