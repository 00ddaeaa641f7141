//! What programs read from and write to a terminal: read(2) with its modes and time limits, write(2).

use super::job_control;
use super::settings::LocalFlags;
use super::terminal::{Access, State, Terminal};
use crate::errno::{Errno, Result};
use crate::machine::task::{WaitError, WaitQueue};
use crate::machine::time;
use crate::vm::{Destination, Source};

/// Bytes moved between user memory and the terminal in one step.
pub(super) const CHUNK: usize = 512;

impl Terminal {
    /// read(2).
    pub(crate) fn read(&self, to: &mut Destination<'_>, access: Access) -> Result<usize> {
        if self.is_hung_up(access) {
            return Ok(0);
        }
        job_control::check_read(self, access)?;

        let (is_canonical, minimum, time_ns) = {
            let settings = &self.state.lock().settings;
            (settings.is_canonical(), settings.minimum(), settings.time_ns())
        };
        // termios(3), "Canonical and noncanonical mode": the four cases of MIN and TIME.
        let mut deadline = match (is_canonical, minimum) {
            (false, 0) => Some(time::monotonic_ns() + time_ns),
            _ => None,
        };
        let can_wait = is_canonical || minimum > 0 || time_ns > 0;
        let minimum = minimum.max(1);

        let mut chunk = [0; CHUNK];
        let mut done = 0;
        while to.remaining() > 0 {
            let limit = CHUNK.min(to.remaining());
            let Some((count, is_over)) = self.try_read(&mut chunk[..limit]) else {
                match self.wait_for_input(access, can_wait, deadline) {
                    Ok(true) => continue,
                    Ok(false) => break,
                    Err(error) if done == 0 => return Err(error),
                    Err(_) => break,
                }
            };

            to.put(&chunk[..count])?;
            done += count;
            if is_over && (is_canonical || done >= minimum) {
                break;
            }
            if !is_canonical && time_ns > 0 {
                deadline = Some(time::monotonic_ns() + time_ns);
            }
        }
        Ok(done)
    }

    /// Takes input that is there; returns how many bytes and whether line or data ended with them.
    fn try_read(&self, bytes: &mut [u8]) -> Option<(usize, bool)> {
        let taken = {
            let mut guard = self.state.lock();
            let State { settings, input, .. } = &mut *guard;
            if !input.is_ready(settings, 1) {
                return None;
            }
            input.take(settings, bytes)
        };
        self.input_taken();
        Some(taken)
    }

    /// Sleeps until there may be input; `false` when the read is over: hung up, or its time is.
    fn wait_for_input(&self, access: Access, can_wait: bool, deadline: Option<u64>) -> Result<bool> {
        if self.is_hung_up(access) || !can_wait {
            return Ok(false);
        }
        Errno::EAGAIN.when(access.is_non_blocking)?;
        let woken = self.readers.wait_deadline(deadline, || {
            let state = self.state.lock();
            (state.input.is_ready(&state.settings, 1) || state.is_hung_up(access)).then_some(())
        });
        match woken {
            Ok(()) => Ok(true),
            Err(WaitError::TimedOut) => Ok(false),
            Err(WaitError::Interrupted) => Err(Errno::RESTART),
        }
    }

    /// write(2).
    pub(crate) fn write(&self, from: &mut Source<'_>, access: Access) -> Result<usize> {
        Errno::EIO.when(self.is_hung_up(access))?;
        if self.state.lock().settings.local.contains(LocalFlags::TOSTOP) {
            job_control::check_write(self, access)?;
        }

        let mut chunk = [0; CHUNK];
        let mut done = 0;
        loop {
            let count = from.take(&mut chunk)?;
            if count == 0 {
                return Ok(done);
            }
            match self.write_chunk(&chunk[..count], access) {
                (written, None) => done += written,
                (written, Some(error)) if done + written == 0 => return Err(error),
                (written, Some(_)) => return Ok(done + written),
            }
        }
    }

    /// Queues `bytes`, sleeping while there is no room; returns how many were queued, and what ended it early.
    fn write_chunk(&self, bytes: &[u8], access: Access) -> (usize, Option<Errno>) {
        let mut done = 0;
        while done < bytes.len() {
            let attempt = || {
                let mut guard = self.state.lock();
                if guard.is_hung_up(access) {
                    return Some(Err(Errno::EIO));
                }
                if !self.takes_output(&guard) {
                    return None;
                }
                let State { settings, output, .. } = &mut *guard;
                match output.write(settings, &bytes[done..]) {
                    0 => None,
                    count => Some(Ok(count)),
                }
            };
            let outcome = wait(&self.writers, access.is_non_blocking, attempt);
            match outcome {
                Ok(count) => done += count,
                Err(error) => return (done, Some(error)),
            }
            self.output_changed();
        }
        (done, None)
    }
}

/// Sleeps on `queue` until `attempt` gives a result.
pub(super) fn wait<T>(
    queue: &WaitQueue, is_non_blocking: bool, mut attempt: impl FnMut() -> Option<Result<T>>,
) -> Result<T> {
    if is_non_blocking {
        return attempt().unwrap_or(Err(Errno::EAGAIN));
    }
    queue.wait_interruptible(attempt).unwrap_or(Err(Errno::RESTART))
}
