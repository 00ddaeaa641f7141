//! Serial lines.

/// A serial port; its owner pulls what came in.
pub(crate) trait SerialLine: Send + Sync {
    /// Sleeps until at least one byte came in; returns how many were put into `bytes`.
    fn read(&self, bytes: &mut [u8]) -> usize;

    /// Queues all of `bytes` for sending; sleeps while the queue is full.
    fn write(&self, bytes: &[u8]);

    /// Sleeps until all queued bytes left the port.
    fn drain(&self);

    /// Sets the speed in bits per second (8 data bits, no parity, 1 stop bit).
    fn set_speed(&self, bits_per_second: u32);
}
