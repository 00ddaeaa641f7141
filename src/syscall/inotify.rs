//! inotify: watching files.

use super::argument::{Fd, UserStr};
use super::context::Ctx;
use super::file::{CLOSE_ON_EXEC, install};
use super::path::read_name;
use crate::errno::{Errno, Result};
use crate::file::notice::Notice;
use crate::file::{OpenFile, StatusFlags};
use crate::fs::{Access, Inotify};
use crate::vm::UserString;

/// inotify_init(2).
pub(crate) fn inotify_init(ctx: &Ctx<'_>) -> Result<usize> {
    inotify_init1(ctx, 0)
}

/// inotify_init1(2).
pub(crate) fn inotify_init1(ctx: &Ctx<'_>, flags: u32) -> Result<usize> {
    let status = StatusFlags::from_bits_truncate(flags & StatusFlags::NON_BLOCKING.bits());
    Errno::EINVAL.when(flags & !(CLOSE_ON_EXEC | status.bits()) != 0)?;
    let inotify = Inotify::new(ctx.identity().uid)?;
    install(ctx, OpenFile::new(inotify, status), flags & CLOSE_ON_EXEC != 0)
}

/// inotify_add_watch(2).
pub(crate) fn inotify_add_watch(ctx: &Ctx<'_>, fd: Fd, name: UserStr<'_>, mask: u32) -> Result<usize> {
    let mask = Notice::from_bits(mask).filter(|mask| !mask.is_empty()).ok_or(Errno::EINVAL)?;
    let file = ctx.file(fd)?;
    Errno::EINVAL.when(mask.contains(Notice::MASK_ADD | Notice::MASK_CREATE))?;
    let inotify = file.downcast::<Inotify>().ok_or(Errno::EINVAL)?;
    let view = ctx.view(Fd::CURRENT)?;
    let path = view.look_up(read_name(name, &mut UserString::new())?, !mask.contains(Notice::DO_NOT_FOLLOW))?;
    Errno::ENOTDIR.when(mask.contains(Notice::ONLY_DIRECTORY) && !path.entry().is_directory())?;
    view.check_access(&path, Access::READ)?;
    inotify.watch(&path, mask).map(|number| number as usize)
}

/// inotify_rm_watch(2).
pub(crate) fn inotify_rm_watch(ctx: &Ctx<'_>, fd: Fd, number: i32) -> Result {
    let inotify = ctx.file(fd)?.downcast::<Inotify>().ok_or(Errno::EINVAL)?;
    inotify.remove(number)
}
