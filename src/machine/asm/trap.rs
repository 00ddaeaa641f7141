//! What `asm/trap_entry.s` and the trap handlers share: the stubs and the frame of an interrupted kernel
//! function.

use core::mem::offset_of;

/// Bytes from one vector's stub to the next.
const STUB_SIZE: usize = 16;

/// The registers of the interrupted kernel function. Changes take effect when the handler returns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::machine) struct TrapFrame {
    pub(in crate::machine) r15: u64,
    pub(in crate::machine) r14: u64,
    pub(in crate::machine) r13: u64,
    pub(in crate::machine) r12: u64,
    pub(in crate::machine) rbp: u64,
    pub(in crate::machine) rbx: u64,
    pub(in crate::machine) r11: u64,
    pub(in crate::machine) r10: u64,
    pub(in crate::machine) r9: u64,
    pub(in crate::machine) r8: u64,
    pub(in crate::machine) rdi: u64,
    pub(in crate::machine) rsi: u64,
    pub(in crate::machine) rdx: u64,
    pub(in crate::machine) rcx: u64,
    pub(in crate::machine) rax: u64,
    /// 0 to 255.
    pub(in crate::machine) vector: u64,
    /// 0 where the CPU gives none.
    pub(in crate::machine) error_code: u64,
    pub(in crate::machine) rip: u64,
    pub(in crate::machine) cs: u64,
    pub(in crate::machine) rflags: u64,
    pub(in crate::machine) rsp: u64,
    pub(in crate::machine) ss: u64,
}

const _: () = assert!(offset_of!(TrapFrame, rip) == 136 && size_of::<TrapFrame>() == 176);
const _: () = assert!(offset_of!(TrapFrame, cs) - offset_of!(TrapFrame, vector) == 24);

unsafe extern "C" {
    static trap_stubs: [[u8; STUB_SIZE]; 256];
}

/// Returns the address of the stub for `vector`.
pub(in crate::machine) fn trap_stub(vector: u8) -> u64 {
    let first = (&raw const trap_stubs).addr();
    (first + usize::from(vector) * STUB_SIZE) as u64
}
