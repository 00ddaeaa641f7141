//! Pure data structures and algorithms: no hardware, no Linux, no other room. Host-tested.

/// The ChaCha20 block function.
pub(crate) mod chacha;

/// Text records in a fixed buffer.
pub(crate) mod log_ring;
