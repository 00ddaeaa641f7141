//! This CPU's local APIC (SDM vol. 3A, chapter 11): acknowledges interrupts, and has the timer.
//!
//! In x2APIC mode, used where the CPU has it, registers are MSRs and need no mapping; else they are memory.
//! The registers are the running CPU's own, so no lock is needed.

use super::mmio::Mmio;
use super::port::pause_microsecond;
use crate::machine::cpu::{self, Features, MAX_CPUS, features};
use crate::machine::sync::{InterruptsOff, Once};
use crate::machine::trap::LocalVector;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::registers::model_specific::Msr;

const APIC_BASE: u32 = 0x1b;
const BASE_ENABLED: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// MSR of the register at offset 0 in x2APIC mode; the others are one for each 16 bytes.
const X2APIC_FIRST: u32 = 0x800;

const TSC_DEADLINE: u32 = 0x6e0;

// Register offsets.
const ID: usize = 0x20;
const TASK_PRIORITY: usize = 0x80;
const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
const INTERRUPT_REQUEST: usize = 0x200;
const ERROR_STATUS: usize = 0x280;
const COMMAND: usize = 0x300;
const COMMAND_TARGET: usize = 0x310;
const LVT_TIMER: usize = 0x320;
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const LVT_ERROR: usize = 0x370;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;

const SOFTWARE_ENABLED: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const DELIVERY_NMI: u32 = 4 << 8;
const DELIVERY_EXTERNAL: u32 = 7 << 8;
const TIMER_DEADLINE: u32 = 2 << 17;
const DIVIDE_BY_1: u32 = 0b1011;

// Bits of the interrupt command (SDM 11.6.1).
const COMMAND_INIT: u32 = 5 << 8;
const COMMAND_START: u32 = 6 << 8;
const COMMAND_PENDING: u32 = 1 << 12;
const COMMAND_ASSERT: u32 = 1 << 14;

/// Who handles the ISA lines, which decides what the APIC's first local line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineSource {
    /// The I/O APICs; the line is masked.
    IoApic,
    /// The 8259s, whose request comes on the line ("virtual wire").
    Pic,
}

/// How registers are reached.
#[derive(Clone, Copy, Debug)]
enum Access {
    X2Apic,
    Memory(Mmio),
}

/// The local APIC of whichever CPU runs.
#[derive(Clone, Copy, Debug)]
pub(in crate::machine) struct LocalApic {
    access: Access,
}

static LOCAL_APIC: Once<LocalApic> = Once::new();

/// The APIC id of each CPU, by index.
static IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// Interrupts CPU `cpu`, which runs. Any context.
pub(in crate::machine) fn send_interrupt(cpu: usize, vector: LocalVector) {
    send(cpu, vector as u32);
}

/// Interrupts CPU `cpu` even if it has interrupts off.
pub(super) fn send_nmi(cpu: usize) {
    send(cpu, DELIVERY_NMI);
}

fn send(cpu: usize, command: u32) {
    if let Some(apic) = LOCAL_APIC.get() {
        apic.command(id_of(cpu), command);
    }
}

/// Returns the APIC id of a CPU that runs.
pub(super) fn id_of(cpu: usize) -> u32 {
    IDS[cpu].load(Ordering::Relaxed)
}

/// Returns the running CPU's local APIC; `None` on a PC without.
pub(in crate::machine) fn local_apic() -> Option<LocalApic> {
    LOCAL_APIC.get().copied()
}

/// Switches this CPU's local APIC on, with the timer masked. `address` is where the firmware says the registers
/// are. On the boot CPU first.
pub(super) fn start_cpu(address: Option<u64>, lines: LineSource, is_boot_cpu: bool) {
    if !features().contains(Features::APIC) {
        return;
    }
    let mut base = Msr::new(APIC_BASE);
    // SAFETY: CPUID has a local APIC, so it has the register.
    let old = unsafe { base.read() };
    let address = address.unwrap_or(old & BASE_ADDRESS);
    // Firmware may have left it in x2APIC mode, which only a reset ends.
    let has_x2apic = features().contains(Features::X2APIC) || old & BASE_X2APIC != 0;
    let mode = if has_x2apic { BASE_ENABLED | BASE_X2APIC } else { BASE_ENABLED };
    // SAFETY: enables the APIC where it is, first in the mode that leads to x2APIC mode (SDM 11.12.5).
    unsafe {
        base.write(old | BASE_ENABLED);
        base.write(old | mode);
    }

    let apic = *LOCAL_APIC.call_once(|| LocalApic {
        // SAFETY: the local APIC's registers, which the firmware's tables or the CPU itself name.
        access: if has_x2apic { Access::X2Apic } else { Access::Memory(unsafe { Mmio::map(address, 0x400) }) },
    });
    apic.enable(lines, is_boot_cpu);
    IDS[cpu::index()].store(apic.id(), Ordering::Relaxed);
}

impl LocalApic {
    fn enable(self, lines: LineSource, is_boot_cpu: bool) {
        self.write(TASK_PRIORITY, 0);
        self.write(LVT_TIMER, MASKED | LocalVector::Timer as u32);
        self.write(TIMER_DIVIDE, DIVIDE_BY_1);
        let takes_pic = lines == LineSource::Pic && is_boot_cpu;
        self.write(LVT_LINT0, if takes_pic { DELIVERY_EXTERNAL } else { MASKED });
        self.write(LVT_LINT1, if is_boot_cpu { DELIVERY_NMI } else { MASKED });
        self.write(LVT_ERROR, LocalVector::Error as u32);
        self.write(SPURIOUS, SOFTWARE_ENABLED | LocalVector::Spurious as u32);
        // An interrupt may have been in service when the loader left; each write ends one.
        for _ in 0..4 {
            self.end_of_interrupt();
        }
        self.write(ERROR_STATUS, 0);
    }

