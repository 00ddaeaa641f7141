//! The PS/2 keyboard behind the i8042 controller, which translates to scan code set 1.
//!
//! Set-up polls, each step with a time limit, so that a PC without the controller (or one where firmware only
//! half emulates it) is not held up. Afterwards interrupt 1 brings scan codes and acknowledgements.
//! Sources: Intel 8042 interface as in the IBM PS/2 Hardware Technical Reference, "Keyboard and Auxiliary Device
//! Controller"; commands of the keyboard itself ibid., "Keyboard".

use crate::device::InputSource;
use crate::machine::platform::Port;
use crate::machine::sync::{IrqLock, Once};
use crate::machine::task::WaitQueue;
use crate::machine::time;
use crate::machine::trap::IrqLine;
use crate::rank::Rank;
use alloc::{boxed::Box, collections::VecDeque, sync::Arc};

const DATA_PORT: u16 = 0x60;
const CONTROL_PORT: u16 = 0x64;
const IRQ: u8 = 1;

// Controller status.
const OUTPUT_FULL: u8 = 1 << 0;
const INPUT_FULL: u8 = 1 << 1;
const FROM_MOUSE: u8 = 1 << 5;
// Controller commands.
const READ_CONFIGURATION: u8 = 0x20;
const WRITE_CONFIGURATION: u8 = 0x60;
const DISABLE_MOUSE: u8 = 0xa7;
const DISABLE_KEYBOARD: u8 = 0xad;
const ENABLE_KEYBOARD: u8 = 0xae;
// Controller configuration.
const KEYBOARD_INTERRUPT: u8 = 1 << 0;
const MOUSE_INTERRUPT: u8 = 1 << 1;
const KEYBOARD_OFF: u8 = 1 << 4;
const TRANSLATION: u8 = 1 << 6;
// Keyboard commands and answers.
const SET_LEDS: u8 = 0xed;
const ENABLE_SCANNING: u8 = 0xf4;
const SET_DEFAULTS: u8 = 0xf6;
const ACKNOWLEDGE: u8 = 0xfa;
const RESEND: u8 = 0xfe;

/// How long one step of the set-up may take; real controllers answer within a few milliseconds.
const STEP_LIMIT_NS: u64 = 50_000_000;

/// Scan codes kept while nobody reads; more are lost.
const CAPACITY: usize = 256;

/// The keyboard.
pub(crate) struct Keyboard {
    device: IrqLock<Device>,
    pressed: WaitQueue,
    line: Once<IrqLine>,
}

/// The controller and what is under way, shared with the interrupt handler.
struct Device {
    controller: Controller,
    scancodes: VecDeque<u8>,
    /// Bytes for the keyboard; each is sent when the one before was acknowledged.
    commands: VecDeque<u8>,
    is_waiting: bool,
}

struct Controller {
    data: Port,
    control: Port,
}

impl Keyboard {
    /// Sets up the controller and its keyboard; `None` if there is no controller.
    pub(crate) fn probe() -> Option<Arc<Keyboard>> {
        let controller = Controller { data: Port::claim(DATA_PORT)?, control: Port::claim(CONTROL_PORT)? };
        controller.set_up()?;

        let device = Device {
            controller,
            scancodes: VecDeque::with_capacity(CAPACITY),
            commands: VecDeque::with_capacity(4),
            is_waiting: false,
        };
        let keyboard = Arc::new(Keyboard {
            device: IrqLock::new(Rank::DriverIrq, device),
            pressed: WaitQueue::new(),
            line: Once::new(),
        });
        let handler = keyboard.clone();
        keyboard.line.call_once(|| IrqLine::isa(IRQ, "i8042", Box::new(move || handler.handle_interrupt())));
        // A key pressed since the set-up left its code, and no edge will come for it.
        keyboard.handle_interrupt();
        Some(keyboard)
    }

