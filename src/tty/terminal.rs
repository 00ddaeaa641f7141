//! A terminal as programs see it: settings, line discipline, window size, job control, readiness. What is behind it
//! (a serial line, the screen and keyboard, the other end of a pseudo-terminal) feeds `receive` and empties
//! `take_output`, each from its own task.
//!
//! One spin lock guards all state; nobody sleeps, copies user memory or sends signals under it.

use super::input::{Input, Received};
use super::job_control::{self, JobControl};
use super::output::Output;
use super::settings::{Control, InputFlags, Settings, WindowSize};
use crate::errno::Result;
use crate::file::{DeviceNumber, Events, Observer, Readiness};
use crate::machine::sync::SpinLock;
use crate::machine::task::WaitQueue;
use crate::rank::Rank;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general as raw;

/// A terminal is writable while fewer bytes than this wait to go out (Linux: `WAKEUP_CHARS`).
const WRITABLE_BELOW: usize = 256;

/// What a terminal needs from what is behind it, besides bytes.
pub(crate) trait Hardware: Send + Sync {
    /// The settings changed.
    fn set_speed(&self, _bits_per_second: u32) {}

    /// Sleeps until all that was taken with `take_output` is out.
    fn drain(&self) {}

    /// Returns whether programs can wait until their output is out; where nobody may ever take it, they cannot.
    fn can_drain(&self) -> bool {
        true
    }

    /// Returns whether this is the screen (it knows virtual terminals) or a line.
    fn is_screen(&self) -> bool {
        false
    }
}

/// A terminal.
pub(crate) struct Terminal {
    number: DeviceNumber,
    hardware: Box<dyn Hardware>,
    /// Itself, to become a session's controlling terminal.
    this: Weak<Terminal>,
    pub(super) state: SpinLock<State>,
    pub(super) readers: WaitQueue,
    pub(super) writers: WaitQueue,
    /// Whoever feeds it, waiting for room.
    pub(super) input_room: WaitQueue,
    /// Whoever empties it, waiting for output.
    pub(super) output_ready: WaitQueue,
    pub(super) readiness: Readiness,
    /// Observers of the other side: a pseudo-terminal's controller.
    pub(super) controller_readiness: Readiness,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) window: WindowSize,
    pub(super) job_control: JobControl,
    /// ^S or TCOOFF: nothing is taken out.
    pub(super) is_stopped: bool,
    /// Files opened before the last hang-up carry an older number.
    pub(super) generation: u32,
    pub(super) is_exclusive: bool,
    /// Open files.
    pub(super) opens: usize,
    /// It was open at some time.
    pub(super) was_opened: bool,
    /// A pseudo-terminal's controller is gone.
    pub(super) is_abandoned: bool,
    /// In packet mode (TIOCPKT): what the controller has to hear, as TIOCPKT_* bits.
    pub(super) packet: Option<u8>,
}

impl State {
    /// In packet mode, notes news for the controller; `undone` are news that these make void.
    fn note_packet(&mut self, news: u32, undone: u32) {
        if let Some(status) = &mut self.packet {
            *status = *status & !(undone as u8) | news as u8;
        }
    }
}

/// The rights of one open file over the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// The terminal's generation when it was opened.
    pub(super) generation: u32,
    /// Opened as /dev/console: never stopped by job control, survives hang-ups.
    pub(super) is_console: bool,
    pub(super) is_non_blocking: bool,
}

impl Terminal {
    /// Makes a terminal.
    pub(crate) fn new(
        number: DeviceNumber, settings: Settings, window: WindowSize, hardware: Box<dyn Hardware>,
    ) -> Arc<Terminal> {
        let state = State {
            settings,
            input: Input::new(),
            output: Output::new(),
            window,
            job_control: JobControl::default(),
            is_stopped: false,
            generation: 0,
            is_exclusive: false,
            opens: 0,
            was_opened: false,
            is_abandoned: false,
            packet: None,
        };
        Arc::new_cyclic(|this| Terminal {
            number,
            hardware,
            this: this.clone(),
            state: SpinLock::new(Rank::Terminal, state),
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            input_room: WaitQueue::new(),
            output_ready: WaitQueue::new(),
            readiness: Readiness::new(),
            controller_readiness: Readiness::new(),
        })
    }

