//! What an ELF64 file for x86-64 asks to be loaded, checked: segments in order, without overlap, inside the file and
//! the address space (System V ABI, "Program Loading"; elf(5)). Bytes in, numbers out; nothing is mapped here.

use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of the ELF header.
const HEADER_SIZE: usize = 64;

/// Bytes of one program header.
pub(crate) const PROGRAM_HEADER_SIZE: usize = 56;

/// The most bytes of program headers (Linux's limit).
const MAX_PROGRAM_HEADERS: usize = 65536;

/// The longest interpreter name with its NUL (PATH_MAX).
const MAX_INTERPRETER: u64 = 4096;

const PAGE: u64 = 4096;

/// Addresses that a segment may use end here, whatever is added to them.
const ADDRESS_END: u64 = 1 << 47;

const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
const MACHINE_X86_64: u16 = 62;

const SEGMENT_LOAD: u32 = 1;
const SEGMENT_INTERPRETER: u32 = 3;
const SEGMENT_GNU_STACK: u32 = 0x6474_e551;

const FLAG_EXECUTE: u32 = 1;
const FLAG_WRITE: u32 = 2;
const FLAG_READ: u32 = 4;

/// The file is no program that can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What the ELF header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// May be loaded anywhere (ET_DYN): addresses are relative to where.
    pub(crate) is_relocatable: bool,
    pub(crate) entry: u64,
    /// Where the program headers lie in the file.
    pub(crate) program_headers: Range<u64>,
}

/// One piece of the file to be mapped (PT_LOAD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) file_size: u64,
    /// The rest beyond `file_size` is zero.
    pub(crate) memory_size: u64,
    pub(crate) is_readable: bool,
    pub(crate) is_writable: bool,
    pub(crate) is_executable: bool,
}

/// What the program headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// At least one; ascending.
    pub(crate) segments: Vec<Segment>,
    /// Where the interpreter's name lies in the file, without its NUL.
    pub(crate) interpreter: Option<Range<u64>>,
    pub(crate) has_executable_stack: bool,
    /// The greatest alignment of the segments, a power of two of at least a page.
    pub(crate) alignment: u64,
    /// The address of the program headers in memory; 0 if no segment holds them.
    pub(crate) program_headers: u64,
}

impl Header {
    /// Reads the header from the file's first bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
        // Magic, 64 bits, little endian, version 1.
        if bytes.len() < HEADER_SIZE || bytes[..7] != *b"\x7fELF\x02\x01\x01" {
            return Err(Malformed);
        }
        let kind = read_u16(bytes, 16);
        let count = usize::from(read_u16(bytes, 56));
        let size = count * PROGRAM_HEADER_SIZE;
        let is_usable = matches!(kind, TYPE_EXECUTABLE | TYPE_SHARED)
            && read_u16(bytes, 18) == MACHINE_X86_64
            && usize::from(read_u16(bytes, 54)) == PROGRAM_HEADER_SIZE
            && (1..=MAX_PROGRAM_HEADERS).contains(&size);
        let start = read_u64(bytes, 32);
        let end = start.checked_add(size as u64).ok_or(Malformed)?;
        if !is_usable || end > i64::MAX as u64 {
            return Err(Malformed);
        }
        Ok(Header { is_relocatable: kind == TYPE_SHARED, entry: read_u64(bytes, 24), program_headers: start..end })
    }
}

