//! The user state that stays in the CPU between entries: x87, SSE and AVX registers, FS and GS base.
//!
//! The kernel does not use these registers, so system calls leave them alone. They are saved when the task is
//! switched away (`deactivate_current`) and loaded before it goes back to user mode (`activate`), unless they are still
//! there. A context belongs to one task, and only the CPU that runs the task touches it.

use super::features::{Features, features, read_leaf};
use super::per_cpu::{self, PerCpu};
use crate::machine::asm::{user_load_state, user_load_u32, user_store_state};
use alloc::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use core::sync::atomic::{AtomicPtr, Ordering};
use core::{arch::asm, cell::Cell, ptr::NonNull};
use spin::Once;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{FsBase, KernelGsBase, Msr};
use x86_64::registers::segmentation::{FS, Segment64};
use x86_64::registers::xcontrol::XCr0;

/// IA32_KERNEL_GS_BASE: in the kernel, user mode's GS base (SDM vol. 4).
const KERNEL_GS_BASE: u32 = 0xc000_0102;

/// Bytes of the FXSAVE format (SDM vol. 1, 10.5.1), with which XSAVE's standard format starts.
const LEGACY_SIZE: usize = 512;
/// Bytes of the XSAVE header after it (SDM vol. 1, 13.4.2).
const HEADER_SIZE: usize = 64;
/// The alignment that XSAVE wants.
const ALIGNMENT: usize = 64;

/// Where FXSAVE keeps the x87 control word, MXCSR and the bits that MXCSR may have.
const CONTROL_WORD: usize = 0;
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;

/// Their values after reset (SDM vol. 1, 8.1.5, 10.2.3, 11.6.6).
const CONTROL_WORD_RESET: u16 = 0x37f;
const MXCSR_RESET: u32 = 0x1f80;
const MXCSR_MASK_DEFAULT: u32 = 0xffbf;

/// The extended state after reset: its header says so of all components beyond FXSAVE's, whatever follows.
#[repr(align(64))]
struct ResetState([u8; LEGACY_SIZE + HEADER_SIZE]);

static RESET: ResetState = {
    let mut bytes = [0; LEGACY_SIZE + HEADER_SIZE];
    [bytes[CONTROL_WORD], bytes[CONTROL_WORD + 1]] = CONTROL_WORD_RESET.to_le_bytes();
    let mxcsr = MXCSR_RESET.to_le_bytes();
    [bytes[MXCSR], bytes[MXCSR + 1]] = [mxcsr[0], mxcsr[1]];
    ResetState(bytes)
};

/// One task's user state outside the general registers.
pub(in crate::machine) struct UserContext {
    /// XSAVE's area, `size()` bytes.
    area: NonNull<u8>,
    fs_base: Cell<u64>,
    gs_base: Cell<u64>,
    /// DR0 to DR3 and DR7, in the CPU only while this context is active.
    breakpoints: [u64; 4],
    breakpoint_control: u64,
    /// The CPU that has last loaded this context; `usize::MAX` if what is in memory is newer than in any CPU.
    loaded_on: Cell<usize>,
}

// SAFETY: the area is owned like a box; the cells are used by one task at a time.
unsafe impl Send for UserContext {}
// SAFETY: shared references are used by the CPU that runs the task only (see the head of this file).
unsafe impl Sync for UserContext {}

/// How the extended state is kept.
#[derive(Clone, Copy)]
struct Format {
    /// XCR0; 0 where the CPU has no XSAVE.
    components: u64,
    size: usize,
    mxcsr_mask: u32,
}

impl UserContext {
    /// Makes a context as after reset.
    pub(in crate::machine) fn new() -> UserContext {
        let context = UserContext {
            area: allocate(),
            fs_base: Cell::new(0),
            gs_base: Cell::new(0),
            breakpoints: [0; 4],
            breakpoint_control: 0,
            loaded_on: Cell::new(usize::MAX),
        };
        context.reset_area();
        context
    }

    /// Makes a copy.
    pub(in crate::machine) fn duplicate(&self) -> UserContext {
        let copy = UserContext {
            area: allocate(),
            fs_base: Cell::new(self.fs_base()),
            gs_base: Cell::new(self.gs_base()),
            breakpoints: [0; 4],
            breakpoint_control: 0,
            loaded_on: Cell::new(usize::MAX),
        };
        if self.is_live() {
            copy.store_registers();
        } else {
            // SAFETY: both areas have `size()` bytes and are not the same.
            unsafe { core::ptr::copy_nonoverlapping(self.area.as_ptr(), copy.area.as_ptr(), size()) };
        }
        copy
    }

