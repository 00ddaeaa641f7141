//! Symbols and layouts of `asm/user_entry.s`.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// Segment selectors, in the order that SYSCALL and SYSRET want (SDM vol. 3A, 5.8.8), with the values that
/// user programs see on Linux.
pub(in crate::machine) mod selector {
    /// Kernel code.
    pub(in crate::machine) const KERNEL_CODE: u16 = 0x10;
    /// Kernel data: the one after kernel code.
    pub(in crate::machine) const KERNEL_DATA: u16 = 0x18;
    /// 32-bit user code, never used; SYSRET counts from here.
    pub(in crate::machine) const USER_CODE_32: u16 = 0x20 | 3;
    /// User data: the one after 32-bit user code.
    pub(in crate::machine) const USER_DATA: u16 = 0x28 | 3;
    /// User code: the second after 32-bit user code.
    pub(in crate::machine) const USER_CODE: u16 = 0x30 | 3;
    /// The CPU's task state.
    pub(in crate::machine) const TASK_STATE: u16 = 0x38;

    /// A data segment whose limit is the CPU's index: asm/vdso/vdso.s reads it there.
    pub(in crate::machine) const CPU_INDEX: u16 = 0x48 | 3;

    const _: () = assert!(KERNEL_DATA == KERNEL_CODE + 8);
    const _: () = assert!(USER_DATA == USER_CODE_32 + 8 && USER_CODE == USER_CODE_32 + 16);
}

/// The vector that `user_enter` returns for the SYSCALL instruction.
pub(in crate::machine) const VECTOR_SYSCALL: u64 = 256;

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
}

const _: () = assert!(offset_of!(Registers, r8) == 72 && offset_of!(Registers, rcx) == 88);
const _: () = assert!(offset_of!(Registers, rsp) == 136 && size_of::<Registers>() == 144);

/// The start of each CPU's data, which assembly finds through the GS base.
#[derive(Debug)]
#[repr(C)]
pub(in crate::machine) struct CpuHead {
    /// The address of this structure.
    pub(in crate::machine) this: AtomicUsize,
    /// User rsp while the SYSCALL entry changes stacks.
    pub(in crate::machine) user_stack: AtomicU64,
    /// Where `user_enter` will return from.
    pub(in crate::machine) kernel_stack: AtomicU64,
    /// The end of the `Registers` that the next entry fills.
    pub(in crate::machine) registers_end: AtomicU64,
}

const _: () = assert!(offset_of!(CpuHead, this) == 0 && offset_of!(CpuHead, user_stack) == 8);
const _: () = assert!(offset_of!(CpuHead, kernel_stack) == 16 && offset_of!(CpuHead, registers_end) == 24);

/// What `user_enter` returns in rax and rdx.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::machine) struct UserExit {
    /// The interrupt vector, or `VECTOR_SYSCALL`.
    pub(in crate::machine) vector: u64,
    /// The exception's error code, 0 where it has none.
    pub(in crate::machine) error_code: u64,
}

unsafe extern "C" {
    /// Goes to user mode with `registers`, returns when it was left.
    pub(in crate::machine) fn user_enter(registers: *mut Registers) -> UserExit;
    /// Where SYSCALL jumps; not to be called.
    pub(in crate::machine) fn syscall_entry();
}
