//! What a process does about each signal (sigaction(2)): the table that its threads share.

use super::{DefaultAction, Signal, SignalSet};
use crate::machine::sync::SpinLock;
use crate::rank::Rank;
use alloc::sync::Arc;
use bitflags::bitflags;

bitflags! {
    /// SA_* of sigaction(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ActionFlags: u64 {
        const NO_CHILD_STOP = 1;
        const NO_CHILD_WAIT = 2;
        const SIGNAL_INFO = 4;
        const ON_STACK = 0x0800_0000;
        const RESTART = 0x1000_0000;
        const NO_DEFER = 0x4000_0000;
        const RESET_HANDLER = 0x8000_0000;
        const RESTORER = 0x0400_0000;
        const _ = !0;
    }
}

/// What to do about one signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    /// The handler's address, or `DEFAULT` or `IGNORE`.
    pub(crate) handler: u64,
    pub(crate) flags: ActionFlags,
    /// Where the handler returns to: code that calls rt_sigreturn.
    pub(crate) restorer: u64,
    /// Blocked while the handler runs.
    pub(crate) mask: SignalSet,
}

/// SIG_DFL.
pub(crate) const DEFAULT: u64 = 0;
/// SIG_IGN.
pub(crate) const IGNORE: u64 = 1;

impl Action {
    const INITIAL: Action =
        Action { handler: DEFAULT, flags: ActionFlags::empty(), restorer: 0, mask: SignalSet::EMPTY };

    /// Returns whether `signal` with this action has no effect.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            IGNORE => true,
            DEFAULT => signal.default_action() == DefaultAction::Ignore,
            _ => false,
        }
    }
}

/// The actions for all signals, shared by the threads of a process (and by clone(2) CLONE_SIGHAND).
pub(crate) struct Dispositions {
    actions: SpinLock<[Action; Signal::COUNT]>,
}

impl Dispositions {
    /// Makes the table of the first process: all default.
    pub(crate) fn new() -> Arc<Dispositions> {
        Dispositions::with([Action::INITIAL; Signal::COUNT])
    }

    fn with(actions: [Action; Signal::COUNT]) -> Arc<Dispositions> {
        Arc::new(Dispositions { actions: SpinLock::new(Rank::Signal, actions) })
    }

    /// Makes a copy (fork).
    pub(crate) fn duplicate(&self) -> Arc<Dispositions> {
        let actions = *self.actions.lock();
        Dispositions::with(actions)
    }

    /// Makes the table after exec: what had a handler has the default again (signal(7)).
    pub(crate) fn after_exec(&self) -> Arc<Dispositions> {
        let mut actions = *self.actions.lock();
        for action in &mut actions {
            let handler = if action.handler == IGNORE { IGNORE } else { DEFAULT };
            *action = Action { handler, ..Action::INITIAL };
        }
        Dispositions::with(actions)
    }

    /// Returns the action for `signal`.
    pub(crate) fn get(&self, signal: Signal) -> Action {
        self.actions.lock()[signal.index()]
    }

    /// Sets the action for `signal`; returns the one before. The caller drops pending signals that it ignores now.
    pub(crate) fn set(&self, signal: Signal, action: Action) -> Action {
        core::mem::replace(&mut self.actions.lock()[signal.index()], action)
    }

    /// Takes the action for a delivery: SA_RESETHAND puts back the default.
    pub(crate) fn take_for_delivery(&self, signal: Signal) -> Action {
        let mut actions = self.actions.lock();
        let action = actions[signal.index()];
        if action.handler > IGNORE && action.flags.contains(ActionFlags::RESET_HANDLER) {
            actions[signal.index()].handler = DEFAULT;
        }
        action
    }

    /// Puts back the default, for a fault that the program blocked or ignored.
    pub(crate) fn reset(&self, signal: Signal) {
        self.actions.lock()[signal.index()].handler = DEFAULT;
    }

    /// Returns the ignored and the handled signals, for /proc/PID/status.
    pub(crate) fn summary(&self) -> (SignalSet, SignalSet) {
        let actions = self.actions.lock();
        let (mut ignored, mut handled) = (SignalSet::EMPTY, SignalSet::EMPTY);
        for (index, action) in actions.iter().enumerate() {
            let Some(signal) = Signal::from_number(index as i32 + 1) else { continue };
            match action.handler {
                DEFAULT => {}
                IGNORE => ignored.insert(signal),
                _ => handled.insert(signal),
            }
        }
        (ignored, handled)
    }
}
