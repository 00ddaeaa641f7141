//! The cpio archives of an initramfs: newc (`070701`) and newc with checksums (`070702`), as
//! Documentation/driver-api/early-userspace/buffer-format.rst describes them.
//!
//! A push parser: bytes come in pieces of any size (a decompressor's output), entries and their data go out to an
//! `Unpacker`. After an archive's trailer zero bytes may follow, and the next archive.

use alloc::vec::Vec;

/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Bytes in a header: the magic and thirteen fields of eight hexadecimal digits.
const HEADER_LENGTH: usize = 110;

/// The longest name, its NUL counted (PATH_MAX).
const NAME_LIMIT: usize = 4096;

/// One entry of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) inode: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    /// Seconds since 1970.
    pub(crate) modified: u32,
    pub(crate) size: u32,
    /// The device of the file system that the file came from: with `inode`, what hard links have in common.
    pub(crate) device: (u32, u32),
    /// Which device a device node stands for.
    pub(crate) represents: (u32, u32),
    pub(crate) name: Vec<u8>,
}

/// Takes what the parser finds.
pub(crate) trait Unpacker {
    /// An entry starts; its data follows in pieces.
    fn start(&mut self, entry: &Entry);
    /// A piece of the data of the entry that started last.
    fn data(&mut self, bytes: &[u8]);
    /// The entry's data is complete.
    fn finish(&mut self);
    /// An archive is complete: later entries are no hard links to its files.
    fn end_archive(&mut self) {}
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    BadMagic,
    BadNumber,
    BadName,
    BadChecksum,
    Truncated,
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Problem::BadMagic => "no cpio header where one must be",
            Problem::BadNumber => "a cpio header field is no hexadecimal number",
            Problem::BadName => "an entry's name is empty, too long or not ended by NUL",
            Problem::BadChecksum => "an entry's data does not match its checksum",
            Problem::Truncated => "the archive ends in the middle",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first or after the last archive.
    Between,
    Header,
    /// The name with its NUL and padding has this length.
    Name {
        length: usize,
        padded: usize,
    },
    Data {
        left: u32,
    },
    Padding {
        left: usize,
    },
}

/// Where the parser is.
pub(crate) struct Parser {
    state: State,
    held: Vec<u8>,
    entry: Entry,
    /// The expected and the actual sum of the data bytes, for 070702.
    checksum: Option<u32>,
    sum: u32,
    taken: u64,
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new()
    }
}

impl Parser {
    /// Makes one that waits for an archive.
    pub(crate) fn new() -> Parser {
        Parser { state: State::Between, held: Vec::new(), entry: Entry::default(), checksum: None, sum: 0, taken: 0 }
    }

    /// Returns how many bytes were taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns whether no archive is begun and not ended.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// Takes bytes; returns how many. It takes less than all only between archives, before a byte that no archive
    /// and no padding starts with: maybe compressed data.
    pub(crate) fn feed(&mut self, bytes: &[u8], unpacker: &mut dyn Unpacker) -> Result<usize, Problem> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = rest.len();
            match self.state {
                State::Between => match rest[0] {
                    0 => rest = &rest[1..],
                    b'0' => self.state = State::Header,
                    _ => break,
                },
                State::Header => {
                    if self.hold(&mut rest, HEADER_LENGTH) {
                        self.read_header()?;
                    }
                }
                State::Name { length, padded } => {
                    if self.hold(&mut rest, padded) {
                        self.read_name(length, unpacker)?;
                    }
                }
                State::Data { left } => {
                    let piece = &rest[..rest.len().min(left as usize)];
                    rest = &rest[piece.len()..];
                    self.read_data(piece, left, unpacker)?;
                }
                State::Padding { left } => {
                    let count = left.min(rest.len());
                    rest = &rest[count..];
                    self.state = if count == left { State::Header } else { State::Padding { left: left - count } };
                }
            }
            self.taken += (before - rest.len()) as u64;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Says that no more bytes come.
    pub(crate) fn end(&self) -> Result<(), Problem> {
        if self.is_between() { Ok(()) } else { Err(Problem::Truncated) }
    }

