//! The first process: which program, with which words and surroundings (as Linux's init/main.c does it).

use super::user_loop::run_thread;
use crate::errno::{Errno, Result};
use crate::file::FdTable;
use crate::fs::{Path, View};
use crate::machine::boot;
use crate::machine::console::log;
use crate::process::{self, Program, Resource};
use crate::util::command_line;
use alloc::{format, string::String, sync::Arc, vec::Vec};

/// Words of the command line that are for the kernel; NAME=value for others goes to the environment of the first
/// process, a plain word to its arguments.
const KERNEL_WORDS: &[&str] = &[
    "console",
    "init",
    "rdinit",
    "root",
    "rootfstype",
    "rootflags",
    "rootwait",
    "ro",
    "rw",
    "quiet",
    "debug",
    "loglevel",
    "panic",
    "reboot",
    "maxcpus",
    "nosmp",
    "mem",
    "ip",
    "splash",
    "earlycon",
    "ignore_loglevel",
];

/// Tried in order where nothing else is named.
const USUAL_PROGRAMS: &[&str] = &["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// What the command line says about the first process.
struct Words {
    ramdisk_init: Option<&'static str>,
    init: Option<&'static str>,
    arguments: Vec<&'static str>,
    environment: Vec<String>,
}

/// Starts the first process with `root` as its root directory. Panics where there is no program to run, as Linux
/// does.
pub(crate) fn start_first_process(root: Path) {
    let words = Words::of(boot::information().command_line);
    let view = View::of_kernel(root, 0o022);
    let files = open_console(&view);
    let (program, name) = find_program(&view, &words);
    log!(Info, "Run {name} as init process");
    let newborn = process::create_first(program, files, run_thread)
        .unwrap_or_else(|error| panic!("No memory for the first process ({error:?})"));
    process::timers::start();
    process::signal_io::start();
    newborn.start();
}

impl Words {
    fn of(command_line: &'static str) -> Words {
        let mut words = Words {
            ramdisk_init: None,
            init: None,
            arguments: Vec::new(),
            environment: Vec::from(["HOME=/", "TERM=linux"].map(String::from)),
        };
        for (name, value) in command_line::words(command_line) {
            match (name, value) {
                ("init", Some(_)) => words.init = value,
                ("rdinit", Some(_)) => words.ramdisk_init = value,
                _ if KERNEL_WORDS.contains(&name) || name.contains('.') => {}
                _ => words.take_unknown(name, value),
            }
        }
        words.arguments.extend(command_line::init_arguments(command_line));
        words
    }

    fn take_unknown(&mut self, name: &'static str, value: Option<&str>) {
        log!(Notice, "Unknown kernel command line word \"{name}\", will be passed to user space");
        let Some(value) = value else {
            self.arguments.push(name);
            return;
        };
        let is_same = |other: &String| other.split_once('=').is_some_and(|(other, _)| other == name);
        let word = format!("{name}={value}");
        match self.environment.iter().position(is_same) {
            Some(place) => self.environment[place] = word,
            None => self.environment.push(word),
        }
    }
}

/// Opens the console as descriptors 0, 1 and 2.
fn open_console(view: &View) -> Arc<FdTable> {
    const READ_WRITE: u32 = 2;
    let files = FdTable::new();
    let limit = process::Limits::initial().soft(Resource::OpenFiles);
    match view.open(b"/dev/console", READ_WRITE, 0) {
        Err(error) => log!(Error, "Warning: unable to open an initial console ({error:?})."),
        Ok(console) => {
            for _ in 0..3 {
                files.insert(console.clone(), 0, limit, false).expect("a new table has room");
            }
        }
    }
    files
}

fn find_program(view: &View, words: &Words) -> (Program, &'static str) {
    let ramdisk_init = words.ramdisk_init.unwrap_or("/init");
    match load(view, words, ramdisk_init) {
        Ok(program) => return (program, ramdisk_init),
        Err(Errno::ENOENT) if words.ramdisk_init.is_none() => {}
        Err(error) => log!(Error, "Failed to execute {ramdisk_init} (error {error:?})"),
    }
    if let Some(init) = words.init {
        match load(view, words, init) {
            Ok(program) => return (program, init),
            Err(error) => panic!("Requested init {init} failed (error {error:?})."),
        }
    }
    for name in USUAL_PROGRAMS {
        match load(view, words, name) {
            Ok(program) => return (program, name),
            Err(Errno::ENOENT) => {}
            Err(error) => {
                log!(Error, "Starting init: {name} exists but couldn't execute it (error {error:?})");
            }
        }
    }
    panic!("No working init found. Try passing init= option to the kernel.");
}

fn load(view: &View, words: &Words, name: &'static str) -> Result<Program> {
    let path = view.look_up(name.as_bytes(), true)?;
    let mut argv = Vec::from([name.as_bytes().to_vec()]);
    argv.extend(words.arguments.iter().map(|word| word.as_bytes().to_vec()));
    let envp = words.environment.iter().map(|word| word.as_bytes().to_vec()).collect();
    process::load_program(
        view,
        path,
        name.as_bytes(),
        argv,
        envp,
        process::Limits::initial().soft(Resource::Stack),
        process::SetId::Count,
    )
}
