//! Names of directory entries, eight bytes at a time: where one ends in a path, its hash, and whether two are the same.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const SLASHES: u64 = ONES * b'/' as u64;

/// The golden ratio's bits, which have no pattern.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is known of a name without another look at its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) length: usize,
    pub(crate) hash: u64,
    /// The bytes behind the last whole eight.
    rest: u64,
}

/// Looks at the name that `text` starts with and that a slash or the end ends.
#[inline(always)]
pub(crate) fn first(text: &[u8], seed: u64) -> Digest {
    let mut hash = seed;
    let mut left = text;
    let (before, rest) = loop {
        let Some((word, after)) = left.split_first_chunk() else {
            let word = last_word(text, left.len());
            let (slashes, rest) = up_to_slash(word);
            break if slashes == 0 { (left.len(), word) } else { (slashes.trailing_zeros() as usize / 8, rest) };
        };
        let word = u64::from_le_bytes(*word);
        let (slashes, rest) = up_to_slash(word);
        if slashes != 0 {
            break (slashes.trailing_zeros() as usize / 8, rest);
        }
        hash = mix(hash, word);
        left = after;
    };
    Digest { length: text.len() - left.len() + before, hash: mix(hash, rest), rest }
}

/// Returns whether a name is another one, of whose digests the latter is `other_digest`.
#[inline(always)]
pub(crate) fn is_same(name: &[u8], digest: &Digest, other: &[u8], other_digest: &Digest) -> bool {
    let are_same = |(word, other): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*word) == u64::from_le_bytes(*other);
    digest == other_digest && (digest.length < 8 || name.as_chunks().0.iter().zip(other.as_chunks().0).all(are_same))
}

/// Returns a word whose lowest bit that is set is the highest of the first byte of `word` that is a slash, 0 if none is; and
/// the bytes before that one.
#[inline(always)]
fn up_to_slash(word: u64) -> (u64, u64) {
    let zeros = word ^ SLASHES;
    let slashes = zeros.wrapping_sub(ONES) & !zeros & (ONES << 7);
    (slashes, word & (slashes ^ slashes.wrapping_sub(1)) >> 8)
}

/// Returns the last `count` bytes of `bytes`, zeros behind them. `count` is below 8, and all if there are fewer than 8.
#[inline(always)]
fn last_word(bytes: &[u8], count: usize) -> u64 {
    if let Some(last) = bytes.last_chunk() {
        return u64::from_le_bytes(*last) >> 8 >> (56 - 8 * count);
    }
    // What two halves share is the same in both.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (count - 4));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << (8 * (count - 2));
    }
    bytes.first().map_or(0, |byte| u64::from(*byte))
}

#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(MIXER);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &[u8] = b"a/bc//def/ghij/klmnopq/rstuvwxy/zabcdefgh/\xff\x2e\x30\x00\xaf/last-of-them-all";

    #[test]
    fn a_name_ends_at_a_slash_or_the_end() {
        for start in 0..=PATH.len() {
            for end in start..=PATH.len() {
                let text = &PATH[start..end];
                let length = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
                assert_eq!(first(text, 5).length, length, "{text:?}");
            }
        }
    }

    #[test]
    fn equal_names_are_the_same_wherever_they_lie() {
        for name in PATH.split(|byte| *byte == b'/') {
            let digest = first(name, 7);
            for (before, after) in [("", ""), ("x", "/"), ("", "/yz"), ("0123456789", "/0123456789")] {
                let text = [before.as_bytes(), name, after.as_bytes()].concat();
                let found = first(&text[before.len()..], 7);
                assert!(is_same(name, &digest, &text[before.len()..][..found.length], &found), "{name:?}");
                assert_ne!(first(&text[before.len()..], 8).hash, digest.hash);
            }
        }
    }

    #[test]
    fn names_that_differ_in_one_byte_differ() {
        let is_same = |one: &[u8], other: &[u8]| {
            let hash = first(one, 3).hash;
            // Bytes decide, not only the hash.
            super::is_same(one, &first(one, 3), other, &Digest { hash, ..first(other, 3) })
        };
        for length in 0..40 {
            let name: Vec<u8> = (1..=length).collect();
            assert!(is_same(&name, &name.clone()));
            assert!(!is_same(&name, &[&name[..], b"x"].concat()));
            for place in 0..name.len() {
                let mut other = name.clone();
                other[place] ^= 0x80;
                assert!(!is_same(&name, &other));
                assert_ne!(first(&name, 3).hash, first(&other, 3).hash);
            }
        }
    }
}
