//! The consoles: which terminals this machine has, the tasks that move their bytes, and the devices that name them.
//!
//! `ttyS0`, `ttyS1` are the serial lines, `tty0` (also `tty1`) is the screen with the keyboard. /dev/console is what the last
//! `console=` word names or, without such a word, all of them at once: its output goes everywhere, and it gets what is
//! typed on a terminal that nobody has opened.

use super::device::{Opening, TerminalFile};
use super::keyboard::{Action, Keyboard};
use super::settings::{InputFlags, Settings, WindowSize};
use super::terminal::{Hardware, Terminal};
use super::{devpts, job_control, pty};
use crate::device::{InputSource, SerialLine};
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, File, FileKind, StatusFlags};
use crate::fs::devices::{self, Node};
use crate::machine::console::log;
use crate::machine::screen::{self, Screen};
use crate::machine::sync::Once;
use crate::machine::time::monotonic_ns;
use crate::machine::{boot, platform, task};
use crate::process::{Signal, SignalInfo, table};
use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general as raw;

const TTY_MAJOR: u32 = 4;
const AUXILIARY_MAJOR: u32 = 5;
const FIRST_SERIAL_MINOR: u32 = 64;
const CONSOLE: DeviceNumber = DeviceNumber { major: AUXILIARY_MAJOR, minor: 1 };
const CONTROLLING: DeviceNumber = DeviceNumber { major: AUXILIARY_MAJOR, minor: 0 };
/// The virtual terminal in front, and the one that it is.
const FRONT: DeviceNumber = DeviceNumber { major: TTY_MAJOR, minor: 0 };
const FIRST: DeviceNumber = DeviceNumber { major: TTY_MAJOR, minor: 1 };

/// What a serial terminal is taken for until somebody says better (stty, resize).
const SERIAL_WINDOW: WindowSize = WindowSize { rows: 24, columns: 80, width: 0, height: 0 };

/// Bytes moved at once between a terminal and its hardware.
const CHUNK: usize = 256;

/// As Linux starts: "CAD is enabled".
static RESTARTS_AT_KEYS: AtomicBool = AtomicBool::new(true);

/// A terminal and its names.
struct Port {
    names: Vec<String>,
    terminal: Arc<Terminal>,
    /// Sends bytes past the line discipline, for /dev/console.
    send: Sender,
}

/// Sends bytes to the hardware; a terminal that answers (a cursor report) types its answer on the given one.
type Sender = Arc<dyn Fn(&[u8], &Terminal) + Send + Sync>;

/// Makes the terminals of the machine's serial lines (in the order of their numbers), screen and keyboard, starts
/// their tasks and registers the devices. Call after the root of /dev exists.
pub(crate) fn start(lines: Vec<Arc<dyn SerialLine>>, keyboard: Option<Arc<dyn InputSource>>) {
    let mut ports: Vec<Port> = lines.iter().enumerate().map(|(index, line)| serial_port(index, line.clone())).collect();
    let screen_port = screen::screen().map(screen_port);
    let front = screen_port.as_ref().map(|port| port.terminal.clone());
    ports.extend(screen_port);
    let console = make_console(&ports);

    for (line, port) in lines.into_iter().zip(&ports) {
        let (terminal, console) = (port.terminal.clone(), console.clone());
        task::spawn("serial input", move || {
            let mut bytes = [0; CHUNK];
            loop {
                let count = line.read(&mut bytes);
                deliver(&terminal, &console, &bytes[..count]);
            }
        });
    }
    if let (Some(screen), Some(terminal), Some(keyboard)) = (screen::screen(), front, keyboard) {
        let console = console.clone();
        task::spawn("keyboard", move || read_keyboard(&*keyboard, screen, &terminal, &console));
    }

    let terminals = ports.iter().map(|port| port.terminal.clone());
    TERMINALS.call_once(|| core::iter::once(console.clone()).chain(terminals).collect());
    ACTIVE.call_once(|| active_names(&ports, &console));
    for port in ports {
        for name in &port.names {
            let number = if name == "tty0" { FRONT } else { port.terminal.number() };
            register(number, name, port.terminal.clone(), Opening::Terminal);
        }
    }
    register(CONSOLE, "console", console, Opening::Console);
    let open_controlling = |_: DeviceNumber, flags: StatusFlags| -> Result<Arc<dyn File>> {
        let terminal = job_control::terminal_of_caller().ok_or(Errno::ENXIO)?;
        Ok(TerminalFile::open(terminal, "/dev/tty", flags, Opening::NoControl)?)
    };
    let node = Node { name: "tty", permissions: 0o666, gid: 0 };
    devices::register(CONTROLLING, FileKind::CharacterDevice, Arc::new(open_controlling), Some(node));
    pty::start();
    devpts::start();
}

