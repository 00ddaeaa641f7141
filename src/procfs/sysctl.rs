//! /proc/sys: the values of sysctl(8) that programs read, and those that they may set.

use super::Device;
use super::fixed::{self, Leaf};
use super::node::{Write, text};
use super::system;
use crate::errno::{Errno, Result};
use crate::file::pipe;
use crate::fs::inotify;
use crate::ipc::{message, mqueue, semaphore, shared_memory};
use crate::process::system_name::{self, RELEASE, VERSION, as_text};
use crate::process::{table, threads_max};
use crate::util::tunable::Tunable;
use crate::vm::commit;
use alloc::string::{String, ToString};
use alloc::{boxed::Box, format, vec::Vec};

/// A value: its path below /proc/sys, what it shows, and how it is set if it can be.
struct Value {
    path: &'static str,
    kind: Kind,
}

/// How a value is shown and set.
enum Kind {
    Text {
        show: fn() -> String,
        set: Option<fn(&str) -> Result>,
    },
    /// Numbers in one line.
    Numbers(&'static [Tunable]),
}

const fn constant(path: &'static str, show: fn() -> String) -> Value {
    Value { path, kind: Kind::Text { show, set: None } }
}

const fn settable(path: &'static str, show: fn() -> String, set: fn(&str) -> Result) -> Value {
    Value { path, kind: Kind::Text { show, set: Some(set) } }
}

const fn numbers(path: &'static str, numbers: &'static [Tunable]) -> Value {
    Value { path, kind: Kind::Numbers(numbers) }
}

const fn number(path: &'static str, number: &'static Tunable) -> Value {
    numbers(path, core::slice::from_ref(number))
}

impl Kind {
    fn show(&self) -> String {
        match self {
            Kind::Text { show, .. } => show(),
            Kind::Numbers(numbers) => {
                numbers.iter().map(|number| number.get().to_string()).collect::<Vec<_>>().join("\t")
            }
        }
    }

    /// Sets the value. EINVAL.
    fn set(&self, text: &str) -> Result {
        match self {
            Kind::Text { set, .. } => set.map_or(Err(Errno::EINVAL), |set| set(text)),
            Kind::Numbers(numbers) => {
                let values = text.split_whitespace().map(str::parse);
                for (number, value) in numbers.iter().zip(values) {
                    Errno::EINVAL.when(!value.is_ok_and(|value| number.set(value)))?;
                }
                Ok(())
            }
        }
    }

    fn is_settable(&self) -> bool {
        !matches!(self, Kind::Text { set: None, .. })
    }
}

const VALUES: &[Value] = &[
    constant("fs/file-max", || String::from("1048576")),
    number("fs/inotify/max_queued_events", &inotify::MAX_QUEUED_EVENTS),
    number("fs/inotify/max_user_instances", &inotify::MAX_USER_INSTANCES),
    number("fs/inotify/max_user_watches", &inotify::MAX_USER_WATCHES),
    number("fs/mqueue/msg_default", &mqueue::DEFAULT_MESSAGES),
    number("fs/mqueue/msg_max", &mqueue::MAX_MESSAGES),
    number("fs/mqueue/msgsize_default", &mqueue::DEFAULT_BYTES),
    number("fs/mqueue/msgsize_max", &mqueue::MAX_BYTES),
    number("fs/mqueue/queues_max", &mqueue::MAX_QUEUES),
    constant("fs/nr_open", || String::from("1048576")),
    constant("fs/pipe-max-size", || String::from("1048576")),
    constant("fs/pipe-user-pages-hard", || String::from("0")),
    constant("fs/pipe-user-pages-soft", || pipe::USER_PAGES_SOFT.to_string()),
    constant("kernel/cap_last_cap", || String::from("40")),
    constant("kernel/core_pattern", || String::from("core")),
    settable("kernel/domainname", || as_text(system_name::domain_name()), set_domain_name),
    settable("kernel/hostname", || as_text(system_name::host_name()), set_host_name),
    number("kernel/msgmax", &message::MAX_BYTES),
    number("kernel/msgmnb", &message::QUEUE_BYTES),
    number("kernel/msgmni", &message::MAX_QUEUES),
    constant("kernel/ngroups_max", || String::from("65536")),
    constant("kernel/osrelease", || String::from(RELEASE)),
    constant("kernel/ostype", || String::from("Linux")),
    constant("kernel/overflowgid", || String::from("65534")),
    constant("kernel/overflowuid", || String::from("65534")),
    constant("kernel/pid_max", || table::ID_MAX.to_string()),
    constant("kernel/random/boot_id", boot_identity),
    constant("kernel/random/entropy_avail", || String::from("256")),
    constant("kernel/random/poolsize", || String::from("256")),
    constant("kernel/random/uuid", system::uuid),
    constant("kernel/randomize_va_space", || String::from("2")),
    numbers("kernel/sem", &semaphore::LIMITS),
    number("kernel/shmall", &shared_memory::MAX_PAGES),
    number("kernel/shmmax", &shared_memory::MAX_BYTES),
    number("kernel/shmmni", &shared_memory::MAX_SEGMENTS),
    constant("kernel/tainted", || String::from("0")),
    constant("kernel/threads-max", || threads_max().to_string()),
    constant("kernel/version", || String::from(VERSION)),
    constant("net/core/optmem_max", || String::from("131072")),
    constant("net/core/rmem_default", || String::from("212992")),
    constant("net/core/rmem_max", || String::from("212992")),
    constant("net/core/somaxconn", || String::from("4096")),
    constant("net/core/wmem_default", || String::from("212992")),
    constant("net/core/wmem_max", || String::from("212992")),
    constant("net/unix/max_dgram_qlen", || String::from("10")),
    constant("vm/max_map_count", || String::from("65530")),
    number("vm/overcommit_memory", &commit::POLICY),
    number("vm/overcommit_ratio", &commit::RATIO),
    constant("vm/swappiness", || String::from("0")),
];

fn boot_identity() -> String {
    static IDENTITY: crate::machine::sync::Once<String> = crate::machine::sync::Once::new();
    IDENTITY.call_once(system::uuid).trim_end().to_string()
}

fn set_host_name(name: &str) -> Result {
    system_name::set_host_name(name.as_bytes())
}

fn set_domain_name(name: &str) -> Result {
    system_name::set_domain_name(name.as_bytes())
}

/// Makes the files below /proc.
pub(super) fn leaves(device: Device) -> impl Iterator<Item = Leaf> {
    VALUES.iter().map(move |Value { path, kind }| {
        let set =
            |bytes: &[u8]| kind.set(core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim_end_matches('\n'));
        let write = kind.is_settable().then(|| -> Write { Box::new(set) });
        fixed::file(device, &format!("sys/{path}"), text(|| format!("{}\n", kind.show().trim_end())), write)
    })
}
