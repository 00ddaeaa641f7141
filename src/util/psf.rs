//! PC Screen Fonts, versions 1 and 2, with their Unicode tables: which bitmap shows which character.
//! Source: the format's description in the `kbd` project (psf.5) and its `psf.h`.

use alloc::{vec, vec::Vec};

/// Characters below this are looked up in one step; fonts for terminals have no others.
const TABLE_SIZE: usize = 0x3000;

/// A bitmap font.
pub(crate) struct Font {
    width: usize,
    height: usize,
    glyphs: &'static [u8],
    /// Glyph numbers by character; `MISSING` for characters that the font lacks.
    table: Vec<u16>,
    replacement: u16,
}

const MISSING: u16 = u16::MAX;

/// Where the parts of a font file are.
struct Layout {
    glyphs: usize,
    count: usize,
    glyph_size: usize,
    width: usize,
    height: usize,
    /// Characters are UTF-8 (version 2) or 16-bit little-endian (version 1).
    is_utf8: bool,
}

impl Font {
    /// Reads a font file; `None` if it is none, is cut short, or has no Unicode table.
    pub(crate) fn parse(file: &'static [u8]) -> Option<Font> {
        let layout = Layout::read(file)?;
        let end = layout.glyphs + layout.count * layout.glyph_size;
        let glyphs = file.get(layout.glyphs..end)?;
        let mut table = vec![MISSING; TABLE_SIZE];
        let mut enter = |glyph: usize, character: u32| {
            if let Some(entry) = table.get_mut(character as usize).filter(|entry| **entry == MISSING) {
                *entry = glyph as u16;
            }
        };
        if layout.is_utf8 {
            read_utf8_table(file.get(end..)?, &mut enter);
        } else {
            read_ucs2_table(file.get(end..)?, &mut enter);
        }

        let replacement = table['?' as usize];
        (replacement != MISSING).then_some(Font {
            width: layout.width,
            height: layout.height,
            glyphs,
            table,
            replacement,
        })
    }

    /// Returns the width of every glyph in pixels.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Returns the height of every glyph in pixels.
    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// Returns the rows of the glyph for `character`: `row_size` bytes each, the leftmost pixel in the highest bit.
    pub(crate) fn glyph(&self, character: char) -> &'static [u8] {
        let number = self.find(character).or_else(|| self.find(similar(character))).unwrap_or(self.replacement);
        let size = self.row_size() * self.height;
        &self.glyphs[usize::from(number) * size..][..size]
    }

    /// Returns the bytes of one row of a glyph.
    pub(crate) fn row_size(&self) -> usize {
        self.width.div_ceil(8)
    }

    fn find(&self, character: char) -> Option<u16> {
        self.table.get(character as usize).copied().filter(|&number| number != MISSING)
    }
}

impl Layout {
    fn read(file: &[u8]) -> Option<Layout> {
        match *file {
            [0x36, 0x04, mode, height, ..] if mode & 0b110 != 0 => Some(Layout {
                glyphs: 4,
                count: if mode & 1 != 0 { 512 } else { 256 },
                glyph_size: usize::from(height),
                width: 8,
                height: usize::from(height),
                is_utf8: false,
            }),
            [0x72, 0xb5, 0x4a, 0x86, ..] => {
                let word = |index: usize| {
                    let bytes = file.get(index * 4..index * 4 + 4)?;
                    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
                };
                let layout = Layout {
                    glyphs: word(2)?,
                    count: word(4)?,
                    glyph_size: word(5)?,
                    height: word(6)?,
                    width: word(7)?,
                    is_utf8: true,
                };
                let has_table = word(3)? & 1 != 0;
                let fits = layout.width <= 64 && layout.height <= 128 && layout.count < usize::from(MISSING);
                (has_table && fits && layout.glyph_size == layout.width.div_ceil(8) * layout.height).then_some(layout)
            }
            _ => None,
        }
    }
}

