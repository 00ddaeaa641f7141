//! /proc/PID/stat, status, statm, limits and the like: one process or thread in numbers (proc(5), Linux 6.1).

use super::system::{kib, ticks};
use crate::fs::Identity;
use crate::machine::cpu;
use crate::machine::memory::PAGE_SIZE;
use crate::machine::task::{Activity, Class, Task};
use crate::process::{Process, Resource, Thread, UNLIMITED, Usage, signal, table};
use crate::vm::{AreaDescription, Label, Protection};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::fmt::Write;

/// A process, or one of its threads where the file lies under task/.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) process: Arc<Process>,
    /// The thread; `None` for the process as a whole.
    pub(super) thread: Option<Arc<Thread>>,
}

/// The bits of the signals 1 to 31 in a set.
const STANDARD_SIGNALS: u64 = 0x7fff_ffff;

/// Sums over the areas of an address space, in pages.
#[derive(Clone, Copy, Default)]
struct Memory {
    total: usize,
    resident: usize,
    file: usize,
    shared: usize,
    /// Executable areas, and of these the program's own.
    code: usize,
    program: usize,
    data: usize,
    stack: usize,
}

impl Subject {
    /// Returns the thread that the file shows: the given one, or the one that stands for the process.
    pub(super) fn thread(&self) -> Option<Arc<Thread>> {
        self.thread.clone().or_else(|| self.process.main_thread())
    }

    /// Returns the id that the file shows.
    pub(super) fn id(&self) -> i32 {
        self.thread.as_ref().map_or(self.process.id(), |thread| thread.id())
    }

    /// Returns the thread's name; a zombie's is that of its first.
    pub(super) fn name(&self) -> String {
        let name = self.thread.as_ref().map_or_else(|| self.process.name(), |thread| thread.name());
        String::from_utf8_lossy(&name).into_owned()
    }

    /// Returns whose it is; a zombie belongs to whom its first thread belonged to.
    pub(super) fn identity(&self) -> Option<Arc<Identity>> {
        self.thread.as_ref().map(|thread| thread.identity()).or_else(|| self.process.main_identity())
    }

    /// Returns Linux's letter and word for what it does.
    fn state(&self) -> (char, &'static str) {
        let Some(thread) = self.thread() else { return ('Z', "zombie") };
        if thread.is_trace_stopped() {
            return ('t', "tracing stop");
        }
        if thread.is_stopped() {
            return ('T', "stopped");
        }
        match thread.task().map(|task| task.activity()) {
            Some(Activity::Running) => ('R', "running"),
            Some(Activity::Interruptible) => ('S', "sleeping"),
            Some(Activity::Uninterruptible) => ('D', "disk sleep"),
            Some(Activity::Ended) | None => ('Z', "zombie"),
        }
    }

    fn usage(&self) -> Usage {
        self.thread.as_ref().map_or_else(|| self.process.usage(), |thread| thread.usage())
    }

    fn areas(&self) -> Vec<AreaDescription> {
        self.process.space().and_then(|space| space.areas().ok()).unwrap_or_default()
    }

    fn memory(&self) -> Memory {
        Memory::of(&self.areas())
    }
}

impl Memory {
    fn of(areas: &[AreaDescription]) -> Memory {
        let mut memory = Memory::default();
        for area in areas {
            let pages = ((area.end - area.start) / PAGE_SIZE as u64) as usize;
            memory.total += pages;
            let [resident, anonymous] =
                [area.usage.resident, area.usage.anonymous].map(|bytes| (bytes / PAGE_SIZE as u64) as usize);
            memory.resident += resident;
            if matches!(area.mapping, crate::vm::Mapping::File { owner: None, .. }) {
                memory.shared += resident - anonymous;
            } else {
                memory.file += resident - anonymous;
            }
            if area.label == Label::Stack {
                memory.stack += pages;
            } else if area.protection.contains(Protection::EXECUTE) {
                memory.code += pages;
                // The program itself lies below its libraries.
                memory.program = if memory.program == 0 { pages } else { memory.program };
            } else if area.protection.contains(Protection::WRITE) && !area.is_shared {
                memory.data += pages;
            }
        }
        memory
    }
}

