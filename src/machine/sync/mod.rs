//! Locks whose type says what they forbid while held.
//!
//! `SpinLock`: no preemption, no sleeping. `IrqLock`: also no interrupts on this CPU, for data that an
//! interrupt handler shares. The sleeping `Mutex` is in `machine::task`. Every lock gets its `Rank` when
//! made; debug builds check the order at each acquisition, and that none is held over a sleep.

/// The lock that also keeps interrupts off.
mod irq_lock;

/// The check of the order of locks.
mod order;

/// The lock that spins.
mod spin_lock;

pub(in crate::machine) use irq_lock::InterruptsOff;
pub(crate) use irq_lock::{IrqGuard, IrqLock};
pub(in crate::machine) use order::{assert_may_call, assert_may_sleep, stop_checks};
pub(crate) use spin::{Lazy, Once};
pub(crate) use spin_lock::SpinLock;