/// Version 2: characters in UTF-8 per glyph; 0xfe starts sequences, which terminals do not use; 0xff ends the glyph.
fn read_utf8_table(table: &[u8], enter: &mut impl FnMut(usize, u32)) {
    for (glyph, characters) in table.split(|&byte| byte == 0xff).enumerate() {
        let single = characters.split(|&byte| byte == 0xfe).next().unwrap_or_default();
        for character in core::str::from_utf8(single).unwrap_or_default().chars() {
            enter(glyph, u32::from(character));
        }
    }
}

/// Version 1: the same with 16-bit characters, 0xfffe and 0xffff.
fn read_ucs2_table(table: &[u8], enter: &mut impl FnMut(usize, u32)) {
    let mut glyph = 0;
    let mut in_sequence = false;
    for pair in table.chunks_exact(2) {
        match u16::from_le_bytes([pair[0], pair[1]]) {
            0xffff => {
                glyph += 1;
                in_sequence = false;
            }
            0xfffe => in_sequence = true,
            character if !in_sequence => enter(glyph, u32::from(character)),
            _ => {}
        }
    }
}

/// Returns a character that looks much the same, for those that small fonts lack.
fn similar(character: char) -> char {
    match character {
        '→' | '▶' | '▸' | '›' => '>',
        '←' | '◀' | '◂' | '‹' => '<',
        '↑' | '▲' | '▴' => '^',
        '↓' | '▼' | '▾' => 'v',
        '∙' | '●' | '⋅' => '·',
        '⎺' | '⎻' | '⎼' | '⎽' | '‐' | '‑' | '‒' | '―' => '─',
        '■' | '▪' | '◼' => '█',
        '…' => '.',
        '≤' => '<',
        '≥' => '>',
        '≠' => '=',
        _ => '\u{fffd}',
    }
}

#[cfg(test)]
mod tests {
    use super::Font;
    use alloc::vec::Vec;

    /// A version 1 font of 256 glyphs, one row each, where glyph n is the byte n and shows the character n.
    fn version_1() -> &'static [u8] {
        let mut file = Vec::from([0x36, 0x04, 0b010, 1]);
        file.extend(0..=255u8);
        for glyph in 0..256u16 {
            file.extend(glyph.to_le_bytes());
            file.extend(0xffffu16.to_le_bytes());
        }
        file.leak()
    }

    /// A version 2 font of two glyphs, nine pixels wide and one high: `?` (also é), and ─.
    fn version_2() -> &'static [u8] {
        let mut file = Vec::from([0x72, 0xb5, 0x4a, 0x86]);
        for word in [0u32, 32, 1, 2, 2, 1, 9] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0x80, 0x80, 0xff, 0x80]);
        file.extend("?é".as_bytes());
        file.push(0xff);
        file.extend("─".as_bytes());
        file.push(0xff);
        file.leak()
    }

    #[test]
    fn both_versions_find_their_glyphs() {
        let font = Font::parse(version_1()).expect("it is a font");
        assert_eq!((font.width(), font.height(), font.glyph('A')), (8, 1, &[0x41][..]));
        let font = Font::parse(version_2()).expect("it is a font");
        assert_eq!((font.width(), font.row_size()), (9, 2));
        assert_eq!((font.glyph('é'), font.glyph('─')), (&[0x80, 0x80][..], &[0xff, 0x80][..]));
    }

    #[test]
    fn missing_characters_look_similar_or_are_question_marks() {
        let font = Font::parse(version_2()).expect("it is a font");
        assert_eq!(font.glyph('⎺'), font.glyph('─'));
        assert_eq!(font.glyph('語'), font.glyph('?'));
    }

    #[test]
    fn cut_files_are_refused() {
        for file in [version_1(), version_2()] {
            for length in 0..file.len() / 2 {
                let _ = Font::parse(&file[..length]);
            }
        }
        assert!(Font::parse(b"").is_none());
        assert!(Font::parse(&version_2()[..34]).is_none());
    }
}
