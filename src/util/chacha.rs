//! The ChaCha20 block function (RFC 8439, 2.3), as the core of a random generator.
//!
//! Not from a crate: `chacha20` chooses vector code by CPUID when it runs, and the kernel must not touch vector
//! registers, which hold the user program's values.

/// Bytes that one run of the block function gives.
pub(crate) const BLOCK_SIZE: usize = 64;

/// "expand 32-byte k" in little-endian words.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Returns block number `counter` of the key stream (64-bit counter and nonce 0, as Bernstein's original).
pub(crate) fn block(key: &[u32; 8], counter: u64) -> [u8; BLOCK_SIZE] {
    full_block(key, [counter as u32, (counter >> 32) as u32, 0, 0])
}

fn full_block(key: &[u32; 8], tail: [u32; 4]) -> [u8; BLOCK_SIZE] {
    let mut start = [0; 16];
    start[..4].copy_from_slice(&CONSTANTS);
    start[4..12].copy_from_slice(key);
    start[12..].copy_from_slice(&tail);

    let mut state = start;
    for _ in 0..10 {
        quarter_round(&mut state, 0, 4, 8, 12);
        quarter_round(&mut state, 1, 5, 9, 13);
        quarter_round(&mut state, 2, 6, 10, 14);
        quarter_round(&mut state, 3, 7, 11, 15);
        quarter_round(&mut state, 0, 5, 10, 15);
        quarter_round(&mut state, 1, 6, 11, 12);
        quarter_round(&mut state, 2, 7, 8, 13);
        quarter_round(&mut state, 3, 4, 9, 14);
    }

    let mut bytes = [0; BLOCK_SIZE];
    for (bytes, (word, first)) in bytes.chunks_exact_mut(4).zip(state.iter().zip(start)) {
        bytes.copy_from_slice(&word.wrapping_add(first).to_le_bytes());
    }
    bytes
}

fn quarter_round(state: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(12);
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_that_of_rfc_8439_section_2_3_2() {
        let mut key = [0; 8];
        for (index, word) in (0u32..).zip(&mut key) {
            *word = 0x0302_0100 + index * 0x0404_0404;
        }
        let bytes = full_block(&key, [1, 0x0900_0000, 0x4a00_0000, 0]);
        assert_eq!(bytes[..8], [0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15]);
        assert_eq!(bytes[56..], [0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e]);
    }
}
