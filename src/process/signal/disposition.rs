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
    /// A child has the same table until one of both changes it.
    table: SpinLock<Arc<Actions>>,
}

#[derive(Clone)]
struct Actions {
    actions: [Action; Signal::COUNT],
    /// All others have the initial action.
    changed: SignalSet,
}

impl Dispositions {
    /// Makes the table of the first process: all default.
    pub(crate) fn new() -> Arc<Dispositions> {
        let actions = [Action::INITIAL; Signal::COUNT];
        Dispositions::with(Arc::new(Actions { actions, changed: SignalSet::EMPTY }))
    }

    fn with(table: Arc<Actions>) -> Arc<Dispositions> {
        Arc::new(Dispositions { table: SpinLock::new(Rank::Signal, table) })
    }

    /// Makes a copy (fork).
    pub(crate) fn duplicate(&self) -> Arc<Dispositions> {
        let table = self.table.lock().clone();
        Dispositions::with(table)
    }

    /// Makes the table after exec: what had a handler has the default again (signal(7)).
    pub(crate) fn after_exec(&self) -> Arc<Dispositions> {
        let mut table = self.table.lock().clone();
        for signal in table.changed.iter() {
            let table = Arc::make_mut(&mut table);
            let action = &mut table.actions[signal.index()];
            let handler = if action.handler == IGNORE { IGNORE } else { DEFAULT };
            *action = Action { handler, ..Action::INITIAL };
            if handler == DEFAULT {
                table.changed.remove(signal);
            }
        }
        Dispositions::with(table)
    }

    /// Returns the action for `signal`.
    pub(crate) fn get(&self, signal: Signal) -> Action {
        self.table.lock().actions[signal.index()]
    }

    /// Sets the action for `signal`; returns the one before. The caller drops pending signals that it ignores now.
    pub(crate) fn set(&self, signal: Signal, action: Action) -> Action {
        let mut table = self.table.lock();
        let table = Arc::make_mut(&mut table);
        table.changed.insert(signal);
        core::mem::replace(&mut table.actions[signal.index()], action)
    }

    /// Takes the action for a delivery: SA_RESETHAND puts back the default.
    pub(crate) fn take_for_delivery(&self, signal: Signal) -> Action {
        let mut table = self.table.lock();
        let action = table.actions[signal.index()];
        if action.handler > IGNORE && action.flags.contains(ActionFlags::RESET_HANDLER) {
            Arc::make_mut(&mut table).actions[signal.index()].handler = DEFAULT;
        }
        action
    }

    /// Puts back the default, for a fault that the program blocked or ignored.
    pub(crate) fn reset(&self, signal: Signal) {
        Arc::make_mut(&mut self.table.lock()).actions[signal.index()].handler = DEFAULT;
    }

    /// Returns the ignored and the handled signals, for /proc/PID/status.
    pub(crate) fn summary(&self) -> (SignalSet, SignalSet) {
        let table = self.table.lock();
        let (mut ignored, mut handled) = (SignalSet::EMPTY, SignalSet::EMPTY);
        for signal in table.changed.iter() {
            match table.actions[signal.index()].handler {
                DEFAULT => {}
                IGNORE => ignored.insert(signal),
                _ => handled.insert(signal),
            }
        }
        (ignored, handled)
    }
}
