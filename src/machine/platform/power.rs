//! Off and restart: ACPI first, then the older ways in a fixed order.
//!
//! Works from any context, with whatever locks held: it reads only what `configure` stored.

use super::acpi::{Register, SoftOff, Tables};
use super::calls::stop_others;
use super::port::{pause_microsecond, read_u8, write_u8};
use crate::machine::console::log;
use crate::machine::sync::Once;
use core::{arch::asm, ptr::with_exposed_provenance_mut};
use x86_64::VirtAddr;
use x86_64::instructions::port::{Port, PortWriteOnly};
use x86_64::instructions::tables::lidt;
use x86_64::instructions::{hlt, interrupts};
use x86_64::structures::DescriptorTablePointer;

// Bits of the PM1 control registers (ACPI 4.8.3.2.1).
const SCI_ENABLED: u16 = 1 << 0;
const SLEEP_TYPE_SHIFT: u16 = 10;
const SLEEP_TYPE_MASK: u16 = 7 << SLEEP_TYPE_SHIFT;
const SLEEP_ENABLE: u16 = 1 << 13;

/// Where virtual PCs without readable ACPI have their off switch: port and word.
const VIRTUAL_SWITCHES: &[(u16, u16)] = &[
    (0x604, 0x2000),  // QEMU
    (0xb004, 0x2000), // Bochs, QEMU before 2.0
    (0x4004, 0x3400), // VirtualBox
];

/// Bochs' own off switch: it wants this word letter by letter.
const BOCHS_SWITCH: u16 = 0x8900;

/// The reset control register of PC chipsets since the PIIX3.
const RESET_CONTROL: u16 = 0xcf9;

#[derive(Debug)]
struct Ways {
    soft_off: Option<SoftOff>,
    reset: Option<(Register, u8)>,
}

static WAYS: Once<Ways> = Once::new();

/// Learns what the tables offer.
pub(super) fn configure(tables: &Tables) {
    WAYS.call_once(|| Ways { soft_off: tables.soft_off, reset: tables.reset });
}

/// Switches the machine off: ACPI, then the older ways in a fixed order, then halts. Does not sleep.
pub(crate) fn power_off() -> ! {
    stop_others();
    interrupts::disable();
    if let Some(soft_off) = WAYS.get().and_then(|ways| ways.soft_off) {
        enter_soft_off(&soft_off);
        pause_milliseconds(500);
    }
    for &(port, word) in VIRTUAL_SWITCHES {
        // SAFETY: the machine is to stop; whatever else hangs on the port may do what it likes.
        unsafe { PortWriteOnly::<u16>::new(port).write(word) };
    }
    for &letter in b"Shutdown" {
        // SAFETY: as above.
        unsafe { write_u8(BOCHS_SWITCH, letter) };
    }
    log!(Emergency, "this machine cannot switch itself off: it is safe to do so now");
    halt()
}

/// Restarts the machine: ACPI reset register, the chipset's reset port, keyboard controller, triple fault.
pub(crate) fn restart() -> ! {
    stop_others();
    interrupts::disable();
    if let Some((register, value)) = WAYS.get().and_then(|ways| ways.reset) {
        write_register(register, value);
        pause_milliseconds(50);
    }
    // SAFETY: the machine is to restart, which is what the values mean to the chipset's reset control register:
    // first the kind (all of the machine), then the go. It comes before the keyboard controller, which resets the
    // CPU alone: not every firmware starts well from that (Bochs' does not).
    unsafe {
        write_u8(RESET_CONTROL, 0x02);
        pause_milliseconds(1);
        write_u8(RESET_CONTROL, 0x06);
    }
    pause_milliseconds(50);
    reset_by_keyboard_controller();
    pause_milliseconds(50);
    reset_by_triple_fault()
}

/// Stops all CPUs for good with interrupts off.
pub(crate) fn halt() -> ! {
    stop_others();
    loop {
        interrupts::disable();
        hlt();
    }
}

/// Writes the sleep type "off" to the fixed registers (ACPI 7.4.2, 16.1.6).
fn enter_soft_off(soft_off: &SoftOff) {
    let Register::Port(control_a) = soft_off.control_a else { return };
    if read_control(control_a) & SCI_ENABLED == 0
        && let Some((port, value)) = soft_off.enable
    {
        // SAFETY: the tables say that this asks the firmware for the power management registers.
        unsafe { write_u8(port, value) };
        for _ in 0..300 {
            if read_control(control_a) & SCI_ENABLED != 0 {
                break;
            }
            pause_milliseconds(1);
        }
    }

    write_sleep_type(control_a, soft_off.sleep_type_a);
    if let Some(Register::Port(control_b)) = soft_off.control_b {
        write_sleep_type(control_b, soft_off.sleep_type_b);
    }
}

fn read_control(port: u16) -> u16 {
    // SAFETY: reading the register has no effect.
    unsafe { Port::<u16>::new(port).read() }
}

fn write_sleep_type(port: u16, sleep_type: u8) {
    let kept = read_control(port) & !(SLEEP_TYPE_MASK | SLEEP_ENABLE);
    let value = kept | u16::from(sleep_type & 7) << SLEEP_TYPE_SHIFT;
    // SAFETY: the machine is to stop. Some chipsets want the type before the go.
    unsafe {
        Port::<u16>::new(port).write(value);
        Port::<u16>::new(port).write(value | SLEEP_ENABLE);
    }
}

fn write_register(register: Register, value: u8) {
    match register {
        // SAFETY: the tables say that this restarts the machine.
        Register::Port(port) => unsafe { write_u8(port, value) },
        // SAFETY: as above.
        Register::Memory(address) => unsafe { with_exposed_provenance_mut::<u8>(address).write_volatile(value) },
        Register::PciConfiguration { device, function, offset } => {
            let address = 1 << 31 | u32::from(device) << 11 | u32::from(function) << 8 | u32::from(offset & !3);
            // SAFETY: as above; 0xcf8 and 0xcfc are PCI's way to configuration space.
            unsafe {
                PortWriteOnly::<u32>::new(0xcf8).write(address);
                write_u8(0xcfc + u16::from(offset & 3), value);
            }
        }
    }
}

/// Pulses the CPU's reset line, which hangs on the keyboard controller since the PC/AT.
fn reset_by_keyboard_controller() {
    const STATUS_AND_COMMAND: u16 = 0x64;
    const INPUT_FULL: u8 = 0x02;
    const PULSE_RESET: u8 = 0xfe;

    for _ in 0..10_000 {
        // SAFETY: reading the status has no effect.
        if unsafe { read_u8(STATUS_AND_COMMAND) } & INPUT_FULL == 0 {
            break;
        }
        pause_microsecond();
    }
    // SAFETY: the machine is to restart.
    unsafe { write_u8(STATUS_AND_COMMAND, PULSE_RESET) };
}

fn reset_by_triple_fault() -> ! {
    let nothing = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: without gates the exception becomes a triple fault, which resets the CPU: that is the purpose.
    unsafe {
        lidt(&nothing);
        asm!("ud2", options(noreturn));
    }
}

fn pause_milliseconds(milliseconds: u32) {
    for _ in 0..milliseconds * 1000 {
        pause_microsecond();
    }
}
