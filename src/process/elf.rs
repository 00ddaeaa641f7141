//! An ELF file's way into an address space: reads what `util::elf_layout` checks, maps what it says.

use super::exec::check_executable;
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, StatusFlags};
use crate::fs::{Path, View, open_to_run};
use crate::machine::memory::{PAGE_SIZE, USER_END};
use crate::util::elf_layout::{Header, Layout, Malformed, PROGRAM_HEADER_SIZE, Segment};
use crate::vm::{
    AddressSpace, Destination, MapRequest, Mapping, PageCache, Placement, Protection, random_offset, round_up,
};
use alloc::{sync::Arc, vec::Vec};

const PAGE: u64 = PAGE_SIZE as u64;

/// Where a relocatable program with an interpreter goes, before its random offset (Linux's ELF_ET_DYN_BASE, whole pages:
/// the heap of one without an interpreter starts here).
const RELOCATABLE_BASE: u64 = USER_END / 3 * 2 / PAGE * PAGE;

/// How far that is moved up at random, at most (28 bits of pages).
const BASE_RANDOM: u64 = (1 << 28) * PAGE;

/// How much of a file is read at first.
pub(super) const START_LENGTH: usize = 1024;

/// A file open for execution.
pub(super) struct Executable {
    pub(super) path: Path,
    open: Arc<OpenFile>,
}

/// What an ELF file asks for.
pub(super) struct Image {
    header: Header,
    pub(super) layout: Layout,
    /// The name of the interpreter, if it wants one.
    pub(super) interpreter: Option<Vec<u8>>,
    pub(super) program_header_count: u64,
}

/// Where an image came to lie.
pub(super) struct Loaded {
    pub(super) entry: u64,
    /// What was added to the file's addresses.
    pub(super) bias: u64,
    pub(super) program_headers: u64,
    /// Where the heap may start.
    pub(super) heap: u64,
}

impl From<Malformed> for Errno {
    fn from(_: Malformed) -> Errno {
        Errno::ENOEXEC
    }
}

impl Executable {
    /// Opens a file to run it: EACCES if it is not regular or must not be executed, ETXTBSY if it is open for writing.
    /// While its pages are mapped, nobody opens it for writing.
    pub(super) fn open(view: &View, path: Path) -> Result<Executable> {
        check_executable(&path, &view.identity)?;
        let open = open_to_run(&path, &view.identity)?;
        Ok(Executable { path, open })
    }

    /// Opens an ELF interpreter: as `open`, but writing to it stays possible, as on Linux.
    pub(super) fn open_interpreter(view: &View, path: Path) -> Result<Executable> {
        check_executable(&path, &view.identity)?;
        let flags = StatusFlags::empty();
        let file = path.inode().open(&path, flags, &view.identity)?;
        let open = OpenFile::new_at(file, flags, Arc::new(path.clone()));
        Ok(Executable { path, open })
    }

    /// Reads the start of the file, which has all headers of most programs; zeros where it is shorter.
    pub(super) fn start(&self) -> Result<[u8; START_LENGTH]> {
        let mut start = [0; START_LENGTH];
        self.read(0, &mut start)?;
        Ok(start)
    }

    /// Reads from `offset` until `bytes` is full or the file ends; returns how many bytes.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        let mut to = Destination::kernel(bytes);
        while to.remaining() > 0 {
            let position = offset + to.done() as u64;
            if self.open.read_at(&mut to, position)? == 0 {
                break;
            }
        }
        Ok(to.done())
    }

    fn cache(&self) -> Result<Arc<PageCache>> {
        self.open.file().page_cache().map_err(|_| Errno::ENOEXEC)
    }
}

impl Image {
    /// Checks the headers of the file that begins with `start`: ENOEXEC.
    pub(super) fn read(executable: &Executable, start: &[u8; START_LENGTH]) -> Result<Image> {
        let header = Header::parse(start)?;
        let file_size = executable.cache()?.size();
        let table = header.program_headers.clone();
        Errno::ENOEXEC.when(table.end > file_size)?;
        let mut read = Vec::new();
        let bytes = match start.get(table.start as usize..table.end as usize) {
            Some(bytes) => bytes,
            None => {
                read.resize((table.end - table.start) as usize, 0);
                executable.read(table.start, &mut read)?;
                &read
            }
        };
        let layout = Layout::parse(&header, bytes, file_size)?;
        let interpreter = layout.interpreter.clone().map(|place| read_name(executable, place)).transpose()?;
        let program_header_count = (bytes.len() / PROGRAM_HEADER_SIZE) as u64;
        Ok(Image { header, layout, interpreter, program_header_count })
    }

