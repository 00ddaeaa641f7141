//! One CPU: its features, control registers, per-CPU data and idle state.
//!
//! A CPU has an index (0 is the boot CPU, dense, never the APIC id). Per-CPU data hang off GS base.

use bitflags::bitflags;

/// The most CPUs that are used; more are left resting.
pub(crate) const MAX_CPUS: usize = 64;

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
    }
}

/// Returns the features that the boot CPU has; all CPUs are assumed alike.
pub(crate) fn features() -> Features {
    todo!()
}

/// Returns this CPU's index.
pub(crate) fn index() -> usize {
    todo!()
}

/// Returns how many CPUs run.
pub(crate) fn count() -> usize {
    todo!()
}

/// Returns CPUID leaf 1 EDX, which Linux programs see as `AT_HWCAP`.
pub(crate) fn hardware_capabilities() -> u32 {
    todo!()
}

/// What CPUID says about the processor, for people.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// Vendor string, for example `GenuineIntel`.
    pub(crate) vendor: alloc::string::String,
    /// Brand string, for example `Intel(R) Core(TM) i7-4770`.
    pub(crate) brand: alloc::string::String,
    /// Family, model and stepping as displayed.
    pub(crate) family: u32,
    pub(crate) model: u32,
    pub(crate) stepping: u32,
}

/// Reads CPUID for a description of the processor.
pub(crate) fn describe() -> Description {
    todo!()
}

/// Fills `bytes` with unpredictable bytes: a ChaCha20 (or like) generator seeded from RDSEED or RDRAND
/// where there, interrupt and TSC jitter otherwise. Any context.
pub(crate) fn random_bytes(_bytes: &mut [u8]) {
    todo!()
}
