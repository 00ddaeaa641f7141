//! Unpredictable bytes: ChaCha20 as a generator, seeded from the CPU's own source where it has one and
//! from the jitter of the time-stamp counter.
//!
//! Each large request uses a fresh key: the first half of each run of the cipher replaces the key, so bytes given
//! out earlier cannot be computed from the state later ("fast key erasure"). Small requests are served from bytes that
//! each CPU has ready, erased as they are given out.

use super::cpu::{self, Features, MAX_CPUS, features};
use super::sync::IrqLock;
use crate::rank::Rank;
use crate::util::chacha;
use core::{arch::asm, arch::x86_64::_rdtsc};

/// How often RDRAND is tried before it counts as failed (SDM vol. 1, 7.3.17 recommends 10).
const HARDWARE_TRIES: usize = 10;

/// How many bytes a CPU has ready at most: few enough that what is stirred in counts soon.
const BATCH_SIZE: usize = 4 * chacha::BLOCK_SIZE;

/// Bytes that a CPU has ready.
struct Batch {
    bytes: [u8; BATCH_SIZE],
    left: usize,
}

static BATCHES: [IrqLock<Batch>; MAX_CPUS] =
    [const { IrqLock::new(Rank::RandomBatch, Batch { bytes: [0; BATCH_SIZE], left: 0 }) }; MAX_CPUS];

static GENERATOR: IrqLock<Generator> = IrqLock::new(Rank::Random, Generator { key: [0; 8], is_seeded: false });

/// The generator's key. IRQ handlers stir it, so its lock keeps interrupts off.
struct Generator {
    key: [u32; 8],
    is_seeded: bool,
}

/// Fills `bytes` with unpredictable bytes: a ChaCha20 generator seeded from RDSEED or RDRAND where there,
/// interrupt and TSC jitter otherwise. Any context.
pub(crate) fn fill(bytes: &mut [u8]) {
    if bytes.len() <= chacha::BLOCK_SIZE {
        BATCHES[cpu::index()].lock().give(bytes);
    } else {
        generate(bytes);
    }
}

/// Fills `bytes` by a key of their own.
fn generate(bytes: &mut [u8]) {
    let key = GENERATOR.lock().next_key();
    for (index, chunk) in (0..).zip(bytes.chunks_mut(chacha::BLOCK_SIZE)) {
        let block = chacha::block(&key, index);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
}

/// Stirs the time of an event, and `value`, into the generator. Any context; cheap.
pub(super) fn add_entropy(value: u64) {
    let mut generator = GENERATOR.lock();
    generator.stir(read_counter() ^ value.rotate_left(32));
}

impl Batch {
    /// Fills `bytes`, of which there are no more than in a batch.
    fn give(&mut self, bytes: &mut [u8]) {
        if self.left < bytes.len() {
            generate(&mut self.bytes);
            self.left = BATCH_SIZE;
        }
        let start = self.left - bytes.len();
        let given = &mut self.bytes[start..self.left];
        bytes.copy_from_slice(given);
        given.fill(0);
        self.left = start;
    }
}

impl Generator {
    /// Returns a key for one request and replaces the own one.
    fn next_key(&mut self) -> [u32; 8] {
        if !self.is_seeded {
            self.seed();
        }
        self.stir(read_counter());
        let block = chacha::block(&self.key, u64::MAX);
        let words = |bytes: &[u8]| {
            let mut words = [0; 8];
            for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
                *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
            words
        };
        self.key = words(&block[..32]);
        words(&block[32..])
    }

    /// Fills the key from the best sources that the CPU has.
    fn seed(&mut self) {
        for _ in 0..8 {
            self.stir(read_hardware().unwrap_or(0));
            self.stir(read_jitter());
            self.mix();
        }
        self.is_seeded = true;
    }

    /// Adds a word to the key; the position moves so that equal words do not cancel out.
    fn stir(&mut self, word: u64) {
        self.key.rotate_left(2);
        self.key[0] ^= word as u32;
        self.key[1] ^= (word >> 32) as u32;
    }

    /// Spreads what was stirred in over the whole key.
    fn mix(&mut self) {
        let block = chacha::block(&self.key, 0);
        for (word, bytes) in self.key.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
}

/// Reads 64 bits from RDSEED or RDRAND; `None` where the CPU has neither, or both fail.
fn read_hardware() -> Option<u64> {
    for _ in 0..HARDWARE_TRIES {
        let (value, is_valid): (u64, u8);
        if features().contains(Features::RDSEED) {
            // SAFETY: CPUID has RDSEED, which only writes its register and the flags.
            unsafe { asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) is_valid, options(nomem, nostack)) };
        } else if features().contains(Features::RDRAND) {
            // SAFETY: CPUID has RDRAND, which only writes its register and the flags.
            unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) is_valid, options(nomem, nostack)) };
        } else {
            return None;
        }
        // Some old AMD processors answer with all ones and success after a suspend.
        if is_valid == 1 && value != u64::MAX {
            return Some(value);
        }
    }
    None
}

/// Folds the lengths of a few CPUID instructions, which trap under a hypervisor and vary on hardware.
fn read_jitter() -> u64 {
    let mut jitter = read_counter();
    for _ in 0..16 {
        core::hint::black_box(core::arch::x86_64::__cpuid(0));
        jitter = jitter.rotate_left(5) ^ read_counter();
    }
    jitter
}

fn read_counter() -> u64 {
    // SAFETY: RDTSC has no effect on memory; every CPU with long mode has it.
    unsafe { _rdtsc() }
}
