//! Signal numbers and sets of them (signal(7)), and what each signal does when nobody handles it.

/// A signal: 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signal(u8);

/// What a signal does to a process that neither handles nor ignores it (signal(7), "Standard signals").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultAction {
    /// Ends the process.
    Terminate,
    /// Ends the process; Linux would write a core file, and the wait status says so only when one was written.
    Dump,
    /// Nothing.
    Ignore,
    /// Stops the process.
    Stop,
    /// Lets a stopped process go on (which happens when the signal is sent, handled or not).
    Continue,
}

macro_rules! signals {
    ($($name:ident = $number:literal),* $(,)?) => {
        #[expect(dead_code, reason = "the whole set of signal(7) is declared once")]
        impl Signal {
            $(pub(crate) const $name: Signal = Signal($number);)*
        }
        const NAMES: &[(u8, &str)] = &[$(($number, stringify!($name))),*];
    };
}

signals! {
    HUP = 1, INT = 2, QUIT = 3, ILL = 4, TRAP = 5, ABRT = 6, BUS = 7, FPE = 8, KILL = 9, USR1 = 10, SEGV = 11, USR2 = 12,
    PIPE = 13, ALRM = 14, TERM = 15, STKFLT = 16, CHLD = 17, CONT = 18, STOP = 19, TSTP = 20, TTIN = 21, TTOU = 22, URG = 23,
    XCPU = 24, XFSZ = 25, VTALRM = 26, PROF = 27, WINCH = 28, IO = 29, PWR = 30, SYS = 31,
}

impl Signal {
    /// The number of signals.
    pub(crate) const COUNT: usize = 64;

    /// Returns signal `number`, or `None` where there is none.
    pub(crate) const fn from_number(number: i32) -> Option<Signal> {
        if number >= 1 && number <= Signal::COUNT as i32 { Some(Signal(number as u8)) } else { None }
    }

    /// Returns the number, 1 to 64.
    pub(crate) const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Returns the place in a table of all signals, from 0.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Returns whether each sending counts by itself (SIGRTMIN and up) instead of setting one mark.
    pub(crate) const fn is_queued(self) -> bool {
        self.0 >= 32
    }

    /// Returns whether the program may neither handle, block nor ignore it.
    pub(crate) fn is_absolute(self) -> bool {
        self == Signal::KILL || self == Signal::STOP
    }

    /// Returns what happens when nobody handles it.
    pub(crate) fn default_action(self) -> DefaultAction {
        match self {
            Signal::QUIT
            | Signal::ILL
            | Signal::TRAP
            | Signal::ABRT
            | Signal::BUS
            | Signal::FPE
            | Signal::SEGV
            | Signal::XCPU
            | Signal::XFSZ
            | Signal::SYS => DefaultAction::Dump,
            Signal::CHLD | Signal::URG | Signal::WINCH => DefaultAction::Ignore,
            Signal::STOP | Signal::TSTP | Signal::TTIN | Signal::TTOU => DefaultAction::Stop,
            Signal::CONT => DefaultAction::Continue,
            _ => DefaultAction::Terminate,
        }
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// A set of signals as user space has it: bit n is signal n + 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub(crate) const EMPTY: SignalSet = SignalSet(0);
    /// The signals that cannot be blocked.
    pub(crate) const ABSOLUTE: SignalSet = SignalSet::of(&[Signal::KILL, Signal::STOP]);
    /// The signals whose default action stops the process.
    pub(crate) const STOPS: SignalSet = SignalSet::of(&[Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU]);
    /// The signals that a fault of the program itself causes: they are delivered before others.
    pub(crate) const SYNCHRONOUS: SignalSet =
        SignalSet::of(&[Signal::SEGV, Signal::BUS, Signal::ILL, Signal::TRAP, Signal::FPE, Signal::SYS]);

    /// Returns the set of `signals`.
    pub(crate) const fn of(signals: &[Signal]) -> SignalSet {
        let mut bits = 0;
        let mut index = 0;
        while index < signals.len() {
            bits |= 1 << signals[index].index();
            index += 1;
        }
        SignalSet(bits)
    }

    /// Makes the set from user space's bits.
    pub(crate) const fn from_bits(bits: u64) -> SignalSet {
        SignalSet(bits)
    }

    /// Returns user space's bits.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether there is none in it.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns whether `signal` is in it.
    pub(crate) const fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << signal.index() != 0
    }

    /// Adds `signal`.
    pub(crate) fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal.index();
    }

    /// Takes `signal` out.
    pub(crate) fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal.index());
    }

    /// Returns what is in either.
    pub(crate) const fn union(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }

    /// Returns what is in both.
    pub(crate) const fn intersection(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & other.0)
    }

    /// Returns what is in this and not in `other`.
    pub(crate) const fn without(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }

    /// Returns the lowest-numbered signal.
    pub(crate) fn first(self) -> Option<Signal> {
        Signal::from_number(self.0.trailing_zeros() as i32 + 1)
    }

    /// Returns all signals in order.
    pub(crate) fn iter(mut self) -> impl Iterator<Item = Signal> {
        core::iter::from_fn(move || {
            let first = self.first()?;
            self.remove(first);
            Some(first)
        })
    }
}
