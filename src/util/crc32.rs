//! The cyclic redundancy check of gzip (RFC 1952, section 8).

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

/// Returns the check of the bytes before (whose check is `crc`, 0 at the start) and `bytes` together.
pub(crate) fn update(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, byte| TABLE[(crc as u8 ^ byte) as usize] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_values() {
        assert_eq!(super::update(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(super::update(super::update(0, b"1234"), b"56789"), 0xcbf4_3926);
    }
}