    /// Collects bytes until `length` are held; returns whether they are.
    fn hold(&mut self, rest: &mut &[u8], length: usize) -> bool {
        let count = (length - self.held.len()).min(rest.len());
        self.held.extend_from_slice(&rest[..count]);
        *rest = &rest[count..];
        self.held.len() == length
    }

    fn read_header(&mut self) -> Result<(), Problem> {
        let has_checksum = match &self.held[..6] {
            b"070701" => false,
            b"070702" => true,
            _ => return Err(Problem::BadMagic),
        };
        let mut fields = [0u32; 13];
        for (field, digits) in fields.iter_mut().zip(self.held[6..].chunks_exact(8)) {
            *field = hexadecimal(digits).ok_or(Problem::BadNumber)?;
        }
        let [inode, mode, uid, gid, links, modified, size, major, minor, rmajor, rminor, name_length, checksum] =
            fields;
        self.entry = Entry {
            inode,
            mode,
            uid,
            gid,
            links,
            modified,
            size,
            device: (major, minor),
            represents: (rmajor, rminor),
            name: Vec::new(),
        };
        self.checksum = has_checksum.then_some(checksum);
        self.sum = 0;

        let length = name_length as usize;
        if length == 0 || length > NAME_LIMIT {
            return Err(Problem::BadName);
        }
        self.held.clear();
        self.state = State::Name { length, padded: length + padding(HEADER_LENGTH + length) };
        Ok(())
    }

    fn read_name(&mut self, length: usize, unpacker: &mut dyn Unpacker) -> Result<(), Problem> {
        let name = &self.held[..length];
        let end = name.iter().position(|byte| *byte == 0).filter(|end| *end > 0).ok_or(Problem::BadName)?;
        self.entry.name = name[..end].to_vec();
        self.held.clear();
        if self.entry.name == TRAILER {
            self.state = State::Between;
            unpacker.end_archive();
            return Ok(());
        }
        unpacker.start(&self.entry);
        if self.entry.size == 0 {
            return self.finish_entry(unpacker);
        }
        self.state = State::Data { left: self.entry.size };
        Ok(())
    }

