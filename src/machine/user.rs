//! User mode, and memory that user mode may change at any time.

use super::trap::Fault;

/// A thread's user registers. `rax` is also where a system call's result goes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rax: u64,
    pub(crate) rcx: u64,
    pub(crate) rdx: u64,
    pub(crate) rsi: u64,
    pub(crate) rdi: u64,
    pub(crate) rip: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) fs_base: u64,
    pub(crate) gs_base: u64,
}

/// Why user mode was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// The `syscall` instruction; the number is in `rax`.
    Syscall,
    /// An exception that user mode caused.
    Fault(Fault),
    /// An interrupt, served already.
    Interrupt,
}

/// A thread's user side: registers and extended (x87, SSE, AVX) state.
pub(crate) struct UserMode {
    /// The registers as of the last trap; changes take effect at the next `run`. Values that user mode
    /// may not have (segment bases, flags) are made harmless on entry.
    pub(crate) registers: Registers,
}

impl UserMode {
    /// Makes the state of a new program: all registers zero, extended state as after reset.
    pub(crate) fn new() -> UserMode {
        todo!()
    }

    /// Makes a copy for a new thread or process (of the running thread's live extended state).
    pub(crate) fn duplicate(&self) -> UserMode {
        todo!()
    }

    /// Runs user mode in the loaded address space until it traps. Switches to other tasks first if the turn is over.
    pub(crate) fn run(&mut self) -> Trap {
        todo!()
    }

    /// Returns the size of the extended state in XSAVE's standard format.
    pub(crate) fn extended_state_size() -> usize {
        todo!()
    }

    /// Copies the extended state out, in XSAVE's standard format (FXSAVE's on CPUs without).
    pub(crate) fn read_extended_state(&self, _bytes: &mut [u8]) {
        todo!()
    }

    /// Replaces the extended state; `false` (and unchanged) if `bytes` is not a state that the CPU accepts.
    #[must_use]
    pub(crate) fn write_extended_state(&mut self, _bytes: &[u8]) -> bool {
        todo!()
    }

    /// Resets the extended state, as exec does.
    pub(crate) fn reset_extended_state(&mut self) {
        todo!()
    }
}

/// Copies from user memory at `from` in the loaded address space; returns how many bytes came over before an
/// access failed. Addresses at or above `USER_END` fail.
pub(crate) fn copy_from_user(_from: u64, _bytes: &mut [u8]) -> usize {
    todo!()
}

/// Copies to user memory at `to`; returns how many bytes were written before an access failed.
pub(crate) fn copy_to_user(_to: u64, _bytes: &[u8]) -> usize {
    todo!()
}

/// Sets user memory to zero; returns how many bytes were written before an access failed.
pub(crate) fn zero_user(_to: u64, _length: usize) -> usize {
    todo!()
}

/// Loads the aligned 32-bit word at `address` atomically; `None` if the access failed.
pub(crate) fn load_u32(_address: u64) -> Option<u32> {
    todo!()
}

/// Stores `new` at the aligned word `address` if it holds `old`, atomically; returns what it held.
pub(crate) fn compare_exchange_u32(_address: u64, _old: u32, _new: u32) -> Option<u32> {
    todo!()
}
