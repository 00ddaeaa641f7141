//! The firmware's ACPI tables, read once and kept as plain facts (ACPI specification 6.5, chapter 5).
//!
//! The `acpi` crate finds and checks the tables. There is no AML interpreter: the one thing needed from AML,
//! how to switch off, is found by `util::aml_sleep`. Where there are no tables, `Tables::default()` says that
//! nothing is known, and the PC is taken to be an old one.

use crate::machine::boot;
use crate::machine::console::log;
use crate::machine::memory::{Caching, map_device, map_firmware};
use crate::machine::sync::IrqLock;
use crate::rank::Rank;
use crate::util::aml_sleep;
use acpi::address::{AddressSpace, GenericAddress};
use acpi::fadt::Fadt;
use acpi::hpet::HpetInfo;
use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use alloc::vec::Vec;
use core::{ops::Range, ptr::NonNull};

/// What the tables say, as far as it is used.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// Local APIC ids of the CPUs that may run.
    pub(super) cpus: Vec<u32>,
    /// Physical address of the local APICs' registers.
    pub(super) local_apic: Option<u64>,
    /// The I/O APICs.
    pub(super) io_apics: Vec<IoApicEntry>,
    /// ISA lines that do not go to the input of the same number.
    pub(super) overrides: Vec<IsaOverride>,
    /// Physical address of the HPET's registers.
    pub(super) hpet: Option<u64>,
    /// Port of the power management timer, and whether it counts to 32 bits (else 24).
    pub(super) pm_timer: Option<(u16, bool)>,
    /// Index of the clock chip's century register; 0 for none.
    pub(super) century_register: u8,
    /// How to switch off.
    pub(super) soft_off: Option<SoftOff>,
    /// How to restart: the register and the value that it wants.
    pub(super) reset: Option<(Register, u8)>,
}

/// One I/O APIC.
#[derive(Clone, Copy, Debug)]
pub(super) struct IoApicEntry {
    /// Physical address of its registers.
    pub(super) address: u64,
    /// The global number of its first input.
    pub(super) first_input: u32,
}

/// Where an ISA line really goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct IsaOverride {
    pub(super) irq: u8,
    /// Global number of the I/O APIC input.
    pub(super) input: u32,
    pub(super) is_active_low: bool,
    pub(super) is_level: bool,
}

/// The fixed power management registers and what to write there.
#[derive(Clone, Copy, Debug)]
pub(super) struct SoftOff {
    pub(super) control_a: Register,
    pub(super) control_b: Option<Register>,
    pub(super) sleep_type_a: u8,
    pub(super) sleep_type_b: u8,
    /// Port and value that ask the firmware to hand the registers over.
    pub(super) enable: Option<(u16, u8)>,
}

/// Where a register of the firmware's choice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    Port(u16),
    /// Virtual address of a byte-wide register.
    Memory(usize),
    /// Register at `offset` of a function of PCI bus 0.
    PciConfiguration {
        device: u8,
        function: u8,
        offset: u8,
    },
}

impl Register {
    fn from_generic(address: GenericAddress) -> Option<Register> {
        match address.address_space {
            AddressSpace::SystemIo if address.address != 0 => Some(Register::Port(address.address as u16)),
            AddressSpace::SystemMemory if address.address != 0 => {
                Some(Register::Memory(map_device(address.address, 1, Caching::Uncached)))
            }
            AddressSpace::PciConfigSpace => Some(Register::PciConfiguration {
                device: (address.address >> 32) as u8,
                function: (address.address >> 16) as u8,
                offset: address.address as u8,
            }),
            _ => None,
        }
    }
}

/// Reads the tables.
pub(super) fn read() -> Tables {
    let mut facts = Tables::default();
    let Some(root) = boot::information().acpi_root else {
        log!(Warning, "ACPI: the firmware has no tables");
        return facts;
    };
    // SAFETY: the loader copied a root pointer with a valid checksum, so the address is that of a root table,
    // which firmware memory holds untouched.
    let tables = match unsafe { AcpiTables::from_rsdt(Firmware, root.revision, root.address as usize) } {
        Ok(tables) => tables,
        Err(error) => {
            log!(Warning, "ACPI: root table: {error:?}");
            return facts;
        }
    };

    match tables.find_table::<Madt>() {
        Ok(madt) => read_interrupts(&madt, &mut facts),
        Err(error) => log!(Warning, "ACPI: interrupt table: {error:?}"),
    }
    match tables.find_table::<Fadt>() {
        Ok(fadt) => read_fixed(&fadt, &tables, &mut facts),
        Err(error) => log!(Warning, "ACPI: fixed description: {error:?}"),
    }
    facts.hpet = HpetInfo::new(&tables).ok().map(|hpet| hpet.base_address as u64);
    facts
}