/// What /sys/class/tty/console/active shows.
static ACTIVE: Once<String> = Once::new();

/// Returns the names of the consoles, the preferred one last.
pub(crate) fn active_consoles() -> &'static str {
    ACTIVE.get().map_or("", String::as_str)
}

/// The screen comes first, as on Linux; a port that is /dev/console itself comes last.
fn active_names(ports: &[Port], console: &Arc<Terminal>) -> String {
    let mut ports: Vec<&Port> = ports.iter().collect();
    ports.sort_by_key(|port| (Arc::ptr_eq(&port.terminal, console), !port.terminal.hardware().is_screen()));
    let names: Vec<&str> = ports.iter().filter_map(|port| port.names.first()).map(String::as_str).collect();
    names.join(" ")
}

/// The terminals that may hold output: those with hardware behind them, and /dev/console.
static TERMINALS: Once<Vec<Arc<Terminal>>> = Once::new();

/// How long the machine's end waits for what programs wrote: ample for a serial line's buffer, bounded because a line may
/// be stopped.
const LAST_WORDS_NS: u64 = 1_000_000_000;

/// Waits until what was written to the consoles is out, before the machine is switched off.
pub(crate) fn finish_output() {
    let deadline = monotonic_ns() + LAST_WORDS_NS;
    for terminal in TERMINALS.get().into_iter().flatten() {
        while terminal.state.lock().output.pending() > 0 && monotonic_ns() < deadline {
            // A signal does not matter any more.
            let _ = task::sleep_until(monotonic_ns() + 1_000_000);
            task::yield_now();
        }
        terminal.finish_hardware();
    }
}

/// Gives typed bytes to the terminal if somebody has it open, else to the console.
fn deliver(terminal: &Arc<Terminal>, console: &Arc<Terminal>, bytes: &[u8]) {
    let is_open = |terminal: &Arc<Terminal>| terminal.state.lock().opens > 0;
    if is_open(terminal) {
        terminal.receive_all(bytes);
    } else if is_open(console) {
        console.receive_all(bytes);
    }
}

/// Turns scan codes into typed bytes and the screen's own actions, for ever.
fn read_keyboard(source: &dyn InputSource, screen: &Screen, terminal: &Arc<Terminal>, console: &Arc<Terminal>) {
    let mut keyboard = Keyboard::new();
    source.set_leds(false, true, false);
    loop {
        let scancode = source.next_scancode();
        match keyboard.accept(scancode, screen.has_application_cursor_keys()) {
            Some(Action::Send(typed)) => {
                screen.reset_view();
                deliver(terminal, console, typed.bytes());
            }
            Some(Action::Scroll(halves)) => screen.scroll_view(halves * (screen.size().rows / 2) as isize),
            Some(Action::Lights { num, caps }) => source.set_leds(false, num, caps),
            Some(Action::Restart) => answer_restart_keys(),
            None => {}
        }
    }
}

/// Ctrl-Alt-Del: restarts at once or leaves it to init, as reboot(2) set it.
fn answer_restart_keys() {
    if RESTARTS_AT_KEYS.load(Ordering::Relaxed) {
        finish_output();
        log!(Emergency, "reboot: Restarting system");
        platform::restart();
    }
    if let Some(init) = table::find(table::INIT) {
        init.send_signal(SignalInfo::kernel(Signal::INT));
    }
}

/// Sets whether Ctrl-Alt-Del restarts at once or sends SIGINT to init (reboot(2), LINUX_REBOOT_CMD_CAD_ON and _OFF).
pub(crate) fn set_restart_at_keys(restarts: bool) {
    RESTARTS_AT_KEYS.store(restarts, Ordering::Relaxed);
}

