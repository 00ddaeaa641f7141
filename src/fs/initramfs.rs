//! Boot modules into the root file system: each module holds cpio archives one after the other, plain or compressed
//! with gzip or zstd, with zero bytes between them (Linux's buffer-format.rst). Decompression is streaming, so a small
//! machine holds the archive and the files, not a third copy. What is damaged is reported with its offset; what came
//! before stays.

use super::{AttributeChange, NewNode, NewTime, View};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, FileKind, OpenFile, Timestamp};
use crate::machine::boot::Module;
use crate::machine::console::log;
use crate::machine::task;
use crate::util::cpio::{self, Entry, Parser, Problem};
use crate::vm::Source;
use alloc::{boxed::Box, collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use crc32fast::Hasher;
use linux_raw_sys::general::O_TRUNC;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A zstd block that is the last, raw and empty (RFC 8878, 3.1.1.2), and room for a checksum after it.
const LAST_EMPTY_BLOCK: &[u8] = &[1, 0, 0, 0, 0, 0, 0];

/// Bytes that a decompressor gives at a time; DEFLATE looks back 32 KiB and wants a power of two.
const WINDOW: usize = 1 << 16;

/// open(2): O_WRONLY|O_CREAT, and O_TRUNC.
const WRITE_NEW: u32 = 0o101;

/// Why unpacking stopped, and at which byte of the module.
struct Damage {
    offset: usize,
    reason: String,
}

/// Unpacks a module into `view`'s root.
pub(super) fn unpack(view: &View, number: usize, module: Module) {
    let bytes = module.bytes();
    log!(Info, "initramfs: unpacking module {number} {} ({} KiB)", module.arguments, bytes.len() / 1024);
    let mut files = Files::new(view);
    let result = unpack_all(bytes, &mut files);
    files.set_directory_times();
    if let Err(Damage { offset, reason }) = result {
        log!(Error, "initramfs: module {number} is damaged at offset {offset}: {reason}; what came before is kept");
    }
    if let Some((name, error)) = &files.first_error {
        let name = name.escape_ascii();
        log!(Error, "initramfs: {} of the entries could not be made, first {name}: {error:?}", files.errors);
    }
    log!(Info, "initramfs: {} entries", files.count);
}

fn unpack_all(bytes: &[u8], files: &mut Files<'_>) -> core::result::Result<(), Damage> {
    let mut offset = 0;
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let at = |reason: String| Damage { offset, reason };
        let taken = match rest {
            [0, ..] => 1,
            [b'0', ..] => plain(rest, files).map_err(|damage| Damage { offset: offset + damage.offset, ..damage })?,
            _ if rest.starts_with(&GZIP_MAGIC) => {
                gzip(rest, files).map_err(|damage| Damage { offset: offset + damage.offset, ..damage })?
            }
            _ if rest.starts_with(&ZSTD_MAGIC) => {
                zstd(rest, files).map_err(|damage| Damage { offset: offset + damage.offset, ..damage })?
            }
            _ => return Err(at("neither cpio (newc) nor gzip nor zstd starts here".into())),
        };
        offset += taken;
    }
    Ok(())
}

/// Unpacks archives up to the end or to what is no archive; returns how many bytes they took.
fn plain(bytes: &[u8], files: &mut Files<'_>) -> core::result::Result<usize, Damage> {
    let mut parser = Parser::new();
    let mut taken = 0;
    loop {
        let piece = &bytes[taken..bytes.len().min(taken + WINDOW)];
        let damage = |problem: Problem, parser: &Parser| Damage {
            offset: parser.taken() as usize,
            reason: alloc::format!("{problem}"),
        };
        let count = parser.feed(piece, files).map_err(|problem| damage(problem, &parser))?;
        taken += count;
        task::reschedule_point();
        if taken == bytes.len() {
            parser.end().map_err(|problem| damage(problem, &parser))?;
        }
        if count < piece.len() || taken == bytes.len() {
            return Ok(taken);
        }
    }
}

/// What a decompressor gave goes into the parser; nothing may follow the archives.
fn feed(parser: &mut Parser, bytes: &[u8], files: &mut Files<'_>, offset: usize) -> core::result::Result<(), Damage> {
    task::reschedule_point();
    match parser.feed(bytes, files) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(_) => Err(Damage { offset, reason: "something else than cpio is compressed here".into() }),
        Err(problem) => {
            let reason = alloc::format!("{problem} (byte {} of the unpacked archive)", parser.taken());
            Err(Damage { offset, reason })
        }
    }
}

fn end(parser: &Parser, offset: usize) -> core::result::Result<(), Damage> {
    parser.end().map_err(|problem| Damage { offset, reason: alloc::format!("{problem}") })
}

