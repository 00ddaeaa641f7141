//! Stele: a freestanding kernel that GRUB starts on a bare PC and that runs unmodified Linux programs.
//!
//! The list of rooms below is the architecture: lowest first, and a room uses only rooms listed
//! above it. Calls go down; what must go up (an interrupt, a timer, a thread's first function) is a
//! closure or a trait object that the room above handed down.

#![no_std]

extern crate alloc;

/// Pure data structures and algorithms; imports nothing and is tested on the host.
mod util;

/// The order in which locks may be taken.
mod rank;

/// The computer as safe Rust objects.
#[expect(unsafe_code, reason = "the only room that touches the hardware")]
mod machine;

/// Linux's error numbers, and the one place where lower errors become them.
mod errno;

/// Contracts between drivers and the rooms that use them.
mod device;

/// One device, one file.
mod drivers;

/// Address spaces, the page cache, and memory that belongs to user programs.
mod vm;

/// Open files: what a file descriptor names, and readiness.
mod file;

/// Paths, mounts, inodes and file systems.
mod fs;

/// System V interprocess communication and POSIX message queues.
mod ipc;

/// Processes, threads, signals and program start.
mod process;

/// Sockets.
mod net;

/// Terminals: consoles, line discipline, pseudo-terminals.
mod tty;

/// /proc and /sys.
mod procfs;

/// The system call table and each call's checks and conversions.
mod syscall;

use alloc::{sync::Arc, vec::Vec};
use device::{InputSource, SerialLine};
use machine::boot;

/// The first function of ours that runs: `asm/boot.s` calls it on the boot CPU, in long mode, at its final
/// virtual address. Nobody is there to return to.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the boot stub finds the function by its name")]
pub extern "C" fn _start(magic: u32, information: u32) -> ! {
    machine::start(magic, information);
    machine::task::spawn("boot", start_user_space);
    machine::task::run()
}

/// The rest of the start, in a task because devices and files may sleep.
fn start_user_space() {
    if let Some(fault) = boot::word("provoke") {
        machine::provoke::provoke(fault);
    }
    let root = fs::mount_root();
    ipc::start();
    procfs::start();
    tty::start(serial_lines(), keyboard());
    syscall::start_first_process(root);
}

/// Finds the serial ports where PCs have them.
fn serial_lines() -> Vec<Arc<dyn SerialLine>> {
    const PORTS: [(u16, u8); 2] = [(0x3f8, 4), (0x2f8, 3)];
    PORTS
        .into_iter()
        .filter_map(|(base, irq)| drivers::serial::Serial::probe(base, irq))
        .map(|line| line as Arc<dyn SerialLine>)
        .collect()
}

/// Finds the keyboard.
fn keyboard() -> Option<Arc<dyn InputSource>> {
    drivers::keyboard::Keyboard::probe().map(|keyboard| keyboard as Arc<dyn InputSource>)
}