    /// Saves the state if it is in this CPU's registers. It stays there too.
    pub(in crate::machine) fn save(&self) {
        if !self.is_live() {
            return;
        }
        self.store_registers();
        // Without FSGSBASE, user mode cannot have changed the bases.
        if features().contains(Features::FSGSBASE) {
            let fs_base: u64;
            // SAFETY: the CPU has the instruction and it is enabled; the register exists.
            unsafe {
                asm!("rdfsbase {}", out(reg) fs_base, options(nomem, nostack, preserves_flags));
                self.gs_base.set(Msr::new(KERNEL_GS_BASE).read());
            }
            self.fs_base.set(fs_base);
        }
    }

    /// Stores the extended state that this CPU's registers have.
    fn store_registers(&self) {
        // SAFETY: the area is aligned, large enough for all of XCR0's components, and nobody else's.
        unsafe {
            if format().components != 0 {
                asm!("xsave64 [{}]", in(reg) self.area.as_ptr(), in("eax") u32::MAX, in("edx") u32::MAX,
                    options(nostack, preserves_flags));
            } else {
                asm!("fxsave64 [{}]", in(reg) self.area.as_ptr(), options(nostack, preserves_flags));
            }
        }
    }

    /// Saves the state and takes it out of this CPU: what is in memory counts.
    pub(in crate::machine) fn settle(&self) {
        self.save();
        self.make_stale();
    }

    /// Returns whether the state is in this CPU's registers and marked as the running task's.
    #[inline(always)]
    pub(in crate::machine) fn is_active(&self, cpu: &PerCpu) -> bool {
        core::ptr::eq(cpu.active_context.load(Ordering::Relaxed), self)
    }

    /// Puts the state into this CPU's registers unless it is there still, and marks it as the running task's.
    /// Interrupts must be off until user mode runs, so that no switch comes between.
    #[inline(never)]
    pub(in crate::machine) fn activate(&self, cpu: &PerCpu) {
        Self::deactivate_current(cpu);
        if !self.is_live() {
            self.load(cpu);
        }
        if self.breakpoint_control != 0 {
            self.arm();
        }
        cpu.active_context.store((&raw const *self).cast_mut(), Ordering::Relaxed);
    }

    /// Saves what the running task has in this CPU's registers, before another task runs. Interrupts are off.
    pub(in crate::machine) fn deactivate_current(cpu: &PerCpu) {
        let active = cpu.active_context.load(Ordering::Relaxed);
        if active.is_null() {
            return;
        }
        // SAFETY: `active` is the running task's; dropping a context takes it out of here.
        let active = unsafe { &*active };
        active.save();
        active.disarm();
        cpu.active_context.store(core::ptr::null_mut(), Ordering::Relaxed);
    }

    /// Returns the user's FS base.
    pub(in crate::machine) fn fs_base(&self) -> u64 {
        if self.is_live() && features().contains(Features::FSGSBASE) {
            self.fs_base.set(FS::read_base().as_u64());
        }
        self.fs_base.get()
    }

    /// Returns the user's GS base.
    pub(in crate::machine) fn gs_base(&self) -> u64 {
        if self.is_live() {
            self.gs_base.set(KernelGsBase::read().as_u64());
        }
        self.gs_base.get()
    }

    /// Sets the user's FS base, which must be a canonical address.
    pub(in crate::machine) fn set_fs_base(&self, base: VirtAddr) {
        self.fs_base.set(base.as_u64());
        if self.is_live() {
            FsBase::write(base);
        } else {
            self.make_stale();
        }
    }

    /// Sets the user's GS base, which must be a canonical address.
    pub(in crate::machine) fn set_gs_base(&self, base: VirtAddr) {
        self.gs_base.set(base.as_u64());
        if self.is_live() {
            KernelGsBase::write(base);
        } else {
            self.make_stale();
        }
    }

    /// Resets the extended state and the bases.
    pub(in crate::machine) fn reset(&mut self) {
        self.make_stale();
        self.fs_base.set(0);
        self.gs_base.set(0);
        self.breakpoint_control = 0;
        self.reset_area();
    }

    /// Returns DR0 to DR3 or DR7.
    pub(in crate::machine) fn breakpoint_register(&self, index: usize) -> u64 {
        self.breakpoints.get(index).copied().unwrap_or(self.breakpoint_control)
    }

    /// Sets DR0 to DR3 or DR7, which were checked.
    pub(in crate::machine) fn set_breakpoint_register(&mut self, index: usize, value: u64) {
        self.settle();
        *self.breakpoints.get_mut(index).unwrap_or(&mut self.breakpoint_control) = value;
    }

    /// Puts the breakpoints into the CPU.
    #[cold]
    fn arm(&self) {
        let [first, second, third, fourth] = self.breakpoints;
        // SAFETY: the addresses are user mode's, and an access by the kernel there is served (asm/trap_entry.s).
        unsafe {
            asm!("mov dr0, {}", "mov dr1, {}", "mov dr2, {}", "mov dr3, {}", "mov dr7, {}", in(reg) first,
                in(reg) second, in(reg) third, in(reg) fourth, in(reg) self.breakpoint_control,
                options(nomem, nostack, preserves_flags));
        }
    }

