//! Data that each CPU has for itself, and which CPU this is.
//!
//! The kernel's GS base points to the running CPU's `PerCpu`; user mode has its own GS base, and every entry
//! exchanges the two. A reference from `this()` must not be kept over a sleep: the task may wake up elsewhere.

use super::super::asm::{self, CpuHead, selector};
use super::user_context::UserContext;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{GsBase, KernelGsBase, LStar, Msr};

/// The most CPUs that are used; more are left resting.
pub(crate) const MAX_CPUS: usize = 64;

/// IA32_STAR: the segments of SYSCALL and SYSRET (SDM vol. 4).
const STAR: u32 = 0xc000_0081;
/// IA32_FMASK: the flags that SYSCALL clears.
const FMASK: u32 = 0xc000_0084;

/// All flags that user mode can set: CF PF AF ZF SF TF IF DF OF IOPL NT RF AC ID.
const FLAGS_CLEARED: u64 = 0x25_7fd5;

/// What one CPU keeps for itself. Written by that CPU only, but for `attention`.
#[derive(Debug)]
#[repr(C, align(64))]
pub(in crate::machine) struct PerCpu {
    /// The part that assembly uses.
    head: CpuHead,
    /// This CPU's index.
    pub(in crate::machine) index: usize,
    /// Why user mode may not go on yet: bits of `Attention`.
    attention: AtomicU8,
    /// An interrupt is served.
    pub(in crate::machine) serves_interrupt: AtomicBool,
    /// The interrupt that is served came from user mode.
    pub(in crate::machine) serves_user_interrupt: AtomicBool,
    /// The running task, as `machine::task` knows it; null until it has started.
    pub(in crate::machine) current: AtomicPtr<()>,
    /// The user context that the running task uses, which must be saved before another task runs; null if it has
    /// not been in user mode since it was switched to.
    pub(in crate::machine) active_context: AtomicPtr<UserContext>,
    /// The user context that is in this CPU's registers, saved or not; null for none.
    pub(in crate::machine) live_context: AtomicPtr<UserContext>,
    /// The ranks of the spin locks held, one bit each (debug builds).
    pub(in crate::machine) held_ranks: AtomicU64,
}

impl PerCpu {
    const fn new(index: usize) -> PerCpu {
        PerCpu {
            head: CpuHead {
                this: AtomicUsize::new(0),
                user_stack: AtomicU64::new(0),
                kernel_stack: AtomicU64::new(0),
                registers_end: AtomicU64::new(0),
            },
            index,
            attention: AtomicU8::new(0),
            serves_interrupt: AtomicBool::new(false),
            serves_user_interrupt: AtomicBool::new(false),
            current: AtomicPtr::new(core::ptr::null_mut()),
            active_context: AtomicPtr::new(core::ptr::null_mut()),
            live_context: AtomicPtr::new(core::ptr::null_mut()),
            held_ranks: AtomicU64::new(0),
        }
    }

    /// Returns whether anything is to be done before user mode goes on.
    #[inline(always)]
    pub(in crate::machine) fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) != 0
    }

    /// Returns whether `reason` is to be seen to.
    #[inline(always)]
    pub(in crate::machine) fn has_attention(&self, reason: Attention) -> bool {
        self.attention.load(Ordering::Relaxed) & reason as u8 != 0
    }

    /// Asks this CPU to see to `reason`; returns whether it was not asked to already. From any CPU with the run queue of
    /// this one locked, or from this one with interrupts off.
    pub(in crate::machine) fn ask_attention(&self, reason: Attention) -> bool {
        self.attention.fetch_or(reason as u8, Ordering::SeqCst) & reason as u8 == 0
    }

    /// Takes `reason` back.
    pub(in crate::machine) fn end_attention(&self, reason: Attention) {
        self.attention.fetch_and(!(reason as u8), Ordering::SeqCst);
    }

    /// Sets the reasons anew, for a task that is switched to.
    pub(in crate::machine) fn reset_attention(&self, is_interrupted: bool) {
        let reasons = if is_interrupted { Attention::Interrupted as u8 } else { 0 };
        self.attention.store(reasons, Ordering::Relaxed);
    }
}

/// Why user mode may not go on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::machine) enum Attention {
    /// The running task's turn is over.
    Reschedule = 1,
    /// The running task has been interrupted.
    Interrupted = 2,
    /// The running task is to act as after a switch.
    Restart = 4,
}

/// Each CPU's data by index: static, so that the boot CPU's are there from the first instruction on.
static CPUS: [PerCpu; MAX_CPUS] = {
    let mut cpus = [const { PerCpu::new(0) }; MAX_CPUS];
    let mut index = 0;
    while index < MAX_CPUS {
        cpus[index].index = index;
        index += 1;
    }
    cpus
};

/// How many CPUs run.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// Whether `this` works: from `install_boot_cpu` on.
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// Gives the boot CPU its data and its system call entry: the first thing that Rust does.
pub(in crate::machine) fn install_boot_cpu() {
    install(0);
    IS_INSTALLED.store(true, Ordering::Release);
}

/// Returns whether this CPU has its data; false only in the first instructions of boot.
pub(in crate::machine) fn is_installed() -> bool {
    IS_INSTALLED.load(Ordering::Relaxed)
}

/// Returns this CPU's data.
#[inline(always)]
pub(in crate::machine) fn this() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: in the kernel the GS base is that of a `PerCpu`, which starts with its own address and lives for
    // ever. The value may be read again only after memory changed, as it does in a switch of tasks.
    unsafe {
        core::arch::asm!("mov {}, gs:[0]", out(reg) this, options(pure, readonly, nostack, preserves_flags));
        &*this
    }
}

/// Returns this CPU's index.
#[inline(always)]
pub(crate) fn index() -> usize {
    let index = this().index;
    // SAFETY: all of `CPUS` have theirs, which are below its length.
    unsafe { core::hint::assert_unchecked(index < MAX_CPUS) };
    index
}

/// Returns the data of the CPU with this index.
pub(in crate::machine) fn of(index: usize) -> &'static PerCpu {
    &CPUS[index]
}

/// Returns how many CPUs run: those with indexes below it.
pub(crate) fn count() -> usize {
    // What a CPU did before it was counted comes before what others do with it.
    COUNT.load(Ordering::Acquire)
}

/// Counts the CPU that has just started, whose index is the present count.
pub(in crate::machine) fn add() {
    COUNT.fetch_add(1, Ordering::Release);
}

/// Returns the CPUs that run, one bit each.
pub(crate) fn online() -> u64 {
    u64::MAX >> (MAX_CPUS - count())
}

/// Makes this CPU the one with this index, and sets where its SYSCALL instruction goes. The first thing that a CPU does.
pub(in crate::machine) fn install(index: usize) {
    let data = &CPUS[index];
    let address = &raw const *data as usize;
    data.head.this.store(address, Ordering::Relaxed);

    let entry = VirtAddr::new(asm::syscall_entry as *const () as u64);
    let segments = u64::from(selector::USER_CODE_32) << 48 | u64::from(selector::KERNEL_CODE) << 32;
    GsBase::write(VirtAddr::new(address as u64));
    KernelGsBase::write(VirtAddr::zero());
    LStar::write(entry);
    // SAFETY: the selectors are those of the GDT that the trap module loads, in the order that SYSCALL and
    // SYSRET want; the flags are cleared before `syscall_entry` runs, which is written for that.
    unsafe {
        Msr::new(STAR).write(segments);
        Msr::new(FMASK).write(FLAGS_CLEARED);
    }
}
