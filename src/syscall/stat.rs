//! What a file is: stat and its relatives, statx, statfs.

use super::argument::{At, AtFlags, Fd, UserStr};
use super::context::Ctx;
use super::path::{Target, find, find_place, read_name};
use crate::errno::{Errno, Result};
use crate::file::{Metadata, Timestamp};
use crate::fs::{MountFlags, Path, metadata_of, path_of};
use crate::vm::{UserPtr, UserString};
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW, STATX__RESERVED, STATX_ATTR_MOUNT_ROOT,
    STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const SECOND_NS: i64 = 1_000_000_000;

/// struct stat of x86-64 (stat(2)).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Stat {
    device: u64,
    inode: u64,
    links: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    padding: u32,
    represents: u64,
    size: u64,
    block_size: u64,
    blocks: u64,
    /// Seconds and nanoseconds of access, modification and change.
    times: [[i64; 2]; 3],
    unused: [u64; 3],
}

const _: () = assert!(size_of::<Stat>() == size_of::<linux_raw_sys::general::stat>());

/// struct statx (statx(2)).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    accessed: StatxTime,
    born: StatxTime,
    changed: StatxTime,
    modified: StatxTime,
    represents: [u32; 2],
    device: [u32; 2],
    mount: u64,
    unused: [u64; 13],
}

const _: () = assert!(size_of::<Statx>() == size_of::<linux_raw_sys::general::statx>());

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    reserved: u32,
}

/// struct statfs (statfs(2)).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Statfs {
    kind: u64,
    block_size: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    files: u64,
    files_free: u64,
    identity: [u32; 2],
    name_limit: u64,
    fragment_size: u64,
    flags: u64,
    spare: [u64; 4],
}

const _: () = assert!(size_of::<Statfs>() == size_of::<linux_raw_sys::general::statfs>());

/// lstat(2).
pub(crate) fn lstat(ctx: &Ctx<'_>, name: UserStr<'_>, to: UserPtr<'_, Stat>) -> Result {
    stat(ctx, At::here(name), to, AtFlags(AT_SYMLINK_NOFOLLOW))
}

/// fstat(2).
pub(crate) fn fstat(ctx: &Ctx<'_>, fd: Fd, to: UserPtr<'_, Stat>) -> Result {
    to.write(&Stat::new(&metadata_of(&*ctx.file(fd)?)?))
}

/// stat(2), newfstatat(2).
pub(crate) fn stat(ctx: &Ctx<'_>, at: At<'_>, to: UserPtr<'_, Stat>, AtFlags(flags): AtFlags) -> Result {
    Errno::EINVAL.when(flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0)?;
    look(ctx, at, flags, |metadata, _| to.write(&Stat::new(metadata)))
}

/// statx(2).
pub(crate) fn statx(ctx: &Ctx<'_>, at: At<'_>, flags: u32, mask: u32, to: UserPtr<'_, Statx>) -> Result {
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    Errno::EINVAL
        .when(flags & !known != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE || mask & STATX__RESERVED != 0)?;
    look(ctx, at, flags, |metadata, path| to.write(&Statx::new(metadata, path)))
}

/// Finds what to tell of, and shows it; a file without a place (a pipe) tells for itself.
fn look(
    ctx: &Ctx<'_>, At { directory, name }: At<'_>, flags: u32, show: impl FnOnce(&Metadata, Option<&Path>) -> Result,
) -> Result {
    let buffer = &mut UserString::new();
    // Linux takes a NULL name with AT_EMPTY_PATH for an empty one (since 6.11); glibc counts on neither.
    let is_empty = name.is_null() && flags & AT_EMPTY_PATH != 0;
    let name = if is_empty { b"" } else { read_name(name, buffer)? };
    match find(ctx, directory, name, flags)? {
        Target::Place(path) => show(&path.entry().inode().metadata(), Some(&path)),
        Target::File(file) => show(&metadata_of(&file)?, None),
    }
}

/// Splits a time into seconds and nanoseconds.
#[inline(always)]
fn seconds_and_rest(time: Timestamp) -> [i64; 2] {
    // Dividing what is not negative takes half as long.
    let seconds = if time >= 0 { (time as u64 / SECOND_NS as u64) as i64 } else { time.div_euclid(SECOND_NS) };
    [seconds, time - seconds * SECOND_NS]
}