    /// Maps the segments into `space`: ENOEXEC where they cannot lie, ENOMEM.
    pub(super) fn map(&self, space: &AddressSpace, executable: &Executable) -> Result<Loaded> {
        let bias = self.choose_bias(space)?;
        for segment in &self.layout.segments {
            map_segment(space, executable, segment, bias)?;
        }
        let is_own_loader = self.header.is_relocatable && self.interpreter.is_none();
        let end = round_up(self.layout.end().wrapping_add(bias));
        let program_headers = match self.layout.program_headers {
            0 => 0,
            address => address.wrapping_add(bias),
        };
        Ok(Loaded {
            entry: self.header.entry.wrapping_add(bias),
            bias,
            program_headers,
            // A static PIE lies among the mappings, where a heap could not grow (Linux's load_elf_binary).
            heap: if is_own_loader { RELOCATABLE_BASE } else { end },
        })
    }

    fn choose_bias(&self, space: &AddressSpace) -> Result<u64> {
        let span = self.layout.span();
        if !self.header.is_relocatable {
            return if span.end <= USER_END { Ok(0) } else { Err(Errno::ENOEXEC) };
        }
        let length = span.end - span.start;
        let alignment = self.layout.alignment;
        let start = if self.interpreter.is_some() {
            (RELOCATABLE_BASE + random_offset(BASE_RANDOM)) & !(alignment - 1)
        } else {
            let room = length.checked_add(alignment - PAGE).ok_or(Errno::ENOEXEC)?;
            space.find_free(room)?.next_multiple_of(alignment)
        };
        Errno::ENOEXEC.when(start.checked_add(length).is_none_or(|end| end > USER_END))?;
        Ok(start.wrapping_sub(span.start))
    }
}

/// Maps one segment: its part of the file, then zero pages; the rest of the file's last page is cleared.
fn map_segment(space: &AddressSpace, executable: &Executable, segment: &Segment, bias: u64) -> Result {
    static ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

    let mut protection = Protection::empty();
    protection.set(Protection::READ, segment.is_readable);
    protection.set(Protection::WRITE, segment.is_writable);
    protection.set(Protection::EXECUTE, segment.is_executable);

    let start = segment.address.wrapping_add(bias);
    let file_end = start + segment.file_size;
    let memory_end = round_up(start + segment.memory_size);
    let mut zero_start = start & !(PAGE - 1);
    if segment.file_size > 0 {
        let within = start % PAGE;
        let mapping = Mapping::File {
            cache: executable.cache()?,
            offset: segment.offset - within,
            owner: Some(executable.open.clone()),
        };
        let length = within + segment.file_size;
        let request = MapRequest { mapping, ..fixed(start - within, length, protection) };
        space.map(request).map_err(refuse_address)?;
        zero_start = round_up(file_end);

        let is_partial = segment.memory_size > segment.file_size && file_end < zero_start;
        if is_partial {
            let tail = (zero_start - file_end) as usize;
            Errno::ENOMEM.when(space.write_remote(file_end, &ZEROS[..tail]) < tail)?;
        }
    }
    if memory_end > zero_start {
        space.map(fixed(zero_start, memory_end - zero_start, protection)).map_err(refuse_address)?;
    }
    Ok(())
}

fn fixed(start: u64, length: u64, protection: Protection) -> MapRequest {
    MapRequest { placement: Placement::Fixed(start), protection, ..MapRequest::anonymous(length) }
}

/// A segment at an address that no program may map makes the file unusable.
fn refuse_address(error: Errno) -> Errno {
    if error == Errno::ENOMEM { Errno::ENOMEM } else { Errno::ENOEXEC }
}

fn read_name(executable: &Executable, place: core::ops::Range<u64>) -> Result<Vec<u8>> {
    let mut name = alloc::vec![0; (place.end - place.start) as usize + 1];
    Errno::ENOEXEC.when(executable.read(place.start, &mut name)? < name.len() || name.pop() != Some(0))?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    name.truncate(end);
    Ok(name)
}
