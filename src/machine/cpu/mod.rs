//! One CPU: its features, control registers, per-CPU data and idle state.
//!
//! A CPU has an index (0 is the boot CPU, dense, never the APIC id). Per-CPU data hang off GS base.

/// The control registers' protection bits.
mod control;

/// What CPUID says.
mod features;

/// The feature flags by their Linux names.
mod flags;

/// Data that each CPU has for itself.
mod per_cpu;

/// The user state that stays in the CPU between entries.
mod user_context;

pub(crate) use features::{Features, describe, features, hardware_capabilities};
pub(crate) use flags::flags;
pub(in crate::machine) use per_cpu::{Attention, add, install, install_boot_cpu, is_installed, of, this};
pub(crate) use per_cpu::{MAX_CPUS, count, index, online};
pub(in crate::machine) use user_context::{
    UserContext, components as extended_state_components, size as extended_state_size,
};
pub(in crate::machine) use {control::enable_protections, features::read_leaf};