impl Layout {
    /// Reads the program headers, which are `bytes`, of a file of `file_length` bytes.
    pub(crate) fn parse(header: &Header, bytes: &[u8], file_length: u64) -> Result<Layout, Malformed> {
        let mut layout = Layout {
            segments: Vec::new(),
            interpreter: None,
            has_executable_stack: false,
            alignment: PAGE,
            program_headers: 0,
        };
        for entry in bytes.chunks_exact(PROGRAM_HEADER_SIZE) {
            let flags = read_u32(entry, 4);
            match read_u32(entry, 0) {
                SEGMENT_LOAD => layout.add_segment(entry, flags, file_length)?,
                SEGMENT_INTERPRETER if layout.interpreter.is_none() => {
                    let (offset, length) = (read_u64(entry, 8), read_u64(entry, 32));
                    let end = offset.checked_add(length).filter(|end| *end <= file_length).ok_or(Malformed)?;
                    if !(2..=MAX_INTERPRETER).contains(&length) {
                        return Err(Malformed);
                    }
                    layout.interpreter = Some(offset..end - 1);
                }
                SEGMENT_GNU_STACK => layout.has_executable_stack = flags & FLAG_EXECUTE != 0,
                _ => {}
            }
        }
        if layout.segments.is_empty() {
            return Err(Malformed);
        }
        let headers = header.program_headers.start;
        if let Some(holder) =
            layout.segments.iter().find(|one| (one.offset..one.offset + one.file_size).contains(&headers))
        {
            layout.program_headers = headers - holder.offset + holder.address;
        }
        Ok(layout)
    }

    /// Returns the pages from the first segment's start to the last one's end.
    pub(crate) fn span(&self) -> Range<u64> {
        let start = self.segments.first().map_or(0, |first| first.address & !(PAGE - 1));
        start..(self.end() + PAGE - 1) & !(PAGE - 1)
    }

