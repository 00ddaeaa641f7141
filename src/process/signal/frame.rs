//! The frame that a handler finds on its stack, laid out as Linux does on x86-64 (`struct rt_sigframe`), and the way
//! back (rt_sigreturn(2)).
//!
//! From the handler's stack pointer up: the restorer's address, `ucontext`, `siginfo`; above, aligned to 64, the
//! extended state in XSAVE's standard format with Linux's markers (arch/x86/include/uapi/asm/sigcontext.h).

use super::information::WholeInfo;
use super::{Action, ActionFlags, SignalInfo, SignalSet};
use crate::errno::{Errno, Result};
use crate::machine::sync::Lazy;
use crate::machine::user::{Registers, UserMode, load_u32};
use crate::process::{AlternateStack, Thread};
use crate::vm::{AddressSpace, UserPtr};
use alloc::sync::Arc;
use core::mem::offset_of;
use linux_raw_sys::general::{SS_AUTODISARM, SS_DISABLE, SS_ONSTACK};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Leaf functions may use this much below the stack pointer (System V ABI, "red zone").
const RED_ZONE: u64 = 128;
/// The extended state in the frame is XSAVE's, not only FXSAVE's.
const UC_FP_XSTATE: u64 = 1;
/// The frame holds SS, and rt_sigreturn restores it strictly.
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
/// First marker, in the FXSAVE area's bytes for software.
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Second marker, just after the state.
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
const MAGIC2_SIZE: usize = 4;
/// Where in the FXSAVE area the bytes for software begin.
const SOFTWARE_BYTES: usize = 464;
/// Size of the FXSAVE area; XSAVE's header follows.
const FXSAVE_SIZE: usize = 512;
const XSAVE_HEADER_WORDS: usize = 8;
/// The components that the FXSAVE area holds.
const X87_AND_SSE: u64 = 3;
/// User code and stack selectors as Linux numbers them; programs see them here.
const USER_CS: u16 = 0x33;
const USER_SS: u16 = 0x2b;
/// Flags that rt_sigreturn takes from the frame (Linux: `FIX_EFLAGS`): AC OF DF TF SF ZF AF PF CF RF.
const RESTORED_FLAGS: u64 = 0x5_0dd5;
/// DF, RF, TF: clear when a handler starts.
const HANDLER_CLEARED_FLAGS: u64 = 0x400 | 0x1_0000 | 0x100;

/// `stack_t` of sigaltstack(2).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct UserStack {
    pub(crate) address: u64,
    pub(crate) flags: u32,
    pub(crate) padding: u32,
    pub(crate) size: u64,
}

/// `struct sigcontext_64`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct MachineContext {
    registers: Registers,
    cs: u16,
    gs: u16,
    fs: u16,
    ss: u16,
    error: u64,
    trap: u64,
    old_mask: u64,
    cr2: u64,
    extended_state: u64,
    reserved: [u64; 8],
}

/// `struct rt_sigframe`, without the `siginfo` at its end, which only handlers with SA_SIGINFO get.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Frame {
    restorer: u64,
    flags: u64,
    link: u64,
    stack: UserStack,
    context: MachineContext,
    mask: u64,
}

/// `struct _fpx_sw_bytes`.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct SoftwareBytes {
    magic1: u32,
    extended_size: u32,
    features: u64,
    state_size: u32,
    padding: [u32; 7],
}

/// The end of FXSAVE's area and XSAVE's header. XSAVE writes neither the bytes for software nor what the header says of
/// components that the CPU does not have.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Middle {
    software: SoftwareBytes,
    header: [u64; XSAVE_HEADER_WORDS],
}

/// The same in each frame.
static MIDDLE: Lazy<Middle> = Lazy::new(|| {
    let size = UserMode::extended_state_size();
    let software = SoftwareBytes {
        magic1: FP_XSTATE_MAGIC1,
        extended_size: (size + MAGIC2_SIZE) as u32,
        features: UserMode::extended_state_components(),
        state_size: size as u32,
        padding: [0; 7],
    };
    Middle { software, header: [0; XSAVE_HEADER_WORDS] }
});

