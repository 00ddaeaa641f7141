//! Which CPUs share a core and a package: fields of their APIC ids, whose widths CPUID tells (SDM vol. 3A, 9.9.3).

use super::local_apic;
use crate::machine::cpu::{self, read_leaf};

/// Where a CPU sits.
pub(crate) struct Place {
    pub(crate) apic_id: u32,
    pub(crate) package: u32,
    /// The core's number within the package.
    pub(crate) core: u32,
    /// The CPUs of the same core, and those of the same package, as masks.
    pub(crate) core_cpus: u64,
    pub(crate) package_cpus: u64,
}

/// Returns where CPU `index` sits.
pub(crate) fn place(index: usize) -> Place {
    let (core_start, package_start) = field_starts();
    let shared = |start: u32| {
        let is_same = |other: &usize| local_apic::id_of(*other) >> start == local_apic::id_of(index) >> start;
        (0..cpu::count()).filter(is_same).fold(0, |mask, cpu| mask | 1 << cpu)
    };
    let apic_id = local_apic::id_of(index);
    Place {
        apic_id,
        package: apic_id >> package_start,
        core: (apic_id & ((1 << package_start) - 1)) >> core_start,
        core_cpus: shared(core_start),
        package_cpus: shared(package_start),
    }
}

/// Returns the lowest bit of an APIC id that tells the core, and the lowest that tells the package.
fn field_starts() -> (u32, u32) {
    if let (Some(core), Some(package)) = (read_leaf(0xb, 0), read_leaf(0xb, 1))
        && package.ebx != 0
    {
        return (core.eax & 0x1f, package.eax & 0x1f);
    }
    // Older CPUs tell how many ids a package has room for, and how many of them are cores'.
    let has_siblings = |edx: u32| edx >> 28 & 1 == 1;
    let ids = read_leaf(1, 0).filter(|leaf| has_siblings(leaf.edx)).map_or(1, |leaf| leaf.ebx >> 16 & 0xff).max(1);
    let intel = read_leaf(4, 0).map_or(0, |leaf| leaf.eax >> 26);
    let amd = read_leaf(0x8000_0008, 0).map_or(0, |leaf| leaf.ecx & 0xff);
    let cores = intel.max(amd) + 1;
    let bits = |count: u32| count.next_power_of_two().trailing_zeros();
    (bits(ids.div_ceil(cores)), bits(ids))
}
