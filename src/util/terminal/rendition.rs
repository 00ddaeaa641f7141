//! Select graphic rendition (ECMA-48 8.3.117): attributes and colours of the characters to come.

use super::cell::{Attributes, Cell, Color};
use vte::Params;

/// Applies the parameters of `CSI … m` to `pen`.
pub(super) fn select(pen: &mut Cell, params: &Params) {
    let mut params = params.iter();
    while let Some(group) = params.next() {
        let &[code, ref details @ ..] = group else { continue };
        match code {
            0 => *pen = Cell::BLANK,
            1 => pen.attributes.insert(Attributes::BOLD),
            2 => pen.attributes.insert(Attributes::DIM),
            3 => pen.attributes.insert(Attributes::ITALIC),
            4 => pen.attributes.set(Attributes::UNDERLINE, details.first() != Some(&0)),
            5 | 6 => pen.attributes.insert(Attributes::BLINK),
            7 => pen.attributes.insert(Attributes::REVERSE),
            21 => pen.attributes.insert(Attributes::UNDERLINE),
            22 => pen.attributes.remove(Attributes::BOLD | Attributes::DIM),
            23 => pen.attributes.remove(Attributes::ITALIC),
            24 => pen.attributes.remove(Attributes::UNDERLINE),
            25 => pen.attributes.remove(Attributes::BLINK),
            27 => pen.attributes.remove(Attributes::REVERSE),
            30..=37 => pen.foreground = Color::palette((code - 30) as u8),
            39 => pen.foreground = Color::FOREGROUND,
            40..=47 => pen.background = Color::palette((code - 40) as u8),
            49 => pen.background = Color::BACKGROUND,
            90..=97 => pen.foreground = Color::palette((code - 90) as u8 + 8),
            100..=107 => pen.background = Color::palette((code - 100) as u8 + 8),
            38 | 48 => {
                let color = if details.is_empty() {
                    extended(|| params.next().and_then(|group| group.first().copied()))
                } else {
                    extended_details(details)
                };
                match (code, color) {
                    (38, Some(color)) => pen.foreground = color,
                    (_, Some(color)) => pen.background = color,
                    (_, None) => {}
                }
            }
            _ => {}
        }
    }
}

/// Reads `5 ; index` or `2 ; red ; green ; blue` (console_codes(4)).
fn extended(mut next: impl FnMut() -> Option<u16>) -> Option<Color> {
    match next()? {
        5 => Some(Color::indexed(next()?.min(255) as u8)),
        2 => {
            let mut level = || next().map(|level| level.min(255) as u8);
            Some(Color::direct(level()?, level()?, level()?))
        }
        _ => None,
    }
}

/// Reads the same with colons (ITU-T T.416), where a colour space may stand before red.
fn extended_details(details: &[u16]) -> Option<Color> {
    let mut parts = match *details {
        [2, _, red, green, blue, ..] => [2, red, green, blue].into_iter(),
        _ => {
            let mut parts = [0; 4];
            let count = details.len().min(4);
            parts[..count].copy_from_slice(&details[..count]);
            parts.into_iter()
        }
    };
    extended(|| parts.next())
}
