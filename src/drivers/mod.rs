//! One device, one file. Named by `lib.rs` alone; no file system, network or process words here.

/// The PS/2 keyboard.
pub(crate) mod keyboard;

/// The 16550 serial port.
pub(crate) mod serial;
