//! Function names for addresses, from the table that the kernel's second link adds (`asm/symbols.awk`).
//!
//! The table: a count; per function its offset from `KERNEL_BASE` and its name's offset behind the table, 32
//! bits each, sorted; then the names, NUL after each.

use crate::machine::asm::{KERNEL_BASE, image};

/// Returns the name (mangled) of the function that contains `address`, and how far inside it that is.
pub(super) fn look_up(address: u64) -> Option<(&'static str, u64)> {
    if !image().text.contains(&address) {
        return None;
    }
    let table = table();
    let word = |index: usize| {
        let bytes = table.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let count = word(0)? as usize;
    let offset = (address - KERNEL_BASE) as u32;

    // The last function that starts at or before the address.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = (low + high) / 2;
        if word(1 + middle * 2)? <= offset {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let index = low.checked_sub(1)?;

    let names = table.get(4 + count * 8..)?;
    let name = names.get(word(2 + index * 2)? as usize..)?;
    let length = name.iter().position(|&byte| byte == 0)?;
    let name = core::str::from_utf8(&name[..length]).ok()?;
    Some((name, u64::from(offset - word(1 + index * 2)?)))
}

fn table() -> &'static [u8] {
    let symbols = image().symbols;
    let start = core::ptr::with_exposed_provenance(symbols.start as usize);
    // SAFETY: the linker put initialised bytes between the two symbols, and nobody writes them.
    unsafe { core::slice::from_raw_parts(start, (symbols.end - symbols.start) as usize) }
}
