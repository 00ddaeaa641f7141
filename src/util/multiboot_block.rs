//! Checks a Multiboot2 information block before anybody believes it: every tag inside the block, every tag that
//! is used large enough for its fields (Multiboot2 specification 2.0, section 3.6).

/// Bytes of the block's own header, and of a tag's.
const HEADER: usize = 8;

/// Bytes of a memory map entry; the specification lets it grow, no loader does.
const MEMORY_AREA: usize = 24;

/// Returns what is wrong with the block `bytes`, in words.
pub(crate) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    if word(bytes, 0) != Some(bytes.len()) || bytes.len() < 2 * HEADER {
        return Err("its size is impossible");
    }

    let mut offset = HEADER;
    loop {
        let (Some(kind), Some(size)) = (word(bytes, offset), word(bytes, offset + 4)) else {
            return Err("it has no end tag");
        };
        let Some(tag) = bytes.get(offset..).and_then(|rest| rest.get(..size)) else {
            return Err("a tag reaches beyond its end");
        };
        if size < HEADER {
            return Err("a tag is smaller than its header");
        }
        if kind == 0 {
            let is_last = size == HEADER && offset + HEADER == bytes.len();
            return if is_last { Ok(()) } else { Err("it does not end at its end tag") };
        }
        if !is_tag_sound(kind, tag) {
            return Err("a tag's fields do not fit its size");
        }
        offset += size.next_multiple_of(8);
    }
}

fn is_tag_sound(kind: usize, tag: &[u8]) -> bool {
    match kind {
        1 | 2 => tag[HEADER..].contains(&0),
        3 => tag.len() > 16 && tag[16..].contains(&0),
        6 => tag.len() >= 16 && word(tag, 8) == Some(MEMORY_AREA) && (tag.len() - 16).is_multiple_of(MEMORY_AREA),
        8 => match tag.get(29) {
            Some(0) => tag.get(32).is_some_and(|&colours| tag.len() >= 34 + 3 * usize::from(colours)),
            Some(1) => tag.len() >= 38,
            Some(2) => tag.len() >= 32,
            _ => false,
        },
        14 => tag.len() == 28,
        15 => tag.len() == 44,
        _ => true,
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<usize> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::check;

    fn block(tags: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        for (kind, content) in tags.iter().chain(&[(0, &[][..])]) {
            bytes.extend(kind.to_le_bytes());
            bytes.extend((8 + content.len() as u32).to_le_bytes());
            bytes.extend(*content);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_le_bytes());
        bytes
    }

    #[test]
    fn good_blocks_pass() {
        assert_eq!(check(&block(&[])), Ok(()));
        let mut map = vec![24, 0, 0, 0, 0, 0, 0, 0];
        map.extend([0; 48]);
        assert_eq!(check(&block(&[(1, b"quiet\0"), (6, &map), (99, b"whatever")])), Ok(()));
    }

    #[test]
    fn lies_are_found() {
        assert!(check(&[]).is_err());
        assert!(check(&[16, 0, 0, 0]).is_err());
        assert!(check(&block(&[(1, b"no end")])).is_err());
        assert!(check(&block(&[(6, &[0; 8])])).is_err());
        assert!(check(&block(&[(6, &[24, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])])).is_err());

        let good = block(&[(1, b"quiet\0"), (2, b"GRUB\0")]);
        for cut in 0..good.len() {
            let mut bytes = good[..cut].to_vec();
            if let Some(size) = bytes.get_mut(..4) {
                size.copy_from_slice(&(cut as u32).to_le_bytes());
            }
            assert!(check(&bytes).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn no_single_byte_makes_it_fail_to_answer() {
        let good = block(&[(1, b"quiet\0"), (3, &[0, 0, 16, 0, 0, 0, 32, 0, b'a', 0])]);
        for index in 0..good.len() {
            for value in [0, 1, 7, 8, 9, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[index] = value;
                let _ = check(&bytes);
            }
        }
    }
}
