//! Moving bytes between two files inside the kernel: sendfile, copy_file_range, splice, tee, vmsplice.

use super::argument::Fd;
use super::context::Ctx;
use super::file::{IoVecs, MAX_RW_LENGTH, allowed_length, readable, with_broken_pipe_signal, writable};
use crate::errno::{Errno, Result};
use crate::file::pipe::PipeEnd;
use crate::file::{FileKind, OpenFile, StatusFlags};
use crate::machine::memory::PAGE_SIZE;
use crate::vm::{Destination, Source, UserPtr};
use alloc::{sync::Arc, vec, vec::Vec};
use linux_raw_sys::general::SPLICE_F_NONBLOCK;

/// How many bytes are in the kernel's hands at a time.
const CHUNK: usize = 64 * 1024;

const SPLICE_ALL: u32 = 0xf;

/// Where in a file a transfer goes on: at an offset of the caller's, or at the file position.
struct Place<'a> {
    file: &'a OpenFile,
    given: Option<UserPtr<'a, i64>>,
    start: u64,
}

impl<'a> Place<'a> {
    fn new(file: &'a OpenFile, given: UserPtr<'a, i64>) -> Result<Place<'a>> {
        let given = given.non_null();
        Errno::ESPIPE.when(given.is_some() && !file.file().is_seekable())?;
        let start = match given {
            Some(offset) => u64::try_from(offset.read()?).map_err(|_| Errno::EINVAL)?,
            None => file.position(),
        };
        Ok(Place { file, given, start })
    }

    /// Reads `bytes` full, or to the end, from `done` bytes after the start.
    fn read(&self, bytes: &mut [u8], done: usize) -> Result<usize> {
        let mut to = Destination::kernel(bytes);
        if self.file.file().is_seekable() {
            self.file.read_at(&mut to, self.start + done as u64)
        } else {
            self.file.read(&mut to)
        }
    }

    fn write(&self, bytes: &[u8], done: usize) -> Result<usize> {
        let mut from = Source::kernel(bytes);
        if self.file.file().is_seekable() && !self.file.flags().contains(StatusFlags::APPEND) {
            self.file.write_at(&mut from, self.start + done as u64)
        } else {
            self.file.write(&mut from)
        }
    }

    /// Stores how far the transfer came, there where it started from.
    fn advance(&self, done: usize) -> Result {
        let end = self.start as i64 + done as i64;
        match self.given {
            Some(offset) => offset.write(&end),
            None if self.file.file().is_seekable() && !self.file.flags().contains(StatusFlags::APPEND) => {
                self.file.seek(end, 0).map(|_| ())
            }
            None => Ok(()),
        }
    }
}

/// Copies up to `length` bytes from one place to the other; an error counts only if nothing was copied.
fn copy(from: &Place<'_>, to: &Place<'_>, length: usize) -> Result<usize> {
    let mut buffer = vec![0; length.min(CHUNK)];
    let mut done = 0;
    while done < length {
        let wanted = (length - done).min(CHUNK);
        let step = from.read(&mut buffer[..wanted], done).and_then(|count| match count {
            0 => Ok((0, 0)),
            _ => to.write(&buffer[..count], done).map(|written| (count, written)),
        });
        match step {
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
            Ok((read, written)) => {
                done += written;
                if read == 0 || written < read {
                    break;
                }
            }
        }
    }
    from.advance(done)?;
    to.advance(done)?;
    Ok(done)
}

/// sendfile(2).
pub(crate) fn sendfile(ctx: &Ctx<'_>, out: Fd, input: Fd, offset: UserPtr<'_, i64>, count: usize) -> Result<usize> {
    let input = readable(ctx, input)?;
    let from = Place::new(&input, offset)?;
    let output = writable(ctx, out)?;
    // "EINVAL … out_fd has the O_APPEND flag set"; "in_fd … must correspond to a file which supports mmap-like operations"
    let kind = input.file().metadata()?.kind;
    Errno::EINVAL.when(
        !matches!(kind, FileKind::Regular | FileKind::BlockDevice) || output.flags().contains(StatusFlags::APPEND),
    )?;
    let to = Place::new(&output, UserPtr::new(ctx.space(), 0))?;
    let count = allowed_length(ctx, &output, None, count.min(MAX_RW_LENGTH))?;
    with_broken_pipe_signal(ctx, &output, copy(&from, &to, count))
}

/// copy_file_range(2).
pub(crate) fn copy_file_range(
    ctx: &Ctx<'_>, input: Fd, input_offset: UserPtr<'_, i64>, out: Fd, output_offset: UserPtr<'_, i64>, length: usize,
    flags: u32,
) -> Result<usize> {
    let input = ctx.file(input)?;
    let output = ctx.file(out)?;
    Errno::EINVAL.when(flags != 0)?;
    let (from, to) = (Place::new(&input, input_offset)?, Place::new(&output, output_offset)?);
    let (source, target) = (input.file().metadata()?, output.file().metadata()?);
    Errno::EISDIR.when(source.kind == FileKind::Directory || target.kind == FileKind::Directory)?;
    Errno::EINVAL.when(source.kind != FileKind::Regular || target.kind != FileKind::Regular)?;
    Errno::EBADF.when(!input.is_readable() || !output.is_writable() || output.flags().contains(StatusFlags::APPEND))?;
    let length = length.min(MAX_RW_LENGTH);
    let is_same = (source.device, source.inode) == (target.device, target.inode);
    Errno::EINVAL.when(is_same && from.start < to.start + length as u64 && to.start < from.start + length as u64)?;
    let length = allowed_length(ctx, &output, Some(to.start), length)?;
    copy(&from, &to, length)
}

