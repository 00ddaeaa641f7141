//! A new program in place of the old: finds the interpreter, maps the ELF segments, lays out the first stack.
//! Does not touch the calling process: the result replaces its parts only when nothing can fail any more.

use super::elf::{Executable, Image, START_LENGTH};
use super::first_stack::{self, FirstStack};
use super::thread_group::ProgramInformation;
use crate::errno::{Errno, Result};
use crate::file::FileKind;
use crate::fs::{Access, Identity, MountFlags, Path, View};
use crate::machine::cpu::{self, Features};
use crate::machine::user::UserMode;
use crate::util::script_line;
use crate::vm::{AddressSpace, random_offset};
use alloc::{sync::Arc, vec::Vec};
use linux_raw_sys::auxvec;

/// How many interpreters may stand between a file and the ELF file that runs (Linux's exec_binprm).
const MAX_INTERPRETERS: usize = 5;

/// How far the heap's start is moved up at random, at most (Linux's arch_randomize_brk).
const HEAP_RANDOM: u64 = 0x200_0000;

/// USER_HZ: the unit of times(2).
const CLOCK_TICKS: u64 = 100;

/// AT_HWCAP2's bit for RDFSBASE and friends in user mode.
const HWCAP2_FSGSBASE: u64 = 1 << 1;

/// What a program's set-user-ID and set-group-ID bits do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetId {
    Count,
    /// A tracer without privileges watches: they only make the program careful (AT_SECURE).
    Watched,
    /// no_new_privs.
    Ignored,
}

/// A program ready to run.
pub(crate) struct Program {
    pub(crate) space: Arc<AddressSpace>,
    pub(crate) entry: u64,
    pub(crate) stack_pointer: u64,
    pub(crate) information: Arc<ProgramInformation>,
    /// The new thread name: the last path component, at most 15 bytes.
    pub(crate) command: Vec<u8>,
    /// Set-user-ID and set-group-ID owners to take over, if any.
    pub(crate) set_uid: Option<u32>,
    pub(crate) set_gid: Option<u32>,
    /// Who started it may read it, so may look into it as it runs.
    pub(crate) is_readable: bool,
}

/// Loads the program at `file`, which the caller named `name`, with `argv` and `envp`; `stack_limit` is RLIMIT_STACK
/// in bytes; `set_id`: what set-user-ID bits do. Errors in Linux's order: execve(2).
pub(crate) fn load_program(
    view: &View, file: Path, name: &[u8], mut argv: Vec<Vec<u8>>, envp: Vec<Vec<u8>>, stack_limit: u64, set_id: SetId,
) -> Result<Program> {
    let executable = Executable::open(view, file)?;
    if argv.is_empty() {
        // Linux 5.18: programs may rely on argv[0].
        argv.push(Vec::new());
    }
    first_stack::check_size(name, &argv, &envp, stack_limit)?;
    let (executable, start) = resolve_scripts(view, executable, name, &mut argv)?;
    first_stack::check_size(name, &argv, &envp, stack_limit)?;

    let image = Image::read(&executable, &start)?;
    let interpreter = match &image.interpreter {
        Some(name) => {
            let found = Executable::open_interpreter(view, view.look_up(name, true)?)?;
            let image = Image::read(&found, &found.start()?).map_err(|error| match error {
                Errno::ENOEXEC => Errno::ELIBBAD,
                other => other,
            })?;
            Some((found, image))
        }
        None => None,
    };

    let space = AddressSpace::new()?;
    space.reserve_stack(stack_limit);
    let program = image.map(&space, &executable)?;
    let mut entry = program.entry;
    let mut base = 0;
    if let Some((file, image)) = &interpreter {
        let loaded = image.map(&space, file)?;
        entry = loaded.entry;
        base = loaded.bias;
    }
    space.set_break_start(program.heap + random_offset(HEAP_RANDOM));

    let vdso = super::vdso::map(&space)?;
    let mut owners = if set_id == SetId::Ignored { (None, None) } else { set_ids(&executable, &view.identity) };
    let is_elevated = owners != (None, None);
    if set_id == SetId::Watched {
        owners = (None, None);
    }
    let layout = FirstStack {
        name,
        argv: &argv,
        envp: &envp,
        stack_limit,
        is_executable: image.layout.has_executable_stack,
        auxiliary: auxiliary(&image, &program, base, vdso, &view.identity, owners, is_elevated),
    };
    let stack = layout.build(&space)?;
    let (set_uid, set_gid) = owners;
    let is_readable = executable.path.check(&view.identity, Access::READ).is_ok();
    Ok(Program {
        space,
        entry,
        stack_pointer: stack.pointer,
        information: Arc::new(ProgramInformation {
            executable: Some(executable.path),
            arguments: stack.arguments,
            environment: stack.environment,
            auxiliary: stack.auxiliary,
        }),
        command: command_name(name),
        set_uid,
        set_gid,
        is_readable,
    })
}

