//! Keyboards and the like.

/// A source of key events; its owner pulls.
pub(crate) trait InputSource: Send + Sync {
    /// Sleeps until a scan code (set 1 or set 2 as the source says) is there and returns it.
    fn next_scancode(&self) -> u8;

    /// Sets the Scroll, Num and Caps Lock lights.
    fn set_leds(&self, scroll: bool, num: bool, caps: bool);
}
