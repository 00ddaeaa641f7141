//! Interrupt vectors, lines and their handlers.
//!
//! Vectors 0x20 to 0x2f are the ISA lines, whichever controller routes them; the last are
//! each CPU's own (timer, calls from other CPUs).
//! Each line has a lock of its own, which is free while handlers run; so a handler may drop its own line.

use crate::machine::cpu::{self, MAX_CPUS};
use crate::machine::random;
use crate::machine::sync::{IrqLock, Once};
use crate::rank::Rank;
use alloc::string::{String, ToString};
use alloc::{borrow::ToOwned, boxed::Box, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

/// The vector of ISA line 0; the other lines follow.
pub(in crate::machine) const FIRST_ISA_VECTOR: u8 = 0x20;

const ISA_LINES: u8 = 16;

/// Vectors from here on are each CPU's own.
const FIRST_LOCAL_VECTOR: u8 = 0xf0;

/// Interrupts that come from the CPU's own local APIC or from another CPU. The greater the vector, the more
/// urgent (SDM vol. 3A, 11.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::machine) enum LocalVector {
    /// Another CPU has work for this one.
    Reschedule = 0xf0,
    /// Another CPU wants something done at once.
    Call = 0xf1,
    /// The local APIC's timer.
    Timer = 0xf2,
    /// The local APIC found an error of its own.
    Error = 0xf3,
    /// Another CPU wants this one to stop for good.
    Stop = 0xf4,
    /// The CPU was interrupted, then the reason went away; not to be acknowledged.
    Spurious = 0xff,
}

const LOCAL_VECTORS: &[(LocalVector, &str, &str)] = &[
    (LocalVector::Timer, "LOC", "Local timer interrupts"),
    (LocalVector::Reschedule, "RES", "Rescheduling interrupts"),
    (LocalVector::Call, "CAL", "Function call interrupts"),
    (LocalVector::Error, "ERR", "APIC errors"),
    (LocalVector::Spurious, "SPU", "Spurious interrupts"),
];

/// Where interrupts come from, as far as this module needs to know. Any context.
pub(in crate::machine) trait InterruptController: Sync {
    /// Lets ISA line `irq` through, as vector `FIRST_ISA_VECTOR + irq`.
    fn enable_isa(&self, irq: u8);

    /// Masks ISA line `irq`.
    fn disable_isa(&self, irq: u8);

    /// Returns whether `vector` was raised without a reason and must not be acknowledged.
    fn is_spurious(&self, vector: u8) -> bool;

    /// Says that `vector` is served.
    fn end_of_interrupt(&self, vector: u8);
}

static CONTROLLER: Once<&'static dyn InterruptController> = Once::new();

/// Sets where interrupts come from. Once.
pub(in crate::machine) fn set_controller(controller: &'static dyn InterruptController) {
    CONTROLLER.call_once(|| controller);
}

static LOCAL_HANDLERS: [Once<fn()>; 16] = [const { Once::new() }; 16];

/// Sets what is called, with interrupts off, on each interrupt at a local vector. Once for each.
pub(in crate::machine) fn set_local_handler(vector: LocalVector, handler: fn()) {
    LOCAL_HANDLERS[usize::from(vector as u8 - FIRST_LOCAL_VECTOR)].call_once(|| handler);
}

/// One function that wants to know of a line's interrupts.
struct Handler {
    identity: u64,
    name: &'static str,
    function: Box<dyn Fn() + Send + Sync>,
}

/// What an interrupt calls; replaced as a whole, so that it can be called without the lock.
type Handlers = Option<Arc<[Arc<Handler>]>>;

static LINES: [IrqLock<Handlers>; 256] = [const { IrqLock::new(Rank::IrqTable, None) }; 256];

/// A registered interrupt handler; dropping it unregisters the handler.
pub(crate) struct IrqLine {
    vector: u8,
    identity: u64,
}

impl IrqLine {
    /// Calls `handler` at each interrupt of the ISA line `irq` (0 to 15, mapped by ACPI's overrides), with
    /// interrupts off. The handler marks, wakes, returns. `name` says for people what is connected.
    pub(crate) fn isa(irq: u8, name: &'static str, handler: Box<dyn Fn() + Send + Sync>) -> IrqLine {
        assert!(irq < ISA_LINES, "ISA line {irq}");
        let vector = FIRST_ISA_VECTOR + irq;
        let identity = add_handler(vector, name, handler);
        if let Some(controller) = CONTROLLER.get() {
            controller.enable_isa(irq);
        }
        IrqLine { vector, identity }
    }
}