fn serial_port(index: usize, line: Arc<dyn SerialLine>) -> Port {
    let number = DeviceNumber { major: TTY_MAJOR, minor: FIRST_SERIAL_MINOR + index as u32 };
    let hardware = Box::new(SerialHardware(line.clone()));
    let terminal = Terminal::new(number, Settings::new(raw::B115200), SERIAL_WINDOW, hardware);
    let send: Sender = Arc::new(move |bytes: &[u8], _: &Terminal| line.write(bytes));
    spawn_output("serial output", terminal.clone(), send.clone());
    Port { names: Vec::from([format!("ttyS{index}")]), terminal, send }
}

fn screen_port(screen: &'static Screen) -> Port {
    let size = screen.size();
    let window = WindowSize {
        rows: size.rows as u16,
        columns: size.columns as u16,
        width: size.width as u16,
        height: size.height as u16,
    };
    let mut settings = Settings::new(raw::B38400);
    settings.input.insert(InputFlags::IUTF8);
    let terminal = Terminal::new(FIRST, settings, window, Box::new(ScreenHardware));

    let send: Sender = Arc::new(move |bytes: &[u8], asker: &Terminal| {
        let mut replies = [0; 64];
        let count = screen.write(bytes, &mut replies);
        if count > 0 {
            asker.receive(&replies[..count]);
        }
    });
    task::spawn("screen", || screen.keep_drawn());
    spawn_output("screen output", terminal.clone(), send.clone());
    Port { names: Vec::from([String::from("tty0"), String::from("tty1")]), terminal, send }
}

/// Starts the task that empties `terminal`.
fn spawn_output(name: &'static str, terminal: Arc<Terminal>, send: Sender) {
    task::spawn(name, move || {
        let mut bytes = [0; CHUNK];
        loop {
            let count = terminal.take_output(&mut bytes);
            send(&bytes[..count], &terminal);
        }
    });
}

/// Returns /dev/console: the port that the last `console=` word names, else a terminal of its own over all ports.
fn make_console(ports: &[Port]) -> Arc<Terminal> {
    let wanted = boot::word("console").and_then(|value| value.split(',').next());
    if let Some(port) = wanted.and_then(|name| ports.iter().find(|port| port.names.iter().any(|own| own == name))) {
        return port.terminal.clone();
    }

    let has_screen = ports.iter().any(|port| port.terminal.hardware().is_screen());
    let hardware = Box::new(AllPorts { has_screen });
    let terminal = Terminal::new(CONSOLE, Settings::new(raw::B38400), smallest_window(ports), hardware);
    let senders: Vec<Sender> = ports.iter().map(|port| port.send.clone()).collect();
    spawn_output(
        "console output",
        terminal.clone(),
        Arc::new(move |bytes: &[u8], asker: &Terminal| senders.iter().for_each(|send| send(bytes, asker))),
    );
    terminal
}

/// Returns the window that fits on every port.
fn smallest_window(ports: &[Port]) -> WindowSize {
    let windows: Vec<WindowSize> = ports.iter().map(|port| port.terminal.state.lock().window).collect();
    WindowSize {
        rows: windows.iter().map(|window| window.rows).min().unwrap_or(SERIAL_WINDOW.rows),
        columns: windows.iter().map(|window| window.columns).min().unwrap_or(SERIAL_WINDOW.columns),
        ..WindowSize::default()
    }
}

/// Registers `terminal` as the device `number` with a node in /dev.
fn register(number: DeviceNumber, name: &str, terminal: Arc<Terminal>, opening: Opening) {
    let path = format!("/dev/{name}");
    let opener = move |_: DeviceNumber, flags: StatusFlags| -> Result<Arc<dyn File>> {
        Ok(TerminalFile::open(terminal.clone(), &path, flags, opening)?)
    };
    let node = Node { name, permissions: 0o600, gid: 0 };
    devices::register(number, FileKind::CharacterDevice, Arc::new(opener), Some(node));
}

/// A serial line behind a terminal.
struct SerialHardware(Arc<dyn SerialLine>);

impl Hardware for SerialHardware {
    fn set_speed(&self, bits_per_second: u32) {
        self.0.set_speed(bits_per_second);
    }

    fn drain(&self) {
        self.0.drain();
    }
}

/// The screen behind a terminal.
struct ScreenHardware;

impl Hardware for ScreenHardware {
    fn is_screen(&self) -> bool {
        true
    }
}

/// All ports at once.
struct AllPorts {
    has_screen: bool,
}

impl Hardware for AllPorts {
    fn is_screen(&self) -> bool {
        self.has_screen
    }
}