/// /proc/PID/stat: 52 fields in one line.
pub(super) fn stat(subject: &Subject) -> String {
    let process = &subject.process;
    let usage = subject.usage();
    let children = process.children_usage();
    let areas = subject.areas();
    let memory = Memory::of(&areas);
    let terminal = process.session().terminal();
    let (terminal_device, foreground) =
        terminal.map_or((0, -1), |terminal| (terminal.device().encoded(), terminal.foreground_group()));
    let task = subject.thread().and_then(|thread| thread.task());
    let (priority, nice, real_time_priority, policy) = scheduling(task.as_deref());
    let start = subject.thread.as_ref().map_or(process.start_time_ns(), |thread| thread.start_time_ns());
    let program = process.program();
    let code = areas.iter().find(|area| area.protection.contains(Protection::EXECUTE));
    let stack = areas.iter().rev().find(|area| area.label == Label::Stack);
    let heap = areas.iter().find(|area| area.label == Label::Heap);
    // The program's own data follows its code.
    let is_data = |area: &&AreaDescription| area.protection.contains(Protection::WRITE) && !area.is_shared;
    let data = areas.iter().find(is_data);
    let thread = subject.thread();
    let (ignored, caught) = process.dispositions().summary();
    let pending = thread.as_ref().map_or(0, |thread| thread.pending_signals().bits());
    let blocked = thread.as_ref().map_or(0, |thread| thread.blocked().bits());
    // Signals in this line are 31 bits, for programs from before real-time signals.
    let old = |bits: u64| bits & 0x7fff_ffff;
    let mut line = format!("{} ({}) {}", subject.id(), subject.name(), subject.state().0);
    let fields = [
        i64::from(process.parent_id()),
        i64::from(process.group_id()),
        i64::from(process.session_id()),
        terminal_device as i64,
        i64::from(foreground),
        0x0040_0000, // flags: PF_RANDOMIZE
        usage.minor_faults as i64,
        children.minor_faults as i64,
        usage.major_faults as i64,
        children.major_faults as i64,
        ticks(usage.user_ns) as i64,
        ticks(usage.system_ns) as i64,
        ticks(children.user_ns) as i64,
        ticks(children.system_ns) as i64,
        priority,
        nice,
        process.thread_count().max(1) as i64,
        0, // itrealvalue, always 0 since Linux 2.6.17
        ticks(start) as i64,
        (memory.total * PAGE_SIZE) as i64,
        memory.resident as i64,
    ];
    for field in fields {
        let _ = write!(line, " {field}");
    }
    let fields = [
        process.limit(Resource::ResidentSet),
        code.map_or(0, |area| area.start),
        code.map_or(0, |area| area.end),
        stack.map_or(0, |area| area.end),
        0, // kstkesp and kstkeip: 0 while the process runs
        0,
        old(pending),
        old(blocked),
        old(ignored.bits()),
        old(caught.bits()),
        0, // wchan: kept for root by other systems too
        0,
        0,
    ];
    for field in fields {
        let _ = write!(line, " {field}");
    }
    let exit_signal = if subject.thread.is_some() { -1 } else { 17 };
    let _ = write!(line, " {exit_signal}");
    let fields = [
        task.as_ref().map_or(0, |task| task.cpu() as u64),
        real_time_priority,
        policy,
        0,
        0,
        0,
        data.map_or(0, |area| area.start),
        data.map_or(0, |area| area.end),
        heap.map_or(0, |area| area.start),
        program.arguments.start,
        program.arguments.end,
        program.environment.start,
        program.environment.end,
        0,
    ];
    for field in fields {
        let _ = write!(line, " {field}");
    }
    line.push('\n');
    line
}

