# python3 and perl: files, processes, threads, signals, memory, waiting.
export LC_ALL=C.UTF-8
python3 -u - <<'END'
import asyncio, ctypes, fcntl, mmap, multiprocessing, os, pty, queue, resource, select, shutil, signal, socket, stat, subprocess, sys, tempfile, termios, threading, time
print(sys.version_info[:2], os.uname().sysname, os.getcwd() == os.path.realpath("."), os.cpu_count() > 0, len(os.sched_getaffinity(0)) > 0)
print(subprocess.run(["sh", "-c", "cat; exit 3"], input=b"piped", capture_output=True))
print(subprocess.check_output("echo $0 | tr a-z A-Z", shell=True, text=True), end="")
child = subprocess.Popen(["sleep", "100"], start_new_session=True); child.terminate(); print(child.wait())
try: subprocess.run(["sleep", "10"], timeout=0.1)
except subprocess.TimeoutExpired: print("timed out")
pid = os.fork()
if pid == 0: os._exit(42)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(os.posix_spawn("/bin/true", ["true"], {}) > 0, os.wait()[1])
lock, total = threading.Lock(), [0]
def add():
    for _ in range(1000):
        with lock: total[0] += 1
threads = [threading.Thread(target=add) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]; print(total, threading.active_count(), threading.get_native_id() == os.getpid())
q = queue.Queue(2)
threading.Thread(target=lambda: [q.put(i) for i in range(100)]).start(); print(sum(q.get() for _ in range(100)))
event = threading.Event(); threading.Timer(0.05, event.set).start(); print(event.wait(10))
caught = []
signal.signal(signal.SIGUSR1, lambda *a: caught.append(a[0])); os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1); print(caught)
signal.signal(signal.SIGALRM, lambda *a: caught.append("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05)
try: time.sleep(0.2)
finally: print(caught[-1])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2}); os.kill(os.getpid(), signal.SIGUSR2); print(signal.sigpending(), signal.sigwaitinfo({signal.SIGUSR2}).si_code)
m = mmap.mmap(-1, 8192); m[:5] = b"hello"
if os.fork() == 0: m[5:11] = b" child"; os._exit(0)
os.wait(); print(m[:11]); m.close()
with open("mapped", "w+b") as f:
    f.truncate(10000); m = mmap.mmap(f.fileno(), 0); m[9990:] = b"0123456789"; m.flush(); f.seek(9995); print(f.read()); m.resize(20000); print(len(m), os.fstat(f.fileno()).st_size)
