//! Restartable sequences (rseq(2)): user code that must run to its end on one CPU, or begin again.
//!
//! A thread names a word pair in which it finds its CPU's number, and a pointer to the critical section that it is in. When
//! it was interrupted (it might lose its turn), came to another CPU, or gets a signal, it leaves a critical section for the
//! abort handler. `UserMode::run` says when that is due, so that nothing is done at other returns to user mode.

use super::Thread;
use super::signal::{self, Signal, SignalInfo};
use crate::errno::{Errno, Result};
use crate::machine::memory::USER_END;
use crate::machine::user::UserMode;
use crate::vm::{AddressSpace, UserPtr};
use alloc::sync::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What a thread registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) address: u64,
    pub(crate) length: u32,
    /// Stands before each abort handler.
    pub(crate) signature: u32,
}

/// The first part of `struct rseq`, as it is before registration (RSEQ_CPU_ID_UNINITIALIZED).
const UNKNOWN_CPU: u32 = u32::MAX;
/// Where `struct rseq` points to the critical section, and where it holds node and concurrency id.
const SECTION: u64 = 8;
const NODE: u64 = 20;

/// `struct rseq_cs`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Section {
    version: u32,
    flags: u32,
    start: u64,
    length: u64,
    abort: u64,
}

/// Registers the area for the calling thread, and says in it which CPU this is. EFAULT.
pub(crate) fn register(thread: &Thread, space: &AddressSpace, user: &mut UserMode, area: Area) -> Result {
    write_cpu(space, area.address, user.watch_cpu(true) as u32)?;
    *thread.rseq.lock() = Some(area);
    Ok(())
}

/// Takes the area back. EFAULT.
pub(crate) fn unregister(thread: &Thread, space: &AddressSpace, user: &mut UserMode, area: Area) -> Result {
    UserPtr::<[u32; 2]>::new(space, area.address).write(&[0, UNKNOWN_CPU])?;
    UserPtr::<[u32; 2]>::new(space, area.address + NODE).write(&[0, 0])?;
    user.watch_cpu(false);
    *thread.rseq.lock() = None;
    Ok(())
}

/// Follows an interrupt or a switch: tells the thread its CPU, and has it leave a critical section. SIGSEGV if its area is no good.
pub(crate) fn follow_switch(thread: &Arc<Thread>, space: &AddressSpace, user: &mut UserMode) {
    let Some(area) = *thread.rseq.lock() else { return };
    let cpu = user.watch_cpu(true) as u32;
    if leave_section(space, user, area).and_then(|()| write_cpu(space, area.address, cpu)).is_err() {
        signal::force(thread, SignalInfo::kernel(Signal::SEGV));
    }
}

/// Has the thread leave a critical section before a signal handler runs. EFAULT, EINVAL: it is no good.
pub(super) fn interrupt(thread: &Thread, space: &AddressSpace, user: &mut UserMode) -> Result {
    let area = *thread.rseq.lock();
    area.map_or(Ok(()), |area| leave_section(space, user, area))
}

/// Each CPU stands for the concurrency id too: no two threads run on one.
fn write_cpu(space: &AddressSpace, address: u64, cpu: u32) -> Result {
    UserPtr::<[u32; 2]>::new(space, address).write(&[cpu, cpu])?;
    UserPtr::<[u32; 2]>::new(space, address + NODE).write(&[0, cpu])
}

fn leave_section(space: &AddressSpace, user: &mut UserMode, area: Area) -> Result {
    let pointer = UserPtr::<u64>::new(space, area.address + SECTION);
    let address = pointer.read()?;
    if address == 0 {
        return Ok(());
    }
    let section = UserPtr::<Section>::new(space, address).read()?;
    let end = section.start.checked_add(section.length).ok_or(Errno::EINVAL)?;
    let is_inside = |address: u64| address.wrapping_sub(section.start) < section.length;
    let is_wrong = section.version != 0
        || [section.start, end, section.abort].iter().any(|address| *address >= USER_END)
        || is_inside(section.abort)
        || UserPtr::<u32>::new(space, section.abort.wrapping_sub(4)).read()? != area.signature;
    Errno::EINVAL.when(is_wrong)?;
    let is_interrupted = is_inside(user.registers.rip);
    Errno::EINVAL.when(is_interrupted && section.flags != 0)?;
    pointer.write(&0)?;
    if is_interrupted {
        user.registers.rip = section.abort;
    }
    Ok(())
}
