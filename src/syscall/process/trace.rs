//! ptrace(2): one process looks into another and steers it.

use crate::errno::{Errno, Result};
use crate::machine::user::{Registers, UserMode};
use crate::process::trace::{self, Attachment, Run, Trace, TraceOptions};
use crate::process::{Signal, SignalInfo, SignalSet, Thread, table};
use crate::syscall::context::Ctx;
use crate::syscall::file::IoVec;
use crate::vm::{AddressSpace, UserPtr};
use alloc::{sync::Arc, vec, vec::Vec};
use core::ops::Range;
use linux_raw_sys::elf_uapi::{NT_PRFPREG, NT_PRSTATUS, NT_X86_XSTATE};
use linux_raw_sys::ptrace as raw;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

const WORD: u64 = 8;
/// `sizeof(struct user)`, and where its debug registers lie.
const USER_AREA_SIZE: u64 = 928;
const DEBUG_REGISTERS: Range<u64> = 848..912;
/// Bytes of FXSAVE's format, and where XSAVE's says which components it holds: for software, and for the CPU.
const FXSAVE_SIZE: usize = 512;
const SOFTWARE_COMPONENTS: usize = 464;
const X87_AND_SSE: u64 = 3;
/// The flags that a debugger may change: CF PF AF ZF SF TF DF OF RF AC.
const CHANGEABLE_FLAGS: u64 = 0x5_0dd5;
/// Selectors as user mode has them.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;
/// SIGTRAP with the mark of a system call.
const SYSTEM_CALL_STOP: i32 = 5 | 0x80;

/// `struct user_regs_struct` as words: the registers, and where it has what else it tells of. The words of DS, ES, FS and
/// GS at its end are always 0 in 64-bit programs.
type RegisterWords = [u64; 27];
const ORIGINAL_RAX: usize = 15;
const CS: usize = 17;
const SS: usize = 20;
const FS_BASE: usize = 21;
const GS_BASE: usize = 22;

/// Where it has each of `Registers`, in their order.
const PLACES: [usize; 18] = [9, 8, 7, 6, 3, 2, 1, 0, 14, 13, 4, 5, 12, 10, 11, 19, 16, 18];

/// `struct ptrace_syscall_info`.
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct SystemCallInfo {
    kind: u32,
    architecture: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    /// Number and arguments at the start; result and whether it is an error at the end.
    words: [u64; 7],
}

const _: () = assert!(size_of::<RegisterWords>() == 216 && size_of::<SystemCallInfo>() == 80);

/// ptrace(2).
pub(crate) fn ptrace(ctx: &Ctx<'_>, request: i64, id: i32, address: u64, data: u64) -> Result<usize> {
    let request = u32::try_from(request).map_err(|_| Errno::EIO)?;
    match request {
        raw::PTRACE_TRACEME => trace::trace_me(ctx.thread())?,
        raw::PTRACE_ATTACH => {
            trace::attach(ctx.thread(), &find(id)?, Attachment::Classic, TraceOptions::empty())?;
        }
        raw::PTRACE_SEIZE => {
            let thread = find(id)?;
            let options = options(data).filter(|_| address == 0).ok_or(Errno::EIO)?;
            trace::attach(ctx.thread(), &thread, Attachment::Seized, options)?;
        }
        _ => return steer(ctx, &trace::tracee(ctx.process(), id)?, request, address, data),
    }
    Ok(0)
}

fn find(id: i32) -> Result<Arc<Thread>> {
    table::find_thread(id).ok_or(Errno::ESRCH)
}

fn options(data: u64) -> Option<TraceOptions> {
    TraceOptions::from_bits(u32::try_from(data).ok()?)
}

