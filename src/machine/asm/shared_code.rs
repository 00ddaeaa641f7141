//! The image of the code that all user programs share, as `asm/shared_code.s` holds it.

unsafe extern "C" {
    static shared_code_start: u8;
    static shared_code_end: u8;
}

/// Returns the image: a shared object of user-mode code, linked for any address.
pub(crate) fn shared_code() -> &'static [u8] {
    let start = &raw const shared_code_start;
    let length = (&raw const shared_code_end).addr() - start.addr();
    // SAFETY: the two symbols enclose read-only data of the kernel's image, which stays mapped for ever.
    unsafe { core::slice::from_raw_parts(start, length) }
}
