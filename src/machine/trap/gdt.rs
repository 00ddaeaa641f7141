//! Each CPU's segments and task state: which stack the CPU takes when it enters the kernel.
//!
//! From user mode it takes the small entry stack, which asm/user_entry.s leaves at once for the task's own;
//! so `TSS.rsp0` never changes. Debug exception, NMI, double fault and machine check have stacks of their own (IST), each with
//! the CPU's GS base at its top, where asm/trap_entry.s finds it.

use crate::machine::asm::selector;
use crate::machine::cpu::MAX_CPUS;
use crate::machine::sync::Once;
use alloc::boxed::Box;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::model_specific::GsBase;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// Places in the interrupt stack table (a gate's IST field is one more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CriticalStack {
    DoubleFault,
    Nmi,
    MachineCheck,
    Debug,
}

/// Enough for a panic report, which formats text and walks the log.
const CRITICAL_STACK_SIZE: usize = 16 * 1024;

/// Enough for the few words that the CPU and asm/user_entry.s push, and for the report if even that fails.
const ENTRY_STACK_SIZE: usize = 8 * 1024;

/// Two entries that nobody uses come first or between, so that SYSCALL and SYSRET find theirs.
type Segments = GlobalDescriptorTable<10>;

/// The stacks of one CPU that the hardware chooses.
#[repr(C, align(16))]
struct Stacks {
    entry: [u8; ENTRY_STACK_SIZE],
    critical: [[u8; CRITICAL_STACK_SIZE]; 4],
}

/// CPU 0's stacks are part of the image, so that its faults are caught before there is a heap.
static mut BOOT_STACKS: Stacks = Stacks { entry: [0; ENTRY_STACK_SIZE], critical: [[0; CRITICAL_STACK_SIZE]; 4] };

static STATES: [Once<TaskStateSegment>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
static SEGMENTS: [Once<Segments>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];

/// Loads CPU `index`' segments and task state. Once per CPU, on that CPU.
pub(super) fn load(index: usize) {
    let stacks = match index {
        0 => &raw mut BOOT_STACKS,
        _ => Box::into_raw(new_stacks()),
    };
    let state = STATES[index].call_once(|| make_state(stacks));
    let segments = SEGMENTS[index].call_once(|| make_segments(state, index));

    segments.load();
    // SAFETY: the selectors name a 64-bit code and a data segment of ring 0 in the table just loaded, and the
    // task state's descriptor, which no other CPU has loaded.
    unsafe {
        CS::set_reg(SegmentSelector(selector::KERNEL_CODE));
        SS::set_reg(SegmentSelector(selector::KERNEL_DATA));
        load_tss(SegmentSelector(selector::TASK_STATE));
    }
}

fn new_stacks() -> Box<Stacks> {
    // SAFETY: all fields are bytes, for which zero is a value.
    unsafe { Box::new_zeroed().assume_init() }
}

fn make_state(stacks: *mut Stacks) -> TaskStateSegment {
    let mut state = TaskStateSegment::new();
    // SAFETY: only makes an address within the allocation.
    let entry = unsafe { &raw mut (*stacks).entry };
    state.privilege_stack_table[0] = VirtAddr::from_ptr(entry) + ENTRY_STACK_SIZE as u64;

    for index in 0..4 {
        // SAFETY: `index` is below 4; only makes an address within the allocation.
        let stack = unsafe { &raw mut (*stacks).critical[index] };
        let top = VirtAddr::from_ptr(stack) + (CRITICAL_STACK_SIZE - 16) as u64;
        // SAFETY: the last 16 bytes of a stack that nobody uses yet; aligned, as the struct and all sizes are.
        unsafe { top.as_mut_ptr::<u64>().write(GsBase::read().as_u64()) };
        state.interrupt_stack_table[index] = top;
    }
    state
}

fn make_segments(state: &'static TaskStateSegment, index: usize) -> Segments {
    let unused = || Descriptor::UserSegment(0);
    let mut segments = Segments::empty();
    segments.append(unused());
    segments.append(Descriptor::kernel_code_segment());
    segments.append(Descriptor::UserSegment(DescriptorFlags::KERNEL_DATA.bits()));
    segments.append(unused());
    segments.append(Descriptor::user_data_segment());
    segments.append(Descriptor::user_code_segment());
    let state = segments.append(Descriptor::tss_segment(state));
    debug_assert!(state.0 == selector::TASK_STATE);
    // Present, ring 3, read-only data (SDM vol. 3A, 3.4.5); the base is 0 and the limit counts bytes.
    let segment = segments.append(Descriptor::UserSegment(0xf1 << 40 | index as u64));
    debug_assert!(segment.0 | 3 == selector::CPU_INDEX);
    segments
}
