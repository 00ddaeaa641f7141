//! The tasks that wait for a CPU, in the order in which they get it.
//!
//! Real-time tasks come first, by priority and then by turn; the others share by weighted run time: who had
//! least of it, divided by its weight, is next. Nothing here allocates once `reserve` has made room.

use alloc::collections::BinaryHeap;
use core::cmp::{Ordering, Reverse};

/// The weight of nice 0.
const NORMAL_WEIGHT: u64 = 1024;

/// The weight of the idle policy, "even lower than a +19 nice value" (sched(7)).
const IDLE_WEIGHT: u64 = 3;

/// The weight of each nice value from -20 to 19: a step is a factor of about 1.25 (sched(7): "about 1.25").
const WEIGHTS: [u64; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
    1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
];

/// When a task's turn comes: a smaller one comes earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// Before every fair task; a greater priority earlier.
    RealTime(Reverse<u8>),
    /// By the weighted run time so far, in nanoseconds of a task with nice 0.
    Fair(u64),
}

/// Where a task goes among those with the same turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before them: it was interrupted in its turn.
    First,
    /// After them.
    Last,
}

/// Tasks `T` that wait.
#[derive(Debug)]
pub(crate) struct RunQueue<T> {
    waiting: BinaryHeap<Waiting<T>>,
    next_first: i64,
    next_last: i64,
    /// No fair task has had less weighted run time than this, but for a bonus after sleep.
    floor: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    turn: Turn,
    sequence: i64,
    task: T,
}

impl<T> RunQueue<T> {
    /// Makes an empty queue.
    pub(crate) const fn new() -> RunQueue<T> {
        RunQueue { waiting: BinaryHeap::new(), next_first: -1, next_last: 0, floor: 0 }
    }

    /// Makes room for `count` tasks, so that `push` does not allocate.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.waiting.reserve(count.saturating_sub(self.waiting.len()));
    }

    /// Adds a task.
    pub(crate) fn push(&mut self, turn: Turn, place: Place, task: T) {
        let sequence = match place {
            Place::First => {
                self.next_first -= 1;
                self.next_first
            }
            Place::Last => {
                self.next_last += 1;
                self.next_last
            }
        };
        self.waiting.push(Waiting { turn, sequence, task });
    }

    /// Takes the task whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.waiting.pop().map(|waiting| waiting.task)
    }

    /// Returns the turn of the task that `pop` would give.
    pub(crate) fn next_turn(&self) -> Option<Turn> {
        self.waiting.peek().map(|waiting| waiting.turn)
    }

    /// Takes out the first for which `is_wanted`; slow.
    pub(crate) fn remove(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        let mut found = None;
        let mut rest = core::mem::take(&mut self.waiting).into_vec();
        let wanted = rest.iter().enumerate().filter(|(_, waiting)| is_wanted(&waiting.task));
        if let Some((index, _)) = wanted.max_by_key(|(_, waiting)| *waiting) {
            found = Some(rest.swap_remove(index).task);
        }
        self.waiting = BinaryHeap::from(rest);
        found
    }

    /// Returns how many tasks wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Notes that a fair task with `running` weighted run time runs now, and returns the floor: where tasks that
    /// slept long start again.
    pub(crate) fn raise_floor(&mut self, running: u64) -> u64 {
        let least = match self.next_turn() {
            Some(Turn::Fair(waiting)) => waiting.min(running),
            _ => running,
        };
        self.floor = self.floor.max(least);
        self.floor
    }

    /// Returns the floor.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    /// The greatest comes out of the heap first, so this is turned round.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.turn, other.sequence).cmp(&(self.turn, self.sequence))
    }
}

/// Returns what `run_ns` nanoseconds count for a task of this nice value, or of the idle policy.
pub(crate) fn weighted(run_ns: u64, nice: i8, is_idle: bool) -> u64 {
    if nice == 0 && !is_idle {
        return run_ns;
    }
    let index = (i32::from(nice) + 20).clamp(0, 39) as usize;
    let weight = if is_idle { IDLE_WEIGHT } else { WEIGHTS[index] };
    run_ns.saturating_mul(NORMAL_WEIGHT) / weight
}

#[cfg(test)]
mod tests {
    use super::{Place, RunQueue, Turn, weighted};
    use core::cmp::Reverse;

    #[test]
    fn least_run_time_comes_first_and_equals_keep_their_order() {
        let mut queue = RunQueue::new();
        for (turn, name) in [(5, 'a'), (3, 'b'), (5, 'c'), (1, 'd')] {
            queue.push(Turn::Fair(turn), Place::Last, name);
        }
        let order: Vec<char> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ['d', 'b', 'a', 'c']);
    }

    #[test]
    fn real_time_comes_before_fair_and_by_priority() {
        let mut queue = RunQueue::new();
        queue.push(Turn::Fair(0), Place::Last, "fair");
        queue.push(Turn::RealTime(Reverse(1)), Place::Last, "low");
        queue.push(Turn::RealTime(Reverse(99)), Place::Last, "high");
        queue.push(Turn::RealTime(Reverse(1)), Place::First, "low, interrupted");
        let order: Vec<&str> = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["high", "low, interrupted", "low", "fair"]);
    }

    #[test]
    fn floor_only_rises() {
        let mut queue = RunQueue::new();
        queue.push(Turn::Fair(10), Place::Last, ());
        assert_eq!(queue.raise_floor(20), 10);
        queue.pop();
        assert_eq!(queue.raise_floor(20), 20);
        queue.push(Turn::Fair(5), Place::Last, ());
        assert_eq!(queue.raise_floor(30), 20);
    }

    #[test]
    fn remove_takes_one_and_keeps_the_order_of_the_others() {
        let mut queue = RunQueue::new();
        for value in [4, 2, 9, 7] {
            queue.push(Turn::Fair(value), Place::Last, value);
        }
        assert_eq!(queue.remove(|value| *value < 7), Some(2));
        assert_eq!(queue.remove(|value| *value == 3), None);
        assert_eq!((queue.pop(), queue.pop(), queue.pop(), queue.pop()), (Some(4), Some(7), Some(9), None));
    }

    #[test]
    fn nice_weighs_run_time() {
        assert_eq!(weighted(1000, 0, false), 1000);
        assert!(weighted(1000, 19, false) > 60_000);
        assert!(weighted(1000, -20, false) < 20);
        assert!(weighted(1000, -20, true) > 4 * weighted(1000, 19, false));
    }
}