/// Returns priority, nice value, real-time priority and policy as fields 18, 19, 40 and 41 of stat show them.
fn scheduling(task: Option<&Task>) -> (i64, i64, u64, u64) {
    match task.map(Task::class) {
        Some(Class::RealTime { priority, round_robin }) => {
            (-1 - i64::from(priority), 0, u64::from(priority), if round_robin { 2 } else { 1 })
        }
        Some(Class::Fair { nice, .. }) => (20 + i64::from(nice), i64::from(nice), 0, 0),
        None => (20, 0, 0, 0),
    }
}

/// /proc/PID/statm: seven numbers in pages.
pub(super) fn statm(subject: &Subject) -> String {
    let memory = subject.memory();
    let shared = memory.file + memory.shared;
    format!("{} {} {shared} {} 0 {} 0\n", memory.total, memory.resident, memory.code, memory.data + memory.stack)
}

/// /proc/PID/status: the same for people.
pub(super) fn status(subject: &Subject) -> String {
    let process = &subject.process;
    let thread = subject.thread();
    let usage = subject.usage();
    let (letter, word) = subject.state();
    let mut text = format!("Name:\t{}\n", subject.name());
    if let Some(thread) = &thread {
        let _ = writeln!(text, "Umask:\t{:04o}", thread.places().1);
    }
    let _ = writeln!(text, "State:\t{letter} ({word})\nTgid:\t{}\nNgid:\t0\nPid:\t{}", process.id(), subject.id());
    let tracer = thread.as_ref().and_then(|thread| thread.tracer()).map_or(0, |tracer| tracer.id());
    let _ = writeln!(text, "PPid:\t{}\nTracerPid:\t{tracer}", process.parent_id());
    if let Some(who) = subject.identity() {
        let _ = writeln!(text, "Uid:\t{}\t{}\t{}\t{}", who.uid, who.euid, who.suid, who.fsuid);
        let _ = writeln!(text, "Gid:\t{}\t{}\t{}\t{}", who.gid, who.egid, who.sgid, who.fsgid);
        let last = thread.as_ref().and_then(|thread| thread.files().descriptors().last().map(|(fd, _)| *fd));
        let descriptors = if thread.is_some() { (last.unwrap_or(0) / 64 + 1) * 64 } else { 0 };
        let groups: String = who.groups.iter().map(|group| format!("{group} ")).collect();
        let _ = writeln!(text, "FDSize:\t{descriptors}\nGroups:\t{groups}");
        let (group, session) = (process.group_id(), process.session_id());
        let _ =
            writeln!(text, "NStgid:\t{}\nNSpid:\t{}\nNSpgid:\t{group}\nNSsid:\t{session}", process.id(), subject.id());
    }
    if process.space().is_some() {
        memory_lines(&mut text, subject, usage);
        text.push_str("CoreDumping:\t0\nTHP_enabled:\t1\n");
    }
    let _ = writeln!(text, "Threads:\t{}", process.thread_count().max(1));
    let shared_pending = process.pending_signals();
    let (ignored, caught) = process.dispositions().summary();
    let own = thread.as_ref().map_or((0, 0), |thread| (thread.pending_signals().bits(), thread.blocked().bits()));
    // Of standard signals, only the process' own are counted: they are not limited.
    let standard = (own.0 | shared_pending.bits()) & STANDARD_SIGNALS;
    let queued = process.main_identity().map_or(0, |who| signal::queued_for(who.uid)) + standard.count_ones() as usize;
    let _ = writeln!(text, "SigQ:\t{queued}/{}", process.limit(Resource::PendingSignals));
    for (name, bits) in [
        ("SigPnd", own.0),
        ("ShdPnd", shared_pending.bits()),
        ("SigBlk", own.1),
        ("SigIgn", ignored.bits()),
        ("SigCgt", caught.bits()),
    ] {
        let _ = writeln!(text, "{name}:\t{bits:016x}");
    }
    if let Some(who) = subject.identity() {
        for (name, set) in [
            ("CapInh", who.inheritable),
            ("CapPrm", who.permitted),
            ("CapEff", who.effective),
            ("CapBnd", who.bounding),
            ("CapAmb", who.ambient),
        ] {
            let _ = writeln!(text, "{name}:\t{:016x}", set.bits());
        }
        let is_set = thread.as_ref().is_some_and(|thread| thread.attributes().no_new_privileges);
        let _ = writeln!(text, "NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0", u8::from(is_set));
    }
    if let Some(task) = thread.and_then(|thread| thread.task()) {
        let cpus = task.affinity() & cpu::online();
        let _ = writeln!(text, "Cpus_allowed:\t{}\nCpus_allowed_list:\t{}", mask(cpus), ranges(cpus));
        text.push_str("Mems_allowed:\t1\nMems_allowed_list:\t0\n");
    }
    let _ = writeln!(text, "voluntary_ctxt_switches:\t{}", usage.voluntary_switches);
    let _ = writeln!(text, "nonvoluntary_ctxt_switches:\t{}", usage.involuntary_switches);
    text
}

