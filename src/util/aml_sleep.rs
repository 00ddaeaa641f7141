//! Finds the sleep types of `\_S5` ("soft off") in AML byte code without interpreting it.
//!
//! Firmware writes `Name (_S5, Package () { a, b, … })` with constants, so the bytes around the name are known
//! (ACPI specification 6.5, 7.4.2 and 20.2). An interpreter would be thousands of lines for two numbers.

const NAME_OP: u8 = 0x08;
const ROOT_CHARACTER: u8 = b'\\';
const PACKAGE_OP: u8 = 0x12;
const BYTE_PREFIX: u8 = 0x0a;
const WORD_PREFIX: u8 = 0x0b;
const DWORD_PREFIX: u8 = 0x0c;

/// Returns the values for PM1a's and PM1b's SLP_TYP field that mean "off".
pub(crate) fn find_soft_off(aml: &[u8]) -> Option<(u8, u8)> {
    let mut places = (0..aml.len()).filter(|&place| aml[place..].starts_with(b"_S5_"));
    places.find_map(|place| {
        let is_name = matches!(aml[..place], [.., NAME_OP] | [.., NAME_OP, ROOT_CHARACTER]);
        is_name.then(|| read_package(&aml[place + 4..])).flatten()
    })
}

fn read_package(aml: &[u8]) -> Option<(u8, u8)> {
    let [PACKAGE_OP, length_lead, rest @ ..] = aml else { return None };
    // The upper two bits say how many more bytes of length follow; then the number of elements.
    let elements = rest.get(usize::from(length_lead >> 6) + 1..)?;
    let (first, elements) = read_integer(elements)?;
    // With one element alone both registers take it.
    let second = read_integer(elements).map_or(first, |(second, _)| second);
    Some((first, second))
}

/// Reads the lowest byte of an integer constant; SLP_TYP has three bits.
fn read_integer(aml: &[u8]) -> Option<(u8, &[u8])> {
    match *aml {
        [value @ (0 | 1), ref rest @ ..] => Some((value, rest)),
        [0xff, ref rest @ ..] => Some((0xff, rest)),
        [BYTE_PREFIX, value, ref rest @ ..] => Some((value, rest)),
        [WORD_PREFIX, value, _, ref rest @ ..] => Some((value, rest)),
        [DWORD_PREFIX, value, _, _, _, ref rest @ ..] => Some((value, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_of_constants_is_read() {
        let qemu = b"\x10\x00\x08_S5_\x12\x06\x04\x00\x00\x00\x00";
        assert_eq!(find_soft_off(qemu), Some((0, 0)));
        let bytes = b"\x08\\_S5_\x12\x0a\x04\x0a\x05\x0a\x07\x0a\x00\x0a\x00";
        assert_eq!(find_soft_off(bytes), Some((5, 7)));
        let long = b"\x08_S5_\x12\x4a\x00\x02\x01\x0b\x07\x00";
        assert_eq!(find_soft_off(long), Some((1, 7)));
    }

    #[test]
    fn mention_of_the_name_is_passed_over() {
        let bytes = b"\xa0\x08_S4_ _S5_\x12\x02 \x08_S5_\x12\x06\x02\x0a\x03\x0a\x04";
        assert_eq!(find_soft_off(bytes), Some((3, 4)));
    }

    #[test]
    fn cut_off_code_has_none() {
        let whole = b"\x08_S5_\x12\x06\x02\x0a\x03";
        for length in 0..whole.len() {
            assert_eq!(find_soft_off(&whole[..length]), None);
        }
        assert_eq!(find_soft_off(b""), None);
    }
}