    /// Returns the APIC's id, by which others send interrupts to this CPU.
    pub(in crate::machine) fn id(self) -> u32 {
        match self.access {
            Access::X2Apic => self.read(ID),
            Access::Memory(_) => self.read(ID) >> 24,
        }
    }

    /// Returns whether a CPU with this APIC id can be sent interrupts: x2APIC mode alone has ids beyond a byte.
    pub(in crate::machine) fn reaches(self, id: u32) -> bool {
        matches!(self.access, Access::X2Apic) || id < 0xff
    }

    /// Resets the CPU with APIC id `id`; it then waits for `send_start`.
    pub(in crate::machine) fn send_init(self, id: u32) {
        self.command(id, COMMAND_INIT | COMMAND_ASSERT);
    }

    /// Lets a CPU that was reset run the code at the physical address `page`, a page below 1 MiB.
    pub(in crate::machine) fn send_start(self, id: u32, page: u64) {
        self.command(id, COMMAND_START | COMMAND_ASSERT | (page >> 12) as u32 & 0xff);
    }

    /// Sends an interrupt command to the CPU with APIC id `target`.
    fn command(self, target: u32, command: u32) {
        match self.access {
            // SAFETY: the register's MSR; a command of this module's. A WRMSR to it waits for no earlier store, so the
            // fence sees to it that the target finds what it is called for (SDM 11.12.3).
            Access::X2Apic => unsafe {
                asm!("mfence", "lfence", options(nostack, preserves_flags));
                Msr::new(X2APIC_FIRST + (COMMAND as u32 >> 4)).write(u64::from(target) << 32 | u64::from(command));
            },
            Access::Memory(registers) => {
                // Two writes, which an interrupt handler's command must not come between.
                let _off = InterruptsOff::new();
                registers.write(COMMAND_TARGET, target << 24);
                registers.write(COMMAND, command);
                while registers.read(COMMAND) & COMMAND_PENDING != 0 {
                    core::hint::spin_loop();
                }
            }
        }
    }

    /// Acknowledges the interrupt in service.
    pub(super) fn end_of_interrupt(self) {
        self.write(END_OF_INTERRUPT, 0);
    }

    /// Reads and clears the error bits (SDM 11.5.3).
    pub(super) fn take_errors(self) -> u32 {
        self.write(ERROR_STATUS, 0);
        self.read(ERROR_STATUS)
    }

    /// Lets the timer interrupt once after `count` of its own ticks; 0 stops it.
    pub(in crate::machine) fn set_timer(self, count: u32) {
        self.write(TIMER_INITIAL, count);
    }

    /// Returns how many ticks are left until the timer's interrupt.
    pub(in crate::machine) fn timer_left(self) -> u32 {
        self.read(TIMER_CURRENT)
    }

    /// Unmasks the timer; it then counts its own ticks.
    pub(in crate::machine) fn enable_timer(self) {
        self.write(LVT_TIMER, LocalVector::Timer as u32);
    }

    /// Unmasks the timer; it then waits for a value of the TSC. Needs `Features::TSC_DEADLINE`.
    pub(in crate::machine) fn enable_deadline_timer(self) {
        self.write(LVT_TIMER, TIMER_DEADLINE | LocalVector::Timer as u32);
        // The mode must have arrived before the first deadline does (SDM 11.5.4.1).
        // SAFETY: MFENCE only orders memory accesses.
        unsafe { asm!("mfence", options(nostack, preserves_flags)) };
    }

    /// Returns whether the timer waits for the TSC to reach `counter`, a value some time ahead. With interrupts off;
    /// leaves the timer stopped and, if it did not wait, its interrupt pending.
    pub(in crate::machine) fn waits_for_deadline(self, counter: u64) -> bool {
        let vector = LocalVector::Timer as usize;
        self.enable_deadline_timer();
        self.set_deadline(counter);
        for _ in 0..100 {
            pause_microsecond();
        }
        let is_pending = self.read(INTERRUPT_REQUEST + vector / 32 * 0x10) >> (vector % 32) & 1 == 1;
        self.set_deadline(0);
        !is_pending
    }

    /// Lets the timer interrupt when the TSC reaches `counter`; 0 stops it. After `enable_deadline_timer`.
    pub(in crate::machine) fn set_deadline(self, counter: u64) {
        // SAFETY: `enable_deadline_timer` was possible only where CPUID has the register.
        unsafe { Msr::new(TSC_DEADLINE).write(counter) };
    }

    fn read(self, register: usize) -> u32 {
        match self.access {
            // SAFETY: in x2APIC mode each register used here is an MSR.
            Access::X2Apic => unsafe { Msr::new(X2APIC_FIRST + (register as u32 >> 4)).read() as u32 },
            Access::Memory(registers) => registers.read(register),
        }
    }

    fn write(self, register: usize, value: u32) {
        match self.access {
            // SAFETY: in x2APIC mode each register used here is an MSR.
            Access::X2Apic => unsafe { Msr::new(X2APIC_FIRST + (register as u32 >> 4)).write(u64::from(value)) },
            Access::Memory(registers) => registers.write(register, value),
        }
    }
}
