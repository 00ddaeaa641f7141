//! The CPU's time-stamp counter as the monotonic clock.
//!
//! Its rate comes from CPUID where the CPU or the hypervisor tells it; else it is measured against HPET, ACPI
//! timer or 8254, the first that is there. A measurement ends as soon as it is exact enough, because under an
//! emulator that counts instructions waiting is what start would mostly consist of.

use super::fallback;
use crate::machine::console::log;
use crate::machine::cpu::read_leaf;
use crate::machine::platform::{Counter, Pit, PitSpan, find_counters};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::{arch::asm, fmt};

/// A measurement may be wrong by at most this part of its span, as a divisor: as little as a cheap quartz.
const ACCEPTED_ERROR: u64 = 10_000;

/// How long a measurement may take.
const LONGEST_SPAN_NS: u64 = 10_000_000;

/// How long channel 2 of the 8254 runs for a measurement.
const PIT_SPAN_US: u64 = 2_000;

/// A measurement by the 8254 is repeated until it is wrong by at most this part, as a divisor: a busy host takes
/// a virtual CPU away in the middle of it.
const PIT_ACCEPTED_ERROR: u64 = 1_000;

/// How often it is repeated.
const PIT_TRIES: usize = 16;

/// The TSC is the clock: the CPUs' agree.
static IS_CLOCK: AtomicBool = AtomicBool::new(false);
static BASE: AtomicU64 = AtomicU64::new(0);
static MULTIPLIER: AtomicU32 = AtomicU32::new(0);
static SHIFT: AtomicU32 = AtomicU32::new(0);
/// The scale's reciprocal, to go the other way without a division: ticks = ns * INVERSE >> INVERSE_SHIFT, rounded up.
static INVERSE: AtomicU64 = AtomicU64::new(0);
static INVERSE_SHIFT: AtomicU32 = AtomicU32::new(0);
static RATE_KHZ: AtomicU64 = AtomicU64::new(0);

/// How to turn TSC values into monotonic time, for the vDSO: ns = (tsc - base) * multiplier >> shift. The product
/// needs 96 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TscScale {
    pub(crate) base: u64,
    pub(crate) multiplier: u32,
    pub(crate) shift: u32,
}

/// Returns nanoseconds since start. Any context.
pub(crate) fn monotonic_ns() -> u64 {
    if IS_CLOCK.load(Ordering::Relaxed) { ns_at(read_counter()) } else { fallback::read_ns() }
}

/// Returns the TSC scale, or `None` where the TSC is not the clock.
pub(crate) fn tsc_scale() -> Option<TscScale> {
    IS_CLOCK.load(Ordering::Relaxed).then(load_scale)
}

/// Takes another clock, because the TSC `is_so`.
pub(super) fn distrust(is_so: fmt::Arguments<'_>) {
    if !IS_CLOCK.load(Ordering::Relaxed) {
        return;
    }
    match find_counters().next() {
        Some(counter) => {
            log!(Warning, "clock: the TSC {is_so}: {} instead", counter.name);
            fallback::start(counter, monotonic_ns());
            IS_CLOCK.store(false, Ordering::Relaxed);
        }
        None => log!(Error, "clock: the TSC {is_so}, and there is nothing else"),
    }
}

/// Returns the TSC's rate in kHz.
pub(crate) fn tsc_khz() -> u64 {
    RATE_KHZ.load(Ordering::Relaxed)
}

