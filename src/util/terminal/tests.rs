//! What the emulator shows for what it is fed.

use super::cell::{Attributes, Color};
use super::{Emulator, PALETTE};
use alloc::{string::String, vec::Vec};

fn screen(emulator: &Emulator) -> Vec<String> {
    let grid = emulator.state().grid();
    let line = |y| grid.visible_row(y).iter().map(|cell| cell.character).collect::<String>();
    (0..grid.rows()).map(|y| String::from(line(y).trim_end())).collect()
}

fn fed(columns: usize, rows: usize, text: &str) -> Emulator {
    let mut emulator = Emulator::new(columns, rows);
    emulator.feed(text.as_bytes());
    emulator
}

fn shows(columns: usize, rows: usize, text: &str, expected: &[&str]) {
    assert_eq!(screen(&fed(columns, rows, text)), expected, "{text:?}");
}

fn cursor(emulator: &Emulator) -> Option<(usize, usize)> {
    emulator.state().visible_cursor().map(|(x, y, _)| (x, y))
}

fn replies(emulator: &mut Emulator) -> String {
    let mut bytes = [0; 64];
    let count = emulator.state_mut().take_replies(&mut bytes);
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn text_wraps_when_the_next_character_comes() {
    shows(4, 3, "abcd", &["abcd", "", ""]);
    assert_eq!(cursor(&fed(4, 3, "abcd")), Some((3, 0)));
    shows(4, 3, "abcde", &["abcd", "e", ""]);
    shows(4, 3, "abcd\r\nx", &["abcd", "x", ""]);
    shows(4, 2, "\x1b[?7labcdef", &["abcf", ""]);
}

#[test]
fn the_screen_scrolls_at_the_bottom_and_remembers() {
    let mut emulator = fed(3, 2, "1\r\n2\r\n3\r\n4");
    assert_eq!(screen(&emulator), ["3", "4"]);
    emulator.state_mut().grid_mut().scroll_view(1);
    assert_eq!(screen(&emulator), ["2", "3"]);
    emulator.state_mut().grid_mut().scroll_view(5);
    assert_eq!(screen(&emulator), ["1", "2"]);
    emulator.feed(b"\r\n5");
    assert_eq!(screen(&emulator), ["1", "2"]);
    emulator.state_mut().grid_mut().scroll_view(-9);
    assert_eq!(screen(&emulator), ["4", "5"]);
}

#[test]
fn a_region_scrolls_alone() {
    shows(3, 4, "a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[3;1H\n", &["a", "c", "", "d"]);
    shows(3, 4, "a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[2;1H\x1bM", &["a", "", "b", "d"]);
    shows(3, 4, "a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[?6h\x1b[1;1Hx", &["a", "x", "c", "d"]);
}

#[test]
fn lines_and_characters_are_inserted_and_deleted() {
    shows(5, 3, "a\r\nb\r\nc\x1b[2;1H\x1b[L", &["a", "", "b"]);
    shows(5, 3, "a\r\nb\r\nc\x1b[1;1H\x1b[M", &["b", "c", ""]);
    shows(5, 1, "abcde\x1b[1;2H\x1b[2@", &["a  bc"]);
    shows(5, 1, "abcde\x1b[1;2H\x1b[2P", &["ade"]);
    shows(5, 1, "abcde\x1b[1;2H\x1b[2X", &["a  de"]);
    shows(5, 1, "abc\x1b[1;2H\x1b[4hX\x1b[4lY", &["aXYc"]);
}

#[test]
fn erasing_uses_the_background() {
    let emulator = fed(3, 1, "abc\x1b[44m\x1b[2K");
    let cell = emulator.state().grid().row(0)[1];
    assert_eq!((cell.character, cell.background), (' ', Color::palette(4)));
    shows(3, 3, "abc\r\ndef\r\nghi\x1b[2;2H\x1b[J", &["abc", "d", ""]);
    shows(3, 3, "abc\r\ndef\r\nghi\x1b[2;2H\x1b[1J", &["", "  f", "ghi"]);
}

#[test]
fn colours_and_attributes() {
    let emulator = fed(9, 1, "\x1b[1;31ma\x1b[0;48;5;196mb\x1b[38;2;1;2;3mc\x1b[md\x1b[38:2::4:5:6me\x1b[97;7mf");
    let row = emulator.state().grid().row(0);
    assert_eq!((row[0].foreground, row[0].attributes), (Color::palette(1), Attributes::BOLD));
    assert_eq!(row[0].colors(&PALETTE, false).0, PALETTE[9]);
    assert_eq!(row[1].background, Color::direct(255, 0, 0));
    assert_eq!(row[2].foreground, Color::direct(1, 2, 3));
    assert_eq!(row[3].background, Color::BACKGROUND);
    assert_eq!(row[4].foreground, Color::direct(4, 5, 6));
    assert_eq!(row[5].colors(&PALETTE, false).0, PALETTE[0]);
}

#[test]
fn line_drawing_both_ways() {
    shows(6, 1, "\x1b(0lqk\x1b(Bq┌", &["┌─┐q┌"]);
    shows(6, 1, "\x1b)0\x0eqx\x0fx", &["─│x"]);
}

#[test]
fn wide_characters_take_two_cells_and_marks_none() {
    shows(5, 2, "日本語", &["日 本", "語"]);
    shows(5, 1, "e\u{301}x", &["ex"]);
}

#[test]
fn damaged_utf8_becomes_the_replacement_character() {
    let mut emulator = Emulator::new(4, 1);
    emulator.feed(b"a\xffb");
    assert_eq!(screen(&emulator), ["a\u{fffd}b"]);
    let mut emulator = Emulator::new(4, 1);
    emulator.feed(b"\xc3");
    emulator.feed(b"\xa9");
    assert_eq!(screen(&emulator), ["é"]);
}

#[test]
fn reports_are_answered() {
    let mut emulator = fed(90, 30, "\x1b[12;34H\x1b[6n\x1b[5n\x1b[c");
    assert_eq!(replies(&mut emulator), "\x1b[12;34R\x1b[0n\x1b[?6c");
    assert_eq!(replies(&mut emulator), "");
}

#[test]
fn palette_sequences_need_no_end() {
    let emulator = fed(4, 1, "\x1b]P1a0b0c0x\x1b]Ry");
    assert_eq!(screen(&emulator), ["xy"]);
    assert_eq!(emulator.state().palette(), &PALETTE);
    let emulator = fed(4, 1, "\x1b]P1a0b0c0x");
    assert_eq!(emulator.state().palette()[1], 0xa0_b0c0);
    shows(8, 1, "\x1b]0;title\x07x", &["x"]);
}

#[test]
fn tabs_save_and_restore_and_reset() {
    shows(20, 1, "a\tb\tc", &["a       b       c"]);
    shows(20, 1, "\x1b[3g\x1b[1;4H\x1bH\r\tx", &["   x"]);
    shows(5, 2, "ab\x1b7\x1b[2;1Hz\x1b8c", &["abc", "z"]);
    shows(5, 2, "ab\x1b[31m\x1bcx", &["x", ""]);
}

#[test]
fn the_cursor_hides_and_keys_switch() {
    assert_eq!(cursor(&fed(5, 1, "\x1b[?25l")), None);
    assert_eq!(cursor(&fed(5, 1, "\x1b[?1c")), None);
    assert_eq!(cursor(&fed(5, 1, "\x1b[?25l\x1b[?25h")), Some((0, 0)));
    assert!(fed(5, 1, "\x1b[?1h").state().has_application_cursor_keys());
}

#[test]
fn a_report_is_readable_whatever_a_program_set_up() {
    let mut emulator = fed(6, 3, "ab\x1b[2;3r\x1b[?6h\x1b(0\x1b[4h\x1b[31;4");
    emulator.feed(b"\x18");
    emulator.state_mut().settle();
    emulator.feed(b"q\r\nx\r\ny");
    assert_eq!(screen(&emulator), ["q", "x", "y"].map(String::from).as_slice());
}

#[test]
fn an_echoed_function_key_shows_nothing() {
    shows(5, 1, "\x1b[[Ax", &["x"]);
}

#[test]
fn nothing_breaks_the_emulator() {
    // A simple generator is enough: every byte value in every state, at sizes down to one cell.
    let mut seed = 1u32;
    for (columns, rows) in [(1, 1), (2, 1), (1, 2), (7, 3), (80, 25)] {
        let mut emulator = Emulator::new(columns, rows);
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (seed >> 24) as u8;
            let choice = b"\x1b[;?0129HJKLMP@rmhlABCD\x1b[\n\r\t\xe6\x97\xa5";
            let picked = if seed & 0x300 == 0 { byte } else { choice[usize::from(byte) % choice.len()] };
            emulator.feed(&[picked]);
        }
        assert_eq!(screen(&emulator).len(), rows);
    }
}
