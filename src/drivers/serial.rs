//! The 16550 serial port and its forebears, by interrupts: a ring for what came in and one for what goes out.
//!
//! The early console of `machine` polls COM1; from `probe` on it hands the log's lines to the driver, which sends them by
//! polling too, under the lock that guards the registers, so that nothing else comes between.
//! Source: National Semiconductor PC16550D data sheet, chapter 8 (registers).

use crate::device::SerialLine;
use crate::machine::console::{self, LogSink};
use crate::machine::platform::Port;
use crate::machine::sync::{IrqLock, Once};
use crate::machine::task::{self, WaitQueue};
use crate::machine::time;
use crate::machine::trap::IrqLine;
use crate::rank::Rank;
use alloc::{boxed::Box, collections::VecDeque, sync::Arc};

/// Bytes kept of what came in; more are lost, as on any PC.
const RECEIVE_CAPACITY: usize = 4096;

/// Bytes queued for sending before `write` sleeps.
const TRANSMIT_CAPACITY: usize = 4096;

/// Bytes that the port's own transmit queue takes at once.
const HARDWARE_QUEUE: usize = 16;

/// The port that the log uses.
const LOG_BASE: u16 = 0x3f8;

/// Looks at the line status before a byte of the log is given up: long enough for a byte at usual speeds.
const SEND_TRIES: usize = 100_000;

/// The rate that a divisor of 1 gives.
const BASE_SPEED: u32 = 115_200;

// Interrupt enable register.
const ENABLE_RECEIVE: u8 = 1 << 0;
const ENABLE_TRANSMIT: u8 = 1 << 1;
// FIFO control register: queues on, interrupt at 8 received bytes (or after a pause).
const FIFO_ON: u8 = 1 << 0 | 0b10 << 6;
// Interrupt identification register.
const NO_INTERRUPT: u8 = 1 << 0;
const HAS_FIFO: u8 = 0b11 << 6;
// Line control register.
const EIGHT_BITS: u8 = 0b11;
const DIVISOR_ACCESS: u8 = 1 << 7;
// Modem control register: ready, request to send, and OUT2, which connects the interrupt line on a PC.
const MODEM_READY: u8 = 1 << 0 | 1 << 1 | 1 << 3;
// Line status register.
const HAS_DATA: u8 = 1 << 0;
const QUEUE_EMPTY: u8 = 1 << 5;
const LINE_IDLE: u8 = 1 << 6;

/// A serial port.
pub(crate) struct Serial {
    device: IrqLock<Device>,
    received: WaitQueue,
    sent: WaitQueue,
    line: Once<IrqLine>,
}

/// The registers and the rings, shared with the interrupt handler.
struct Device {
    registers: Registers,
    receive: VecDeque<u8>,
    transmit: VecDeque<u8>,
    /// Bytes that may be written when the port's queue is empty.
    queue_size: usize,
    is_sending: bool,
}

/// The eight ports, by their names in the data sheet.
struct Registers {
    data: Port,
    interrupt_enable: Port,
    /// Read: interrupt identification. Write: FIFO control.
    interrupt_identification: Port,
    line_control: Port,
    modem_control: Port,
    line_status: Port,
}

impl Serial {
    /// Looks for a port at I/O address `base` with ISA interrupt `irq`; `None` if nothing answers there.
    pub(crate) fn probe(base: u16, irq: u8) -> Option<Arc<Serial>> {
        let registers = Registers::claim(base)?;
        if !registers.is_present() {
            return None;
        }

        registers.interrupt_identification.write(FIFO_ON);
        let has_fifo = registers.interrupt_identification.read() & HAS_FIFO == HAS_FIFO;
        let device = Device {
            registers,
            receive: VecDeque::with_capacity(RECEIVE_CAPACITY),
            transmit: VecDeque::with_capacity(TRANSMIT_CAPACITY),
            queue_size: if has_fifo { HARDWARE_QUEUE } else { 1 },
            is_sending: false,
        };
        let serial = Arc::new(Serial {
            device: IrqLock::new(Rank::Serial, device),
            received: WaitQueue::new(),
            sent: WaitQueue::new(),
            line: Once::new(),
        });

        let handler = serial.clone();
        serial.line.call_once(|| IrqLine::isa(irq, "serial", Box::new(move || handler.handle_interrupt())));
        {
            let device = serial.device.lock();
            device.registers.modem_control.write(MODEM_READY);
            device.registers.interrupt_enable.write(ENABLE_RECEIVE);
        }
        // What arrived before interrupts were on raised no edge: fetch it.
        serial.handle_interrupt();
        if base == LOG_BASE {
            console::set_serial_driver(Box::leak(Box::new(SerialLog(serial.clone()))));
        }
        Some(serial)
    }

