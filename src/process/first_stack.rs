//! The stack that a program finds at its entry: from the stack pointer up argc, argv, envp, the auxiliary vector, then
//! random bytes and the strings (System V ABI x86-64, 3.4.1; the places of the strings as on Linux).

use crate::errno::{Errno, Result};
use crate::machine::memory::PAGE_SIZE;
use crate::machine::random;
use crate::vm::{AddressSpace, Label, MapRequest, Placement, Protection, round_up};
use alloc::vec::Vec;
use core::ops::Range;
use linux_raw_sys::auxvec;

const PAGE: u64 = PAGE_SIZE as u64;

/// The longest argument or environment string, with its NUL (Linux's MAX_ARG_STRLEN).
const MAX_STRING: usize = 32 * PAGE_SIZE;

/// Arguments and environment may have this many bytes whatever the stack limit is (ARG_MAX of old).
const SIZE_MINIMUM: u64 = 128 << 10;

/// … and no more than this whatever it is (three quarters of the usual stack limit).
const SIZE_MAXIMUM: u64 = 6 << 20;

/// How much stack is mapped beyond what is filled; the rest follows by faults.
const ROOM: u64 = 128 << 10;

/// AT_PLATFORM's string.
const PLATFORM: &[u8] = b"x86_64\0";

/// Bytes that AT_RANDOM points to.
const RANDOM_BYTES: usize = 16;

/// The strings lie up to this much above the pointers, at random (Linux's arch_align_stack).
const GAP_RANDOM: u16 = 8192;

/// What goes onto the stack.
pub(super) struct FirstStack<'a> {
    /// The program's name as the caller gave it, for AT_EXECFN.
    pub(super) name: &'a [u8],
    pub(super) argv: &'a [Vec<u8>],
    pub(super) envp: &'a [Vec<u8>],
    pub(super) stack_limit: u64,
    pub(super) is_executable: bool,
    /// With zeros where an address on the stack belongs.
    pub(super) auxiliary: Vec<(u64, u64)>,
}

/// A stack that is filled.
pub(super) struct FilledStack {
    pub(super) pointer: u64,
    pub(super) arguments: Range<u64>,
    pub(super) environment: Range<u64>,
    pub(super) auxiliary: Vec<(u64, u64)>,
}

/// Checks that name, arguments and environment are not too large: E2BIG (execve(2), "Limits on size …").
pub(super) fn check_size(name: &[u8], argv: &[Vec<u8>], envp: &[Vec<u8>], stack_limit: u64) -> Result {
    let strings = || argv.iter().chain(envp);
    Errno::E2BIG.when(strings().any(|string| string.len() + 1 > MAX_STRING))?;
    let pointers = (argv.len() + envp.len()) * size_of::<u64>();
    let bytes: usize = strings().map(|string| string.len() + 1).sum();
    let limit = (stack_limit / 4).clamp(SIZE_MINIMUM, SIZE_MAXIMUM);
    if (pointers + bytes + name.len() + 1) as u64 > limit { Err(Errno::E2BIG) } else { Ok(()) }
}

impl FirstStack<'_> {
    /// Maps the stack and fills it. ENOMEM.
    pub(super) fn build(mut self, space: &AddressSpace) -> Result<FilledStack> {
        let top = AddressSpace::random_stack_top();
        let length_of = |strings: &[Vec<u8>]| strings.iter().map(|string| string.len() as u64 + 1).sum::<u64>();

        // From the top down: a null word, the name, the environment, the arguments.
        let name = top - 8 - (self.name.len() as u64 + 1);
        let environment = name - length_of(self.envp)..name;
        let arguments = environment.start - length_of(self.argv)..environment.start;
        let platform = ((arguments.start - random_gap()) & !15) - PLATFORM.len() as u64;
        let random = platform - RANDOM_BYTES as u64;

        for (kind, value) in &mut self.auxiliary {
            match *kind as u32 {
                auxvec::AT_RANDOM => *value = random,
                auxvec::AT_EXECFN => *value = name,
                auxvec::AT_PLATFORM => *value = platform,
                _ => {}
            }
        }
        let words = 1 + self.argv.len() + 1 + self.envp.len() + 1 + self.auxiliary.len() * 2;
        let pointer = (random - words as u64 * 8) & !15;

        self.map(space, pointer, top)?;
        let mut image = StackImage::new(pointer, platform + PLATFORM.len() as u64)?;
        image.put_word(self.argv.len() as u64);
        image.put_pointers(arguments.start, self.argv);
        image.put_pointers(environment.start, self.envp);
        for &(kind, value) in &self.auxiliary {
            image.put_word(kind);
            image.put_word(value);
        }
        let mut random_data = [0; RANDOM_BYTES];
        random::fill(&mut random_data);
        image.put_at(random, &random_data);
        image.put_at(platform, PLATFORM);
        image.write(space)?;

        let mut image = StackImage::new(arguments.start, top)?;
        image.put_strings(arguments.start, self.argv);
        image.put_strings(environment.start, self.envp);
        image.put_at(name, self.name);
        image.write(space)?;
        Ok(FilledStack { pointer, arguments, environment, auxiliary: self.auxiliary })
    }

    fn map(&self, space: &AddressSpace, pointer: u64, top: u64) -> Result {
        let filled = round_up(top - (pointer & !(PAGE - 1)));
        let length = (filled + ROOM).min(round_up(self.stack_limit)).max(filled);
        let mut protection = Protection::READ | Protection::WRITE;
        protection.set(Protection::EXECUTE, self.is_executable);
        space.map(MapRequest {
            placement: Placement::Fixed(top - length),
            protection,
            grows_down: true,
            label: Label::Stack,
            ..MapRequest::anonymous(length)
        })?;
        Ok(())
    }
}

/// A part of the stack's bytes before they are copied to where they belong.
struct StackImage {
    start: u64,
    bytes: Vec<u8>,
    /// Where the next word goes, counted from the start.
    filled: usize,
}

impl StackImage {
    fn new(start: u64, end: u64) -> Result<StackImage> {
        let length = (end - start) as usize;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        Ok(StackImage { start, bytes, filled: 0 })
    }

    fn write(&self, space: &AddressSpace) -> Result {
        let written = space.write_remote(self.start, &self.bytes);
        if written == self.bytes.len() { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn put_word(&mut self, word: u64) {
        self.bytes[self.filled..self.filled + 8].copy_from_slice(&word.to_le_bytes());
        self.filled += 8;
    }

    /// Puts the addresses of strings that lie one after the other from `address` on, and a null word.
    fn put_pointers(&mut self, address: u64, strings: &[Vec<u8>]) {
        let mut next = address;
        for string in strings {
            self.put_word(next);
            next += string.len() as u64 + 1;
        }
        self.put_word(0);
    }

    fn put_strings(&mut self, address: u64, strings: &[Vec<u8>]) {
        let mut next = address;
        for string in strings {
            self.put_at(next, string);
            next += string.len() as u64 + 1;
        }
    }

    fn put_at(&mut self, address: u64, data: &[u8]) {
        let at = (address - self.start) as usize;
        self.bytes[at..at + data.len()].copy_from_slice(data);
    }
}

fn random_gap() -> u64 {
    let mut bytes = [0; 2];
    random::fill(&mut bytes);
    u64::from(u16::from_le_bytes(bytes) % GAP_RANDOM)
}
