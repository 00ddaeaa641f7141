//! Symbols and layouts of `asm/user_copy.s`.

use core::sync::atomic::AtomicU8;

/// A stretch of `asm/user_copy.s` that may fault.
#[repr(C)]
struct Fixup {
    start: u64,
    end: u64,
    resume: u64,
}

/// How much memory is moved at once.
#[repr(u8)]
pub(in crate::machine) enum Means {
    /// Eight bytes a step, which every CPU can.
    Words = 0,
    /// `rep movsb`, where that is fast.
    Strings = 1,
    /// AVX's registers, where saving YMM0 saves all that a store to it changes.
    Vectors = 2,
}

/// What `user_copy_text` returns in rax and rdx.
#[repr(C)]
pub(in crate::machine) struct TextCopy {
    /// How many bytes were copied, of which none is a NUL.
    pub(in crate::machine) length: usize,
    /// 1 if a NUL follows them.
    pub(in crate::machine) has_ended: u64,
}

unsafe extern "C" {
    /// Copies; either side may be user memory. Returns how many bytes were not copied.
    pub(in crate::machine) fn user_copy(destination: *mut u8, source: *const u8, length: usize) -> usize;
    /// Copies from user memory up to a NUL, and at most `room` bytes.
    pub(in crate::machine) fn user_copy_text(destination: *mut u8, source: *const u8, room: usize) -> TextCopy;
    /// Sets user memory to zero. Returns how many bytes were not written.
    pub(in crate::machine) fn user_zero(destination: *mut u8, length: usize) -> usize;
    /// Loads a word of user memory; all ones if that failed.
    pub(in crate::machine) fn user_load_u32(address: *const u32) -> u64;
    /// Compares and exchanges a word of user memory, returns what it held; all ones if that failed.
    pub(in crate::machine) fn user_exchange_u32(address: *mut u32, old: u32, new: u32) -> u64;
    /// Stores the extended state by XSAVE. Returns not zero if that failed.
    pub(in crate::machine) fn user_store_state(area: *mut u8) -> u64;
    /// Loads the extended state by XRSTOR. Returns not zero if that failed: then a part may be loaded.
    pub(in crate::machine) fn user_load_state(area: *const u8) -> u64;

    /// Not zero where STAC and CLAC exist.
    pub(in crate::machine) static user_copy_smap: AtomicU8;
    /// A value of `Means`.
    pub(in crate::machine) static user_copy_means: AtomicU8;
    static user_copy_table: [Fixup; 0];
    static user_copy_table_end: [Fixup; 0];
}

/// Returns where to resume after a fault of the kernel at `rip` on a user address; `None` if that instruction may not
/// fault.
pub(in crate::machine) fn user_copy_fixup(rip: u64) -> Option<u64> {
    let start = (&raw const user_copy_table).cast::<Fixup>();
    let end = (&raw const user_copy_table_end).cast::<Fixup>();
    // SAFETY: the two labels enclose an array of `Fixup` in asm/user_copy.s, which nobody writes.
    let table = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    table.iter().find(|fixup| (fixup.start..fixup.end).contains(&rip)).map(|fixup| fixup.resume)
}