fn read_interrupts(madt: &PhysicalMapping<Firmware, Madt>, facts: &mut Tables) {
    /// The CPU is there, or can be brought in.
    const ENABLED: u32 = 1;

    let madt = madt.get();
    facts.local_apic = Some(u64::from(madt.local_apic_address));
    for entry in madt.entries() {
        match entry {
            MadtEntry::LocalApic(cpu) if cpu.flags & ENABLED != 0 => facts.cpus.push(u32::from(cpu.apic_id)),
            MadtEntry::LocalX2Apic(cpu) if cpu.flags & ENABLED != 0 => facts.cpus.push(cpu.x2apic_id),
            MadtEntry::LocalApicAddressOverride(entry) => facts.local_apic = Some(entry.local_apic_address),
            MadtEntry::IoApic(entry) => facts.io_apics.push(IoApicEntry {
                address: u64::from(entry.io_apic_address),
                first_input: entry.global_system_interrupt_base,
            }),
            MadtEntry::InterruptSourceOverride(entry) => facts.overrides.push(IsaOverride {
                irq: entry.irq,
                input: entry.global_system_interrupt,
                // 0 in each field means "as the bus does it": edge, active high (ACPI 5.2.12.5).
                is_active_low: entry.flags & 0x3 == 0x3,
                is_level: entry.flags & 0xc == 0xc,
            }),
            _ => (),
        }
    }
    // A CPU may be listed in both forms.
    facts.cpus.sort_unstable();
    facts.cpus.dedup();
}

fn read_fixed(fadt: &PhysicalMapping<Firmware, Fadt>, tables: &AcpiTables<Firmware>, facts: &mut Tables) {
    let flags = fadt.flags;
    facts.century_register = fadt.century;
    facts.pm_timer = fadt.pm_timer_block().ok().flatten().and_then(|timer| match Register::from_generic(timer)? {
        Register::Port(port) => Some((port, flags.pm_timer_is_32_bit())),
        _ => None,
    });
    if flags.supports_system_reset_via_fadt() {
        let register = fadt.reset_register().ok().and_then(Register::from_generic);
        facts.reset = register.map(|register| (register, fadt.reset_value));
    }
    facts.soft_off = read_soft_off(fadt, tables);
    if facts.soft_off.is_none() {
        log!(Warning, "ACPI: the tables do not say how to switch off");
    }
}

fn read_soft_off(fadt: &PhysicalMapping<Firmware, Fadt>, tables: &AcpiTables<Firmware>) -> Option<SoftOff> {
    let dsdt = tables.dsdt().ok().into_iter();
    let (sleep_type_a, sleep_type_b) = dsdt.chain(tables.ssdts()).find_map(|table| {
        let start = core::ptr::with_exposed_provenance::<u8>(reach(table.address as u64, u64::from(table.length)));
        // SAFETY: the crate checked the table's header and sum; firmware memory is mapped and not written.
        let aml = unsafe { core::slice::from_raw_parts(start, table.length as usize) };
        aml_sleep::find_soft_off(aml)
    })?;

    let enable_port = u16::try_from(fadt.smi_cmd_port).ok().filter(|&port| port != 0);
    Some(SoftOff {
        control_a: fadt.pm1a_control_block().ok().and_then(Register::from_generic)?,
        control_b: fadt.pm1b_control_block().ok().flatten().and_then(Register::from_generic),
        sleep_type_a,
        sleep_type_b,
        enable: enable_port.zip(Some(fadt.acpi_enable)),
    })
}

/// Lets the crate see physical memory.
#[derive(Clone, Debug)]
struct Firmware;

impl AcpiHandler for Firmware {
    unsafe fn map_physical_region<T>(&self, physical_address: usize, size: usize) -> PhysicalMapping<Self, T> {
        let start = core::ptr::with_exposed_provenance_mut::<T>(reach(physical_address as u64, size as u64));
        let start = NonNull::new(start).expect("nothing of the kernel's is at address 0");
        // SAFETY: `reach` mapped `size` bytes there, for ever.
        unsafe { PhysicalMapping::new(physical_address, start, size, size, Firmware) }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}
}

/// Physical memory is mapped in pieces of this size, as tables lie close together and are looked at often.
const WINDOW: u64 = 64 * 1024;

/// Returns the virtual address of `length` bytes of firmware's memory at `physical`.
fn reach(physical: u64, length: u64) -> usize {
    /// What is mapped, with where it begins.
    static WINDOWS: IrqLock<Vec<(Range<u64>, usize)>> = IrqLock::new(Rank::IrqTable, Vec::new());

    let end = physical.saturating_add(length);
    let mut windows = WINDOWS.lock();
    let known = windows.iter().find(|(range, _)| range.start <= physical && end <= range.end);
    if let Some((range, address)) = known {
        return address + (physical - range.start) as usize;
    }
    let range = physical / WINDOW * WINDOW..end.next_multiple_of(WINDOW);
    let address = map_firmware(range.start, range.end - range.start);
    let start = range.start;
    windows.push((range, address));
    address + (physical - start) as usize
}
