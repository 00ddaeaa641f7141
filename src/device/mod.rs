//! Contracts between drivers and the rooms that use them, and the registries where they meet.

/// Keyboards and the like.
mod input;

/// Serial lines.
mod serial;

pub(crate) use input::InputSource;
pub(crate) use serial::SerialLine;
