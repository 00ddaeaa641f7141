//! User mode, and memory that user mode may change at any time.
//!
//! `UserMode::run` is a function that returns: it goes to user mode by asm/user_entry.s and comes back with what
//! ended it, a system call, a fault or an interrupt. A thread's life is a loop around it.

use super::asm::{self, UserExit, UserRegisters, VECTOR_SYSCALL};
pub(crate) use super::asm::{Registers, shared_code};
use super::cpu::{self, Attention, UserContext, extended_state_components, extended_state_size};
use super::memory::{self, USER_END, VirtAddr};
use super::platform;
use super::task;
use super::trap::{self, Fault};
use alloc::boxed::Box;
use core::{mem::MaybeUninit, sync::atomic::Ordering};
use x86_64::instructions::interrupts;
use zerocopy::FromBytes;

/// The first vector that is an interrupt and no exception (SDM vol. 3A, 7.2).
const FIRST_INTERRUPT: u64 = 32;

/// DR6's bits for the four breakpoints, and RFLAGS' bit that lets an instruction run that has one.
const BREAKPOINTS_HIT: u64 = 0xf;
const RESUME_FLAG: u64 = 1 << 16;

/// Why user mode was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// The `syscall` instruction; the number is in `rax`.
    Syscall,
    /// An exception that user mode caused.
    Fault(Fault),
    /// An interrupt, served already, or the task is marked interrupted.
    Interrupt,
    /// It is to be told (`watch_cpu`) that it came to another CPU, or that it was interrupted and may lose its turn.
    Switched,
}

/// A thread's user side: registers and extended (x87, SSE, AVX) state.
pub(crate) struct UserMode {
    /// The registers as of the last trap; changes take effect at the next `run`. Values that user mode
    /// may not have (flags, an instruction pointer that is none) are made harmless on entry.
    pub(crate) registers: UserRegisters,
    /// What stays in the CPU between traps; boxed because the CPU remembers where it is.
    context: Box<UserContext>,
    /// The CPU that user mode was told of, `usize::MAX` if it is to be told anew after a switch; `None` if it does not want to
    /// know.
    told_cpu: Option<usize>,
}

impl UserMode {
    /// Makes the state of a new program: all registers zero, extended state as after reset.
    pub(crate) fn new() -> UserMode {
        UserMode::with(UserRegisters::new(), UserContext::new(), None)
    }

    /// Makes a copy for a new thread or process (of the running thread's live extended state).
    pub(crate) fn duplicate(&self) -> UserMode {
        UserMode::with(self.registers, self.context.duplicate(), self.told_cpu)
    }

    fn with(registers: UserRegisters, context: UserContext, told_cpu: Option<usize>) -> UserMode {
        UserMode { registers, context: Box::new(context), told_cpu }
    }

    /// Has `run` return `Switched` when user mode was interrupted or came to another CPU, or ends that. Returns the CPU that is the
    /// present one: another is told of later.
    pub(crate) fn watch_cpu(&mut self, is_wanted: bool) -> usize {
        let cpu = cpu::index();
        self.told_cpu = is_wanted.then_some(cpu);
        cpu
    }

    /// Runs user mode in the loaded address space until it traps. Switches to other tasks first if the turn is
    /// over. Returns `Interrupt` at once while the task is marked interrupted.
    #[inline(always)]
    pub(crate) fn run(&mut self) -> Trap {
        memory::assert_margin();
        interrupts::disable();
        let mut cpu = cpu::this();
        if cpu.needs_attention() {
            if is_kept_from_user_mode() {
                interrupts::enable();
                return Trap::Interrupt;
            }
            cpu = cpu::this();
        }
        if !self.context.is_active(cpu) {
            if self.told_cpu.is_some_and(|told| told != cpu.index) {
                interrupts::enable();
                return Trap::Switched;
            }
            self.context.activate(cpu);
        }

        // SAFETY: interrupts are off; the GDT, the TSS and the MSRs that the way to user mode and back relies on were
        // set up with this CPU's data, and user mode reaches only what the loaded address space gives it.
        let exit = unsafe { asm::enter_user(&mut self.registers) };
        if exit.vector == VECTOR_SYSCALL {
            return Trap::Syscall;
        }
        match serve(exit) {
            Trap::Interrupt if self.told_cpu.is_some() => Trap::Switched,
            trap => {
                if let Trap::Fault(Fault::Debug(status)) = trap
                    && status & BREAKPOINTS_HIT != 0
                {
                    // One at an instruction came before that; it is to run now.
                    self.registers.rflags |= RESUME_FLAG;
                }
                // Another task may run until the fault is seen to: then it is told, although it is the same CPU.
                self.told_cpu = self.told_cpu.map(|_| usize::MAX);
                trap
            }
        }
    }

    /// Returns the base of the FS segment (thread-local storage).
    pub(crate) fn fs_base(&self) -> u64 {
        self.context.fs_base()
    }