fn memory_lines(text: &mut String, subject: &Subject, usage: Usage) {
    let memory = subject.memory();
    let peak = memory.resident.max(usage.peak_resident_pages as usize);
    let pages = |bytes: u64| (bytes / PAGE_SIZE as u64) as usize;
    let sizes = subject.process.space().map(|space| space.statistics());
    let (peak_total, locked, tables) =
        sizes.map_or((memory.total, 0, 0), |sizes| (pages(sizes.peak_total), pages(sizes.locked), pages(sizes.tables)));
    for (name, pages) in [
        ("VmPeak", peak_total),
        ("VmSize", memory.total),
        ("VmLck", locked),
        ("VmPin", 0),
        ("VmHWM", peak),
        ("VmRSS", memory.resident),
        ("RssAnon", memory.resident - memory.file - memory.shared),
        ("RssFile", memory.file),
        ("RssShmem", memory.shared),
        ("VmData", memory.data),
        ("VmStk", memory.stack),
        ("VmExe", memory.program),
        ("VmLib", memory.code - memory.program),
        ("VmPTE", tables),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ] {
        let _ = writeln!(text, "{name}:\t{:>8} kB", kib(pages));
    }
}

/// Writes a CPU mask as Linux does: a digit for each four CPUs that there are, a comma after each 32.
pub(super) fn mask(cpus: u64) -> String {
    let digits = cpu::count().div_ceil(4);
    let text = format!("{cpus:0digits$x}");
    let split = digits.saturating_sub(8);
    if split == 0 { text } else { format!("{},{}", &text[..split], &text[split..]) }
}

/// Writes a CPU mask as Linux writes lists, for example `0-3,5`.
pub(super) fn ranges(mask: u64) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cpu = 0;
    while cpu < 64 {
        if mask >> cpu & 1 == 0 {
            cpu += 1;
            continue;
        }
        let length = (mask >> cpu).trailing_ones();
        parts.push(if length == 1 { format!("{cpu}") } else { format!("{cpu}-{}", cpu + length - 1) });
        cpu += length;
    }
    parts.join(",")
}

/// /proc/PID/limits.
pub(super) fn limits(process: &Process) -> String {
    const ROWS: [(&str, &str); Resource::COUNT] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let number = |limit: u64| if limit == UNLIMITED { String::from("unlimited") } else { format!("{limit}") };
    let mut text = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (resource, (name, unit)) in Resource::ALL.into_iter().zip(ROWS) {
        let limit = process.limits().get(resource);
        let _ = writeln!(text, "{name:<25} {:<20} {:<20} {unit:<10}", number(limit.soft), number(limit.hard));
    }
    text
}

/// /proc/PID/oom_score: how likely the process is to be chosen when no memory is left, 0 to 2000.
pub(super) fn oom_score(subject: &Subject) -> String {
    let total = crate::machine::memory::statistics().total.max(1);
    let share = (subject.memory().resident * 1000 / total) as i32;
    let score = (share * 2 / 3 + 666 + subject.process.oom_score_adjustment() * 2 / 3).clamp(0, 2000);
    format!("{}\n", if table::is_zombie(subject.process.id()) { 0 } else { score })
}