/// Follows `#!` lines to the file that runs, putting each interpreter and its argument before the script's name. Returns
/// how the file begins, too.
fn resolve_scripts(
    view: &View, first: Executable, name: &[u8], argv: &mut Vec<Vec<u8>>,
) -> Result<(Executable, [u8; START_LENGTH])> {
    let mut executable = first;
    let mut script = Vec::from(name);
    for _ in 0..=MAX_INTERPRETERS {
        let start = executable.start()?;
        let Some((line, _)) = start.split_first_chunk().filter(|(line, _)| line.starts_with(b"#!")) else {
            return Ok((executable, start));
        };
        let line = script_line::parse(line).ok_or(Errno::ENOEXEC)?;
        let interpreter = Vec::from(line.interpreter);
        let before = [Some(interpreter.clone()), line.argument.map(Vec::from), Some(script)];
        argv.splice(0..1, before.into_iter().flatten());

        executable = Executable::open(view, view.look_up(&interpreter, true)?)?;
        script = interpreter;
    }
    Err(Errno::ELOOP)
}

/// Returns the owner and group that the file's set-ID bits hand over.
fn set_ids(executable: &Executable, identity: &Identity) -> (Option<u32>, Option<u32>) {
    const SET_UID: u32 = 0o4000;
    const SET_GID_AND_GROUP_EXECUTE: u32 = 0o2010;
    if executable.path.mount().flags().contains(MountFlags::NO_SET_ID) {
        return (None, None);
    }
    let metadata = executable.path.inode().metadata();
    let set = |bits: u32| metadata.permissions & bits == bits;
    let uid = (set(SET_UID) && metadata.uid != identity.euid).then_some(metadata.uid);
    let gid = (set(SET_GID_AND_GROUP_EXECUTE) && metadata.gid != identity.egid).then_some(metadata.gid);
    (uid, gid)
}

/// Returns the auxiliary vector in Linux's order (getauxval(3)); the addresses on the stack are put in by
/// `FirstStack`.
fn auxiliary(
    image: &Image, program: &super::elf::Loaded, base: u64, vdso: Option<u64>, identity: &Identity,
    owners: (Option<u32>, Option<u32>), is_elevated: bool,
) -> Vec<(u64, u64)> {
    let euid = owners.0.unwrap_or(identity.euid);
    let egid = owners.1.unwrap_or(identity.egid);
    let is_secure = is_elevated || euid != identity.uid || egid != identity.gid;
    let fsgsbase = if cpu::features().contains(Features::FSGSBASE) { HWCAP2_FSGSBASE } else { 0 };
    let vdso = vdso.map(|address| (auxvec::AT_SYSINFO_EHDR, address));
    let others = [
        (AT_MINSIGSTKSZ, signal_frame_size()),
        (auxvec::AT_HWCAP, u64::from(cpu::hardware_capabilities())),
        (auxvec::AT_PAGESZ, crate::machine::memory::PAGE_SIZE as u64),
        (auxvec::AT_CLKTCK, CLOCK_TICKS),
        (auxvec::AT_PHDR, program.program_headers),
        (auxvec::AT_PHENT, crate::util::elf_layout::PROGRAM_HEADER_SIZE as u64),
        (auxvec::AT_PHNUM, image.program_header_count),
        (auxvec::AT_BASE, base),
        (auxvec::AT_FLAGS, 0),
        (auxvec::AT_ENTRY, program.entry),
        (auxvec::AT_UID, u64::from(identity.uid)),
        (auxvec::AT_EUID, u64::from(euid)),
        (auxvec::AT_GID, u64::from(identity.gid)),
        (auxvec::AT_EGID, u64::from(egid)),
        (auxvec::AT_SECURE, u64::from(is_secure)),
        (auxvec::AT_RANDOM, 0),
        (auxvec::AT_HWCAP2, fsgsbase),
        (auxvec::AT_EXECFN, 0),
        (auxvec::AT_PLATFORM, 0),
        (auxvec::AT_NULL, 0),
    ];
    vdso.into_iter().chain(others).map(|(kind, value)| (u64::from(kind), value)).collect()
}

/// The kind of the least size of an alternate signal stack (linux/auxvec.h of x86).
const AT_MINSIGSTKSZ: u32 = 51;

/// Returns how much stack a signal needs: the frame without extended state (siginfo, ucontext and their alignment),
/// the state, its end marker.
fn signal_frame_size() -> u64 {
    const FRAME: usize = 440 + 64 + 8;
    const END_MARKER: usize = 4;
    ((FRAME + UserMode::extended_state_size() + END_MARKER).next_multiple_of(16)) as u64
}

/// Returns the thread name that a program gets: the last component of `name`, at most 15 bytes.
fn command_name(name: &[u8]) -> Vec<u8> {
    const LIMIT: usize = 15;
    let last = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    Vec::from(&last[..last.len().min(LIMIT)])
}

/// Checks that `path` is a regular file that `identity` may execute: EACCES (execve(2)).
pub(super) fn check_executable(path: &Path, identity: &Identity) -> Result {
    let is_runnable =
        path.entry().kind() == FileKind::Regular && !path.mount().flags().contains(MountFlags::NO_EXECUTE);
    if is_runnable { path.check(identity, Access::EXECUTE) } else { Err(Errno::EACCES) }
}
