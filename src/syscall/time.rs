//! Clocks, sleeping, timers.
