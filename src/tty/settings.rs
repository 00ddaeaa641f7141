//! A terminal's settings as stty(1) shows them: flags, control characters and speeds (termios(3)), and the
//! three structures in which programs pass them.

use bitflags::bitflags;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

bitflags! {
    /// What happens to characters that come in (c_iflag).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct InputFlags: u32 {
        const IGNBRK = raw::IGNBRK;
        const BRKINT = raw::BRKINT;
        const PARMRK = raw::PARMRK;
        const ISTRIP = raw::ISTRIP;
        const INLCR = raw::INLCR;
        const IGNCR = raw::IGNCR;
        const ICRNL = raw::ICRNL;
        const IUCLC = raw::IUCLC;
        const IXON = raw::IXON;
        const IXANY = raw::IXANY;
        const IXOFF = raw::IXOFF;
        const IUTF8 = raw::IUTF8;
        const _ = !0;
    }

    /// What happens to characters that go out (c_oflag).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct OutputFlags: u32 {
        const OPOST = raw::OPOST;
        const OLCUC = raw::OLCUC;
        const ONLCR = raw::ONLCR;
        const OCRNL = raw::OCRNL;
        const ONOCR = raw::ONOCR;
        const ONLRET = raw::ONLRET;
        const XTABS = raw::XTABS;
        const _ = !0;
    }

    /// Echo, editing and signals (c_lflag).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct LocalFlags: u32 {
        const ISIG = raw::ISIG;
        const ICANON = raw::ICANON;
        const ECHO = raw::ECHO;
        const ECHOE = raw::ECHOE;
        const ECHOK = raw::ECHOK;
        const ECHONL = raw::ECHONL;
        const NOFLSH = raw::NOFLSH;
        const TOSTOP = raw::TOSTOP;
        const ECHOCTL = raw::ECHOCTL;
        const ECHOPRT = raw::ECHOPRT;
        const ECHOKE = raw::ECHOKE;
        const IEXTEN = raw::IEXTEN;
        const EXTPROC = raw::EXTPROC;
        const _ = !0;
    }
}

/// A place in the list of control characters (c_cc).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Control {
    Interrupt = raw::VINTR as usize,
    Quit = raw::VQUIT as usize,
    Erase = raw::VERASE as usize,
    Kill = raw::VKILL as usize,
    EndOfFile = raw::VEOF as usize,
    Start = raw::VSTART as usize,
    Stop = raw::VSTOP as usize,
    Suspend = raw::VSUSP as usize,
    EndOfLine = raw::VEOL as usize,
    Reprint = raw::VREPRINT as usize,
    WordErase = raw::VWERASE as usize,
    LiteralNext = raw::VLNEXT as usize,
    EndOfLine2 = raw::VEOL2 as usize,
}

/// A control character that is switched off (_POSIX_VDISABLE).
const DISABLED: u8 = 0;

/// `intr quit erase kill eof time min swtc start stop susp eol rprnt discard werase lnext eol2`: ^C ^\ ^? ^U ^D
/// and so on, Linux's defaults.
const DEFAULT_CONTROLS: [u8; raw::NCCS as usize] =
    *b"\x03\x1c\x7f\x15\x04\x00\x01\x00\x11\x13\x1a\x00\x12\x0f\x17\x16\x00\x00\x00";

/// The settings of one terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) input: InputFlags,
    pub(crate) output: OutputFlags,
    /// Character size, speed code and modem control (c_cflag), kept as given.
    pub(crate) control: u32,
    pub(crate) local: LocalFlags,
    discipline: u8,
    controls: [u8; raw::NCCS as usize],
    input_speed: u32,
    pub(crate) output_speed: u32,
    /// What cannot be changed: flags that are set, characters that are not zero (TIOCSLCKTRMIOS).
    pub(crate) locked: Termios,
}

impl Settings {
    /// Returns Linux's settings of a new terminal, with the speed code `speed` (for example `B38400`).
    pub(crate) fn new(speed: u32) -> Settings {
        let bits = speed_of_code(speed).unwrap_or(38400);
        Settings {
            input: InputFlags::ICRNL | InputFlags::IXON,
            output: OutputFlags::OPOST | OutputFlags::ONLCR,
            control: speed | raw::CS8 | raw::CREAD | raw::HUPCL,
            local: LocalFlags::ISIG
                | LocalFlags::ICANON
                | LocalFlags::ECHO
                | LocalFlags::ECHOE
                | LocalFlags::ECHOK
                | LocalFlags::ECHOCTL
                | LocalFlags::ECHOKE
                | LocalFlags::IEXTEN,
            discipline: 0,
            controls: DEFAULT_CONTROLS,
            input_speed: bits,
            output_speed: bits,
            locked: Termios::default(),
        }
    }

    /// Returns whether ^S stops and ^Q starts the output.
    pub(crate) fn has_usual_flow_control(&self) -> bool {
        self.input.contains(InputFlags::IXON)
            && (self.character(Control::Stop), self.character(Control::Start)) == (0x13, 0x11)
    }

    /// Returns whether `byte` is the control character `which`; one that is switched off matches nothing.
    pub(crate) fn is(&self, which: Control, byte: u8) -> bool {
        byte != DISABLED && self.controls[which as usize] == byte
    }

    /// Returns the character of `which`.
    pub(crate) fn character(&self, which: Control) -> u8 {
        self.controls[which as usize]
    }

    /// Returns whether input is read by lines.
    pub(crate) fn is_canonical(&self) -> bool {
        self.local.contains(LocalFlags::ICANON)
    }

