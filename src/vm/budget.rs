//! Frames for user programs and files: a reserve is kept from them, so that the kernel can go on working (and kill
//! the program that asked for too much) when they have taken all the rest.

use crate::machine::memory::{Frame, OutOfMemory, statistics};

/// The smallest reserve, in frames.
const RESERVE_MINIMUM: usize = 256;

/// The reserve as a part of all frames.
const RESERVE_DIVISOR: usize = 128;

/// Allocates a zeroed page for a program or a file.
pub(super) fn zeroed_frame() -> Result<Frame, OutOfMemory> {
    check()?;
    Frame::zeroed()
}

/// Allocates a page with the content of `source` for a program.
pub(super) fn copy_of(source: &Frame) -> Result<Frame, OutOfMemory> {
    check()?;
    Frame::copy_of(source)
}

/// Fails when only the reserve is left.
fn check() -> Result<(), OutOfMemory> {
    let frames = statistics();
    let reserve = RESERVE_MINIMUM.max(frames.total / RESERVE_DIVISOR);
    if frames.free > reserve { Ok(()) } else { Err(OutOfMemory) }
}
