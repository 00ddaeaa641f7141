//! The 8254 timer: channel 2 measures a span, channel 0 interrupts on PCs without a local APIC.

use super::port::{read_u8, write_u8};
use core::ops::Range;

/// Counts per second (a third of the NTSC colour carrier).
const RATE_HZ: u64 = 1_193_182;

const CHANNEL_0: u16 = 0x40;
const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;

/// System control port B: bit 0 gates channel 2, bit 1 connects it to the speaker, bit 5 is its output.
const CONTROL_B: u16 = 0x61;

/// Mode 0 ("interrupt on terminal count"), both bytes; in bits 6 and 7 the channel.
const ONE_SHOT: u8 = 0x30;

/// The timer.
pub(in crate::machine) struct Pit;

/// A measured span: samples between which it started and between which it ended, and how long it was.
#[derive(Clone, Debug)]
pub(in crate::machine) struct PitSpan {
    pub(in crate::machine) start: Range<u64>,
    pub(in crate::machine) end: Range<u64>,
    pub(in crate::machine) ns: u64,
}

impl Pit {
    /// The ISA line of channel 0.
    pub(in crate::machine) const IRQ: u8 = 0;

    /// Runs channel 2 for about `microseconds` (at most 50,000) and calls `sample` just before and after it starts
    /// and ends; `None` if it never ends.
    pub(in crate::machine) fn measure(microseconds: u64, sample: impl Fn() -> u64) -> Option<PitSpan> {
        let count = (microseconds * RATE_HZ / 1_000_000).min(0xffff);
        let [low, high, ..] = count.to_le_bytes();

        let control = read(CONTROL_B);
        write(CONTROL_B, control & !0x03);
        write(COMMAND, 2 << 6 | ONE_SHOT);
        write(CHANNEL_2, low);
        write(CHANNEL_2, high);
        // Counting starts when the gate opens.
        let before_start = sample();
        write(CONTROL_B, control & !0x02 | 0x01);
        let after_start = sample();

        let mut before_end = after_start;
        // Each read takes about a microsecond on real hardware; this many are far more than the span.
        let after_end = (0..1_000_000).find_map(|_| {
            let is_over = read(CONTROL_B) & 0x20 != 0;
            let now = sample();
            if !is_over {
                before_end = now;
            }
            is_over.then_some(now)
        });
        write(CONTROL_B, control);

        let ns = count * 1_000_000_000 / RATE_HZ;
        Some(PitSpan { start: before_start..after_start, end: before_end..after_end?, ns })
    }

    /// Lets channel 0 interrupt once after `ns` nanoseconds or, if that is too far, after its longest span (55 ms).
    pub(in crate::machine) fn interrupt_after(ns: u64) {
        let count = (ns.min(50_000_000) * RATE_HZ / 1_000_000_000).clamp(1, 0xffff);
        let [low, high, ..] = count.to_le_bytes();
        write(COMMAND, ONE_SHOT);
        write(CHANNEL_0, low);
        write(CHANNEL_0, high);
    }

    /// Stops channel 0: it waits for a count that does not come.
    pub(in crate::machine) fn stop() {
        write(COMMAND, ONE_SHOT);
    }
}

fn read(port: u16) -> u8 {
    // SAFETY: the timer's ports have no effect on memory.
    unsafe { read_u8(port) }
}

fn write(port: u16, value: u8) {
    // SAFETY: the timer's ports have no effect on memory; its interrupt has a handler or is masked.
    unsafe { write_u8(port, value) }
}
