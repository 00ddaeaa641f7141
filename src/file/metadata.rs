//! What stat(2) shows.

/// The type of a file (S_IFMT of stat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Fifo,
    Socket,
}

impl FileKind {
    /// Returns the type bits of st_mode.
    pub(crate) fn mode_bits(self) -> u32 {
        match self {
            FileKind::Fifo => 0o010000,
            FileKind::CharacterDevice => 0o020000,
            FileKind::Directory => 0o040000,
            FileKind::BlockDevice => 0o060000,
            FileKind::Regular => 0o100000,
            FileKind::Symlink => 0o120000,
            FileKind::Socket => 0o140000,
        }
    }
}

/// Major and minor number of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceNumber {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl DeviceNumber {
    /// Returns the number as user space encodes it (makedev(3)).
    pub(crate) fn encoded(self) -> u64 {
        let (major, minor) = (u64::from(self.major), u64::from(self.minor));
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
    }
}

/// Nanoseconds since 1970, as file times are kept.
pub(crate) type Timestamp = i64;

/// What stat(2) shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    /// The file system's device number.
    pub(crate) device: DeviceNumber,
    pub(crate) inode: u64,
    pub(crate) kind: FileKind,
    /// Permission bits with set-user-ID, set-group-ID and sticky (07777).
    pub(crate) permissions: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// For device files, which device.
    pub(crate) represents: DeviceNumber,
    pub(crate) size: u64,
    pub(crate) block_size: u32,
    /// In units of 512 bytes.
    pub(crate) blocks: u64,
    pub(crate) accessed: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) born: Timestamp,
}

impl Metadata {
    /// Returns what an empty file of root's shows that nothing but memory holds; all its times are `time`.
    pub(crate) fn new(device: DeviceNumber, inode: u64, kind: FileKind, permissions: u32, time: Timestamp) -> Metadata {
        Metadata {
            device,
            inode,
            kind,
            permissions,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            represents: DeviceNumber::default(),
            size: 0,
            block_size: 4096,
            blocks: 0,
            accessed: time,
            modified: time,
            changed: time,
            born: time,
        }
    }
}
