//! Frames for user programs and files: the kernel's reserve is kept from them.
//!
//! Programs allocate often, so each CPU looks only once for several frames.

use crate::errno::Result;
use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::memory::{Frame, LargeFrame, OutOfMemory, require_abundance, require_plenty};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// For how many frames one look at the free ones counts.
const CREDIT: u32 = 16;

/// How many frames a CPU may take without looking. On a cache line of its own.
#[repr(align(64))]
struct Credit(AtomicU32);

static CREDITS: [Credit; MAX_CPUS] = [const { Credit(AtomicU32::new(0)) }; MAX_CPUS];

/// Allocates a zeroed page for a program or a file.
pub(super) fn zeroed_frame() -> core::result::Result<Frame, OutOfMemory> {
    check()?;
    Frame::zeroed()
}

/// Allocates a zeroed large page for a program, while there is much free.
pub(super) fn zeroed_large_frame() -> core::result::Result<LargeFrame, OutOfMemory> {
    require_abundance()?;
    LargeFrame::zeroed()
}

/// Allocates a page with the content of `source` for a program.
pub(super) fn copy_of(source: &Frame) -> core::result::Result<Frame, OutOfMemory> {
    check()?;
    Frame::copy_of(source)
}

/// Allocates a page that begins with `bytes`.
pub(super) fn with_bytes(bytes: &[u8]) -> core::result::Result<Frame, OutOfMemory> {
    check()?;
    Frame::with_bytes(bytes)
}

/// Allocates a page that begins with `length` bytes at the user address `from`; returns how many could be read, too.
pub(super) fn with_user_bytes(from: u64, length: usize) -> core::result::Result<(Frame, usize), OutOfMemory> {
    check()?;
    Frame::with_user_bytes(from, length)
}

/// Returns `count` default values for what a program lets the kernel keep. ENOMEM, also when only the reserve is left.
pub(crate) fn defaults<T: Clone + Default>(count: usize) -> Result<Vec<T>> {
    check()?;
    let mut values = Vec::new();
    values.try_reserve_exact(count)?;
    values.resize(count, T::default());
    Ok(values)
}

/// Fails when only the reserve is left: also for what a program lets the kernel keep in its heap.
pub(crate) fn check() -> core::result::Result<(), OutOfMemory> {
    // The kernel is not preempted, so the credit is this CPU's alone.
    let credit = &CREDITS[cpu::index()].0;
    let left = credit.load(Ordering::Relaxed);
    if left > 0 {
        credit.store(left - 1, Ordering::Relaxed);
        return Ok(());
    }
    require_plenty()?;
    credit.store(CREDIT - 1, Ordering::Relaxed);
    Ok(())
}