const FRAME_SIZE: u64 = (size_of::<Frame>() + size_of::<WholeInfo>()) as u64;

const _: () = assert!(size_of::<MachineContext>() == 256 && FRAME_SIZE == 8 + 304 + 128);

/// Pushes the frame of a handler and points the registers at it. `alternate` is the thread's alternate stack, `mask` comes
/// back at the handler's return. EFAULT if the stack cannot be written or overflows.
pub(super) fn push(
    thread: &Thread, space: &AddressSpace, user: &mut UserMode, alternate: &AlternateStack, info: &SignalInfo,
    action: &Action, mask: SignalSet,
) -> Result {
    let top = stack_top(alternate, user.registers.rsp, action.flags);
    let state_size = UserMode::extended_state_size();
    let state_address = align_down(top.wrapping_sub((state_size + MAGIC2_SIZE) as u64), 64);
    let frame_address = align_down(state_address.wrapping_sub(FRAME_SIZE), 16).wrapping_sub(8);
    // The alternate stack must not be left at its lower end without notice.
    Errno::EFAULT.when(is_on(alternate, user.registers.rsp) && !is_on(alternate, frame_address))?;

    let has_xsave = state_size > FXSAVE_SIZE;
    let (trap, error, cr2) = thread.last_fault();
    let context = MachineContext {
        registers: *user.registers,
        cs: USER_CS,
        ss: USER_SS,
        error,
        trap,
        old_mask: mask.bits(),
        cr2,
        extended_state: state_address,
        ..MachineContext::default()
    };
    let frame = Frame {
        restorer: action.restorer,
        flags: UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | if has_xsave { UC_FP_XSTATE } else { 0 },
        link: 0,
        stack: describe(alternate, user.registers.rsp),
        context,
        mask: mask.bits(),
    };
    UserPtr::<Frame>::new(space, frame_address).write(&frame)?;
    let info_address = frame_address + size_of::<Frame>() as u64;
    if action.flags.contains(ActionFlags::SIGNAL_INFO) {
        UserPtr::<WholeInfo>::new(space, info_address).write(&info.whole())?;
    }
    write_state(space, user, state_address)?;
    if alternate.flags & SS_AUTODISARM != 0 {
        thread.set_alternate_stack(AlternateStack::default());
    }

    let registers = &mut user.registers;
    registers.rdi = info.signal().number() as u64;
    registers.rsi = info_address;
    registers.rdx = frame_address + offset_of!(Frame, flags) as u64;
    registers.rax = 0;
    registers.rip = action.handler;
    registers.rsp = frame_address;
    registers.rflags &= !HANDLER_CLEARED_FLAGS;
    Ok(())
}

/// rt_sigreturn(2): puts back what `push` saved. The registers are the caller's again; returns its `rax`.
/// EFAULT if the frame cannot be read or does not hold a possible state: the thread gets SIGSEGV.
pub(crate) fn pop(thread: &Arc<Thread>, space: &AddressSpace, user: &mut UserMode) -> Result<u64> {
    let frame = UserPtr::<Frame>::new(space, user.registers.rsp.wrapping_sub(8)).read()?;
    thread.set_blocked(SignalSet::from_bits(frame.mask));

    let context = &frame.context;
    let flags = user.registers.rflags & !RESTORED_FLAGS | context.registers.rflags & RESTORED_FLAGS;
    *user.registers = Registers { rflags: flags, ..context.registers };
    if context.extended_state == 0 {
        // As after reset.
        let _ = user.hand_over_extended_state(|_| true);
    } else {
        read_state(space, user, context.extended_state)?;
    }
    let stack = frame.stack;
    if !is_on(&thread.alternate_stack(), user.registers.rsp) {
        let flags = stack.flags & (SS_AUTODISARM | SS_DISABLE);
        let stack = AlternateStack { address: stack.address, size: stack.size, flags };
        thread.set_alternate_stack(if flags & SS_DISABLE != 0 { AlternateStack::default() } else { stack });
    }
    Ok(context.registers.rax)
}