r, w = os.pipe(); print(select.select([r], [w], [], 0)); os.write(w, b"x"); p = select.poll(); p.register(r, select.POLLIN); print(p.poll(0)[0][1])
e = select.epoll(); e.register(r, select.EPOLLIN | select.EPOLLET); print(len(e.poll(0)), len(e.poll(0))); e.close()
try: select.epoll().register(open("mapped"), select.EPOLLIN)
except PermissionError as error: print(error)
a, b = socket.socketpair(); a.send(b"socket"); print(b.recv(10)); socket.send_fds(a, [b"f"], [r]); print(os.read(socket.recv_fds(b, 1, 1)[1][0], 1))
server = socket.socket(socket.AF_UNIX); server.bind("\0abstract"); server.listen(); c = socket.socket(socket.AF_UNIX); c.connect("\0abstract"); s, _ = server.accept(); threading.Thread(target=c.sendall, args=(b"y" * 300000,)).start(); print(sum(len(s.recv(65536, socket.MSG_WAITALL)) for _ in range(4)), s.recv(1 << 20, socket.MSG_WAITALL) != b"" if 0 else "")
END
python3 -u - <<'END'
import asyncio, multiprocessing, os, pty, resource, shutil, tempfile, time, ctypes, fcntl, sys
from multiprocessing import shared_memory
def square(x): return x * x
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool: print(sum(pool.map(square, range(200))))
    q = context.Queue(); p = context.Process(target=q.put, args=("from the child",)); p.start(); print(q.get()); p.join(); print(p.exitcode)
    v = context.Value("i", 0); ps = [context.Process(target=lambda: [v.get_lock().__enter__(), setattr(v, "value", v.value + 1), v.get_lock().__exit__(None, None, None)]) for _ in range(5)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
    a, b = context.Pipe(); a.send({"k": [1, 2]}); print(b.recv())
    memory = shared_memory.SharedMemory(create=True, size=100); memory.buf[0] = 7; other = shared_memory.SharedMemory(memory.name); print(other.buf[0], memory.name in os.listdir("/dev/shm") or "/" + memory.name); other.close(); memory.close(); memory.unlink()
    async def main():
        process = await asyncio.create_subprocess_exec("echo", "async", stdout=-1)
        print((await process.communicate())[0], await asyncio.gather(*(asyncio.sleep(0.01, i) for i in range(3))))
        server = await asyncio.start_unix_server(lambda r, w: (w.write(b"hi\n"), w.close()), "socket"); r, w = await asyncio.open_unix_connection("socket"); print(await r.readline()); w.close(); server.close()
    asyncio.run(main())
    pid, fd = pty.fork()
    if pid == 0: os.execlp("sh", "sh", "-c", "test -t 0 && tty | cut -c1-9; stty size")
    output = b""
    try:
        while data := os.read(fd, 100): output += data
    except OSError as error: print(error)
    os.waitpid(pid, 0); print(output)
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1000, resource.getpagesize())
    before = time.monotonic(); time.sleep(0.02); print(time.monotonic() - before >= 0.02, time.get_clock_info("monotonic").resolution, time.clock_getres(time.CLOCK_REALTIME), time.process_time() > 0, time.thread_time() > 0)
    with tempfile.TemporaryDirectory(dir=".") as d: open(d + "/f", "w").write("x"); print(os.listdir(d), shutil.disk_usage(d).total > 0)
    f = open("locked", "w"); fcntl.lockf(f, fcntl.LOCK_EX)
    if os.fork() == 0:
        try: fcntl.lockf(open("locked", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error: print(error, flush=True)
        os._exit(0)
    os.wait(); print(ctypes.CDLL(None).getpid() == os.getpid(), os.get_terminal_size.__name__, os.getxattr.__name__)
    fd = os.memfd_create("name"); os.write(fd, b"abc"); print(os.readlink(f"/proc/self/fd/{fd}"), os.eventfd_read(os.eventfd(3)), os.pidfd_open(os.getpid()) > 0)
    print(os.sysconf("SC_PAGESIZE"), os.sysconf("SC_NPROCESSORS_CONF") > 0, os.sysconf("SC_PHYS_PAGES") > 1000, os.sysconf("SC_CLK_TCK"), os.sysconf("SC_OPEN_MAX") > 0, os.getloadavg()[0] >= 0, os.statvfs(".").f_namemax, os.getpriority(0, 0), os.sched_getscheduler(0), os.times().elapsed > 0)
END
python3 -c 'import sys; sys.setrecursionlimit(20000); f = lambda n: n and 1 + f(n - 1); print(f(5000)); print(len(bytearray(200 << 20)))'
python3 -c 'import unittest, json, hashlib, sqlite3, zlib, decimal; print(json.dumps({"a": [1.5, None]}), hashlib.sha256(b"x").hexdigest()[:8], sqlite3.connect(":memory:").execute("select 6*7").fetchone(), decimal.Decimal(2).sqrt())'
python3 -c 'import sqlite3; d = sqlite3.connect("db"); d.execute("pragma journal_mode=wal"); d.execute("create table t(x)"); d.executemany("insert into t values(?)", [(i,) for i in range(1000)]); d.commit(); print(d.execute("select sum(x) from t").fetchone())'
perl -e 'use strict; use warnings; use POSIX; use IO::Select; use Socket; use Time::HiRes qw(sleep time);
$| = 1; my $pid = fork // die; if (!$pid) { exec "sh", "-c", "exit 5" } waitpid $pid, 0; print $? >> 8, "\n";
pipe my $r, my $w; if (!fork) { close $r; print $w "line $_\n" for 1..3; exit } close $w; print while <$r>; wait;
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 10; }; print $@;
local $SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 }; if (!fork) { exit } sleep 0.05; print "reaped\n"; $SIG{CHLD} = "DEFAULT";
socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0; syswrite $a, "over"; sysread $b, my $text, 10; print "$text\n";
open my $f, "-|", "seq 3" or die; my @l = <$f>; close $f; print scalar(@l), " ", `echo tick`; print join(",", map { sprintf "%o", (stat $_)[2] & 07777 } "/tmp", "/etc/passwd"), "\n";
my %h = map { $_ => length } qw(one three); print join(" ", map { "$_=$h{$_}" } sort keys %h), "\n"; print POSIX::strftime("%Y-%m-%d", gmtime 0), " ", (getpwuid 0)[0], "\n"; printf "%s\n", "aXbXc" =~ s/X/-/gr; system "true" and die; print kill(0, $$), "\n"; print -e "/proc/$$/stat" ? "proc\n" : "no\n"; ' 2>&1