    /// Returns how many bytes satisfy a read that is not by lines (VMIN).
    pub(crate) fn minimum(&self) -> usize {
        usize::from(self.controls[raw::VMIN as usize])
    }

    /// Returns the time limit of a read that is not by lines (VTIME), in nanoseconds.
    pub(crate) fn time_ns(&self) -> u64 {
        u64::from(self.controls[raw::VTIME as usize]) * 100_000_000
    }

    /// Returns the settings as TCGETS passes them.
    pub(crate) fn to_termios(self) -> Termios {
        Termios {
            input: self.input.bits(),
            output: self.output.bits(),
            control: self.control,
            local: self.local.bits(),
            discipline: self.discipline,
            controls: self.controls,
        }
    }

    /// Returns the settings as TCGETS2 passes them.
    pub(crate) fn to_termios2(self) -> Termios2 {
        Termios2 { termios: self.to_termios(), input_speed: self.input_speed, output_speed: self.output_speed }
    }

    /// Returns the settings as TCGETA passes them: the low halves of the flags, the first eight characters.
    pub(crate) fn to_termio(self) -> Termio {
        let mut controls = [0; raw::NCC as usize];
        controls.copy_from_slice(&self.controls[..raw::NCC as usize]);

        Termio {
            input: self.input.bits() as u16,
            output: self.output.bits() as u16,
            control: self.control as u16,
            local: self.local.bits() as u16,
            discipline: self.discipline,
            controls,
            padding: 0,
        }
    }

    /// Takes over what TCSETS passes; the speed follows the code in `control`.
    pub(crate) fn set_termios(&mut self, from: &Termios) {
        let from = from.with_locked(&self.locked, &self.to_termios());
        self.input = InputFlags::from_bits_retain(from.input);
        self.output = OutputFlags::from_bits_retain(from.output);
        self.control = from.control;
        self.local = LocalFlags::from_bits_retain(from.local);
        self.discipline = from.discipline;
        self.controls = from.controls;
        if let Some(speed) = speed_of_code(self.control & raw::CBAUD) {
            self.input_speed = speed;
            self.output_speed = speed;
        }
    }

    /// Takes over what TCSETS2 passes; with the speed code `BOTHER` the speeds are numbers.
    pub(crate) fn set_termios2(&mut self, from: &Termios2) {
        self.set_termios(&from.termios);
        if self.control & raw::CBAUD == raw::BOTHER {
            self.input_speed = from.input_speed;
            self.output_speed = from.output_speed;
        }
    }

    /// Takes over what TCSETA passes: the high halves of the flags and the other characters stay.
    pub(crate) fn set_termio(&mut self, from: &Termio) {
        let mut full = self.to_termios();
        let join = |old: u32, new: u16| old & 0xffff_0000 | u32::from(new);
        full.input = join(full.input, from.input);
        full.output = join(full.output, from.output);
        full.control = join(full.control, from.control);
        full.local = join(full.local, from.local);
        full.discipline = from.discipline;
        full.controls[..raw::NCC as usize].copy_from_slice(&from.controls);
        self.set_termios(&full);
    }
}

/// Returns the bits per second of a speed code (`B9600`), `None` for `BOTHER` and unknown codes.
fn speed_of_code(code: u32) -> Option<u32> {
    const LOW: [u32; 16] = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
    const HIGH: [u32; 16] = [
        0, 57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
        2_500_000, 3_000_000, 3_500_000, 4_000_000,
    ];

    let index = (code & 0xf) as usize;
    match (code & raw::CBAUDEX != 0, index) {
        (false, _) => Some(LOW[index]),
        (true, 0) => None,
        (true, _) => Some(HIGH[index]),
    }
}

/// `struct termios` of the kernel ABI (TCGETS, TCSETS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Termios {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    discipline: u8,
    controls: [u8; raw::NCCS as usize],
}

impl Termios {
    /// Returns it with what is locked as in `old`.
    fn with_locked(&self, locked: &Termios, old: &Termios) -> Termios {
        let flags = |new: u32, locked: u32, old: u32| new & !locked | old & locked;
        let byte = |new: u8, locked: u8, old: u8| if locked == 0 { new } else { old };
        Termios {
            input: flags(self.input, locked.input, old.input),
            output: flags(self.output, locked.output, old.output),
            control: flags(self.control, locked.control, old.control),
            local: flags(self.local, locked.local, old.local),
            discipline: byte(self.discipline, locked.discipline, old.discipline),
            controls: core::array::from_fn(|at| byte(self.controls[at], locked.controls[at], old.controls[at])),
        }
    }
}

/// `struct termios2` (TCGETS2, TCSETS2).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Termios2 {
    termios: Termios,
    input_speed: u32,
    output_speed: u32,
}

/// `struct termio`, System V's (TCGETA, TCSETA).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Termio {
    input: u16,
    output: u16,
    control: u16,
    local: u16,
    discipline: u8,
    controls: [u8; raw::NCC as usize],
    padding: u8,
}

/// `struct winsize` (TIOCGWINSZ).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct WindowSize {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    /// Pixels, 0 where unknown.
    pub(crate) width: u16,
    pub(crate) height: u16,
}

const _: () = {
    assert!(size_of::<Termios>() == size_of::<raw::termios>());
    assert!(size_of::<Termios2>() == size_of::<raw::termios2>());
    assert!(size_of::<WindowSize>() == size_of::<raw::winsize>());
};