/// Returns whether the stack pointer lies on the alternate stack (which SS_AUTODISARM denies).
pub(crate) fn is_on(stack: &AlternateStack, stack_pointer: u64) -> bool {
    stack.flags & SS_AUTODISARM == 0
        && stack.size != 0
        && stack_pointer > stack.address
        && stack_pointer - stack.address <= stack.size
}

/// Returns the alternate stack as user space sees it.
pub(crate) fn describe(stack: &AlternateStack, stack_pointer: u64) -> UserStack {
    let state = match stack.size {
        0 => SS_DISABLE,
        _ if is_on(stack, stack_pointer) => SS_ONSTACK,
        _ => 0,
    };
    UserStack { address: stack.address, flags: state | stack.flags & SS_AUTODISARM, padding: 0, size: stack.size }
}

fn stack_top(alternate: &AlternateStack, stack_pointer: u64, flags: ActionFlags) -> u64 {
    if flags.contains(ActionFlags::ON_STACK) && alternate.size != 0 && !is_on(alternate, stack_pointer) {
        alternate.address.wrapping_add(alternate.size)
    } else {
        stack_pointer.wrapping_sub(RED_ZONE)
    }
}

/// Stores the extended state in the frame; the handler starts with a fresh one, as on Linux.
fn write_state(space: &AddressSpace, user: &mut UserMode, address: u64) -> Result {
    let size = UserMode::extended_state_size();
    let has_xsave = size > FXSAVE_SIZE;
    let middle = &*MIDDLE;
    if has_xsave {
        UserPtr::<Middle>::new(space, address + SOFTWARE_BYTES as u64).write(middle)?;
        UserPtr::<u32>::new(space, address + size as u64).write(&FP_XSTATE_MAGIC2)?;
    }
    // The CPU does it alone where all pages are there, which they are by now but for bad luck.
    let is_stored = user.store_extended_state(address)
        || user.hand_over_extended_state(|bytes| {
            if has_xsave {
                bytes[SOFTWARE_BYTES..FXSAVE_SIZE].copy_from_slice(middle.software.as_bytes());
            }
            space.copy_out(address, bytes) == size
        });
    if is_stored { Ok(()) } else { Err(Errno::EFAULT) }
}

/// Reads the state back: all of it where the markers are right, else its FXSAVE part alone (as Linux does for frames
/// that were copied short).
fn read_state(space: &AddressSpace, user: &mut UserMode, address: u64) -> Result {
    let size = UserMode::extended_state_size();
    let word = |offset: usize| {
        let address = address.wrapping_add(offset as u64);
        load_u32(address).map_or_else(|| UserPtr::<u32>::new(space, address).read(), Ok)
    };
    let has_all = word(SOFTWARE_BYTES)? == FP_XSTATE_MAGIC1
        && word(SOFTWARE_BYTES + offset_of!(SoftwareBytes, state_size))? as usize == size
        && word(size) == Ok(FP_XSTATE_MAGIC2);
    if has_all && user.load_extended_state(address) {
        return Ok(());
    }
    // Not all pages were there, or the CPU does not accept it.
    let is_read = user.take_over_extended_state(|bytes| {
        let (legacy, rest) = bytes.split_at_mut(FXSAVE_SIZE);
        if space.copy_in(address, legacy) < FXSAVE_SIZE {
            return false;
        }
        legacy[SOFTWARE_BYTES..].fill(0);
        if has_all {
            return space.copy_in(address + FXSAVE_SIZE as u64, rest) == rest.len();
        }
        // x87 and SSE from the frame, the rest as after reset.
        if let Some((header, _)) = rest.split_at_mut_checked(XSAVE_HEADER_WORDS * size_of::<u64>()) {
            header.fill(0);
            header[..size_of::<u64>()].copy_from_slice(&X87_AND_SSE.to_ne_bytes());
        }
        true
    });
    if is_read { Ok(()) } else { Err(Errno::EFAULT) }
}

fn align_down(value: u64, alignment: u64) -> u64 {
    value & !(alignment - 1)
}
