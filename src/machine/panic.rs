//! What happens when the kernel cannot go on: the report, then a stop or, as `panic=` says, a restart.

use super::console::log;
use super::{boot, console, platform, sync, task};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicI32, Ordering};
use x86_64::instructions::port::Port;
use x86_64::instructions::{hlt, interrupts};

/// Seconds until the restart; 0: none; negative: at once (Linux' `panic=`).
static RESTART_AFTER: AtomicI32 = AtomicI32::new(0);

/// Reads the word that says what follows a panic.
pub(super) fn start() {
    let Some(value) = boot::word("panic") else { return };
    match value.parse() {
        Ok(seconds) => RESTART_AFTER.store(seconds, Ordering::Relaxed),
        Err(_) => log!(Warning, "panic={value}: not a number of seconds"),
    }
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    sync::stop_checks();
    platform::stop_others();
    if !console::report::show(panic, task::current_name()) {
        halt();
    }

    let seconds = RESTART_AFTER.load(Ordering::Relaxed);
    if seconds == 0 {
        halt();
    }
    for _ in 0..seconds.max(0) {
        wait_a_second();
    }
    platform::restart()
}

/// Waits for the clock chip's seconds to change: it runs whatever state the kernel's own clock is in.
fn wait_a_second() {
    let start = clock_seconds();
    // The bound is for machines without the chip.
    for _ in 0..10_000_000 {
        if clock_seconds() != start {
            return;
        }
    }
}

fn clock_seconds() -> u8 {
    let (mut index, mut data) = (Port::<u8>::new(0x70), Port::<u8>::new(0x71));
    // SAFETY: these ports reach the clock chip only; its register 0 is the seconds. Nobody else uses it any more.
    unsafe {
        index.write(0);
        data.read()
    }
}

fn halt() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}
