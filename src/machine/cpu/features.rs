//! What CPUID says: the optional features that Stele uses, and the processor's names for people.
//!
//! Read once, on the boot CPU; all CPUs are assumed alike.

use alloc::string::String;
use bitflags::bitflags;
use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use spin::Once;

bitflags! {
    /// Optional CPU features that Stele uses where CPUID has them (SDM vol. 2A, CPUID).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Features: u64 {
        /// Supervisor-mode execution prevention.
        const SMEP = 1 << 0;
        /// Supervisor-mode access prevention.
        const SMAP = 1 << 1;
        /// User-mode instruction prevention.
        const UMIP = 1 << 2;
        /// Process-context identifiers.
        const PCID = 1 << 3;
        /// RDFSBASE and friends.
        const FSGSBASE = 1 << 4;
        /// XSAVE.
        const XSAVE = 1 << 5;
        /// x2APIC mode.
        const X2APIC = 1 << 6;
        /// TSC-deadline mode of the local APIC's timer.
        const TSC_DEADLINE = 1 << 7;
        /// The TSC runs at one rate in all states.
        const INVARIANT_TSC = 1 << 8;
        /// 1 GiB pages.
        const GIB_PAGES = 1 << 9;
        /// RDRAND.
        const RDRAND = 1 << 10;
        /// RDSEED.
        const RDSEED = 1 << 11;
        /// Fast `rep movsb`/`stosb`.
        const ERMS = 1 << 12;
        /// RDTSCP and TSC_AUX.
        const RDTSCP = 1 << 13;
        /// Global pages.
        const PGE = 1 << 14;
        /// A time-stamp counter.
        const TSC = 1 << 15;
        /// A local APIC.
        const APIC = 1 << 16;
        /// The page attribute table.
        const PAT = 1 << 17;
        /// A hypervisor runs this CPU.
        const HYPERVISOR = 1 << 18;
        /// Machine-check exceptions.
        const MCE = 1 << 19;
        /// IA32_TSC_ADJUST.
        const TSC_ADJUST = 1 << 20;
    }
}

/// One register of one CPUID leaf.
#[derive(Clone, Copy)]
enum Register {
    Ebx,
    Ecx,
    Edx,
}

/// Where each feature is found: leaf (subleaf 0), register, bit.
const FEATURE_BITS: &[(Features, u32, Register, u32)] = &[
    (Features::TSC, 1, Register::Edx, 4),
    (Features::MCE, 1, Register::Edx, 7),
    (Features::APIC, 1, Register::Edx, 9),
    (Features::PGE, 1, Register::Edx, 13),
    (Features::PAT, 1, Register::Edx, 16),
    (Features::PCID, 1, Register::Ecx, 17),
    (Features::X2APIC, 1, Register::Ecx, 21),
    (Features::TSC_DEADLINE, 1, Register::Ecx, 24),
    (Features::XSAVE, 1, Register::Ecx, 26),
    (Features::RDRAND, 1, Register::Ecx, 30),
    (Features::HYPERVISOR, 1, Register::Ecx, 31),
    (Features::FSGSBASE, 7, Register::Ebx, 0),
    (Features::TSC_ADJUST, 7, Register::Ebx, 1),
    (Features::SMEP, 7, Register::Ebx, 7),
    (Features::ERMS, 7, Register::Ebx, 9),
    (Features::RDSEED, 7, Register::Ebx, 18),
    (Features::SMAP, 7, Register::Ebx, 20),
    (Features::UMIP, 7, Register::Ecx, 2),
    (Features::GIB_PAGES, 0x8000_0001, Register::Edx, 26),
    (Features::RDTSCP, 0x8000_0001, Register::Edx, 27),
    (Features::INVARIANT_TSC, 0x8000_0007, Register::Edx, 8),
];

/// Returns the features that the boot CPU has; all CPUs are assumed alike.
pub(crate) fn features() -> Features {
    static FEATURES: Once<Features> = Once::new();
    *FEATURES.call_once(read_features)
}

/// Returns CPUID leaf 1 EDX, which Linux programs see as `AT_HWCAP`.
pub(crate) fn hardware_capabilities() -> u32 {
    __cpuid(1).edx
}

/// What CPUID says about the processor, for people.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// Vendor string, for example `GenuineIntel`.
    pub(crate) vendor: String,
    /// Brand string, for example `Intel(R) Core(TM) i7-4770`.
    pub(crate) brand: String,
    /// Family, as displayed (base and extended family added up).
    pub(crate) family: u32,
    /// Model, as displayed.
    pub(crate) model: u32,
    /// Stepping.
    pub(crate) stepping: u32,
}

/// Reads CPUID for a description of the processor.
pub(crate) fn describe() -> Description {
    let leaf = __cpuid(0);
    let vendor = text([leaf.ebx, leaf.edx, leaf.ecx]);

    // "Family" and "model" as SDM vol. 2A, CPUID, figure 3-6 defines what is displayed.
    let signature = __cpuid(1).eax;
    let base_family = signature >> 8 & 0xf;
    let family = if base_family == 0xf { base_family + (signature >> 20 & 0xff) } else { base_family };
    let base_model = signature >> 4 & 0xf;
    let model = if base_family == 6 || base_family == 0xf { base_model | signature >> 12 & 0xf0 } else { base_model };

    Description { vendor, brand: read_brand(), family, model, stepping: signature & 0xf }
}

/// Returns CPUID leaf `leaf`, subleaf `subleaf`; `None` if the CPU does not have the leaf.
pub(in crate::machine) fn read_leaf(leaf: u32, subleaf: u32) -> Option<CpuidResult> {
    let group = leaf & 0xffff_0000;
    let maximum = __cpuid(group).eax;
    // A group that the CPU lacks answers with some other group's values.
    if maximum & 0xffff_0000 != group || leaf > maximum {
        return None;
    }
    Some(__cpuid_count(leaf, subleaf))
}

fn read_features() -> Features {
    let mut found = Features::empty();
    for &(feature, leaf, register, bit) in FEATURE_BITS {
        let Some(values) = read_leaf(leaf, 0) else { continue };
        let value = match register {
            Register::Ebx => values.ebx,
            Register::Ecx => values.ecx,
            Register::Edx => values.edx,
        };
        if value >> bit & 1 == 1 {
            found |= feature;
        }
    }
    found
}

fn read_brand() -> String {
    if read_leaf(0x8000_0004, 0).is_none() {
        return String::from("x86-64");
    }
    let mut words = [0; 12];
    for (leaf, words) in (0x8000_0002..).zip(words.chunks_exact_mut(4)) {
        let part = __cpuid(leaf);
        words.copy_from_slice(&[part.eax, part.ebx, part.ecx, part.edx]);
    }
    text(words)
}

/// Reads registers as text, without the padding around it.
fn text<const N: usize>(words: [u32; N]) -> String {
    let bytes: alloc::vec::Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    String::from(String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']))
}