/// Unpacks a gzip member (RFC 1952); returns how many bytes it took.
fn gzip(bytes: &[u8], files: &mut Files<'_>) -> core::result::Result<usize, Damage> {
    let truncated = || Damage { offset: bytes.len(), reason: "the gzip data ends in the middle".into() };
    let mut taken = gzip_header(bytes).ok_or_else(truncated)?;
    let mut parser = Parser::new();
    let mut inflater = Box::<DecompressorOxide>::default();
    let mut window = alloc::vec![0u8; WINDOW];
    let (mut at, mut sum, mut length) = (0, Hasher::new(), 0u32);
    loop {
        let (status, read, written) =
            decompress(&mut inflater, &bytes[taken..], &mut window, at, inflate_flags::TINFL_FLAG_HAS_MORE_INPUT);
        taken += read;
        let piece = &window[at..at + written];
        sum.update(piece);
        length = length.wrapping_add(written as u32);
        feed(&mut parser, piece, files, taken)?;
        at = (at + written) % WINDOW;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => return Err(truncated()),
            _ => return Err(Damage { offset: taken, reason: "the gzip data is wrong".into() }),
        }
    }
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    let (Some(stored), Some(size)) = (word(taken), word(taken + 4)) else { return Err(truncated()) };
    if (stored, size) != (sum.finalize(), length) {
        return Err(Damage { offset: taken, reason: "the gzip data does not match its checksum".into() });
    }
    taken += 8;
    end(&parser, taken)?;
    Ok(taken)
}

/// Returns the length of a gzip member's header; `None` if it is incomplete.
fn gzip_header(bytes: &[u8]) -> Option<usize> {
    const HEADER_CHECK: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let flags = *bytes.get(3)?;
    let mut at = 10;
    if flags & EXTRA != 0 {
        at += 2 + usize::from(*bytes.get(at)?) + (usize::from(*bytes.get(at + 1)?) << 8);
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & HEADER_CHECK != 0 {
        at += 2;
    }
    (at < bytes.len()).then_some(at)
}

/// Unpacks zstd frames up to the end or to what is none; returns how many bytes they took.
fn zstd(bytes: &[u8], files: &mut Files<'_>) -> core::result::Result<usize, Damage> {
    let mut source = bytes;
    let mut parser = Parser::new();
    let mut decoder = FrameDecoder::new();
    let mut piece: Vec<u8> = alloc::vec![0; WINDOW];
    while source.starts_with(&ZSTD_MAGIC) {
        let taken = bytes.len() - source.len();
        let damage =
            |error: FrameDecoderError, offset: usize| Damage { offset, reason: alloc::format!("zstd: {error}") };
        match decoder.init(&mut source) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                source = source.get(length as usize..).unwrap_or(&[]);
                continue;
            }
            Err(error) => return Err(damage(error, taken)),
        }
        loop {
            let before = bytes.len() - source.len();
            let decoded = decoder.decode_blocks(&mut source, BlockDecodingStrategy::UptoBytes(WINDOW));
            if decoded.is_err() {
                // The decoder keeps back what later blocks may repeat: an end of its own making brings it out.
                let _ = decoder.decode_blocks(LAST_EMPTY_BLOCK, BlockDecodingStrategy::All);
            }
            let taken = bytes.len() - source.len();
            while decoder.can_collect() > 0 {
                let count = decoder
                    .read(&mut piece)
                    .map_err(|_| Damage { offset: taken, reason: "zstd: the output cannot be read".into() })?;
                feed(&mut parser, &piece[..count], files, taken)?;
            }
            if decoded.map_err(|error| damage(error, before))? {
                break;
            }
        }
        let taken = bytes.len() - source.len();
        let stored = decoder.get_checksum_from_data();
        if stored.is_some() && stored != decoder.get_calculated_checksum() {
            return Err(Damage { offset: taken, reason: "the zstd data does not match its checksum".into() });
        }
    }
    let taken = bytes.len() - source.len();
    end(&parser, taken)?;
    Ok(taken)
}

/// Makes files of a module's entries.
struct Files<'a> {
    view: &'a View,
    /// The entry that is under way, and its data so far or the file that takes it.
    entry: Entry,
    body: Body,
    /// Names of files with several links in this archive, by what hard links have in common.
    links: BTreeMap<(u32, u32, u32), Vec<u8>>,
    /// Directories' times are set last: making files in them changes them.
    directory_times: Vec<(Vec<u8>, u32)>,
    count: usize,
    errors: usize,
    first_error: Option<(Vec<u8>, Errno)>,
}

enum Body {
    None,
    File(Arc<OpenFile>),
    Link(Vec<u8>),
}

impl cpio::Unpacker for Files<'_> {
    fn start(&mut self, entry: &Entry) {
        self.entry = entry.clone();
        self.body = Body::None;
        self.count += 1;
        let started = self.begin();
        self.note(started);
    }

    fn data(&mut self, bytes: &[u8]) {
        match &mut self.body {
            Body::None => {}
            Body::Link(text) => text.extend_from_slice(bytes),
            Body::File(file) => {
                let written = write_all(file, bytes);
                if written.is_err() {
                    self.body = Body::None;
                }
                self.note(written);
            }
        }
    }

    fn finish(&mut self) {
        let finished = self.complete();
        self.note(finished);
        self.body = Body::None;
    }

    fn end_archive(&mut self) {
        self.links.clear();
    }
}

