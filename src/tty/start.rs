//! The consoles: which terminals this machine has, the tasks that move their bytes, and the devices that name them.
//!
//! `ttyS0`, `ttyS1` are the serial lines. /dev/console is what the last `console=` word names or, without such a word, all
//! of them at once: its output goes everywhere, and it gets what is typed on a terminal that nobody has opened.

use super::device::{Opening, TerminalFile};
use super::job_control;
use super::settings::{Settings, WindowSize};
use super::terminal::{Hardware, Terminal};
use crate::device::SerialLine;
use crate::errno::{Errno, Result};
use crate::file::{DeviceNumber, File, FileKind, StatusFlags};
use crate::fs::devices::{self, Node};
use crate::machine::boot;
use crate::machine::task;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

const TTY_MAJOR: u32 = 4;
const AUXILIARY_MAJOR: u32 = 5;
const FIRST_SERIAL_MINOR: u32 = 64;
const CONSOLE: DeviceNumber = DeviceNumber { major: AUXILIARY_MAJOR, minor: 1 };
const CONTROLLING: DeviceNumber = DeviceNumber { major: AUXILIARY_MAJOR, minor: 0 };

/// What a serial terminal is taken for until somebody says better (stty, resize).
const SERIAL_WINDOW: WindowSize = WindowSize { rows: 24, columns: 80, width: 0, height: 0 };

/// Bytes moved at once between a terminal and its hardware.
const CHUNK: usize = 256;

/// A terminal and its names.
struct Port {
    name: String,
    terminal: Arc<Terminal>,
    /// Sends bytes past the line discipline, for /dev/console.
    send: Arc<dyn Fn(&[u8]) + Send + Sync>,
}

/// Makes the terminals of the machine's serial lines (in the order of their numbers), starts their tasks and
/// registers the devices. Call after the root of /dev exists.
pub(crate) fn start(lines: Vec<Arc<dyn SerialLine>>) {
    let mut ports = Vec::new();
    for (index, line) in lines.into_iter().enumerate() {
        ports.push((serial_port(index, line.clone()), line));
    }

    let console = make_console(&ports.iter().map(|(port, _)| port).collect::<Vec<_>>());
    for (port, line) in ports {
        let Port { terminal, name, .. } = port;
        register(terminal.number(), &name, 0o600, terminal.clone(), Opening::Terminal);
        let console = console.clone();
        task::spawn("serial input", move || {
            let mut bytes = [0; CHUNK];
            loop {
                let count = line.read(&mut bytes);
                deliver(&terminal, &console, &bytes[..count]);
            }
        });
    }

    register(CONSOLE, "console", 0o600, console, Opening::Console);
    let open_controlling = |_: DeviceNumber, flags: StatusFlags| -> Result<Arc<dyn File>> {
        let terminal = job_control::terminal_of_caller().ok_or(Errno::ENXIO)?;
        Ok(TerminalFile::open(terminal, "/dev/tty", flags, Opening::NoControl)?)
    };
    let node = Node { name: "tty", permissions: 0o666, gid: 0 };
    devices::register(CONTROLLING, FileKind::CharacterDevice, Arc::new(open_controlling), Some(node));
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

fn serial_port(index: usize, line: Arc<dyn SerialLine>) -> Port {
    let number = DeviceNumber { major: TTY_MAJOR, minor: FIRST_SERIAL_MINOR + index as u32 };
    let hardware = Box::new(SerialHardware(line.clone()));
    let terminal = Terminal::new(number, Settings::new(raw::B115200), SERIAL_WINDOW, hardware);
    let send: Arc<dyn Fn(&[u8]) + Send + Sync> = Arc::new(move |bytes: &[u8]| line.write(bytes));
    spawn_output("serial output", terminal.clone(), send.clone());
    Port { name: format!("ttyS{index}"), terminal, send }
}

/// Starts the task that empties `terminal`.
fn spawn_output(name: &'static str, terminal: Arc<Terminal>, send: Arc<dyn Fn(&[u8]) + Send + Sync>) {
    task::spawn(name, move || {
        let mut bytes = [0; CHUNK];
        loop {
            let count = terminal.take_output(&mut bytes);
            send(&bytes[..count]);
        }
    });
}

/// Returns /dev/console: the port that the last `console=` word names, else a terminal of its own over all ports.
fn make_console(ports: &[&Port]) -> Arc<Terminal> {
    let wanted = boot::word("console").and_then(|value| value.split(',').next());
    if let Some(port) = wanted.and_then(|name| ports.iter().find(|port| port.name == name)) {
        return port.terminal.clone();
    }

    let terminal = Terminal::new(CONSOLE, Settings::new(raw::B38400), smallest_window(ports), Box::new(AllPorts));
    let senders: Vec<_> = ports.iter().map(|port| port.send.clone()).collect();
    spawn_output(
        "console output",
        terminal.clone(),
        Arc::new(move |bytes: &[u8]| senders.iter().for_each(|send| send(bytes))),
    );
    terminal
}

/// Returns the window that fits on every port.
fn smallest_window(ports: &[&Port]) -> WindowSize {
    let windows: Vec<WindowSize> = ports.iter().map(|port| port.terminal.state.lock().window).collect();
    WindowSize {
        rows: windows.iter().map(|window| window.rows).min().unwrap_or(SERIAL_WINDOW.rows),
        columns: windows.iter().map(|window| window.columns).min().unwrap_or(SERIAL_WINDOW.columns),
        ..WindowSize::default()
    }
}

/// Registers `terminal` as the device `number` with a node in /dev.
fn register(number: DeviceNumber, name: &str, permissions: u32, terminal: Arc<Terminal>, opening: Opening) {
    let path = format!("/dev/{name}");
    let opener = move |_: DeviceNumber, flags: StatusFlags| -> Result<Arc<dyn File>> {
        Ok(TerminalFile::open(terminal.clone(), &path, flags, opening)?)
    };
    let node = Node { name, permissions, gid: 0 };
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

/// All ports at once.
struct AllPorts;

impl Hardware for AllPorts {}
