//! The control registers' protection and extension bits, set once on each CPU.
//!
//! The boot stub has only what long mode and W^X need; this adds the rest that CPUID offers.

use super::features::{Features, features, read_leaf};
use crate::machine::asm::{self, Means};
use core::sync::atomic::Ordering;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// IA32_PAT (SDM vol. 3A, 13.12).
const PAT: u32 = 0x277;

/// Entry by entry: write-back, write-through, uncached-, uncached; then with the PAT bit write-combining,
/// write-protected, uncached-, uncached. The first four are the values after reset, so page tables made by the
/// boot stub keep their meaning.
const PAT_TYPES: u64 = 0x0007_0501_0007_0406;

/// The largest extended state that is switched: x87, SSE, AVX, MPX left out, AVX-512, protection keys left out.
const EXTENDED_STATE: XCr0Flags = XCr0Flags::X87
    .union(XCr0Flags::SSE)
    .union(XCr0Flags::AVX)
    .union(XCr0Flags::OPMASK)
    .union(XCr0Flags::ZMM_HI256)
    .union(XCr0Flags::HI16_ZMM);

/// Sets this CPU's control registers: write protection, NX, SMEP, SMAP, UMIP, global pages, FSGSBASE, SSE and
/// XSAVE for user mode, the page attribute table. Called once per CPU, early, with interrupts off.
pub(in crate::machine) fn enable_protections() {
    let has = features();

    let mut cr0 = Cr0::read();
    cr0.insert(Cr0Flags::WRITE_PROTECT | Cr0Flags::NUMERIC_ERROR | Cr0Flags::MONITOR_COPROCESSOR);
    cr0.remove(
        Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED | Cr0Flags::CACHE_DISABLE | Cr0Flags::NOT_WRITE_THROUGH,
    );
    // User programs may ask for alignment checks (EFLAGS.AC), as on Linux.
    cr0.insert(Cr0Flags::ALIGNMENT_MASK);
    // SAFETY: paging and protection stay as they are; the kernel's mappings allow what it does (W^X), and
    // neither x87 nor SSE state is live here.
    unsafe { Cr0::write(cr0) };

    let mut cr4 = Cr4::read();
    cr4.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE);
    let optional = [
        (Features::PGE, Cr4Flags::PAGE_GLOBAL),
        (Features::MCE, Cr4Flags::MACHINE_CHECK_EXCEPTION),
        (Features::SMEP, Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
        (Features::SMAP, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (Features::UMIP, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
        (Features::FSGSBASE, Cr4Flags::FSGSBASE),
        (Features::XSAVE, Cr4Flags::OSXSAVE),
    ];
    for (feature, flag) in optional {
        if has.contains(feature) {
            cr4.insert(flag);
        }
    }
    // SAFETY: each bit is set only where CPUID has its feature; the kernel neither executes nor touches user
    // memory except by the assembly that opens SMAP for it.
    unsafe { Cr4::write(cr4) };

    // SAFETY: every CPU with long mode has both bits (the boot stub checks NX); no page table entry that is in use
    // has the NX bit by accident.
    unsafe { Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE | EferFlags::SYSTEM_CALL_EXTENSIONS)) };

    let mut state = XCr0Flags::empty();
    if has.contains(Features::XSAVE) {
        let supported = read_leaf(0xd, 0).map_or(0, |leaf| u64::from(leaf.eax) | u64::from(leaf.edx) << 32);
        state = usable_extended_state(supported);
        // SAFETY: OSXSAVE is set; the value has x87 and SSE, and only states that CPUID offers.
        unsafe { XCr0::write(state) };
    }
    choose_user_copy(has, state);

    if has.contains(Features::PAT) {
        // SAFETY: the four entries that existing page tables can name keep their meaning.
        unsafe { Msr::new(PAT).write(PAT_TYPES) };
    }
}

/// Says what asm/user_copy.s may use, with the extended state `state` switched on.
fn choose_user_copy(has: Features, state: XCr0Flags) {
    let means = if has.contains(Features::ERMS) {
        Means::Strings
    } else if state.contains(XCr0Flags::AVX) && !state.contains(XCr0Flags::ZMM_HI256) {
        Means::Vectors
    } else {
        Means::Words
    };
    // SAFETY: the file defines both as bytes that it only reads.
    let (smap, user_copy_means) = unsafe { (&asm::user_copy_smap, &asm::user_copy_means) };
    smap.store(has.contains(Features::SMAP).into(), Ordering::Relaxed);
    user_copy_means.store(means as u8, Ordering::Relaxed);
}

/// Returns which of the supported states to enable: AVX-512's three only together and with AVX (SDM vol. 1, 13.3).
fn usable_extended_state(supported: u64) -> XCr0Flags {
    let mut state = XCr0Flags::from_bits_truncate(supported) & EXTENDED_STATE;
    state.insert(XCr0Flags::X87 | XCr0Flags::SSE);
    let wide = XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
    if !state.contains(wide | XCr0Flags::AVX) {
        state.remove(wide);
    }
    state
}
