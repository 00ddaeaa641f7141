//! The seam between Rust and `asm/`: declares the assembly symbols and asserts every layout both
//! sides share.
