//! The PC around the CPU: ACPI tables, interrupt controllers, timers, clock chip, power, port I/O.

/// Switches the machine off: ACPI, then the older ways in a fixed order, then halts. Does not sleep.
pub(crate) fn power_off() -> ! {
    todo!()
}

/// Restarts the machine: ACPI reset register, keyboard controller, port 0xcf9, triple fault.
pub(crate) fn restart() -> ! {
    todo!()
}

/// Stops this CPU for good with interrupts off.
pub(crate) fn halt() -> ! {
    todo!()
}

/// A byte-wide I/O port that a driver owns. Ports of the interrupt controllers, timers and DMA are refused.
pub(crate) struct Port {
    number: u16,
}

impl Port {
    /// Claims the port `number`; `None` where it belongs to `machine` or is claimed already.
    pub(crate) fn claim(_number: u16) -> Option<Port> {
        todo!()
    }

    /// Reads one byte.
    pub(crate) fn read(&self) -> u8 {
        let _ = self.number;
        todo!()
    }

    /// Writes one byte.
    pub(crate) fn write(&self, _value: u8) {
        todo!()
    }
}
