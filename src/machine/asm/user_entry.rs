//! Symbols and layouts of `asm/user_entry.s`.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, AtomicUsize};
use core::{arch::asm, mem::offset_of};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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

/// A thread's user registers, in the order in which a signal frame has them. `rax` is also where a system call's result
/// goes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) r8: u64,
    pub(crate) r9: u64,
    pub(crate) r10: u64,
    pub(crate) r11: u64,
    pub(crate) r12: u64,
    pub(crate) r13: u64,
    pub(crate) r14: u64,
    pub(crate) r15: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) rdx: u64,
    pub(crate) rax: u64,
    pub(crate) rcx: u64,
    pub(crate) rsp: u64,
    pub(crate) rip: u64,
    pub(crate) rflags: u64,
}

const _: () = assert!(offset_of!(Registers, r11) == 24 && offset_of!(Registers, rcx) == 112);
const _: () = assert!(offset_of!(Registers, rflags) == 136 && size_of::<Registers>() == 144);

/// A thread's user registers, and whether they are still as SYSCALL left them: then `user_enter` need not look whether
/// SYSRET can bring them back.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct UserRegisters {
    saved: Registers,
    is_changed: bool,
}

const _: () = assert!(offset_of!(UserRegisters, is_changed) == 144);

impl UserRegisters {
    /// Makes registers that are all zero.
    pub(in crate::machine) fn new() -> UserRegisters {
        UserRegisters { saved: Registers::default(), is_changed: true }
    }

    /// Sets a system call's result, the one change that SYSRET always allows.
    pub(crate) fn set_result(&mut self, rax: u64) {
        self.saved.rax = rax;
    }
}

impl Deref for UserRegisters {
    type Target = Registers;
    fn deref(&self) -> &Registers {
        &self.saved
    }
}

impl DerefMut for UserRegisters {
    fn deref_mut(&mut self) -> &mut Registers {
        self.is_changed = true;
        &mut self.saved
    }
}

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

/// Goes to user mode with `registers`, returns when it was left.
///
/// # Safety
/// Interrupts are off, and this CPU is set up for user mode and the way back.
#[inline(always)]
pub(in crate::machine) unsafe fn enter_user(registers: &mut UserRegisters) -> UserExit {
    let (vector, error_code);
    // The compiler saves what it needs of the registers, and that is less than what the calling convention would have
    // saved at each call.
    // SAFETY: as the caller promises; `user_enter` keeps rbx, rbp and the stack.
    unsafe {
        asm!("call {}", sym user_enter, in("rdi") &raw mut *registers, lateout("rax") vector, lateout("rdx") error_code,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _, clobber_abi("C"));
    }
    UserExit { vector, error_code }
}

unsafe extern "C" {
    /// What `enter_user` calls; not by the calling convention.
    fn user_enter();
    /// Where SYSCALL jumps; not to be called.
    pub(in crate::machine) fn syscall_entry();
}
