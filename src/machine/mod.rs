//! The computer as safe Rust objects: the only room with `unsafe`.
//!
//! What this room exports is safe to call in any order from any room. It knows no Linux words.
//! Inside, the same rule as in `lib.rs`: a module uses only modules listed above it.

/// Symbols and layouts shared with the files in `asm/`.
mod asm;

/// One CPU: its features, control registers, per-CPU data and idle state.
pub(crate) mod cpu;

/// Locks whose type says what they forbid.
pub(crate) mod sync;

/// Unpredictable bytes.
pub(crate) mod random;

/// The log and the panic screen.
pub(crate) mod console;

/// What the boot loader left: memory map, modules, command line, framebuffer.
pub(crate) mod boot;

/// Frames, heap, page tables, kernel stacks.
pub(crate) mod memory;

/// Exceptions, interrupt lines.
pub(crate) mod trap;

/// The PC around the CPU: ACPI tables, interrupt controllers, timers, clock chip, power.
pub(crate) mod platform;

/// Monotonic and wall time, timers.
pub(crate) mod time;

/// Kernel threads, the scheduler, sleeping and waking.
pub(crate) mod task;

/// The start of further CPUs.
mod cpus;

/// The screen: a terminal on the display.
pub(crate) mod screen;

/// User mode, and memory that user mode may change at any time.
pub(crate) mod user;

/// Faults on request, for the tests.
pub(crate) mod provoke;

/// The end of the machine when the kernel cannot go on.
mod panic;

use console::log;

/// Makes the computer usable, in the order that its parts need one another. `magic` and `information` are
/// what the boot loader left in registers.
pub(crate) fn start(magic: u32, information: u32) {
    cpu::install_boot_cpu();
    console::start();
    trap::start_cpu(0);
    cpu::enable_protections();
    boot::start(magic, information);
    panic::start();
    memory::start();
    log!(Info, "CPU: {}", cpu::describe().brand);
    platform::start();
    time::start();
    screen::start();
    cpus::start();
}
