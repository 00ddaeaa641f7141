//! The panic report: what happened, where, the registers, the way there, and the last log lines, on every
//! console, in at most 25 lines of 80 columns so that a photo of the screen holds all of it.
//!
//! The handler of a fault calls `note_fault` with the registers and then panics; the report shows
//! those. Nothing here allocates or waits for a lock that a stopped CPU may hold.

use super::line::Line;
use super::{LINE_SIZE, LOG, Sink, log, symbols};
use crate::machine::asm::image;
use crate::machine::sync::Once;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use x86_64::instructions::interrupts;
use x86_64::registers::control::{Cr2, Cr3};

const COLUMNS: usize = 80;
const MESSAGE_LINES: usize = 3;
const BACKTRACE_LINES: usize = 9;
const LOG_LINES: usize = 4;

/// How far from the first frame pointer the last may be: the largest stack.
const STACK_LIMIT: u64 = 64 * 1024;

/// The registers of an interrupted kernel function.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::machine) struct FaultRegisters {
    pub(in crate::machine) rax: u64,
    pub(in crate::machine) rbx: u64,
    pub(in crate::machine) rcx: u64,
    pub(in crate::machine) rdx: u64,
    pub(in crate::machine) rsi: u64,
    pub(in crate::machine) rdi: u64,
    pub(in crate::machine) rbp: u64,
    pub(in crate::machine) rsp: u64,
    pub(in crate::machine) r8: u64,
    pub(in crate::machine) r9: u64,
    pub(in crate::machine) r10: u64,
    pub(in crate::machine) r11: u64,
    pub(in crate::machine) r12: u64,
    pub(in crate::machine) r13: u64,
    pub(in crate::machine) r14: u64,
    pub(in crate::machine) r15: u64,
    pub(in crate::machine) rip: u64,
    pub(in crate::machine) rflags: u64,
    pub(in crate::machine) cs: u64,
    pub(in crate::machine) error_code: u64,
}

/// The fault that leads to the panic, if one does.
static FAULT: Once<FaultRegisters> = Once::new();

/// What the machine was started with.
static COMMAND_LINE: Once<&'static str> = Once::new();

/// How many panics have begun: one inside the report must not start another report.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Keeps the registers of the fault that the caller is about to panic for.
pub(in crate::machine) fn note_fault(registers: &FaultRegisters) {
    FAULT.call_once(|| *registers);
}

/// Keeps the kernel's command line for the report.
pub(in crate::machine) fn set_command_line(words: &'static str) {
    COMMAND_LINE.call_once(|| words);
}

/// Shows the report, with the name of the running task, if it has one; `false` if this is a panic inside another
/// one, about which only one line is shown.
#[must_use]
pub(in crate::machine) fn show(panic: &PanicInfo<'_>, task: &str) -> bool {
    interrupts::disable();
    let earlier = PANICS.fetch_add(1, Ordering::SeqCst);
    if earlier == 1 {
        say(format_args!("panic inside the panic report: {panic}\n"));
    }
    if earlier > 0 {
        return false;
    }

    say(format_args!("\n"));
    show_log();
    show_message(panic, task);
    show_registers();
    show_backtrace();
    say(format_args!("Stele {} {}\n", env!("CARGO_PKG_VERSION"), COMMAND_LINE.get().unwrap_or(&"")));
    true
}

fn show_message(panic: &PanicInfo<'_>, task: &str) {
    let mut line = Line::<{ COLUMNS * MESSAGE_LINES }>::new();
    let _ = write!(line, "PANIC: {}", panic.message());
    let _ = line.write_str("\n");
    say_text(line.text());
    if let Some(place) = panic.location() {
        let separator = if task.is_empty() { "" } else { ", task " };
        say(format_args!("  at {}:{}{separator}{task}\n", place.file(), place.line()));
    }
}

fn show_registers() {
    let cr2 = Cr2::read_raw();
    let cr3 = Cr3::read_raw().0.start_address().as_u64();
    let Some(fault) = FAULT.get() else {
        say(format_args!("rbp {:016x} cr2 {cr2:016x} cr3 {cr3:016x}\n", frame_pointer()));
        return;
    };

    let FaultRegisters { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, .. } = *fault;
    let FaultRegisters { rip, rflags, cs, error_code, .. } = *fault;
    say(format_args!("rip {rip:016x} rsp {rsp:016x} flags {rflags:06x} cs {cs:x} error {error_code:x}\n"));
    say(format_args!("rax {rax:016x} rbx {rbx:016x} rcx {rcx:016x}\n"));
    say(format_args!("rdx {rdx:016x} rsi {rsi:016x} rdi {rdi:016x}\n"));
    say(format_args!("rbp {rbp:016x} r8  {r8:016x} r9  {r9:016x}\n"));
    say(format_args!("r10 {r10:016x} r11 {r11:016x} r12 {r12:016x}\n"));
    say(format_args!("r13 {r13:016x} r14 {r14:016x} r15 {r15:016x}\n"));
    say(format_args!("cr2 {cr2:016x} cr3 {cr3:016x}\n"));
}