    fn read_data(&mut self, piece: &[u8], left: u32, unpacker: &mut dyn Unpacker) -> Result<(), Problem> {
        if self.checksum.is_some() {
            self.sum = piece.iter().fold(self.sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        }
        unpacker.data(piece);
        let left = left - piece.len() as u32;
        if left > 0 {
            self.state = State::Data { left };
            return Ok(());
        }
        self.finish_entry(unpacker)
    }

    fn finish_entry(&mut self, unpacker: &mut dyn Unpacker) -> Result<(), Problem> {
        // Of hard links only one carries data; the checksum counts for that one (cpio(1) writes 0 elsewhere).
        if self.checksum.is_some_and(|checksum| self.entry.size > 0 && checksum != self.sum) {
            return Err(Problem::BadChecksum);
        }
        unpacker.finish();
        let left = padding(self.entry.size as usize);
        self.state = if left == 0 { State::Header } else { State::Padding { left } };
        Ok(())
    }
}

/// Returns how many bytes follow `length` bytes up to the next multiple of four.
fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| Some(value << 4 | (*digit as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::{Entry, Parser, Problem, Unpacker};
    use alloc::vec::Vec;

    #[derive(Default)]
    struct Collected {
        files: Vec<(Entry, Vec<u8>)>,
        finished: usize,
        archives: usize,
    }

    impl Unpacker for Collected {
        fn start(&mut self, entry: &Entry) {
            self.files.push((entry.clone(), Vec::new()));
        }
        fn data(&mut self, bytes: &[u8]) {
            self.files.last_mut().expect("data follows a start").1.extend_from_slice(bytes);
        }
        fn finish(&mut self) {
            self.finished += 1;
        }
        fn end_archive(&mut self) {
            self.archives += 1;
        }
    }

    fn entry(magic: &str, name: &str, data: &[u8], checksum: u32) -> Vec<u8> {
        let length = name.len() + 1;
        let fields = [7, 0o100644, 1, 2, 1, 1234, data.len() as u32, 8, 1, 4, 64, length as u32, checksum];
        let mut bytes = magic.as_bytes().to_vec();
        for field in fields {
            bytes.extend_from_slice(alloc::format!("{field:08X}").as_bytes());
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive() -> Vec<u8> {
        [
            entry("070701", "etc/passwd", b"root", 0),
            entry("070701", "odd", b"12345", 0),
            entry("070701", "empty", b"", 0),
            entry("070701", "TRAILER!!!", b"", 0),
        ]
        .concat()
    }

    fn unpack(bytes: &[u8], piece: usize) -> (Collected, Result<(), Problem>, usize) {
        let (mut parser, mut collected, mut taken) = (Parser::new(), Collected::default(), 0);
        for piece in bytes.chunks(piece) {
            match parser.feed(piece, &mut collected) {
                Ok(count) => taken += count,
                Err(problem) => return (collected, Err(problem), taken),
            }
        }
        (collected, parser.end(), taken)
    }

    #[test]
    fn entries_come_out_whatever_the_size_of_the_pieces() {
        for piece in [1, 2, 3, 7, 110, 111, 4096] {
            let (collected, end, _) = unpack(&archive(), piece);
            assert_eq!(end, Ok(()));
            let names: Vec<_> = collected.files.iter().map(|(entry, data)| (&entry.name[..], &data[..])).collect();
            assert_eq!(names, [(&b"etc/passwd"[..], &b"root"[..]), (b"odd", b"12345"), (b"empty", b"")]);
            assert_eq!((collected.finished, collected.archives), (3, 1));
        }
        let (collected, ..) = unpack(&archive(), 4096);
        let first = &collected.files[0].0;
        assert_eq!((first.mode, first.uid, first.gid, first.modified), (0o100644, 1, 2, 1234));
        assert_eq!((first.device, first.represents), ((8, 1), (4, 64)));
    }

    #[test]
    fn archives_follow_each_other_with_zeros_between() {
        let bytes = [archive(), alloc::vec![0; 516], archive()].concat();
        let (collected, end, _) = unpack(&bytes, 100);
        assert_eq!((end, collected.files.len(), collected.archives), (Ok(()), 6, 2));
    }

    #[test]
    fn stops_before_compressed_data() {
        let bytes = [archive(), alloc::vec![0; 4], alloc::vec![0x1f, 0x8b, 8]].concat();
        let mut parser = Parser::new();
        let taken = parser.feed(&bytes, &mut Collected::default());
        assert_eq!(taken, Ok(bytes.len() - 3));
        assert!(parser.is_between());
    }

    #[test]
    fn a_truncated_archive_keeps_what_came_before() {
        let whole = archive();
        for length in 1..whole.len() {
            let (collected, end, _) = unpack(&whole[..length], 64);
            // The trailer's last bytes are padding: without them only the end of the name is missing.
            assert_eq!(end, Err(Problem::Truncated), "length {length}");
            assert!(collected.finished <= 3);
            for (entry, data) in &collected.files[..collected.finished] {
                assert_eq!(data.len(), entry.size as usize);
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let good = entry("070702", "sum", b"abc", 294);
        assert_eq!(unpack(&[good, archive()].concat(), 64).1, Ok(()));
        let bad = entry("070702", "sum", b"abd", 294);
        assert_eq!(unpack(&bad, 64).1, Err(Problem::BadChecksum));
        assert_eq!(unpack(&entry("070707", "old", b"", 0), 64).1, Err(Problem::BadMagic));
        let mut number = archive();
        number[20] = b'g';
        assert_eq!(unpack(&number, 64).1, Err(Problem::BadNumber));
        let mut name = archive();
        name[94..102].copy_from_slice(b"00000000");
        assert_eq!(unpack(&name, 64).1, Err(Problem::BadName));
    }
}