    /// Returns the base of the GS segment.
    pub(crate) fn gs_base(&self) -> u64 {
        self.context.gs_base()
    }

    /// Sets the base of the FS segment; `false` (and unchanged) if it is not below `USER_END`.
    #[must_use]
    pub(crate) fn set_fs_base(&mut self, base: u64) -> bool {
        let is_allowed = base < USER_END;
        if is_allowed {
            self.context.set_fs_base(VirtAddr::new(base));
        }
        is_allowed
    }

    /// Sets the base of the GS segment; `false` (and unchanged) if it is not below `USER_END`.
    #[must_use]
    pub(crate) fn set_gs_base(&mut self, base: u64) -> bool {
        let is_allowed = base < USER_END;
        if is_allowed {
            self.context.set_gs_base(VirtAddr::new(base));
        }
        is_allowed
    }

    /// Returns the size of the extended state in XSAVE's standard format.
    pub(crate) fn extended_state_size() -> usize {
        extended_state_size()
    }

    /// Returns the components of the extended state that may be there, as XCR0 numbers them; 0 on CPUs without XSAVE.
    pub(crate) fn extended_state_components() -> u64 {
        extended_state_components()
    }

    /// Brings everything into memory, so that other tasks may read and change it, whatever their CPU, until the
    /// next `run`.
    pub(crate) fn settle(&self) {
        self.context.settle();
    }

    /// Copies the extended state out, in XSAVE's standard format (FXSAVE's on CPUs without).
    pub(crate) fn read_extended_state(&self, bytes: &mut [u8]) {
        self.context.read(bytes);
    }

    /// Returns debug register `index`: 0 to 3, addresses; 7, what they are for (SDM vol. 3B, 17.2).
    pub(crate) fn debug_register(&self, index: usize) -> u64 {
        self.context.breakpoint_register(index)
    }

    /// Sets debug register 0 to 3 or 7; `false` (and unchanged) for a kernel address or a kind of access that user mode
    /// has none of.
    #[must_use]
    pub(crate) fn set_debug_register(&mut self, index: usize, value: u64) -> bool {
        /// Enable bits, exact bits; kinds and lengths.
        const KNOWN: u64 = 0xffff_03ff;
        let watches_ports = (0..4).any(|place| value >> (16 + 4 * place) & 3 == 2);
        let is_allowed = if index == 7 { !watches_ports } else { value < USER_END };
        if is_allowed {
            self.context.set_breakpoint_register(index, if index == 7 { value & KNOWN } else { value });
        }
        is_allowed
    }

    /// Stores the extended state in XSAVE's standard format at `to` in the loaded address space, where its header must be
    /// clear; then resets the state. `false` (and unchanged) if not all of that memory is there, or the registers do not
    /// have it (after a switch) or there is no XSAVE.
    #[must_use]
    pub(crate) fn store_extended_state(&mut self, to: u64) -> bool {
        let size = extended_state_size();
        accessible(to, size) == size && self.context.store_to_user(core::ptr::without_provenance_mut(to as usize))
    }

    /// Loads the extended state from `from` in the loaded address space. `false` as
    /// `store_extended_state` or if the CPU would not accept it: then the state is undefined until
    /// `take_over_extended_state`.
    #[must_use]
    pub(crate) fn load_extended_state(&mut self, from: u64) -> bool {
        let size = extended_state_size();
        accessible(from, size) == size && self.context.load_from_user(core::ptr::without_provenance(from as usize))
    }

    /// Calls `take` on the extended state, in place; then resets the state if that answers `true`. Does not allocate.
    #[must_use]
    pub(crate) fn hand_over_extended_state(&mut self, take: impl FnOnce(&mut [u8]) -> bool) -> bool {
        self.context.hand_over(take)
    }

    /// Has `fill` put a new extended state in the old one's place; `false`, and the state as after reset, if `fill`
    /// answers so or the CPU would not accept it. Does not allocate.
    #[must_use]
    pub(crate) fn take_over_extended_state(&mut self, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        self.context.take_over(fill)
    }

    /// Replaces the extended state; `false` (and unchanged) if `bytes` is not a state that the CPU accepts.
    #[must_use]
    pub(crate) fn write_extended_state(&mut self, bytes: &[u8]) -> bool {
        self.context.write(bytes)
    }

    /// Resets the extended state and the segment bases, as exec does.
    pub(crate) fn reset_extended_state(&mut self) {
        self.context.reset();
    }
}

/// Has all other CPUs pass a full memory barrier; user mode that watches its CPU is told (`Trap::Switched`) before it goes
/// on, also where it is in the kernel for a fault.
pub(crate) fn restart_others() {
    platform::run_on(u64::MAX, &|| {
        cpu::this().ask_attention(Attention::Restart);
    });
}