impl Drop for IrqLine {
    fn drop(&mut self) {
        let is_last = remove_handler(self.vector, self.identity);
        let irq = self.vector - FIRST_ISA_VECTOR;
        if let Some(controller) = CONTROLLER.get()
            && is_last
            && irq < ISA_LINES
        {
            controller.disable_isa(irq);
        }
    }
}

fn add_handler(vector: u8, name: &'static str, function: Box<dyn Fn() + Send + Sync>) -> u64 {
    static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(0);
    let identity = NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed);
    let new = Arc::new(Handler { identity, name, function });

    let mut line = LINES[usize::from(vector)].lock();
    let old = line.take();
    let handlers = old.iter().flat_map(|old| old.iter().cloned()).chain([new]);
    *line = Some(handlers.collect::<Vec<_>>().into());
    identity
}

/// Removes a handler; returns whether none is left.
fn remove_handler(vector: u8, identity: u64) -> bool {
    let old;
    let is_last;
    {
        let mut line = LINES[usize::from(vector)].lock();
        old = line.take();
        let rest: Vec<Arc<Handler>> =
            old.iter().flat_map(|old| old.iter().cloned()).filter(|handler| handler.identity != identity).collect();
        is_last = rest.is_empty();
        *line = if is_last { None } else { Some(rest.into()) };
    }
    // The handler and what it owns are dropped here, without the lock.
    drop(old);
    is_last
}

/// Serves interrupt `vector` (32 or above): counts it, calls its handlers, acknowledges it. With interrupts off.
pub(in crate::machine) fn dispatch_interrupt(vector: u8) {
    if let Some(counts) = COUNTS[cpu::index()].get() {
        // Only this CPU, with interrupts off, writes its counts.
        let count = &counts[usize::from(vector)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    if vector == LocalVector::Spurious as u8 {
        return;
    }

    let Some(controller) = CONTROLLER.get() else { return };
    if vector < FIRST_LOCAL_VECTOR && controller.is_spurious(vector) {
        return;
    }
    let is_served = &cpu::this().serves_interrupt;
    is_served.store(true, Ordering::Relaxed);
    if vector >= FIRST_LOCAL_VECTOR {
        if let Some(handler) = LOCAL_HANDLERS[usize::from(vector - FIRST_LOCAL_VECTOR)].get() {
            handler();
        }
    } else {
        random::add_entropy(u64::from(vector));
        let handlers = LINES[usize::from(vector)].lock().clone();
        for handler in handlers.iter().flat_map(|handlers| handlers.iter()) {
            (handler.function)();
        }
    }
    is_served.store(false, Ordering::Relaxed);
    controller.end_of_interrupt(vector);
}

/// One CPU's interrupts so far, by vector.
type Counts = [AtomicU64; 256];

static COUNTS: [Once<Box<Counts>>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];

/// Starts counting CPU `index`' interrupts. Needs the heap.
pub(in crate::machine) fn start_counting(index: usize) {
    COUNTS[index].call_once(|| Box::new([const { AtomicU64::new(0) }; 256]));
}

/// One row of the interrupt statistics.
#[derive(Clone, Debug)]
pub(crate) struct IrqCount {
    /// For example `1` or `LOC`.
    pub(crate) name: String,
    /// What is connected, for example `i8042`.
    pub(crate) description: String,
    /// Interrupts so far, by CPU index.
    pub(crate) counts: Vec<u64>,
}

/// Returns how often each interrupt line fired.
pub(crate) fn statistics() -> Vec<IrqCount> {
    let lines = (FIRST_ISA_VECTOR..FIRST_LOCAL_VECTOR).filter_map(|vector| {
        let handlers = LINES[usize::from(vector)].lock().clone()?;
        let names: Vec<&str> = handlers.iter().map(|handler| handler.name).collect();
        let name = (vector - FIRST_ISA_VECTOR).to_string();
        Some(IrqCount { name, description: names.join(", "), counts: read_counts(vector) })
    });
    let local = LOCAL_VECTORS.iter().map(|&(vector, name, description)| IrqCount {
        name: name.to_owned(),
        description: description.to_owned(),
        counts: read_counts(vector as u8),
    });
    lines.chain(local).collect()
}

fn read_counts(vector: u8) -> Vec<u64> {
    COUNTS
        .iter()
        .take(cpu::count())
        .map(|counts| counts.get().map_or(0, |counts| counts[usize::from(vector)].load(Ordering::Relaxed)))
        .collect()
}
