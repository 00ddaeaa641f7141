//! Pure data structures and algorithms: no hardware, no Linux, no other room. Host-tested.

/// The ChaCha20 block function.
pub(crate) mod chacha;

/// Disjoint address ranges with values that are cut and joined.
pub(crate) mod interval_map;

/// Byte-range locks on one file.
pub(crate) mod lock_ranges;

/// Text records in a fixed buffer.
pub(crate) mod log_ring;
