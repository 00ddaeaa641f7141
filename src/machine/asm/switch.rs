//! Symbols and layouts of `asm/switch.s`.

/// What a task's stack holds, at its top, before its first switch.
#[derive(Debug, Default)]
#[repr(C)]
pub(in crate::machine) struct FirstFrame {
    /// r15, r14, r13, r12, rbx, rbp.
    pub(in crate::machine) registers: [u64; 6],
    /// `switch_start`.
    pub(in crate::machine) return_address: u64,
}

const _: () = assert!(size_of::<FirstFrame>() == 56);

unsafe extern "C" {
    /// Saves the running stack's pointer at `save` and goes on where the stack `next` stopped.
    pub(in crate::machine) fn switch_stack(save: *mut u64, next: u64);
    /// A new task's first instruction; not to be called.
    pub(in crate::machine) fn switch_start();
}
