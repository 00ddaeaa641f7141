//! Data that each CPU has for itself, and which CPU this is.

/// The most CPUs that are used; more are left resting.
pub(crate) const MAX_CPUS: usize = 64;

/// Returns this CPU's index.
pub(crate) fn index() -> usize {
    0
}

/// Returns how many CPUs run.
pub(crate) fn count() -> usize {
    1
}
