//! COM1 without interrupts: shows the log from the first line on, and the panic report.
//!
//! Once the port has a driver (`drivers::serial`), the driver sends the log's lines, so that two CPUs do not fill the
//! port at once; a panic still sends them here, whoever uses the port.

use super::LogSink;
use crate::machine::sync::Once;
use x86_64::instructions::port::Port;

/// I/O port of the first serial line.
const COM1: u16 = 0x3f8;

/// Offsets of the 16550's registers (National Semiconductor PC16550D, table II).
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

/// Line status: the port has sent all bytes.
const TRANSMITTER_EMPTY: u8 = 0x20;

/// Looks at the line status before a byte is given up: more than a byte takes at 115200 bits per second, and not
/// long if the port is stuck.
const SEND_TRIES: usize = 100_000;

/// Sets up COM1 (115200 bits per second, 8 data bits, no parity) and returns it, if it is there.
pub(super) fn detect() -> Option<&'static dyn LogSink> {
    // Where no port is, reads give ones or whatever the bus held last.
    for pattern in [0x5a, 0xa5] {
        write(SCRATCH, pattern);
        let _ = read(LINE_CONTROL);
        if read(SCRATCH) != pattern {
            return None;
        }
    }

    write(INTERRUPT_ENABLE, 0);
    write(LINE_CONTROL, 0x80); // the first two registers become the divisor
    write(DATA, 1);
    write(INTERRUPT_ENABLE, 0);
    write(LINE_CONTROL, 0x03);
    write(FIFO_CONTROL, 0x07);
    write(MODEM_CONTROL, 0x03);
    Some(&EarlySerial)
}

/// The port's driver.
static DRIVER: Once<&'static dyn LogSink> = Once::new();

/// Lets `driver` send the log's lines from now on.
pub(super) fn set_driver(driver: &'static dyn LogSink) {
    DRIVER.call_once(|| driver);
}

/// Sends `text` whoever else uses the port: for a panic that cannot reach the consoles.
pub(super) fn show_without_lock(text: &str) {
    EarlySerial.show_panic(text);
}

struct EarlySerial;

impl LogSink for EarlySerial {
    fn show(&self, text: &str) {
        match DRIVER.get() {
            Some(driver) => driver.show(text),
            None => self.show_panic(text),
        }
    }

    fn show_panic(&self, text: &str) {
        for byte in text.bytes() {
            if byte == b'\n' {
                send(b'\r');
            }
            send(byte);
        }
    }
}

fn send(byte: u8) {
    for _ in 0..SEND_TRIES {
        if read(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
            break;
        }
        core::hint::spin_loop();
    }
    write(DATA, byte);
}

fn read(register: u16) -> u8 {
    // SAFETY: the registers of COM1 do not touch memory; reading one changes at most the port's own state.
    unsafe { Port::new(COM1 + register).read() }
}

fn write(register: u16, value: u8) {
    // SAFETY: the registers of COM1 do not touch memory.
    unsafe { Port::new(COM1 + register).write(value) }
}
