//! The system-wide texts of /proc, in the format of Linux 6.1 (proc(5)).

use super::mounts;
use crate::file::locks::{self, LockDescription};
use crate::fs::kinds;
use crate::machine::{boot, cpu, memory, platform, random, task, time, trap};
use crate::process::table;
use crate::util::lock_ranges::LockKind;
use crate::vm::{AddressSpace, commit};
use alloc::string::{String, ToString};
use alloc::{format, sync::Arc, vec::Vec};
use core::fmt::Write;

/// Clock ticks a second as user space counts CPU time (sysconf(3), _SC_CLK_TCK).
pub(super) const TICKS_PER_SECOND: u64 = 100;

/// Converts nanoseconds to clock ticks.
pub(super) fn ticks(ns: u64) -> u64 {
    ns / (1_000_000_000 / TICKS_PER_SECOND)
}

/// Converts a number of pages to KiB.
pub(super) fn kib(pages: usize) -> usize {
    pages * (memory::PAGE_SIZE / 1024)
}

/// /proc/meminfo. Nothing is written to a disk or swapped here, and no page is ranked by its age: these rows are zero.
/// All files are in memory alone (Linux: shmem), so none of what is cached can be had back.
pub(super) fn meminfo() -> String {
    let frames = memory::statistics();
    let cached = mounts::pages_in_files();
    let (mut anonymous, mut mapped, mut tables, mut large) = (0, 0, 0, 0);
    for space in spaces() {
        tables += space.page_table().table_pages();
        large += space.page_table().large_pages();
        for area in space.areas().unwrap_or_default() {
            anonymous += area.usage.proportional_anonymous;
            mapped += area.usage.proportional - area.usage.proportional_anonymous;
        }
    }
    let bytes = |bytes: u64| (bytes >> 10) as usize;
    let slab = kib(memory::heap_pages());
    let promised = bytes(commit::promised()) + kib(cached);
    let rows = [
        ("MemTotal", kib(frames.total)),
        ("MemFree", kib(frames.free)),
        ("MemAvailable", kib(frames.available)),
        ("Buffers", 0),
        ("Cached", kib(cached)),
        ("SwapCached", 0),
        ("Active", 0),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", bytes(anonymous)),
        ("Mapped", bytes(mapped)),
        ("Shmem", kib(cached)),
        ("KReclaimable", 0),
        ("Slab", slab),
        ("SReclaimable", 0),
        ("SUnreclaim", slab),
        ("KernelStack", table::thread_count() * (memory::STACK_SIZE >> 10)),
        ("PageTables", kib(tables)),
        ("CommitLimit", bytes(commit::limit())),
        ("Committed_AS", promised),
        ("VmallocTotal", 0),
        ("AnonHugePages", kib(large)),
    ];
    let mut text = String::new();
    for (name, kib) in rows {
        let _ = writeln!(text, "{:<16}{kib:>8} kB", format!("{name}:"));
    }
    let _ = writeln!(text, "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB");
    text
}

/// Returns each address space once; a vfork's child has its parent's.
fn spaces() -> Vec<Arc<AddressSpace>> {
    let mut spaces: Vec<_> = table::all().filter_map(|process| process.space()).collect();
    spaces.sort_unstable_by_key(Arc::as_ptr);
    spaces.dedup_by(|one, other| Arc::ptr_eq(one, other));
    spaces
}

/// /proc/stat: CPU time by kind, interrupts, switches, start time, processes.
pub(super) fn stat() -> String {
    let figures = task::statistics();
    let mut text = String::new();
    let row =
        |user: u64, system: u64, idle: u64| format!("{} 0 {} {} 0 0 0 0 0 0", ticks(user), ticks(system), ticks(idle));
    let sum = figures.cpus.iter().fold((0, 0, 0), |sum, cpu| (sum.0 + cpu.0, sum.1 + cpu.1, sum.2 + cpu.2));
    let _ = writeln!(text, "cpu  {}", row(sum.0, sum.1, sum.2));
    for (index, cpu) in figures.cpus.iter().enumerate() {
        let _ = writeln!(text, "cpu{index} {}", row(cpu.0, cpu.1, cpu.2));
    }
    let interrupts: u64 = trap::statistics().iter().flat_map(|line| &line.counts).sum();
    let started = (time::wall_ns() - time::monotonic_ns()) / 1_000_000_000;
    let _ = writeln!(text, "intr {interrupts}\nctxt {}\nbtime {started}", figures.switches);
    let _ = writeln!(text, "processes {}", table::last_id());
    let _ = writeln!(text, "procs_running {}\nprocs_blocked 0", figures.runnable.max(1));
    text
}

