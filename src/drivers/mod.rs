//! One device, one file. Named by `lib.rs` alone; no file system, network or process words here.
