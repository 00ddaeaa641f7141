//! User mode, and memory that user mode may change at any time.

pub(crate) use super::asm::Registers;
use super::trap::Fault;

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

    /// Returns the base of the FS segment (thread-local storage).
    pub(crate) fn fs_base(&self) -> u64 {
        todo!()
    }

    /// Returns the base of the GS segment.
    pub(crate) fn gs_base(&self) -> u64 {
        todo!()
    }

    /// Sets the base of the FS segment; `false` (and unchanged) if it is not below `USER_END`.
    #[must_use]
    pub(crate) fn set_fs_base(&mut self, _base: u64) -> bool {
        todo!()
    }

    /// Sets the base of the GS segment; `false` (and unchanged) if it is not below `USER_END`.
    #[must_use]
    pub(crate) fn set_gs_base(&mut self, _base: u64) -> bool {
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

    /// Resets the extended state and the segment bases, as exec does.
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