/// Lets other tasks run if the turn is over; returns whether the task is marked interrupted. Interrupts are off,
/// and off again when it returns, perhaps on another CPU.
#[cold]
#[inline(never)]
fn is_kept_from_user_mode() -> bool {
    loop {
        let cpu = cpu::this();
        if cpu.has_attention(Attention::Restart) {
            // `run` takes the task for one that was away.
            cpu.end_attention(Attention::Restart);
            UserContext::deactivate_current(cpu);
        }
        if cpu.has_attention(Attention::Interrupted) && task::settle_interrupt() {
            return true;
        }
        if !cpu.needs_attention() {
            return false;
        }
        interrupts::enable();
        task::reschedule_point();
        interrupts::disable();
    }
}

/// Serves the interrupt, or says what the exception means. Interrupts are off, and on when it returns.
#[inline(never)]
fn serve(exit: UserExit) -> Trap {
    let vector = exit.vector as u8;
    let trap = if exit.vector < FIRST_INTERRUPT {
        Trap::Fault(trap::fault_from_vector(vector, exit.error_code))
    } else {
        let is_user = &cpu::this().serves_user_interrupt;
        is_user.store(true, Ordering::Relaxed);
        trap::dispatch_interrupt(vector);
        is_user.store(false, Ordering::Relaxed);
        Trap::Interrupt
    };
    interrupts::enable();
    trap
}

/// Copies from user memory at `from` in the loaded address space; returns how many bytes came over before an
/// access failed. Addresses at or above `USER_END` fail.
pub(crate) fn copy_from_user(from: u64, bytes: &mut [u8]) -> usize {
    let length = accessible(from, bytes.len());
    // SAFETY: `bytes` is the caller's; the source is in the user half, where a fault ends the copy.
    length - unsafe { asm::user_copy(bytes.as_mut_ptr(), from as *const u8, length) }
}

/// Reads a value from user memory at `from` in the loaded address space; `None` if an access failed.
#[inline]
pub(crate) fn read_from_user<T: FromBytes>(from: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let length = accessible(from, size_of::<T>());
    // SAFETY: the value is written as a whole or not used; the source is in the user half, where a fault ends the copy.
    let left = unsafe { asm::user_copy(value.as_mut_ptr().cast(), from as *const u8, length) };
    // SAFETY: all of its bytes are written then, and a `FromBytes` may have any.
    (length - left == size_of::<T>()).then(|| unsafe { value.assume_init() })
}

/// Copies a string from user memory at `from` until its NUL, or `bytes` is full, or an access fails; returns how many bytes
/// came over, and whether a NUL follows.
pub(crate) fn copy_string_from_user(from: u64, bytes: &mut [u8]) -> (usize, bool) {
    let room = accessible(from, bytes.len());
    // SAFETY: as in `copy_from_user`.
    let copy = unsafe { asm::user_copy_text(bytes.as_mut_ptr(), from as *const u8, room) };
    (copy.length, copy.has_ended != 0)
}

/// Copies to user memory at `to`; returns how many bytes were written before an access failed.
pub(crate) fn copy_to_user(to: u64, bytes: &[u8]) -> usize {
    let length = accessible(to, bytes.len());
    // SAFETY: `bytes` is the caller's; the destination is in the user half, where nothing of the kernel lies and a
    // fault ends the copy.
    length - unsafe { asm::user_copy(to as *mut u8, bytes.as_ptr(), length) }
}

/// Sets user memory to zero; returns how many bytes were written before an access failed.
pub(crate) fn zero_user(to: u64, length: usize) -> usize {
    let length = accessible(to, length);
    // SAFETY: the destination is in the user half, where nothing of the kernel lies and a fault ends the stores.
    length - unsafe { asm::user_zero(to as *mut u8, length) }
}

/// Loads the aligned 32-bit word at `address` atomically; `None` if the access failed.
pub(crate) fn load_u32(address: u64) -> Option<u32> {
    if !is_word(address) {
        return None;
    }
    // SAFETY: the word is in the user half, where a fault ends the access.
    u32::try_from(unsafe { asm::user_load_u32(address as *const u32) }).ok()
}

/// Stores `new` at the aligned word `address` if it holds `old`, atomically; returns what it held.
pub(crate) fn compare_exchange_u32(address: u64, old: u32, new: u32) -> Option<u32> {
    if !is_word(address) {
        return None;
    }
    // SAFETY: the word is in the user half, where nothing of the kernel lies and a fault ends the access.
    u32::try_from(unsafe { asm::user_exchange_u32(address as *mut u32, old, new) }).ok()
}

/// Returns how many of `length` bytes at `address` lie below `USER_END`.
fn accessible(address: u64, length: usize) -> usize {
    let room = USER_END.saturating_sub(address);
    (length as u64).min(room) as usize
}

fn is_word(address: u64) -> bool {
    address < USER_END && address.is_multiple_of(4)
}