    /// Serves all that the port asks for; its line is edge triggered, so nothing may be left over.
    fn handle_interrupt(&self) {
        let (has_received, has_room) = {
            let mut device = self.device.lock();
            loop {
                device.receive();
                device.transmit();
                if device.registers.interrupt_identification.read() & NO_INTERRUPT != 0 {
                    break;
                }
            }
            (!device.receive.is_empty(), device.transmit.len() < TRANSMIT_CAPACITY / 2)
        };

        if has_received {
            self.received.wake_one();
        }
        if has_room {
            self.sent.wake_all();
        }
    }
}

impl SerialLine for Serial {
    fn read(&self, bytes: &mut [u8]) -> usize {
        self.received.wait_until(|| {
            let mut device = self.device.lock();
            let count = bytes.len().min(device.receive.len());
            for (to, from) in bytes.iter_mut().zip(device.receive.drain(..count)) {
                *to = from;
            }
            (count > 0).then_some(count)
        })
    }

    fn write(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.sent.wait_until(|| {
                let mut device = self.device.lock();
                let count = rest.len().min(TRANSMIT_CAPACITY - device.transmit.len());
                device.transmit.extend(&rest[..count]);
                device.start_sending();
                (count > 0).then_some(count)
            });
            rest = &rest[count..];
        }
    }

    fn drain(&self) {
        self.sent.wait_until(|| self.device.lock().transmit.is_empty().then_some(()));
        while self.device.lock().registers.line_status.read() & LINE_IDLE == 0 {
            // The last bytes leave within two milliseconds at usual speeds; a due signal does not end this wait.
            let one_more_ms = time::monotonic_ns() + 1_000_000;
            if task::sleep_until(one_more_ms).is_err() {
                task::yield_now();
            }
        }
    }

    fn set_speed(&self, bits_per_second: u32) {
        if bits_per_second == 0 {
            return;
        }
        let divisor = (BASE_SPEED / bits_per_second).clamp(1, u32::from(u16::MAX)) as u16;
        let [low, high] = divisor.to_le_bytes();

        let device = self.device.lock();
        let registers = &device.registers;
        registers.line_control.write(EIGHT_BITS | DIVISOR_ACCESS);
        registers.data.write(low);
        registers.interrupt_enable.write(high);
        registers.line_control.write(EIGHT_BITS);
    }
}

/// Shows the log's lines on the port.
struct SerialLog(Arc<Serial>);

impl LogSink for SerialLog {
    fn show(&self, text: &str) {
        let device = self.0.device.lock();
        for byte in text.bytes() {
            if byte == b'\n' {
                device.send_now(b'\r');
            }
            device.send_now(byte);
        }
    }
}

impl Device {
    /// Sends one byte at once, past the ring.
    fn send_now(&self, byte: u8) {
        let is_ready = || self.registers.line_status.read() & QUEUE_EMPTY != 0;
        let _given_up = (0..SEND_TRIES).find(|_| is_ready());
        self.registers.data.write(byte);
    }

    /// Empties the port's receive queue.
    fn receive(&mut self) {
        while self.registers.line_status.read() & HAS_DATA != 0 {
            let byte = self.registers.data.read();
            if self.receive.len() < RECEIVE_CAPACITY {
                self.receive.push_back(byte);
            }
        }
    }

    /// Refills the port's transmit queue if it is empty; switches its interrupt off when nothing is left to send.
    fn transmit(&mut self) {
        if !self.is_sending || self.registers.line_status.read() & QUEUE_EMPTY == 0 {
            return;
        }
        if self.transmit.is_empty() {
            self.is_sending = false;
            self.registers.interrupt_enable.write(ENABLE_RECEIVE);
            return;
        }
        let count = self.queue_size.min(self.transmit.len());
        for byte in self.transmit.drain(..count) {
            self.registers.data.write(byte);
        }
    }

    /// Starts the flow of transmit interrupts: switched on over an empty queue, one comes at once.
    fn start_sending(&mut self) {
        if !self.is_sending && !self.transmit.is_empty() {
            self.is_sending = true;
            self.registers.interrupt_enable.write(ENABLE_RECEIVE | ENABLE_TRANSMIT);
            self.transmit();
        }
    }
}

impl Registers {
    fn claim(base: u16) -> Option<Registers> {
        Some(Registers {
            data: Port::claim(base)?,
            interrupt_enable: Port::claim(base + 1)?,
            interrupt_identification: Port::claim(base + 2)?,
            line_control: Port::claim(base + 3)?,
            modem_control: Port::claim(base + 4)?,
            line_status: Port::claim(base + 5)?,
        })
    }

    /// Returns whether a port answers: its interrupt enable register keeps four bits, an empty bus does not.
    fn is_present(&self) -> bool {
        self.interrupt_enable.write(0);
        let cleared = self.interrupt_enable.read();
        self.interrupt_enable.write(0x0f);
        let set = self.interrupt_enable.read();
        self.interrupt_enable.write(0);
        cleared & 0x0f == 0 && set & 0x0f == 0x0f && self.line_status.read() != 0xff
    }
}
