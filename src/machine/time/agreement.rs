//! Whether the counters of two CPUs agree: the boot CPU asks a new one again and again what its counter reads.
//!
//! The answer was read after the question and before its arrival, so the difference of the two counters is known up to
//! the time that this took. Some firmware leaves counters apart, where the CPU can it is put right
//! (IA32_TSC_ADJUST, SDM vol. 3B, 19.17.3); else the counter is not the clock (`clock::distrust`).

use super::clock;
use crate::machine::console::log;
use crate::machine::cpu::{Features, features};
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::model_specific::Msr;

const TSC_ADJUST: u32 = 0x3b;

/// Questions per comparison.
const QUESTIONS: usize = 16;

/// What goes from one CPU to the other and back: a question, an answer, an amount to add, or the end.
static QUESTION: AtomicU64 = AtomicU64::new(NONE);
static ANSWER: AtomicU64 = AtomicU64::new(NONE);
static CORRECTION: AtomicU64 = AtomicU64::new(0);

const NONE: u64 = 0;
const READ: u64 = 1;
const ADJUST: u64 = 2;
const END: u64 = 3;

/// Compares the counter of the CPU that is in `answer` with this one's, and has it put right or the clock changed if
/// they do not agree. On the boot CPU.
pub(in crate::machine) fn compare() {
    let mut difference = measure();
    if !difference.contains(&0) && features().contains(Features::TSC_ADJUST) {
        let correction = -(difference.start() / 2 + difference.end() / 2);
        CORRECTION.store(correction as u64, Ordering::Relaxed);
        ask(ADJUST);
        log!(Warning, "clock: a CPU's TSC is adjusted by {correction} ticks");
        difference = measure();
    }
    if !difference.contains(&0) {
        clock::distrust(format_args!("is apart on two CPUs by {difference:?} ticks"));
    }
    ask(END);
}

/// Answers `compare` until it ends. On the new CPU, with interrupts off.
pub(in crate::machine) fn answer() {
    loop {
        let question = wait_for(&QUESTION);
        if question == ADJUST {
            let mut register = Msr::new(TSC_ADJUST);
            // SAFETY: the feature was found; all the register does is to shift this CPU's counter.
            unsafe { register.write(register.read().wrapping_add(CORRECTION.load(Ordering::Relaxed))) };
        }
        ANSWER.store(clock::read_counter().max(1), Ordering::SeqCst);
        if question == END {
            return;
        }
    }
}

/// Returns within which range what the other CPU's counter is ahead lies.
fn measure() -> RangeInclusive<i64> {
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    for _ in 0..QUESTIONS {
        let before = clock::read_counter();
        let answer = ask(READ);
        let after = clock::read_counter();
        least = least.max(answer.wrapping_sub(after) as i64);
        most = most.min(answer.wrapping_sub(before) as i64);
    }
    least..=most
}

fn ask(question: u64) -> u64 {
    QUESTION.store(question, Ordering::SeqCst);
    wait_for(&ANSWER)
}

/// Takes what the other CPU puts there.
fn wait_for(place: &AtomicU64) -> u64 {
    loop {
        match place.swap(NONE, Ordering::SeqCst) {
            NONE => core::hint::spin_loop(),
            value => return value,
        }
    }
}