    /// Returns the address after the last byte of the last segment.
    pub(crate) fn end(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.address + last.memory_size)
    }

    fn add_segment(&mut self, entry: &[u8], flags: u32, file_length: u64) -> Result<(), Malformed> {
        let segment = Segment {
            address: read_u64(entry, 16),
            offset: read_u64(entry, 8),
            file_size: read_u64(entry, 32),
            memory_size: read_u64(entry, 40),
            is_readable: flags & FLAG_READ != 0,
            is_writable: flags & FLAG_WRITE != 0,
            is_executable: flags & FLAG_EXECUTE != 0,
        };
        if segment.memory_size == 0 {
            return Ok(());
        }
        let file_end = segment.offset.checked_add(segment.file_size).ok_or(Malformed)?;
        let end = segment.address.checked_add(segment.memory_size).ok_or(Malformed)?;
        let follows = segment.address >= self.end();
        let is_congruent = segment.file_size == 0 || segment.address % PAGE == segment.offset % PAGE;
        let fits = segment.file_size <= segment.memory_size && file_end <= file_length && end <= ADDRESS_END;
        if !(follows && is_congruent && fits) {
            return Err(Malformed);
        }
        let alignment = read_u64(entry, 48);
        if alignment.is_power_of_two() && alignment < ADDRESS_END {
            self.alignment = self.alignment.max(alignment);
        }
        self.segments.push(segment);
        Ok(())
    }
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from(read_u16(bytes, at)) | u32::from(read_u16(bytes, at + 2)) << 16
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from(read_u32(bytes, at)) | u64::from(read_u32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::{HEADER_SIZE, Header, Layout, Malformed, PROGRAM_HEADER_SIZE};
    use alloc::vec::Vec;

    fn header(kind: u16, count: u16) -> Vec<u8> {
        let mut bytes = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        bytes.extend(kind.to_le_bytes());
        bytes.extend(62_u16.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(0x40_1000_u64.to_le_bytes());
        bytes.extend(64_u64.to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(64_u16.to_le_bytes());
        bytes.extend(56_u16.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend([0; 6]);
        bytes
    }

    fn program_header(kind: u32, flags: u32, offset: u64, address: u64, sizes: [u64; 2], alignment: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        for value in [offset, address, address, sizes[0], sizes[1], alignment] {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    fn parse(headers: &[Vec<u8>], length: u64) -> Result<Layout, Malformed> {
        let header = Header::parse(&header(2, headers.len() as u16))?;
        Layout::parse(&header, &headers.concat(), length)
    }

    #[test]
    fn a_usual_program() {
        let layout = parse(
            &[
                program_header(1, 4, 0, 0x40_0000, [0x500, 0x500], 0x1000),
                program_header(1, 5, 0x1000, 0x40_1000, [0x800, 0x800], 0x20_0000),
                program_header(1, 6, 0x1f00, 0x40_3f00, [0x100, 0x4000], 0x1000),
                program_header(0x6474_e551, 6, 0, 0, [0, 0], 16),
            ],
            0x3000,
        )
        .expect("well formed");
        assert_eq!(layout.span(), 0x40_0000..0x40_8000);
        assert_eq!(layout.end(), 0x40_7f00);
        assert_eq!(layout.program_headers, 0x40_0040);
        assert_eq!(layout.alignment, 0x20_0000);
        assert!(!layout.has_executable_stack && layout.interpreter.is_none());
        assert!(layout.segments[1].is_executable && !layout.segments[1].is_writable);
    }

    #[test]
    fn the_interpreter_is_found_without_its_nul() {
        let load = program_header(1, 4, 0, 0x40_0000, [0x500, 0x500], 0x1000);
        let layout = parse(&[program_header(3, 4, 0x200, 0, [28, 28], 1), load.clone()], 0x500).expect("well formed");
        assert_eq!(layout.interpreter, Some(0x200..0x200 + 27));
        assert!(parse(&[program_header(3, 4, 0x4f0, 0, [28, 28], 1), load.clone()], 0x500).is_err());
        assert!(parse(&[program_header(3, 4, 0x200, 0, [1, 1], 1), load], 0x500).is_err());
    }

    #[test]
    fn what_must_be_refused() {
        let good = program_header(1, 4, 0, 0x40_0000, [0x500, 0x500], 0x1000);
        let refused = [
            program_header(1, 4, 0, 0x40_0400, [0x500, 0x500], 0x1000), // overlaps, not congruent
            program_header(1, 4, 0x400, 0x40_0400, [0x10, 0x10], 0x1000), // overlaps
            program_header(1, 4, 0, 0x10_0000, [0x10, 0x10], 0x1000),   // descends
            program_header(1, 4, 0x10, 0x50_0000, [0x10, 0x10], 0x1000), // not congruent
            program_header(1, 4, 0, 0x50_0000, [0x20, 0x10], 0x1000),   // more in the file than in memory
            program_header(1, 4, 0, 0x50_0000, [0x501, 0x501], 0x1000), // truncated
            program_header(1, 4, u64::MAX, u64::MAX - 4096, [0x10, 0x10], 0x1000), // wraps
            program_header(1, 4, 0, 0x50_0000, [0x10, u64::MAX], 0x1000), // wraps
            program_header(1, 4, 0, 0x50_0000, [0x10, 1 << 47], 0x1000), // leaves user space
        ];
        assert!(parse(core::slice::from_ref(&good), 0x500).is_ok());
        for bad in refused {
            assert_eq!(parse(&[good.clone(), bad], 0x500), Err(Malformed));
        }
        assert_eq!(parse(&[program_header(4, 4, 0, 0, [4, 4], 4)], 0x500), Err(Malformed));
    }

    #[test]
    fn headers_that_lie() {
        assert!(Header::parse(&header(2, 1)).is_ok());
        assert!(Header::parse(&header(3, 1)).is_ok_and(|header| header.is_relocatable));
        assert!(Header::parse(&header(1, 1)).is_err());
        assert!(Header::parse(&header(2, 0)).is_err());
        assert!(Header::parse(&header(2, 2000)).is_err());
        assert!(Header::parse(&header(2, 1)[..HEADER_SIZE - 1]).is_err());
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut seed = 99_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            seed >> 24
        };
        let good = program_header(1, 4, 0, 0x40_0000, [0x500, 0x500], 0x1000);
        for _ in 0..50_000 {
            let mut file = header(2 + (random() % 2) as u16, 3);
            let mut entries = [good.clone(), good.clone(), good.clone()].concat();
            for _ in 0..random() % 12 {
                let at = (random() % entries.len() as u64) as usize;
                entries[at] = random() as u8;
                let at = (random() % 64) as usize;
                file[at] = random() as u8;
            }
            if let Ok(header) = Header::parse(&file)
                && let Ok(layout) = Layout::parse(&header, &entries, random() % 0x10000)
            {
                assert!(layout.span().start < layout.span().end);
                assert!(layout.segments.len() * PROGRAM_HEADER_SIZE <= entries.len());
            }
        }
    }
}
