//! The I/O APICs (Intel 82093AA data sheet): which vector each wired interrupt becomes, and on which CPU.

use super::acpi::{IsaOverride, Tables};
use super::mmio::Mmio;
use crate::machine::sync::IrqLock;
use crate::machine::trap::FIRST_ISA_VECTOR;
use crate::rank::Rank;
use alloc::vec::Vec;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;

const VERSION: u32 = 0x01;
const FIRST_ENTRY: u32 = 0x10;

const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

/// One chip: its registers and which inputs it has.
#[derive(Debug)]
struct Chip {
    registers: Mmio,
    first_input: u32,
    inputs: u32,
}

/// All I/O APICs of the PC.
pub(super) struct IoApics {
    /// Registers are selected, then read or written, so one at a time.
    chips: IrqLock<Vec<Chip>>,
    overrides: Vec<IsaOverride>,
    /// APIC id of the CPU that gets the interrupts.
    target: u32,
}

impl IoApics {
    /// Masks every input. Interrupts will go to the CPU with APIC id `target`.
    pub(super) fn start(tables: &Tables, target: u32) -> IoApics {
        let chips = tables.io_apics.iter().map(|entry| {
            // SAFETY: the firmware's tables name an I/O APIC there, and only this object uses it.
            let registers = unsafe { Mmio::map(entry.address, 0x20) };
            let mut chip = Chip { registers, first_input: entry.first_input, inputs: 0 };
            chip.inputs = (chip.read(VERSION) >> 16 & 0xff) + 1;
            for input in 0..chip.inputs {
                chip.write_entry(input, MASKED, 0);
            }
            chip
        });
        let chips = IrqLock::new(Rank::IrqTable, chips.collect());
        IoApics { chips, overrides: tables.overrides.clone(), target }
    }

    /// Lets ISA line `irq` through.
    pub(super) fn enable_isa(&self, irq: u8) {
        let place = self.overrides.iter().find(|place| place.irq == irq);
        let trigger = match place {
            Some(place) if place.is_level => LEVEL,
            _ => 0,
        };
        let polarity = match place {
            Some(place) if place.is_active_low => ACTIVE_LOW,
            _ => 0,
        };
        self.write_input(irq, u32::from(FIRST_ISA_VECTOR + irq) | trigger | polarity);
    }

    /// Masks ISA line `irq`.
    pub(super) fn disable_isa(&self, irq: u8) {
        self.write_input(irq, MASKED);
    }

    fn write_input(&self, irq: u8, entry: u32) {
        let place = self.overrides.iter().find(|place| place.irq == irq);
        let input = place.map_or(u32::from(irq), |place| place.input);
        let chips = self.chips.lock();
        if let Some(chip) =
            chips.iter().find(|chip| (chip.first_input..chip.first_input + chip.inputs).contains(&input))
        {
            chip.write_entry(input - chip.first_input, entry, self.target << 24);
        }
    }
}

impl Chip {
    /// Writes input `input`'s redirection entry; masked while half of it is new.
    fn write_entry(&self, input: u32, low: u32, high: u32) {
        let register = FIRST_ENTRY + 2 * input;
        self.write(register, MASKED);
        self.write(register + 1, high);
        self.write(register, low);
    }

    fn read(&self, register: u32) -> u32 {
        self.registers.write(SELECT, register);
        self.registers.read(WINDOW)
    }

    fn write(&self, register: u32, value: u32) {
        self.registers.write(SELECT, register);
        self.registers.write(WINDOW, value);
    }
}