/// The requests on a tracee; all but the first two want it stopped. ESRCH.
fn steer(ctx: &Ctx<'_>, thread: &Arc<Thread>, request: u32, address: u64, data: u64) -> Result<usize> {
    let tracer = ctx.process();
    match request {
        raw::PTRACE_KILL => {
            thread.process().send_signal(SignalInfo::kernel(Signal::KILL));
            return Ok(0);
        }
        raw::PTRACE_INTERRUPT => {
            trace::interrupt(thread)?;
            return Ok(0);
        }
        _ => thread.with_trace(tracer, |_| ())?,
    }
    let signal = || match data {
        0..=64 => Ok(data as i32),
        _ => Err(Errno::EIO),
    };
    let out = UserPtr::<u64>::new(ctx.space(), data);
    match request {
        raw::PTRACE_CONT => trace::resume(tracer, thread, Run::Freely, signal()?)?,
        raw::PTRACE_SYSCALL => trace::resume(tracer, thread, Run::ToSystemCall, signal()?)?,
        raw::PTRACE_SINGLESTEP => trace::resume(tracer, thread, Run::OneInstruction, signal()?)?,
        raw::PTRACE_DETACH => trace::detach(tracer, thread, signal()?)?,
        raw::PTRACE_LISTEN => trace::listen(tracer, thread)?,
        raw::PTRACE_SETOPTIONS => {
            let options = options(data).ok_or(Errno::EINVAL)?;
            thread.with_trace(tracer, |trace| trace.set_options(options))?;
        }
        raw::PTRACE_GETEVENTMSG => out.write(&thread.with_trace(tracer, |trace| trace.message())?)?,
        raw::PTRACE_GETSIGINFO => {
            let info = thread.with_trace(tracer, |trace| trace.info().copied())?.ok_or(Errno::EINVAL)?;
            out.cast().write(&info.whole())?;
        }
        raw::PTRACE_SETSIGINFO => {
            let new = out.cast::<SignalInfo>().read()?;
            thread.with_trace(tracer, |trace| {
                trace.info().map(|info| *info = new.checked(info)).ok_or(Errno::EINVAL)
            })??;
        }
        raw::PTRACE_GETSIGMASK if address == WORD => out.write(&thread.blocked().bits())?,
        raw::PTRACE_SETSIGMASK if address == WORD => {
            thread.set_blocked(SignalSet::from_bits(out.read()?));
        }
        raw::PTRACE_GETSIGMASK | raw::PTRACE_SETSIGMASK => return Err(Errno::EINVAL),
        raw::PTRACE_PEEKTEXT | raw::PTRACE_PEEKDATA => {
            let mut word = 0u64;
            let read = memory(thread)?.read_remote(address, word.as_mut_bytes());
            Errno::EIO.when(read < size_of::<u64>())?;
            out.write(&word)?;
        }
        raw::PTRACE_POKETEXT | raw::PTRACE_POKEDATA => {
            Errno::EIO.when(memory(thread)?.write_remote(address, data.as_bytes()) < size_of::<u64>())?;
        }
        raw::PTRACE_PEEKUSR => {
            let word = thread.with_trace(tracer, |trace| peek_user(trace, address))??;
            out.write(&word)?;
        }
        raw::PTRACE_POKEUSR => thread.with_trace(tracer, |trace| poke_user(trace, address, data))??,
        raw::PTRACE_GETREGS => get_set(ctx, thread, NT_PRSTATUS, (data, size_of::<RegisterWords>()))?,
        raw::PTRACE_SETREGS => set_set(ctx, thread, NT_PRSTATUS, (data, size_of::<RegisterWords>()))?,
        raw::PTRACE_GETFPREGS => get_set(ctx, thread, NT_PRFPREG, (data, FXSAVE_SIZE))?,
        raw::PTRACE_SETFPREGS => set_set(ctx, thread, NT_PRFPREG, (data, FXSAVE_SIZE))?,
        raw::PTRACE_GETREGSET | raw::PTRACE_SETREGSET => {
            let kind = u32::try_from(address).map_err(|_| Errno::EINVAL)?;
            let area = out.cast::<IoVec>();
            let vector = area.read()?;
            let length = set_size(kind)?.min(vector.length as usize);
            Errno::EINVAL.when(vector.length % WORD != 0)?;
            let place = (vector.base, length);
            if request == raw::PTRACE_GETREGSET {
                get_set(ctx, thread, kind, place)?
            } else {
                set_set(ctx, thread, kind, place)?
            }
            area.write(&IoVec { length: length as u64, ..vector })?;
        }
        raw::PTRACE_GET_SYSCALL_INFO => {
            let (info, size) = thread.with_trace(tracer, system_call_info)?;
            let bytes = &info.as_bytes()[..size.min(address as usize)];
            out.cast::<u8>().slice(bytes.len())?.write_all(bytes)?;
            return Ok(size);
        }
        _ => return Err(Errno::EIO),
    }
    Ok(0)
}

