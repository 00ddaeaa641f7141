//! Keys become the bytes that `TERM=linux` promises (see `infocmp linux`), by the US layout. The crate `pc-keyboard` knows scan
//! codes and layout; what Control, Alt and the keys without characters send is decided here.

use pc_keyboard::layouts::Us104Key;
use pc_keyboard::{DecodedKey, HandleControl, KeyCode, KeyState, Modifiers, ScancodeSet1};

/// The most bytes that one key sends: Alt's escape and a sequence or a character.
const LONGEST: usize = 8;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Send(Typed),
    /// Scroll the view back by half screens; forward where negative.
    Scroll(isize),
    /// Control-Alt-Delete.
    Restart,
    /// A lock key was pressed.
    Lights {
        num: bool,
        caps: bool,
    },
}

/// The bytes that a key sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Typed {
    /// Returns the bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

/// The state of a keyboard.
pub(super) struct Keyboard(pc_keyboard::Keyboard<Us104Key, ScancodeSet1>);

impl Keyboard {
    /// Makes a keyboard with no key down.
    pub(super) fn new() -> Keyboard {
        Keyboard(pc_keyboard::Keyboard::new(ScancodeSet1::new(), Us104Key, HandleControl::Ignore))
    }

    /// Takes a scan code; returns what the key asks for, if it asks for anything.
    pub(super) fn accept(&mut self, scancode: u8, has_application_cursor_keys: bool) -> Option<Action> {
        let event = self.0.add_byte(scancode).ok()??;
        let (code, is_down) = (event.code, event.state != KeyState::Up);
        let decoded = self.0.process_keyevent(event)?;
        if !is_down {
            return None;
        }

        let modifiers = self.0.get_modifiers();
        let is_control = modifiers.is_ctrl();
        let is_alt = modifiers.lalt || modifiers.ralt;
        match (code, decoded) {
            (KeyCode::Delete | KeyCode::NumpadPeriod, _) if is_control && is_alt => Some(Action::Restart),
            (KeyCode::PageUp, _) if modifiers.is_shifted() => Some(Action::Scroll(1)),
            (KeyCode::PageDown, _) if modifiers.is_shifted() => Some(Action::Scroll(-1)),
            (KeyCode::CapsLock | KeyCode::NumpadLock, _) => {
                Some(Action::Lights { num: modifiers.numlock, caps: modifiers.capslock })
            }
            (_, DecodedKey::Unicode(character)) => Some(Action::Send(type_character(code, character, modifiers))),
            (_, DecodedKey::RawKey(code)) => {
                let mut typed = Typed::default();
                typed.push(sequence(code, modifiers.is_shifted(), has_application_cursor_keys)?.as_bytes());
                Some(Action::Send(typed))
            }
        }
    }
}

/// Returns what a key with a character sends.
fn type_character(code: KeyCode, character: char, modifiers: &Modifiers) -> Typed {
    let is_control = modifiers.is_ctrl();
    let mut typed = Typed::default();
    if modifiers.lalt || modifiers.ralt || code == KeyCode::Tab && modifiers.is_shifted() {
        typed.push(b"\x1b");
    }

    let character = match code {
        KeyCode::Backspace if is_control => '\x08',
        KeyCode::Backspace => '\x7f',
        KeyCode::Return | KeyCode::NumpadEnter => '\r',
        KeyCode::Delete => {
            typed.push(b"\x1b[3~");
            return typed;
        }
        _ if is_control => control(character),
        _ => character,
    };
    typed.push(character.encode_utf8(&mut [0; 4]).as_bytes());
    typed
}

/// Returns what Control makes of a character, as Linux' default keymap does.
fn control(character: char) -> char {
    match character {
        'a'..='z' | '@' | 'A'..='Z' | '[' | '\\' | ']' | '^' | '_' => (character as u8 & 0x1f).into(),
        ' ' | '2' | '`' => '\0',
        '3' => '\x1b',
        '4' => '\x1c',
        '5' => '\x1d',
        '6' | '~' => '\x1e',
        '7' | '/' | '-' => '\x1f',
        '8' | '?' => '\x7f',
        other => other,
    }
}

/// Returns what a key without a character sends.
fn sequence(code: KeyCode, is_shifted: bool, has_application_cursor_keys: bool) -> Option<&'static str> {
    let cursor = |application, normal| Some(if has_application_cursor_keys { application } else { normal });
    let function = |plain, shifted| Some(if is_shifted { shifted } else { plain });
    match code {
        KeyCode::ArrowUp => cursor("\x1bOA", "\x1b[A"),
        KeyCode::ArrowDown => cursor("\x1bOB", "\x1b[B"),
        KeyCode::ArrowRight => cursor("\x1bOC", "\x1b[C"),
        KeyCode::ArrowLeft => cursor("\x1bOD", "\x1b[D"),
        KeyCode::Home => Some("\x1b[1~"),
        KeyCode::Insert => Some("\x1b[2~"),
        KeyCode::Delete => Some("\x1b[3~"),
        KeyCode::End => Some("\x1b[4~"),
        KeyCode::PageUp => Some("\x1b[5~"),
        KeyCode::PageDown => Some("\x1b[6~"),
        KeyCode::Numpad5 => Some("\x1b[G"),
        KeyCode::F1 => function("\x1b[[A", "\x1b[25~"),
        KeyCode::F2 => function("\x1b[[B", "\x1b[26~"),
        KeyCode::F3 => function("\x1b[[C", "\x1b[28~"),
        KeyCode::F4 => function("\x1b[[D", "\x1b[29~"),
        KeyCode::F5 => function("\x1b[[E", "\x1b[31~"),
        KeyCode::F6 => function("\x1b[17~", "\x1b[32~"),
        KeyCode::F7 => function("\x1b[18~", "\x1b[33~"),
        KeyCode::F8 => function("\x1b[19~", "\x1b[34~"),
        KeyCode::F9 => Some("\x1b[20~"),
        KeyCode::F10 => Some("\x1b[21~"),
        KeyCode::F11 => Some("\x1b[23~"),
        KeyCode::F12 => Some("\x1b[24~"),
        _ => None,
    }
}