/// /proc/uptime: seconds since start, and seconds idle over all CPUs.
pub(super) fn uptime() -> String {
    let idle: u64 = task::statistics().cpus.iter().map(|cpu| cpu.2).sum();
    let seconds = |ns: u64| format!("{}.{:02}", ns / 1_000_000_000, ns / 10_000_000 % 100);
    format!("{} {}\n", seconds(time::monotonic_ns()), seconds(idle))
}

/// /proc/loadavg.
pub(super) fn loadavg() -> String {
    let figures = task::statistics();
    let [one, five, fifteen] = figures.load.map(|load| format!("{}.{:02}", load / 100, load % 100));
    let runnable = figures.runnable.max(1);
    format!("{one} {five} {fifteen} {runnable}/{} {}\n", table::thread_count(), table::last_id())
}

/// /proc/cpuinfo.
pub(super) fn cpuinfo() -> String {
    let description = cpu::describe();
    let flags = cpu::flags().join(" ");
    let mhz = time::tsc_khz();
    let mut text = String::new();
    for index in 0..cpu::count() {
        let _ = writeln!(text, "processor\t: {index}");
        let _ = writeln!(text, "vendor_id\t: {}", description.vendor);
        let _ = writeln!(text, "cpu family\t: {}", description.family);
        let _ = writeln!(text, "model\t\t: {}", description.model);
        let _ = writeln!(text, "model name\t: {}", description.brand);
        let _ = writeln!(text, "stepping\t: {}", description.stepping);
        let _ = writeln!(text, "cpu MHz\t\t: {}.{:03}", mhz / 1000, mhz % 1000);
        let place = platform::place(index);
        let siblings = place.package_cpus.count_ones();
        let _ = writeln!(text, "physical id\t: {}\nsiblings\t: {siblings}\ncore id\t\t: {}", place.package, place.core);
        let _ = writeln!(text, "cpu cores\t: {}", siblings / place.core_cpus.count_ones());
        let _ = writeln!(text, "apicid\t\t: {0}\ninitial apicid\t: {0}\nfpu\t\t: yes", place.apic_id);
        let _ = writeln!(text, "flags\t\t: {flags}");
        let _ = writeln!(text, "bogomips\t: {}.{:02}", mhz * 2 / 1000, mhz * 2 / 10 % 100);
        let _ = writeln!(text, "clflush size\t: 64\ncache_alignment\t: 64\n");
    }
    text
}

/// /proc/interrupts.
pub(super) fn interrupts() -> String {
    let mut text = String::from("    ");
    for index in 0..cpu::count() {
        let _ = write!(text, "       CPU{index}");
    }
    text.push('\n');
    for line in trap::statistics() {
        let _ = write!(text, "{:>3}:", line.name);
        for count in &line.counts {
            let _ = write!(text, " {count:>10}");
        }
        let _ = writeln!(text, "  {}", line.description);
    }
    text
}

/// /proc/cmdline.
pub(super) fn cmdline() -> String {
    format!("{}\n", boot::information().command_line)
}

/// /proc/filesystems: `nodev` for those that need no disk.
pub(super) fn filesystems() -> String {
    kinds::names().iter().fold(String::new(), |text, name| text + "nodev\t" + name + "\n")
}

/// /proc/devices: the numbers that device files may have.
pub(super) fn devices() -> String {
    String::from("Character devices:\n  1 mem\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n136 pts\n\nBlock devices:\n")
}

/// Random numbers in the form of a UUID, version 4 (RFC 4122).
pub(super) fn uuid() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = hex.concat();
    format!("{}-{}-{}-{}-{}\n", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// /proc/vmstat: the counters that Stele has.
pub(super) fn vmstat() -> String {
    let frames = memory::statistics();
    format!("nr_free_pages {}\nnr_file_pages {}\n", frames.free, mounts::pages_in_files())
}

/// /proc/locks: advisory locks of all files.
pub(super) fn lock_list() -> String {
    let line = |(number, lock): (usize, &LockDescription)| {
        let kind = if lock.kind == LockKind::Shared { "READ " } else { "WRITE" };
        let last = if lock.last == i64::MAX as u64 { String::from("EOF") } else { lock.last.to_string() };
        let (family, id, first) = (lock.family, lock.process_id, lock.first);
        let (major, minor, inode) = (lock.device.major, lock.device.minor, lock.inode);
        format!("{}: {family:<6} ADVISORY  {kind} {id} {major:02x}:{minor:02x}:{inode} {first} {last}\n", number + 1)
    };
    locks::all().iter().enumerate().map(line).collect()
}