fn memory(thread: &Thread) -> Result<Arc<AddressSpace>> {
    thread.process().space().ok_or(Errno::EIO)
}

/// Returns the size of a register set. EINVAL for one that is not there.
fn set_size(kind: u32) -> Result<usize> {
    match kind {
        NT_PRSTATUS => Ok(size_of::<RegisterWords>()),
        NT_PRFPREG => Ok(FXSAVE_SIZE),
        NT_X86_XSTATE if UserMode::extended_state_components() != 0 => Ok(UserMode::extended_state_size()),
        _ => Err(Errno::EINVAL),
    }
}

fn get_set(ctx: &Ctx<'_>, thread: &Thread, kind: u32, (address, length): (u64, usize)) -> Result {
    let bytes = thread.with_trace(ctx.process(), |trace| read_set(trace, kind))?;
    UserPtr::<u8>::new(ctx.space(), address).slice(length)?.write_all(&bytes[..length])
}

fn set_set(ctx: &Ctx<'_>, thread: &Thread, kind: u32, (address, length): (u64, usize)) -> Result {
    let new = UserPtr::<u8>::new(ctx.space(), address).slice(length)?.read_all()?;
    thread.with_trace(ctx.process(), |trace| {
        let mut bytes = read_set(trace, kind);
        bytes[..length].copy_from_slice(&new);
        match kind {
            NT_PRSTATUS => {
                let registers = RegisterWords::read_from_bytes(&bytes).map_err(|_| Errno::EIO)?;
                write_registers(trace, &registers)
            }
            _ if length < FXSAVE_SIZE => Err(Errno::EINVAL),
            NT_PRFPREG => {
                let mut state = read_set(trace, NT_X86_XSTATE);
                state[..FXSAVE_SIZE].copy_from_slice(&bytes);
                if let Some(components) = state.get_mut(FXSAVE_SIZE) {
                    *components |= X87_AND_SSE as u8;
                }
                write_state(trace, state)
            }
            _ if length < bytes.len() => Err(Errno::EFAULT),
            _ => write_state(trace, bytes),
        }
    })?
}

fn read_set(trace: &Trace, kind: u32) -> Vec<u8> {
    match kind {
        NT_PRSTATUS => read_registers(trace).as_bytes().to_vec(),
        NT_PRFPREG => {
            let mut bytes = vec![0; FXSAVE_SIZE];
            trace.user.read_extended_state(&mut bytes);
            bytes
        }
        _ => {
            let mut bytes = vec![0; UserMode::extended_state_size()];
            trace.user.read_extended_state(&mut bytes);
            let components = UserMode::extended_state_components().to_ne_bytes();
            bytes[SOFTWARE_COMPONENTS..SOFTWARE_COMPONENTS + components.len()].copy_from_slice(&components);
            bytes
        }
    }
}

fn write_state(trace: &mut Trace, mut bytes: Vec<u8>) -> Result {
    bytes[SOFTWARE_COMPONENTS..FXSAVE_SIZE].fill(0);
    if trace.user.write_extended_state(&bytes) { Ok(()) } else { Err(Errno::EINVAL) }
}

fn read_registers(trace: &Trace) -> RegisterWords {
    let mut words = [0; 27];
    let registers: [u64; 18] = zerocopy::transmute!(*trace.user.registers);
    for (place, word) in PLACES.into_iter().zip(registers) {
        words[place] = word;
    }
    (words[ORIGINAL_RAX], words[CS], words[SS]) = (trace.original_rax, USER_CS, USER_SS);
    (words[FS_BASE], words[GS_BASE]) = (trace.user.fs_base(), trace.user.gs_base());
    words
}

