//! Pure data structures and algorithms: no hardware, no Linux, no other room. Host-tested.

/// The ChaCha20 block function.
pub(crate) mod chacha;

/// Byte-range locks on one file.
pub(crate) mod lock_ranges;

/// Text records in a fixed buffer.
pub(crate) mod log_ring;
