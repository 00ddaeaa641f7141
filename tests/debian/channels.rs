//! Threads and channels: a pipeline with a bounded channel, scoped threads, a barrier, a condition variable, a panic.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::time::{Duration, Instant};
use std::{env, fs, io, process, thread};

fn pipeline() -> u64 {
    let (numbers, squares) = sync_channel::<u64>(4);
    let (results, sums) = channel();
    let source = thread::spawn(move || (1..=10_000).for_each(|number| numbers.send(number).unwrap()));
    let squares = Arc::new(Mutex::new(squares));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (squares, results) = (squares.clone(), results.clone());
            thread::spawn(move || {
                loop {
                    let Ok(number) = squares.lock().unwrap().recv() else { return };
                    results.send(number * number).unwrap();
                }
            })
        })
        .collect();
    drop(results);
    let sum = sums.iter().sum();
    source.join().unwrap();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    sum
}

fn ping_pong(rounds: u32) -> u32 {
    let (ping, pings) = channel::<u32>();
    let (pong, pongs) = channel::<u32>();
    let other = thread::spawn(move || pings.iter().for_each(|value| pong.send(value + 1).unwrap()));
    let last = (0..rounds).fold(0, |value, _| {
        ping.send(value).unwrap();
        pongs.recv().unwrap()
    });
    drop(ping);
    other.join().unwrap();
    last
}

fn rounds_with_barrier() -> u64 {
    let (barrier, total) = (Barrier::new(8), AtomicU64::new(0));
    thread::scope(|scope| {
        for id in 0..8u64 {
            let (barrier, total) = (&barrier, &total);
            scope.spawn(move || {
                for round in 0..100 {
                    total.fetch_add(id * round, Ordering::Relaxed);
                    barrier.wait();
                }
            });
        }
    });
    total.into_inner()
}

fn turns() -> String {
    let shared = (Mutex::new((0, String::new())), Condvar::new());
    thread::scope(|scope| {
        for id in 0..6 {
            let (state, changed) = (&shared.0, &shared.1);
            scope.spawn(move || {
                let mut state = changed.wait_while(state.lock().unwrap(), |state| state.0 != id).unwrap();
                state.0 += 1;
                state.1 += &format!("{id} ");
                changed.notify_all();
            });
        }
    });
    shared.0.into_inner().unwrap().1
}

fn main() -> io::Result<()> {
    println!("sum of squares {}", pipeline());
    println!("ping pong {}", ping_pong(1000));
    println!("barrier {}", rounds_with_barrier());
    println!("turns {}", turns());

    let words = RwLock::new(HashMap::new());
    thread::scope(|scope| {
        for id in 0..4 {
            let words = &words;
            scope.spawn(move || (0..100).for_each(|n| *words.write().unwrap().entry(n % 10).or_insert(0) += id));
        }
    });
    println!("words {}", words.read().unwrap().values().sum::<i32>());

    static ONCE: Once = Once::new();
    let (_, timeouts) = (ONCE.call_once(|| println!("once")), channel::<()>());
    let before = Instant::now();
    println!("{:?} {}", timeouts.1.recv_timeout(Duration::from_millis(20)), before.elapsed() >= Duration::from_millis(20));
    let main_thread = thread::current();
    thread::Builder::new().name("waker".into()).spawn(move || main_thread.unpark())?.join().unwrap();
    thread::park();
    let panicked = thread::Builder::new().name("doomed".into()).spawn(|| panic!("on purpose"))?.join();
    println!("joined: {}", panicked.is_err());
    let deep = thread::Builder::new().stack_size(1 << 20).spawn(|| (0..1000u64).fold(0, |sum, n| sum + n))?.join();
    println!("{:?} {}", deep.ok(), thread::available_parallelism()?.get() > 0);

    fs::write("file", "written\n")?;
    print!("{}", fs::read_to_string("file")?);
    println!("{:?}", fs::read("missing").map_err(|error| error.kind()));
    let output = process::Command::new("sh").args(["-c", "echo from $0; exit 3", "child"]).output()?;
    println!("{:?} {:?}", String::from_utf8_lossy(&output.stdout), output.status.code());
    println!("{:?}", env::current_dir()?.file_name());
    process::exit(7)
}