impl<'a> Files<'a> {
    fn new(view: &'a View) -> Files<'a> {
        Files {
            view,
            entry: Entry::default(),
            body: Body::None,
            links: BTreeMap::new(),
            directory_times: Vec::new(),
            count: 0,
            errors: 0,
            first_error: None,
        }
    }

    fn note(&mut self, result: Result) {
        if let Err(error) = result {
            self.errors += 1;
            self.first_error.get_or_insert_with(|| (self.entry.name.clone(), error));
        }
    }

    fn kind(&self) -> Option<FileKind> {
        let kinds = [
            FileKind::Regular,
            FileKind::Directory,
            FileKind::Symlink,
            FileKind::CharacterDevice,
            FileKind::BlockDevice,
            FileKind::Fifo,
            FileKind::Socket,
        ];
        kinds.into_iter().find(|kind| kind.mode_bits() == self.entry.mode & 0o170000)
    }

    fn begin(&mut self) -> Result {
        let kind = self.kind().ok_or(Errno::EINVAL)?;
        let name = self.entry.name.clone();
        let permissions = self.entry.mode & 0o7777;
        self.make_way(&name, kind)?;
        let is_hard_link = self.link_to_earlier(&name, kind)?;
        match kind {
            FileKind::Regular => {
                let truncate = if is_hard_link { 0 } else { O_TRUNC };
                let file = self.view.open(&name, WRITE_NEW | truncate, permissions)?;
                self.body = Body::File(file);
            }
            FileKind::Directory => {
                match self.view.create(&name, NewNode::Directory, permissions) {
                    Ok(_) | Err(Errno::EEXIST) => {}
                    Err(error) => return Err(error),
                }
                self.directory_times.push((name, self.entry.modified));
            }
            FileKind::Symlink => self.body = Body::Link(Vec::new()),
            _ if is_hard_link => {}
            FileKind::CharacterDevice | FileKind::BlockDevice => {
                let (major, minor) = self.entry.represents;
                let node = NewNode::Device(kind, DeviceNumber { major, minor });
                self.view.create(&name, node, permissions)?;
            }
            FileKind::Fifo => drop(self.view.create(&name, NewNode::Fifo, permissions)?),
            FileKind::Socket => drop(self.view.create(&name, NewNode::Socket, permissions)?),
        }
        Ok(())
    }

    fn complete(&mut self) -> Result {
        let name = self.entry.name.clone();
        if let Body::Link(text) = core::mem::replace(&mut self.body, Body::None) {
            self.view.create(&name, NewNode::Symlink(text), 0o777)?;
        }
        let path = self.view.look_up(&name, false)?;
        let is_link = self.entry.mode & 0o170000 == FileKind::Symlink.mode_bits();
        let time = timestamp(self.entry.modified);
        path.inode().set_attributes(AttributeChange {
            permissions: (!is_link).then_some(self.entry.mode & 0o7777),
            uid: Some(self.entry.uid),
            gid: Some(self.entry.gid),
            accessed: Some(time),
            modified: Some(time),
        })
    }

    /// Removes what has the name already, if it is of another kind (later modules replace earlier ones' files).
    fn make_way(&self, name: &[u8], kind: FileKind) -> Result {
        let Ok(present) = self.view.look_up(name, false) else { return Ok(()) };
        let present = present.entry().kind();
        match (present, kind) {
            (FileKind::Regular, FileKind::Regular) | (FileKind::Directory, FileKind::Directory) => Ok(()),
            (FileKind::Directory, _) => self.view.remove_directory(name),
            _ => self.view.unlink(name),
        }
    }

    /// Links the name to an earlier entry of the same inode; returns whether there was one.
    fn link_to_earlier(&mut self, name: &[u8], kind: FileKind) -> Result<bool> {
        if self.entry.links < 2 || kind == FileKind::Directory {
            return Ok(false);
        }
        let key = (self.entry.device.0, self.entry.device.1, self.entry.inode);
        let Some(earlier) = self.links.get(&key) else {
            self.links.insert(key, name.to_vec());
            return Ok(false);
        };
        let target = self.view.look_up(earlier, false)?;
        if target.entry().kind() != kind {
            return Ok(false);
        }
        // The name may be there from an earlier module.
        match self.view.unlink(name) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        self.view.link(&target, name)?;
        Ok(true)
    }

    fn set_directory_times(&mut self) {
        for (name, modified) in core::mem::take(&mut self.directory_times) {
            let time = NewTime::At(timestamp(modified));
            let set = self.view.look_up(&name, false).and_then(|path| self.view.change_times(&path, time, time));
            self.note(set);
        }
    }
}

fn timestamp(seconds: u32) -> Timestamp {
    Timestamp::from(seconds) * 1_000_000_000
}

fn write_all(file: &OpenFile, bytes: &[u8]) -> Result {
    let mut source = Source::kernel(bytes);
    while source.remaining() > 0 {
        Errno::ENOSPC.when(file.write(&mut source)? == 0)?;
    }
    Ok(())
}
