//! Faults on request (`provoke=WORD` on the command line), so that tests see what the machine does about them.

use super::task;
use core::{arch::asm, hint::black_box, ptr};

/// Commits the fault that `word` names; an unknown word is a panic of its own.
pub(crate) fn provoke(word: &str) -> ! {
    match word {
        "panic" => panic!("provoked"),
        "stack-overflow" => {
            overflow_stack(1);
        }
        "double-fault" => lose_stack(),
        // SAFETY: not sound and not meant to be; the store must fault, because code is mapped read-only.
        "write-code" => unsafe { ptr::write_volatile(provoke as *mut u8, 0) },
        "execute-data" => {
            static DATA: [u8; 16] = [0xc3; 16];
            // SAFETY: not sound and not meant to be; the call must fault, because data is mapped not executable.
            unsafe { asm!("call {}", in(reg) DATA.as_ptr(), clobber_abi("C")) }
        }
        // SAFETY: not sound and not meant to be; the load must fault, because nothing is mapped there.
        "null" => unsafe { asm!("mov {0}, [{0}]", inout(reg) 0u64 => _) },
        "hang" => hang(),
        _ => panic!("provoke={word}: no such fault"),
    }
    panic!("provoke={word} did not fault")
}

/// Lets nobody else run, although somebody wants to.
fn hang() -> ! {
    task::spawn("waits", || ());
    loop {
        core::hint::spin_loop();
    }
}

/// Calls itself until the stack's guard page is hit.
#[expect(unconditional_recursion, reason = "that is its purpose")]
fn overflow_stack(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    overflow_stack(depth + 1) + black_box(frame)[depth as usize % 64]
}

/// Pushes where no stack is, so that not even the page fault can be delivered.
fn lose_stack() {
    // SAFETY: not sound and not meant to be; the double fault's own stack takes over, and its handler does not return.
    unsafe { asm!("mov rsp, {}", "push rax", in(reg) 8u64) }
}