impl Stat {
    #[inline(always)]
    fn new(metadata: &Metadata) -> Stat {
        Stat {
            device: metadata.device.encoded(),
            inode: metadata.inode,
            links: u64::from(metadata.links),
            mode: metadata.kind.mode_bits() | metadata.permissions,
            uid: metadata.uid,
            gid: metadata.gid,
            padding: 0,
            represents: metadata.represents.encoded(),
            size: metadata.size,
            block_size: u64::from(metadata.block_size),
            blocks: metadata.blocks,
            times: [metadata.accessed, metadata.modified, metadata.changed].map(seconds_and_rest),
            unused: [0; 3],
        }
    }
}

impl Statx {
    fn new(metadata: &Metadata, path: Option<&Path>) -> Statx {
        let is_mount_root = path.is_some_and(Path::is_mount_root);
        let has_birth = if metadata.born != 0 { STATX_BTIME } else { 0 };
        Statx {
            mask: STATX_BASIC_STATS | has_birth | if path.is_some() { STATX_MNT_ID } else { 0 },
            block_size: metadata.block_size,
            attributes: if is_mount_root { STATX_ATTR_MOUNT_ROOT.into() } else { 0 },
            links: metadata.links,
            uid: metadata.uid,
            gid: metadata.gid,
            mode: (metadata.kind.mode_bits() | metadata.permissions) as u16,
            spare: 0,
            inode: metadata.inode,
            size: metadata.size,
            blocks: metadata.blocks,
            attributes_mask: STATX_ATTR_MOUNT_ROOT.into(),
            accessed: StatxTime::new(metadata.accessed),
            born: StatxTime::new(metadata.born),
            changed: StatxTime::new(metadata.changed),
            modified: StatxTime::new(metadata.modified),
            represents: [metadata.represents.major, metadata.represents.minor],
            device: [metadata.device.major, metadata.device.minor],
            mount: path.map_or(0, |path| u64::from(path.mount().id())),
            unused: [0; 13],
        }
    }
}

impl StatxTime {
    fn new(time: Timestamp) -> StatxTime {
        let [seconds, nanoseconds] = seconds_and_rest(time);
        StatxTime { seconds, nanoseconds: nanoseconds as u32, reserved: 0 }
    }
}

/// statfs(2).
pub(crate) fn statfs(ctx: &Ctx<'_>, at: At<'_>, to: UserPtr<'_, Statfs>) -> Result {
    let (_, path) = find_place(ctx, at, 0)?;
    to.write(&Statfs::new(&path))
}

/// fstatfs(2).
pub(crate) fn fstatfs(ctx: &Ctx<'_>, fd: Fd, to: UserPtr<'_, Statfs>) -> Result {
    let file = ctx.file(fd)?;
    let statfs = path_of(&file).map_or_else(Statfs::without_place, |path| Statfs::new(&path));
    to.write(&statfs)
}

impl Statfs {
    fn new(path: &Path) -> Statfs {
        let figures = path.mount().volume().file_system().statistics();
        let device = path.mount().root().inode().metadata().device.encoded();
        Statfs {
            kind: figures.kind,
            block_size: figures.block_size,
            blocks: figures.blocks,
            blocks_free: figures.blocks_free,
            blocks_available: figures.blocks_free,
            files: figures.files,
            files_free: figures.files_free,
            identity: [device as u32, (device >> 32) as u32],
            name_limit: figures.name_limit,
            fragment_size: figures.block_size,
            flags: shown_flags(path.mount().flags()),
            spare: [0; 4],
        }
    }

    /// What Linux shows for pipes and sockets: PIPEFS_MAGIC.
    fn without_place() -> Statfs {
        Statfs {
            kind: 0x5049_5045,
            block_size: 4096,
            blocks: 0,
            blocks_free: 0,
            blocks_available: 0,
            files: 0,
            files_free: 0,
            identity: [0; 2],
            name_limit: 255,
            fragment_size: 4096,
            flags: shown_flags(MountFlags::empty()),
            spare: [0; 4],
        }
    }
}

/// Returns f_flags: ST_VALID and the mount's flags as statvfs(3) numbers them.
fn shown_flags(flags: MountFlags) -> u64 {
    const VALID: u64 = 0x20;
    const TABLE: [(MountFlags, u64); 7] = [
        (MountFlags::READ_ONLY, 1),
        (MountFlags::NO_SET_ID, 2),
        (MountFlags::NO_DEVICES, 4),
        (MountFlags::NO_EXECUTE, 8),
        (MountFlags::NO_ACCESS_TIMES, 1024),
        (MountFlags::NO_DIRECTORY_ACCESS_TIMES, 2048),
        (MountFlags::RELATIVE_ACCESS_TIMES, 4096),
    ];
    TABLE.iter().filter(|(flag, _)| flags.contains(*flag)).fold(VALID, |shown, (_, bit)| shown | bit)
}
