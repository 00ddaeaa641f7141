//! execve(2) and execveat(2).

use crate::errno::{Errno, Result};
use crate::fs::Path;
use crate::process::{self, load_program, trace};
use crate::syscall::argument::{At, AtFlags, Fd};
use crate::syscall::context::Ctx;
use crate::vm::UserPtr;
use alloc::{format, vec::Vec};
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};

/// The longest path with its NUL (PATH_MAX).
const PATH_MAX: usize = 4096;
/// The longest single argument (MAX_ARG_STRLEN).
const ARGUMENT_MAX: usize = 32 * 4096;

/// execve(2), execveat(2).
pub(crate) fn execve(
    ctx: &Ctx<'_>, At { directory, name }: At<'_>, argv: UserPtr<'_, u64>, envp: UserPtr<'_, u64>,
    AtFlags(flags): AtFlags,
) -> Result<usize> {
    Errno::EINVAL.when(flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0)?;
    let name = name.read_string(PATH_MAX)?;
    ctx.thread().check_new_user()?;
    // Only a relative name starts at the descriptor, which then must be a directory.
    let is_relative = name.first().is_some_and(|&first| first != b'/');
    let view = ctx.view(if is_relative { directory } else { Fd::CURRENT })?;
    let (path, shown) = find(ctx, directory, &view, name, flags)?;
    let mut room = ctx.process().limit(process::Resource::Stack) / 4;
    room = room.clamp(ARGUMENT_MAX as u64, 6 << 20);
    let argv = read_strings(ctx, argv, &mut room)?;
    let envp = read_strings(ctx, envp, &mut room)?;

    let set_id = process::set_id_for(ctx.thread());
    let stack_limit = ctx.process().limit(process::Resource::Stack);
    let program = load_program(&view, path, &shown, argv, envp, stack_limit, set_id)?;
    let mut user = ctx.user.borrow_mut();
    let old_id = ctx.thread().id();
    process::replace_program(ctx.thread(), ctx.space(), &mut user, program)?;
    ctx.set_replaced();
    if ctx.thread().is_traced() {
        trace::stop_for_exec(ctx.thread(), &mut user, old_id);
    }
    Ok(0)
}

/// Finds the program and the name it will see itself called by (AT_EXECFN).
fn find(ctx: &Ctx<'_>, directory: Fd, view: &crate::fs::View, name: Vec<u8>, flags: u32) -> Result<(Path, Vec<u8>)> {
    if name.is_empty() {
        Errno::ENOENT.when(flags & AT_EMPTY_PATH == 0)?;
        let path = crate::fs::path_of(&*ctx.file(directory)?).ok_or(Errno::EACCES)?;
        return Ok((path, format!("/dev/fd/{}", directory.0).into_bytes()));
    }
    let path = view.look_up(&name, flags & AT_SYMLINK_NOFOLLOW == 0)?;
    Errno::ELOOP
        .when(flags & AT_SYMLINK_NOFOLLOW != 0 && path.inode().metadata().kind == crate::file::FileKind::Symlink)?;
    if directory == Fd::CURRENT || name[0] == b'/' {
        return Ok((path, name));
    }
    let mut shown = format!("/dev/fd/{}/", directory.0).into_bytes();
    shown.extend_from_slice(&name);
    Ok((path, shown))
}

/// Reads the strings of a NULL-terminated list; NULL is the empty list, as Linux allows. E2BIG when `room` is used up.
fn read_strings(ctx: &Ctx<'_>, list: UserPtr<'_, u64>, room: &mut u64) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if list.is_null() {
        return Ok(strings);
    }
    loop {
        let address = list.add(strings.len()).read()?;
        if address == 0 {
            return Ok(strings);
        }
        let string = match UserPtr::<u8>::new(ctx.space(), address).read_string(ARGUMENT_MAX) {
            Err(Errno::ENAMETOOLONG) => return Err(Errno::E2BIG),
            other => other?,
        };
        // Each string also takes a pointer.
        *room = room.checked_sub(string.len() as u64 + 9).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}