/// Reads the time-stamp counter, after what comes before.
pub(super) fn read_counter() -> u64 {
    let (low, high): (u32, u32);
    // Not by intrinsics: that of LFENCE is a call where SSE2 is off.
    // SAFETY: neither has an effect on memory; every CPU with long mode has both.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack, preserves_flags)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Returns the monotonic time at which the counter reads or read `counter`.
fn ns_at(counter: u64) -> u64 {
    let scale = load_scale();
    let ticks = counter.saturating_sub(scale.base);
    ((u128::from(ticks) * u128::from(scale.multiplier)) >> scale.shift) as u64
}

/// Returns what this CPU's counter reads at monotonic time `ns`, rounded up to one or two ticks.
pub(super) fn counter_at(ns: u64) -> u64 {
    let (base, ns) = match IS_CLOCK.load(Ordering::Relaxed) {
        true => (BASE.load(Ordering::Relaxed), ns),
        false => (read_counter(), ns.saturating_sub(monotonic_ns())),
    };
    let inverse = u128::from(INVERSE.load(Ordering::Relaxed));
    let ticks = ((u128::from(ns) * inverse) >> INVERSE_SHIFT.load(Ordering::Relaxed)) + 1;
    base.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
}

fn load_scale() -> TscScale {
    TscScale {
        base: BASE.load(Ordering::Relaxed),
        multiplier: MULTIPLIER.load(Ordering::Relaxed),
        shift: SHIFT.load(Ordering::Relaxed),
    }
}

/// Finds out the counter's rate; from now on the clock runs, from 0.
pub(super) fn start() {
    let base = read_counter();
    let (rate_hz, source) = find_rate();
    // The largest shift whose multiplier fits into 32 bits is the most exact.
    let mut shift = 32;
    while (1_000_000_000_u128 << shift) / u128::from(rate_hz) > u128::from(u32::MAX) {
        shift -= 1;
    }
    let multiplier = (1_000_000_000_u128 << shift) / u128::from(rate_hz);

    // As many bits as fit: of a `ns` that fits into 63 bits the error is below one tick.
    let inverse_shift = 62 + multiplier.ilog2();
    let inverse = (1_u128 << inverse_shift).div_ceil(multiplier);

    BASE.store(base, Ordering::Relaxed);
    INVERSE.store(inverse as u64, Ordering::Relaxed);
    INVERSE_SHIFT.store(inverse_shift - shift, Ordering::Relaxed);
    SHIFT.store(shift, Ordering::Relaxed);
    RATE_KHZ.store(rate_hz / 1000, Ordering::Relaxed);
    MULTIPLIER.store(multiplier as u32, Ordering::Relaxed);
    IS_CLOCK.store(true, Ordering::Relaxed);
    log!(Info, "clock: TSC at {}.{:03} MHz, by {source}", rate_hz / 1_000_000, rate_hz / 1000 % 1000);
}

/// Returns the counter's rate in Hz and who told.
fn find_rate() -> (u64, &'static str) {
    if let Some(rate) = read_rate_from_cpuid() {
        return (rate, "CPUID");
    }
    for counter in find_counters() {
        if let Some(rate) = measure_by(&counter) {
            return (rate, counter.name);
        }
    }
    if let Some(rate) = measure_by_pit() {
        return (rate, "8254");
    }
    log!(Error, "clock: nothing to measure the TSC by; time will be wrong");
    (1_000_000_000, "guess")
}

/// Asks the CPU (SDM vol. 3B, 19.7.3) or the hypervisor (leaf 0x40000010, VMware's and KVM's).
fn read_rate_from_cpuid() -> Option<u64> {
    if let Some(leaf) = read_leaf(0x15, 0)
        && leaf.eax != 0
        && leaf.ebx != 0
    {
        if leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
        }
        // The crystal's rate is not given; the counter then runs at the nominal frequency.
        if let Some(leaf) = read_leaf(0x16, 0).filter(|leaf| leaf.eax & 0xffff != 0) {
            return Some(u64::from(leaf.eax & 0xffff) * 1_000_000);
        }
    }
    let leaf = read_leaf(0x4000_0010, 0)?;
    (leaf.eax >= 100_000).then(|| u64::from(leaf.eax) * 1000)
}

/// Two clocks read together: `outer` says when, and within which span of the TSC the reading happened.
struct Sample {
    value: u32,
    counter: u64,
    uncertainty: u64,
}

impl Sample {
    /// Reads both, a few times over, and keeps the reading that took shortest.
    fn take(reference: &Counter) -> Sample {
        let read = || {
            let before = read_counter();
            let value = reference.read();
            let uncertainty = read_counter() - before;
            Sample { value, counter: before + uncertainty / 2, uncertainty }
        };
        // A new tick of the reference is the only moment that its value tells exactly.
        let mut best = read_at_tick(read);
        for _ in 0..2 {
            let next = read_at_tick(read);
            if next.uncertainty < best.uncertainty {
                best = next;
            }
        }
        best
    }
}

/// Reads until the reference has moved on.
fn read_at_tick(read: impl Fn() -> Sample) -> Sample {
    let first = read();
    for _ in 0..10_000 {
        let next = read();
        if next.value != first.value {
            return next;
        }
    }
    first
}

fn measure_by(reference: &Counter) -> Option<u64> {
    let start = Sample::take(reference);
    loop {
        let end = Sample::take(reference);
        let ns = reference.nanoseconds(reference.ticks_between(start.value, end.value).into());
        let ticks = end.counter.checked_sub(start.counter)?;
        let is_exact = (start.uncertainty + end.uncertainty) / 2 * ACCEPTED_ERROR <= ticks;
        if is_exact && ns > 0 || ns > LONGEST_SPAN_NS {
            return rate_from(ticks, ns);
        }
        // A reference that stands still must not hold us.
        if ticks > 1 << 36 {
            return None;
        }
    }
}

fn measure_by_pit() -> Option<u64> {
    let uncertainty = |span: &PitSpan| (span.start.end - span.start.start) + (span.end.end - span.end.start);
    let mut best = Pit::measure(PIT_SPAN_US, read_counter)?;
    for _ in 0..PIT_TRIES {
        if uncertainty(&best) / 2 * PIT_ACCEPTED_ERROR <= best.end.start - best.start.end {
            break;
        }
        let next = Pit::measure(PIT_SPAN_US, read_counter)?;
        if uncertainty(&next) < uncertainty(&best) {
            best = next;
        }
    }
    // From the middle of the one doubt to the middle of the other.
    let ticks = (best.end.start + best.end.end - best.start.start - best.start.end) / 2;
    rate_from(ticks, best.ns)
}

/// Returns ticks per second, unless no CPU could have that rate.
fn rate_from(ticks: u64, ns: u64) -> Option<u64> {
    let rate = u128::from(ticks) * 1_000_000_000 / u128::from(ns.max(1));
    u64::try_from(rate).ok().filter(|rate| (10_000_000..100_000_000_000).contains(rate))
}