    /// Takes the breakpoints out of the CPU.
    fn disarm(&self) {
        if self.breakpoint_control != 0 {
            // SAFETY: 0 turns all breakpoints off.
            unsafe { asm!("mov dr7, {}", in(reg) 0u64, options(nomem, nostack, preserves_flags)) };
        }
    }

    /// Copies the extended state out, as much as `bytes` holds.
    pub(in crate::machine) fn read(&self, bytes: &mut [u8]) {
        self.save();
        let length = bytes.len().min(size());
        // SAFETY: the area has `size()` bytes, and the CPU writes to it in `save` only.
        bytes[..length].copy_from_slice(unsafe { core::slice::from_raw_parts(self.area.as_ptr(), length) });
    }

    /// Stores the extended state at the user address `to`, where XSAVE's header is clear, and resets it; `false` if it is
    /// not in the registers, the memory cannot be written or the CPU has no XSAVE.
    pub(in crate::machine) fn store_to_user(&mut self, to: *mut u8) -> bool {
        // SAFETY: only user memory is written, and the CPU has XSAVE.
        let is_stored = self.is_active_by_xsave() && unsafe { user_store_state(to) } == 0;
        if is_stored {
            // SAFETY: the constant is a state that the CPU accepts.
            unsafe { load_registers(RESET.0.as_ptr()) };
        }
        is_stored
    }

    /// Loads the extended state from the user address `from`; `false` if the memory cannot be read, what is there is no
    /// possible state, the registers are not this task's or the CPU has no XSAVE: then the state is to be replaced.
    pub(in crate::machine) fn load_from_user(&mut self, from: *const u8) -> bool {
        // QEMU's emulation does not look at MXCSR's reserved bits, which a CPU refuses.
        // SAFETY: only user memory is read.
        let mxcsr = unsafe { user_load_u32(from.wrapping_add(MXCSR).cast()) };
        // SAFETY: only the registers change, which the kernel does not use, and the CPU has XSAVE.
        self.is_active_by_xsave()
            && mxcsr & !u64::from(format().mxcsr_mask) == 0
            && unsafe { user_load_state(from) } == 0
    }

    fn is_active_by_xsave(&self) -> bool {
        format().components != 0 && self.is_active(per_cpu::this())
    }

    /// Calls `take` on the extended state, settled, in place; then resets it if that answers `true`.
    pub(in crate::machine) fn hand_over(&mut self, take: impl FnOnce(&mut [u8]) -> bool) -> bool {
        self.settle();
        let is_taken = take(self.area_mut());
        if is_taken {
            self.reset_area();
        }
        is_taken
    }

    /// Has `fill` put a new extended state in the old one's place; `false`, and the state as after reset, if `fill` says
    /// so or the CPU would not accept it.
    pub(in crate::machine) fn take_over(&mut self, fill: impl FnOnce(&mut [u8]) -> bool) -> bool {
        self.make_stale();
        let is_good = fill(self.area_mut()) && is_acceptable(self.area_mut());
        if !is_good {
            self.reset_area();
        }
        is_good
    }

    fn area_mut(&mut self) -> &mut [u8] {
        // SAFETY: the area has `size()` bytes and is this context's; a stale context is not written by the CPU.
        unsafe { core::slice::from_raw_parts_mut(self.area.as_ptr(), size()) }
    }

    /// Replaces the extended state by `bytes`; `false` (and unchanged) if the CPU would not accept it. A state
    /// that ends after FXSAVE's part leaves the other components as after reset.
    pub(in crate::machine) fn write(&mut self, bytes: &[u8]) -> bool {
        let has_header = bytes.len() >= size();
        if bytes.len() < LEGACY_SIZE || !is_acceptable(bytes) {
            return false;
        }

        self.settle();
        self.reset_area();
        let length = if has_header { size() } else { LEGACY_SIZE };
        // SAFETY: the area has at least `length` bytes, and `bytes` is not part of it.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.area.as_ptr(), length) };
        true
    }

    fn is_live(&self) -> bool {
        let cpu = per_cpu::this();
        core::ptr::eq(cpu.live_context.load(Ordering::Relaxed), self) && self.loaded_on.get() == cpu.index
    }

    /// Says that what is in memory is newer than what any CPU has.
    fn make_stale(&self) {
        self.loaded_on.set(usize::MAX);
        self.forget_in(|cpu| &cpu.active_context);
    }

    fn forget_in(&self, place: fn(&PerCpu) -> &AtomicPtr<UserContext>) {
        let place = place(per_cpu::this());
        if core::ptr::eq(place.load(Ordering::Relaxed), self) {
            self.disarm();
            place.store(core::ptr::null_mut(), Ordering::Relaxed);
        }
    }