fn show_backtrace() {
    let (interrupted, frame) = match FAULT.get() {
        Some(fault) => (Some(fault.rip), fault.rbp),
        None => (None, frame_pointer()),
    };
    // The panic machinery itself is no news.
    let callers = callers(frame).filter(|address| !is_panic_machinery(*address));
    for address in interrupted.into_iter().chain(callers).take(BACKTRACE_LINES) {
        say_text(return_address(address).text());
    }
}

/// Logs who called the caller, an interrupt handler, up to the task that was interrupted.
pub(in crate::machine) fn log_backtrace() {
    for address in callers(frame_pointer()) {
        log!(Error, "{}", return_address(address).text().trim_end());
    }
}

/// Returns the return addresses of the chain of frames that begins at `frame`.
fn callers(frame: u64) -> impl Iterator<Item = u64> {
    let limit = frame.saturating_add(STACK_LIMIT);
    let mut frame = frame;
    core::iter::from_fn(move || {
        if !is_frame(frame) || frame >= limit {
            return None;
        }
        let (next, return_address) = read_frame(frame);
        // A chain that does not go up ends.
        frame = if next > frame { next } else { 0 };
        Some(return_address)
    })
}

fn is_panic_machinery(address: u64) -> bool {
    symbols::look_up(address).is_some_and(|(name, _)| name.contains("panicking") || name.contains("rust_begin_unwind"))
}

/// Returns the line that names an address.
fn return_address(address: u64) -> Line<COLUMNS> {
    let mut line = Line::new();
    let _ = match symbols::look_up(address) {
        Some((name, offset)) => write!(line, "  {:#}+{offset:#x}", rustc_demangle::demangle(name)),
        None => write!(line, "  {address:#018x}"),
    };
    let _ = line.write_str("\n");
    line
}

/// Returns whether a frame pointer may be followed: an aligned address in the kernel's half.
fn is_frame(frame: u64) -> bool {
    frame.is_multiple_of(8) && (0xffff_8000_0000_0000..u64::MAX - 16).contains(&frame) && !image().text.contains(&frame)
}

fn frame_pointer() -> u64 {
    let frame: u64;
    // SAFETY: copies a register.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    frame
}

/// Reads the caller's frame pointer and the return address at `frame`.
fn read_frame(frame: u64) -> (u64, u64) {
    let frame = core::ptr::with_exposed_provenance::<[u64; 2]>(frame as usize);
    // SAFETY: `is_frame` held and the chain started at this CPU's own frame pointer, so it stays on a stack; if
    // that was spoilt, the fault is a second panic, which says so and stops.
    let [next, return_address] = unsafe { frame.read_volatile() };
    (next, return_address)
}

/// Shows the last lines of the log, unless the panic struck inside it.
fn show_log() {
    let Some(log) = LOG.try_lock() else { return };
    let first = log.ring.next_sequence().saturating_sub(LOG_LINES as u64);
    for entry in log.ring.entries(first) {
        let mut line = Line::<COLUMNS>::new();
        let mut text = [0; LINE_SIZE];
        let length = log.ring.read_text(&entry, &mut text);
        let _ = line.write_str(core::str::from_utf8(&text[..length]).unwrap_or("(not text)"));
        let _ = line.write_str("\n");
        say_through(&log.sinks, line.text());
    }
}

fn say(message: fmt::Arguments<'_>) {
    let mut line = Line::<{ COLUMNS * 2 }>::new();
    let _ = line.write_fmt(message);
    say_text(line.text());
}

fn say_text(text: &str) {
    // A panic inside the log itself leaves only the serial port.
    match LOG.try_lock() {
        Some(log) => say_through(&log.sinks, text),
        None => super::early_serial::show_without_lock(text),
    }
}

fn say_through(sinks: &[Option<Sink>], text: &str) {
    for sink in sinks.iter().flatten() {
        sink.console.show_panic(text);
    }
}
