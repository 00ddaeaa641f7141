//! The tree of mounts, and writing everything to the medium.

use super::argument::{Fd, UserStr};
use super::context::Ctx;
use super::path::read_name;
use crate::errno::Result;
use crate::fs::{MountRequest, PATH_LIMIT, namespace, path_of};
use crate::vm::UserString;
use linux_raw_sys::general::{MS_MGC_MSK, MS_MGC_VAL};

/// The longest option string and type name: a page (mount(2)).
const OPTIONS_LIMIT: usize = 4096;

/// mount(2).
pub(crate) fn mount(
    ctx: &Ctx<'_>, source: UserStr<'_>, target: UserStr<'_>, kind: UserStr<'_>, flags: u32, options: UserStr<'_>,
) -> Result {
    let flags = if flags & MS_MGC_MSK == MS_MGC_VAL { flags & !MS_MGC_MSK } else { flags };
    let kind = kind.non_null().map(|kind| kind.read_string(OPTIONS_LIMIT)).transpose()?;
    let source = source.non_null().map(|source| source.read_string(PATH_LIMIT)).transpose()?;
    let options = options.non_null().map(|options| options.read_string(OPTIONS_LIMIT)).transpose()?;
    let buffer = &mut UserString::new();
    let target = read_name(target, buffer)?;
    let request = MountRequest {
        source: source.as_deref(),
        kind: kind.as_deref(),
        flags,
        options: options.as_deref().unwrap_or_default(),
    };
    ctx.view(Fd::CURRENT)?.mount(target, &request)
}

/// umount2(2).
pub(crate) fn umount2(ctx: &Ctx<'_>, target: UserStr<'_>, flags: u32) -> Result {
    let buffer = &mut UserString::new();
    let target = read_name(target, buffer)?;
    ctx.view(Fd::CURRENT)?.unmount(target, flags)
}

/// pivot_root(2).
pub(crate) fn pivot_root(ctx: &Ctx<'_>, new_root: UserStr<'_>, put_old: UserStr<'_>) -> Result {
    let buffers = (&mut UserString::new(), &mut UserString::new());
    let (new_root, put_old) = (read_name(new_root, buffers.0)?, read_name(put_old, buffers.1)?);
    ctx.view(Fd::CURRENT)?.pivot_root(new_root, put_old)
}

/// sync(2): "always successful".
pub(crate) fn sync(_ctx: &Ctx<'_>) -> Result {
    for mount in namespace().mounts() {
        // What failed stays to be written; sync has no way to say so.
        let _ = mount.volume().file_system().sync();
    }
    Ok(())
}

/// syncfs(2).
pub(crate) fn syncfs(ctx: &Ctx<'_>, fd: Fd) -> Result {
    let file = ctx.file(fd)?;
    if let Some(path) = path_of(&file) {
        path.mount().volume().file_system().sync()?;
    }
    Ok(())
}