    fn handle_interrupt(&self) {
        let has_scancodes = {
            let mut device = self.device.lock();
            while let Some(byte) = device.controller.poll() {
                device.accept(byte);
            }
            !device.scancodes.is_empty()
        };
        if has_scancodes {
            self.pressed.wake_one();
        }
    }
}

impl InputSource for Keyboard {
    fn next_scancode(&self) -> u8 {
        self.pressed.wait_until(|| self.device.lock().scancodes.pop_front())
    }

    fn set_leds(&self, scroll: bool, num: bool, caps: bool) {
        let lights = u8::from(scroll) | u8::from(num) << 1 | u8::from(caps) << 2;

        let mut device = self.device.lock();
        // The list ends in a change of the lights whenever it is not empty: only the last change matters.
        match device.commands.back_mut() {
            Some(argument) => *argument = lights,
            None => device.commands.extend([SET_LEDS, lights]),
        }
        if !device.is_waiting {
            device.send_next();
        }
    }
}

impl Device {
    /// Sorts a byte of the keyboard: answers drive the commands on, everything else is a scan code.
    fn accept(&mut self, byte: u8) {
        match byte {
            ACKNOWLEDGE | RESEND => self.send_next(),
            _ if self.scancodes.len() < CAPACITY => self.scancodes.push_back(byte),
            _ => {}
        }
    }

    fn send_next(&mut self) {
        match self.commands.pop_front() {
            Some(byte) => self.is_waiting = self.controller.send(byte).is_some(),
            None => self.is_waiting = false,
        }
    }
}

impl Controller {
    /// Brings controller and keyboard to a known state, whatever firmware left. `None` if nothing answers.
    fn set_up(&self) -> Option<()> {
        if self.control.read() == 0xff {
            return None;
        }
        self.command(DISABLE_KEYBOARD)?;
        self.command(DISABLE_MOUSE)?;
        while self.poll_any().is_some() {}

        self.command(READ_CONFIGURATION)?;
        let configuration = self.receive()?;
        let polled = configuration & !(KEYBOARD_INTERRUPT | MOUSE_INTERRUPT | KEYBOARD_OFF) | TRANSLATION;
        self.command(WRITE_CONFIGURATION)?;
        self.send(polled)?;
        self.command(ENABLE_KEYBOARD)?;

        // No keyboard, no answer: one may be plugged in later, so that is no reason to give up.
        for order in [SET_DEFAULTS, ENABLE_SCANNING] {
            self.send(order)?;
            let _answer = self.receive();
        }

        self.command(WRITE_CONFIGURATION)?;
        self.send(polled | KEYBOARD_INTERRUPT)
    }

    /// Returns a byte of the keyboard if one is there; drops the mouse's.
    fn poll(&self) -> Option<u8> {
        loop {
            let (status, byte) = self.poll_any()?;
            if status & FROM_MOUSE == 0 {
                return Some(byte);
            }
        }
    }

    /// Returns the status and a byte if one is there.
    fn poll_any(&self) -> Option<(u8, u8)> {
        let status = self.control.read();
        (status & OUTPUT_FULL != 0 && status != 0xff).then(|| (status, self.data.read()))
    }

    /// Waits for a byte.
    fn receive(&self) -> Option<u8> {
        within_limit(|| self.poll_any().map(|(_, byte)| byte))
    }

    /// Gives the controller a command.
    fn command(&self, command: u8) -> Option<()> {
        self.wait_for_room()?;
        self.control.write(command);
        Some(())
    }

    /// Gives the keyboard a byte, or the controller a command's argument.
    fn send(&self, byte: u8) -> Option<()> {
        self.wait_for_room()?;
        self.data.write(byte);
        Some(())
    }

    fn wait_for_room(&self) -> Option<()> {
        within_limit(|| (self.control.read() & INPUT_FULL == 0).then_some(()))
    }
}

/// Calls `attempt` until it gives a value or the step's time is up.
fn within_limit<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = time::monotonic_ns() + STEP_LIMIT_NS;
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if time::monotonic_ns() > end {
            return None;
        }
        core::hint::spin_loop();
    }
}
