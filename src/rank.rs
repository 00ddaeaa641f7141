//! The rank of every lock, outermost first: a CPU or thread that holds a lock takes only locks
//! listed below it. Debug builds check this at each acquisition (`machine::sync`).
//!
//! To add a lock: add its rank here, in the place that its users need, with one line that says what
//! it guards.

/// The place of a lock in the one global order; a greater rank is taken later (further inside).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Rank {
    // Sleeping locks (`machine::task::Mutex`).
    /// An epoll instance's ready list while its entries are looked at.
    EpollScan,
    /// An open file description's position, held over a whole read, write or directory listing.
    FilePosition,
    /// A mount namespace's tree, held over mount and unmount.
    MountTree,
    /// Rename across directories, one at a time per file system.
    Rename,
    /// A directory inode's entries, held over create, link, unlink, lookup miss.
    Directory,
    /// A regular file's size and content order (write, truncate).
    FileContent,
    /// A pipe's pages, held over the copy from or to user memory.
    PipeContent,
    /// What a socket has received, held over the copy from or to user memory.
    SocketInbox,
    /// An address space's areas and page table.
    AddressSpace,
    /// A page cache's pages while one is filled.
    PageCache,
    // Spinning locks without preemption (`machine::sync::SpinLock`).
    /// A terminal's line discipline and settings.
    Terminal,
    /// Which timers a process has.
    ProcessTimers,
    /// One timer, held while it sends its signal.
    ProcessTimer,
    /// The table of processes, groups and sessions; parent and child links.
    ProcessTable,
    /// One process' own fields.
    Process,
    /// What a thread's tracer sees of it.
    Trace,
    /// The host's and the domain's name.
    SystemName,
    /// A System V set of semaphores or queue of messages.
    IpcObject,
    /// The identifiers of System V objects of one kind.
    IpcTable,
    /// A System V object's owner, or another small part of one.
    IpcOwner,
    /// One thread's own fields.
    Thread,
    /// The root and working directories of threads.
    Directories,
    /// Signal queues and dispositions.
    Signal,
    /// A futex bucket.
    Futex,
    /// The futexes with an owner that are waited for.
    FutexOwners,
    /// Whom an open file's signals are for.
    SignalIo,
    /// A file descriptor table.
    FdTable,
    /// Advisory locks on files, of the whole system.
    FileLocks,
    /// Which inodes are watched by inotify instances.
    Watches,
    /// A pipe, socket, eventfd or the like: its buffer.
    Stream,
    /// An epoll instance's interest list.
    EpollInterests,
    /// Where a mount is mounted and what is mounted on it.
    MountLinks,
    /// A directory cache entry's children, or its name and parent.
    Dentry,
    /// A tmpfs directory's entries.
    Entries,
    /// An inode's attributes.
    Attributes,
    /// The address spaces that map a file.
    CacheMappers,
    /// A file's pages in memory, held only to look up, add and remove.
    CachedPages,
    /// How much of something each user has.
    UserCount,
    /// The registry of device numbers, of file system types.
    Registry,
    /// A driver's own queues when no interrupt handler shares them.
    Driver,
    // Locks that also keep interrupts off (`machine::sync::IrqLock`).
    /// A driver's queues shared with its interrupt handler.
    DriverIrq,
    /// Observers of a file's readiness.
    Readiness,
    /// An epoll instance's ready list.
    EpollReady,
    /// Timers that fired and are to send their signals.
    FiredTimers,
    /// Waiters of one `WaitQueue`.
    WaitQueue,
    /// The load averages.
    Load,
    /// A CPU's run queue.
    RunQueue,
    /// The timer of a CPU's scheduler.
    SchedulerTick,
    /// A CPU's timer queue.
    TimerQueue,
    /// Interrupt lines and their handlers.
    IrqTable,
    /// The random bytes that a CPU has ready.
    RandomBatch,
    /// The random generator's key.
    Random,
    /// The heap's large-block fallback and size classes.
    Heap,
    /// The lists of free blocks that all CPUs share.
    HeapShared,
    /// The kernel's own page tables.
    KernelPageTable,
    /// A CPU's free single frames.
    FrameCache,
    /// The buddy allocator.
    Frames,
    /// The log ring.
    Log,
    /// A serial port's registers and rings; the log shows its lines from any context.
    Serial,
    /// The screen's cells; the log shows its lines from any context.
    Screen,
}