    fn load(&self, cpu: &PerCpu) {
        // SAFETY: the area holds a state that the CPU accepts: reset, saved by it, or checked by `write`.
        unsafe { load_registers(self.area.as_ptr()) };
        if features().contains(Features::FSGSBASE) {
            // SAFETY: the CPU has the instruction and it is enabled; the kernel does not use FS.
            unsafe { asm!("wrfsbase {}", in(reg) self.fs_base.get(), options(nomem, nostack, preserves_flags)) };
        } else {
            FsBase::write(VirtAddr::new_truncate(self.fs_base.get()));
        }
        KernelGsBase::write(VirtAddr::new_truncate(self.gs_base.get()));
        cpu.live_context.store((&raw const *self).cast_mut(), Ordering::Relaxed);
        self.loaded_on.set(cpu.index);
    }

    fn reset_area(&self) {
        // SAFETY: the area has `size()` bytes.
        unsafe { core::ptr::copy_nonoverlapping(RESET.0.as_ptr(), self.area.as_ptr(), size().min(RESET.0.len())) };
    }
}

impl Drop for UserContext {
    fn drop(&mut self) {
        // Another context may get the same address; it must not be taken for live.
        self.forget_in(|cpu| &cpu.active_context);
        self.forget_in(|cpu| &cpu.live_context);
        // SAFETY: `allocate` made it with the same layout.
        unsafe { dealloc(self.area.as_ptr(), layout()) };
    }
}

/// Returns the bytes of the extended state.
pub(in crate::machine) fn size() -> usize {
    format().size
}

/// Returns XCR0; 0 where the CPU has no XSAVE.
pub(in crate::machine) fn components() -> u64 {
    format().components
}

/// Loads the registers of the extended state, which the kernel does not use.
///
/// # Safety
/// The area must be aligned and hold a state that the CPU accepts.
unsafe fn load_registers(area: *const u8) {
    // SAFETY: as the caller promises.
    unsafe {
        if format().components != 0 {
            asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
                options(nostack, preserves_flags));
        } else {
            asm!("fxrstor64 [{}]", in(reg) area, options(nostack, preserves_flags));
        }
    }
}

fn allocate() -> NonNull<u8> {
    // SAFETY: the layout's size is not zero.
    let area = unsafe { alloc_zeroed(layout()) };
    NonNull::new(area).unwrap_or_else(|| handle_alloc_error(layout()))
}

fn layout() -> Layout {
    Layout::from_size_align(size(), ALIGNMENT).expect("a few KiB and a power of two")
}

fn format() -> Format {
    static FORMAT: Once<Format> = Once::new();
    *FORMAT.call_once(read_format)
}

fn read_format() -> Format {
    let mut legacy = LegacyArea([0; LEGACY_SIZE]);
    // SAFETY: the area is 512 bytes and aligned to 16.
    unsafe { asm!("fxsave64 [{}]", in(reg) legacy.0.as_mut_ptr(), options(nostack, preserves_flags)) };
    let mxcsr_mask = match read_u32(&legacy.0, MXCSR_MASK) {
        0 => MXCSR_MASK_DEFAULT,
        mask => mask,
    };

    if !features().contains(Features::XSAVE) {
        return Format { components: 0, size: LEGACY_SIZE, mxcsr_mask };
    }
    // Leaf 0xd, EBX: the size for the components that XCR0 has now (SDM vol. 1, 13.2).
    let size = read_leaf(0xd, 0).map_or(0, |leaf| leaf.ebx) as usize;
    Format { components: XCr0::read_raw(), size: size.max(LEGACY_SIZE + HEADER_SIZE), mxcsr_mask }
}

/// Returns whether the CPU accepts the state, of which at least FXSAVE's part is there.
fn is_acceptable(bytes: &[u8]) -> bool {
    let has_header = format().components != 0 && bytes.len() >= size();
    read_u32(bytes, MXCSR) & !format().mxcsr_mask == 0
        && (!has_header || is_header_valid(&bytes[LEGACY_SIZE..LEGACY_SIZE + HEADER_SIZE]))
}

/// Returns whether XRSTOR accepts the header: known components, standard format, the rest zero (SDM vol. 1, 13.8.1).
fn is_header_valid(header: &[u8]) -> bool {
    let (components, rest) = header.split_at(size_of::<u64>());
    let wanted = u64::from(read_u32(components, 0)) | u64::from(read_u32(components, 4)) << 32;
    wanted & !format().components == 0 && rest.iter().all(|byte| *byte == 0)
}

fn read_u32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}

#[repr(C, align(16))]
struct LegacyArea([u8; LEGACY_SIZE]);