/// Changes the registers; EIO for selectors and segment bases that user mode may not have.
fn write_registers(trace: &mut Trace, new: &RegisterWords) -> Result {
    let is_user = |selector: u64| selector & 3 == 3 && selector >> 16 == 0;
    Errno::EIO.when(!is_user(new[CS]) || !is_user(new[SS]))?;
    Errno::EIO.when(!trace.user.set_fs_base(new[FS_BASE]) || !trace.user.set_gs_base(new[GS_BASE]))?;
    trace.original_rax = new[ORIGINAL_RAX];
    let mut registers: Registers = zerocopy::transmute!(PLACES.map(|place| new[place]));
    let kept = trace.user.registers.rflags & !CHANGEABLE_FLAGS;
    registers.rflags = kept | registers.rflags & CHANGEABLE_FLAGS;
    *trace.user.registers = registers;
    Ok(())
}

/// A word of `struct user`: registers first; what Linux keeps nothing in is 0. EIO.
fn peek_user(trace: &Trace, offset: u64) -> Result<u64> {
    Errno::EIO.when(!offset.is_multiple_of(WORD) || offset >= USER_AREA_SIZE)?;
    if DEBUG_REGISTERS.contains(&offset) {
        return Ok(match ((offset - DEBUG_REGISTERS.start) / WORD) as usize {
            4 | 5 => 0,
            6 => trace.debug_status,
            index => trace.user.debug_register(index),
        });
    }
    Ok(read_registers(trace).get((offset / WORD) as usize).copied().unwrap_or(0))
}

fn poke_user(trace: &mut Trace, offset: u64, value: u64) -> Result {
    if DEBUG_REGISTERS.contains(&offset) && offset.is_multiple_of(WORD) {
        match ((offset - DEBUG_REGISTERS.start) / WORD) as usize {
            4 | 5 => return Err(Errno::EIO),
            6 => trace.debug_status = value,
            index if trace.user.set_debug_register(index, value) => {}
            _ => return Err(Errno::EINVAL),
        }
        return Ok(());
    }
    let mut words = read_registers(trace);
    let word = words.get_mut((offset / WORD) as usize).filter(|_| offset.is_multiple_of(WORD));
    *word.ok_or(Errno::EIO)? = value;
    write_registers(trace, &words)
}

/// Returns PTRACE_GET_SYSCALL_INFO and how much of it is meant.
fn system_call_info(trace: &mut Trace) -> (SystemCallInfo, usize) {
    const AT_START: u64 = raw::PTRACE_EVENTMSG_SYSCALL_ENTRY as u64;
    const AT_END: u64 = raw::PTRACE_EVENTMSG_SYSCALL_EXIT as u64;
    let registers = *trace.user.registers;
    let mut info = SystemCallInfo {
        kind: raw::PTRACE_SYSCALL_INFO_NONE,
        architecture: raw::AUDIT_ARCH_X86_64,
        instruction_pointer: registers.rip,
        stack_pointer: registers.rsp,
        words: [0; 7],
    };
    let is_in_call = trace.info().is_some_and(|info| info.code() == SYSTEM_CALL_STOP);
    let size = match trace.message() {
        AT_START if is_in_call => {
            let Registers { rdi, rsi, rdx, r10, r8, r9, .. } = registers;
            info.kind = raw::PTRACE_SYSCALL_INFO_ENTRY;
            info.words = [trace.original_rax, rdi, rsi, rdx, r10, r8, r9];
            80
        }
        AT_END if is_in_call => {
            info.kind = raw::PTRACE_SYSCALL_INFO_EXIT;
            info.words[0] = registers.rax;
            info.words[1] = u64::from((-4095..0).contains(&(registers.rax as i64)));
            33
        }
        _ => 24,
    };
    (info, size)
}
