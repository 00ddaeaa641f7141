//! The first ring of tests: the kernel's pure code, compiled for the build host.

extern crate alloc;

#[path = "../../../src/util/mod.rs"]
mod util;