/// splice(2).
pub(crate) fn splice(
    ctx: &Ctx<'_>, input: Fd, input_offset: UserPtr<'_, i64>, out: Fd, output_offset: UserPtr<'_, i64>, length: usize,
    flags: u32,
) -> Result<usize> {
    if length == 0 {
        return Ok(0);
    }
    Errno::EINVAL.when(flags & !SPLICE_ALL != 0)?;
    let input = readable(ctx, input)?;
    let output = writable(ctx, out)?;
    let length = length.min(MAX_RW_LENGTH);
    let result = match (input.downcast::<PipeEnd>(), output.downcast::<PipeEnd>()) {
        (None, None) => Err(Errno::EINVAL),
        (Some(from), Some(to)) if Arc::ptr_eq(from.pipe(), to.pipe()) => Err(Errno::EINVAL),
        (Some(_), _) if !input_offset.is_null() => Err(Errno::ESPIPE),
        (_, Some(_)) if !output_offset.is_null() => Err(Errno::ESPIPE),
        (Some(from), _) => from_pipe(ctx, &input, &from, &output, output_offset, length, flags),
        (None, Some(to)) => to_pipe(&input, input_offset, &output, &to, length, flags),
    };
    with_broken_pipe_signal(ctx, &output, result)
}

fn is_non_blocking(file: &OpenFile, flags: u32) -> bool {
    file.flags().is_non_blocking() || flags & SPLICE_F_NONBLOCK != 0
}

fn from_pipe(
    ctx: &Ctx<'_>, input: &OpenFile, from: &PipeEnd, output: &OpenFile, offset: UserPtr<'_, i64>, length: usize,
    flags: u32,
) -> Result<usize> {
    Errno::EINVAL.when(output.flags().contains(StatusFlags::APPEND))?;
    let to = Place::new(output, offset)?;
    let length = allowed_length(ctx, output, Some(to.start), length)?;
    let mut buffer = vec![0; PAGE_SIZE];
    let mut done = 0;
    let result = from.drain(length, is_non_blocking(input, flags), |frame, start, count| {
        frame.read(start, &mut buffer[..count]);
        let written = to.write(&buffer[..count], done)?;
        done += written;
        Ok(written)
    });
    to.advance(done)?;
    result
}

fn to_pipe(
    input: &OpenFile, offset: UserPtr<'_, i64>, output: &OpenFile, to: &PipeEnd, length: usize, flags: u32,
) -> Result<usize> {
    let from = Place::new(input, offset)?;
    let room = to.wait_for_room(is_non_blocking(output, flags))?;
    let mut buffer: Vec<u8> = vec![0; length.min(room).min(CHUNK)];
    let count = from.read(&mut buffer, 0)?;
    let written = output.write(&mut Source::kernel(&buffer[..count]))?;
    from.advance(written)?;
    Ok(written)
}

/// tee(2).
pub(crate) fn tee(ctx: &Ctx<'_>, input: Fd, out: Fd, length: usize, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(flags & !SPLICE_ALL != 0)?;
    if length == 0 {
        return Ok(0);
    }
    let input = readable(ctx, input)?;
    let output = writable(ctx, out)?;
    let (Some(from), Some(to)) = (input.downcast::<PipeEnd>(), output.downcast::<PipeEnd>()) else {
        return Err(Errno::EINVAL);
    };
    Errno::EINVAL.when(Arc::ptr_eq(from.pipe(), to.pipe()))?;
    let non_blocking = is_non_blocking(&input, flags) || output.flags().is_non_blocking();
    with_broken_pipe_signal(ctx, &output, from.tee(&to, length, non_blocking))
}

/// vmsplice(2): copies; "gifted" pages stay the caller's, which it can not tell.
pub(crate) fn vmsplice(ctx: &Ctx<'_>, fd: Fd, areas: IoVecs<'_>, flags: u32) -> Result<usize> {
    Errno::EINVAL.when(flags & !SPLICE_ALL != 0)?;
    let file = ctx.file(fd)?;
    let pipe = file.downcast::<PipeEnd>().ok_or(Errno::EBADF)?;
    let areas = areas.read()?;
    if file.is_writable() {
        let length: usize = areas.iter().map(|(_, length)| length).sum();
        if length > 0 && flags & SPLICE_F_NONBLOCK != 0 {
            pipe.wait_for_room(true)?;
        }
        with_broken_pipe_signal(ctx, &file, file.write(&mut Source::user(ctx.space(), areas)))
    } else {
        file.read(&mut Destination::user(ctx.space(), areas))
    }
}