    /// Returns the device number.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Returns what is behind it.
    pub(super) fn hardware(&self) -> &dyn Hardware {
        &*self.hardware
    }

    /// Returns a counted reference to itself.
    pub(super) fn shared(&self) -> Option<Arc<Terminal>> {
        self.this.upgrade()
    }

    /// Takes typed bytes until the buffer is full; returns how many. Not in interrupt context.
    pub(crate) fn receive(&self, bytes: &[u8]) -> usize {
        let mut done = 0;
        loop {
            let mut received = Received::default();
            let is_ready = {
                let mut state = self.state.lock();
                while done < bytes.len() && received.signal.is_none() && state.input.has_room(&state.settings) {
                    received = state.receive(bytes[done]);
                    done += 1;
                }
                state.input.is_ready(&state.settings, 1)
            };

            self.output_changed();
            if is_ready {
                self.input_changed();
            }
            match received.signal {
                Some(keyed) => job_control::signal_foreground(self, keyed),
                None => return done,
            }
        }
    }

    /// Takes all of `bytes`, sleeping while the buffer is full.
    pub(crate) fn receive_all(&self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.input_room.wait_until(|| {
                let count = self.receive(rest);
                (count > 0).then_some(count)
            });
            rest = &rest[count..];
        }
    }

    /// Sleeps until there is output, takes some of it; returns how many bytes.
    pub(crate) fn take_output(&self, bytes: &mut [u8]) -> usize {
        self.output_ready.wait_until(|| match self.try_take_output(bytes) {
            0 => None,
            count => Some(count),
        })
    }

    /// Takes output that is there and not stopped; returns how many bytes.
    pub(super) fn try_take_output(&self, bytes: &mut [u8]) -> usize {
        let count = {
            let mut state = self.state.lock();
            if state.is_stopped { 0 } else { state.output.take(bytes) }
        };
        if count > 0 {
            self.writers.wake_all();
            self.readiness.announce(Events::WRITE | Events::WRITE_NORMAL);
        }
        count
    }

    /// poll(2).
    pub(crate) fn poll(&self, interest: Events, observer: Option<&Arc<dyn Observer>>, access: Access) -> Events {
        if let Some(observer) = observer {
            self.readiness.observe(observer, interest | Events::HANG_UP | Events::ERROR);
        }

        let state = self.state.lock();
        if state.is_hung_up(access) {
            let all = Events::READ | Events::READ_NORMAL | Events::WRITE | Events::WRITE_NORMAL;
            return interest & all | Events::ERROR | Events::HANG_UP;
        }
        let mut events = Events::empty();
        let minimum = if state.settings.time_ns() == 0 { state.settings.minimum() } else { 1 };
        if state.input.is_ready(&state.settings, minimum) {
            events |= Events::READ | Events::READ_NORMAL;
        }
        if state.output.pending() < WRITABLE_BELOW && self.takes_output(&state) {
            events |= Events::WRITE | Events::WRITE_NORMAL;
        }
        interest & events
    }

    /// Returns the settings.
    pub(super) fn settings(&self) -> Settings {
        self.state.lock().settings
    }

    /// Replaces the settings.
    pub(super) fn set_settings(&self, change: impl FnOnce(&mut Settings)) {
        let speed = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let old = state.settings;
            change(&mut state.settings);
            state.input.settings_changed(&old, &state.settings);
            if old.has_usual_flow_control() != state.settings.has_usual_flow_control() {
                let kinds = [raw::TIOCPKT_NOSTOP, raw::TIOCPKT_DOSTOP];
                let now = usize::from(state.settings.has_usual_flow_control());
                state.note_packet(kinds[now], kinds[1 - now]);
            }
            if old.input.contains(InputFlags::IXON) && !state.settings.input.contains(InputFlags::IXON) {
                state.is_stopped = false;
            }
            (old.output_speed != state.settings.output_speed).then_some(state.settings.output_speed)
        };
        if let Some(speed) = speed {
            self.hardware.set_speed(speed);
        }
        self.input_changed();
        self.input_taken();
        self.output_changed();
    }

    /// Sleeps until all output is out (tcdrain(3)).
    pub(super) fn drain(&self) -> Result {
        if self.hardware.can_drain() {
            self.writers.wait_interruptible(|| (self.state.lock().output.pending() == 0).then_some(()))?;
            self.hardware.drain();
        }
        Ok(())
    }

    /// Waits until the hardware has sent what it was given.
    pub(super) fn finish_hardware(&self) {
        self.hardware.drain();
    }

    /// Throws away input, output or both (tcflush(3)).
    pub(super) fn discard(&self, input: bool, output: bool) {
        {
            let mut state = self.state.lock();
            if input {
                state.input.discard();
                state.note_packet(raw::TIOCPKT_FLUSHREAD, 0);
            }
            if output {
                state.output.discard();
                state.note_packet(raw::TIOCPKT_FLUSHWRITE, 0);
            }
        }
        self.output_changed();
        self.input_taken();
        self.writers.wake_all();
        self.readiness.announce(Events::WRITE | Events::WRITE_NORMAL);
    }

    /// Stops output or lets it go on (tcflow(3)).
    pub(super) fn set_stopped(&self, is_stopped: bool) {
        {
            let mut state = self.state.lock();
            state.is_stopped = is_stopped;
            let (news, undone) = if is_stopped {
                (raw::TIOCPKT_STOP, raw::TIOCPKT_START)
            } else {
                (raw::TIOCPKT_START, raw::TIOCPKT_STOP)
            };
            state.note_packet(news, undone);
        }
        self.output_changed();
    }

    /// Sends the stop or start character to whoever types (TCIOFF, TCION).
    pub(super) fn send_control(&self, which: Control) {
        {
            let mut guard = self.state.lock();
            let State { settings, output, .. } = &mut *guard;
            output.echo_raw(settings, settings.character(which));
        }
        self.output_changed();
    }

    /// Cuts off all files that are open now, except those of /dev/console (vhangup(2)).
    pub(super) fn hang_up(&self) {
        {
            let mut state = self.state.lock();
            state.generation += 1;
            state.input.discard();
            state.output.discard();
            state.is_stopped = false;
        }
        self.wake_everybody();
    }

    /// Wakes all who wait for anything here, to look again.
    pub(super) fn wake_everybody(&self) {
        self.input_changed();
        self.input_taken();
        self.output_changed();
        self.writers.wake_all();
        self.readiness.announce(Events::all());
        self.controller_readiness.announce(Events::all());
    }

    /// Returns whether a hang-up cut the file off.
    pub(super) fn is_hung_up(&self, access: Access) -> bool {
        self.state.lock().is_hung_up(access)
    }

    /// There may be more to read.
    fn input_changed(&self) {
        self.readers.wake_all();
        self.readiness.announce(Events::READ | Events::READ_NORMAL);
    }

    /// There may be more room for input.
    pub(super) fn input_taken(&self) {
        self.input_room.wake_all();
        self.controller_readiness.announce(Events::WRITE | Events::WRITE_NORMAL);
    }

    /// Returns whether programs may write: while output is stopped a line still queues it, a pseudo-terminal does not.
    pub(super) fn takes_output(&self, state: &State) -> bool {
        !state.is_stopped || self.hardware.can_drain()
    }

    /// There may be more to take out, or it is stopped no more.
    pub(super) fn output_changed(&self) {
        self.output_ready.wake_all();
        if !self.hardware.can_drain() {
            self.writers.wake_all();
            self.readiness.announce(Events::WRITE | Events::WRITE_NORMAL);
        }
        self.controller_readiness.announce(Events::READ | Events::READ_NORMAL);
    }
}

impl State {
    /// Returns whether all who had the terminal open have closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.was_opened && self.opens == 0
    }

    /// Returns whether a pseudo-terminal's controller can read output.
    pub(super) fn has_output(&self) -> bool {
        self.output.pending() > 0 && !self.is_stopped
    }

    fn receive(&mut self, byte: u8) -> Received {
        let received = self.input.receive(&self.settings, &mut self.output, byte, self.is_stopped);
        if let Some(stop) = received.stop {
            self.is_stopped = stop;
        }
        received
    }

    pub(super) fn is_hung_up(&self, access: Access) -> bool {
        !access.is_console && (self.generation != access.generation || self.is_abandoned)
    }
}
