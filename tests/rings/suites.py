"""The third ring, last part: test suites that others wrote, on the build host's Linux and on Stele; the difference must
be the list in docs/."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import compatibility
import crates
import debian
from guest import BUSYBOX, Guest
from qemu import Failure

def _busybox_tree(folder):
    """Lays out busybox' own test suite as it wants to be found, beside the Debian busybox."""
    source = debian.source("busybox")
    tree = pathlib.Path(folder, "suite")
    tree.mkdir()
    shutil.copytree(source / "testsuite", tree / "testsuite", symlinks=True)
    shutil.copytree(source / "scripts", tree / "scripts", symlinks=True)
    shutil.copy(BUSYBOX, tree / "busybox")
    shutil.copy(source / "debian/config/pkg/static", tree / ".config")
    subprocess.run(["cc", "-static", "-w", "-o", tree / "testsuite/echo-ne", source / "scripts/echo.c"], check=True)
    return tree


def _verdicts(output):
    """Which cases pass; one that occurs several times gets a number."""
    found = {}
    for verdict, name in re.findall(r"^(PASS|FAIL|SKIPPED|UNTESTED): (.*)$", output, re.M):
        name += "'" * sum(1 for other in found if other.rstrip("'") == name)
        found[name] = verdict == "PASS"
    return found


def _busybox_on_linux():
    with tempfile.TemporaryDirectory(prefix="stele-suite-") as folder:
        tree = _busybox_tree(folder)
        isolate = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--mount-proc"]
        if os.geteuid() != 0:
            isolate.insert(1, "--map-root-user")
        links = tree / "bin"
        links.mkdir()
        for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
            (links / applet).symlink_to(BUSYBOX)
        result = subprocess.run(
            # The cases' own `#!/bin/sh` shall be the same shell on both sides.
            [*isolate, "sh", "-c", f"mount --bind {BUSYBOX} /bin/sh && exec env -i PATH={links} HOME=/ "
             f"ECHO={tree}/testsuite/echo-ne ./runtest"], cwd=tree / "testsuite",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False)
        return _verdicts(result.stdout.decode("utf-8", "replace"))


def _busybox_on_stele():
    guest = Guest("busybox-suite", output_limit=200000, memory="1G")
    _busybox_tree(guest.root)
    # One case starts /bin/false under another name, which busybox' own would take for an applet's.
    (guest.root / "bin/false").unlink()
    subprocess.run(["cc", "-static", "-x", "c", "-o", guest.root / "bin/false", "-"], input=b"int main(void) { return 1; }",
                   check=True)
    script = guest.root / "runtest.sh"
    script.write_text("cd /suite/testsuite && ECHO=$PWD/echo-ne exec ./runtest\n")
    guest.add_script(script, limit=3000)
    ((_, output, _),) = guest.run(3300)
    return _verdicts(output)


def _busybox():
    compatibility.judge("busybox", _busybox_on_linux(), _busybox_on_stele())


def _both(guest, limit, cases):
    """Runs a guest on Linux and on Stele; CASES makes verdicts of one test's name and output."""
    sides = []
    for results in (guest.run_on_linux(limit), guest.run(limit)):
        sides.append({case: passes for name, output, _ in results for case, passes in cases(name, output).items()})
    return sides


def _crate(crate):
    guest = Guest(f"crate-{crate}", output_limit=400000, memory="3G")
    _add_shell(guest.root)
    for program in sorted(crates.programs(crate).iterdir()):
        if program.name.startswith(f"{crate}."):
            guest.add_program(program, "--test-threads=1 " + SKIP.get(crate, ""), limit=400)
        else:
            shutil.copy(program, guest.root / "tests")
    compatibility.judge(crate, *_both(guest, 900, _libtest))


# Spins until another thread has come along, for ever on one CPU.
SKIP = {"parking_lot": "--skip webkit_queue"}


def _add_shell(root):
    """Puts Debian's dash in busybox' place, because cases ask things of /bin/sh that only a usual one does."""
    (root / "bin/sh").unlink()
    for path in ["/bin/dash", *re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", "/bin/dash"], capture_output=True, text=True).stdout)]:
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path[1:])
    (root / "bin/dash").rename(root / "bin/sh")


def _libtest(program, output):
    """The verdicts of a Rust test program."""
    found = compatibility.verdicts(output, r"^test (\S+)(?: - should panic)? \.\.\. ", r"\b(ok|FAILED|ignored\b.*)$")
    return {f"{program.partition('.')[2]} {case}": passes for case, passes in found.items()}


# Debian's libpython3.11-testsuite: what exercises the kernel.
PYTHON = """
    os posix signal threading pty mmap select epoll fcntl time tempfile shutil resource pwd poll selectors glob stat file
    fileio subprocess socket multiprocessing_fork multiprocessing_forkserver multiprocessing_spawn
""".split()


def _python(module):
    tree = debian.unpacked("python", "python3", "libpython3.11-testsuite", "dash")
    guest = Guest(f"python-{module}", tree, output_limit=1000000, memory="3G")
    # Where AF_INET is not there, this case leaves a process behind that the module then waits for.
    words = "-v --timeout 3400 -i *PicklingConnections.test_pickling"
    guest.add(module, f"/usr/bin/python3.11 -m test {words} test_{module}", limit=3500)
    compatibility.judge(f"Python's test_{module}", *_both(guest, 3600, lambda _, output: _unittest(output)))


def _unittest(output):
    """The verdicts of a Python test module."""
    head, verdict = r"^(\w+ \([\w.]+\)) ?(?=\.\.\.|\n)", r"\b(ok|skipped\b.*|FAIL|ERROR|expected failure)$"
    found = compatibility.verdicts(output, head, verdict)
    return {re.sub(r"\w+ \((?:test\.)*(?:test_\w+\.)?([\w.]+)\)", r"\1", case): passes for case, passes in found.items()}


# Debian's stress-ng, one stressor after the other; none of AF_INET, of devices that there are not, of mere computing.
STRESSORS = """
    access affinity aio alarm bad-altstack bigheap brk cap chdir chmod chown chroot clock clone close context copy-file
    cpu daemon dentry dev-shm dir dirdeep dirmany dnotify dup enosys env epoll eventfd exec exit-group fallocate fault
    fcntl fifo file-ioctl filename flock fork forkheavy fp-error fpunch fstat full futex get getdent getrandom handle hdd
    hrtimers inode-flags inotify io iomix ioprio itimer kcmp kill klog landlock lease link locka lockf lockofd longjmp
    madvise malloc mcontend membarrier memfd mincore misaligned mknod mlock mlockmany mmap mmapaddr mmapfixed mmapfork
    mmapmany mprotect mq mremap msg msync msyncmany munmap mutex nanosleep nice null numa open pagemove personality
    peterson pidfd pipe pipeherd pkey poll prctl priv-instr procfs pthread ptrace pty race-sched readahead remap rename
    resched resources revio ring-pipe rlimit rmap rseq schedpolicy seal seccomp seek sem sem-sysv sendfile session set
    shm shm-sysv sigabrt sigchld sigfd sigfpe sigio signal signest sigpending sigpipe sigq sigrt sigsegv sigsuspend
    sigtrap sleep sockfd sockpair softlockup spawn splice stack stackmmap stream switch symlink sync-file syncload
    sysbadaddr sysfs sysinfo sysinval tee timer timerfd tlb-shootdown tmpfs touch umount unshare urandom usersyscall utime
    vdso vfork vforkmany vm vm-addr vm-rw vm-segv vm-splice wait waitcpu xattr yield zero zombie
""".split()


def _stress_guest(name, **configuration):
    return Guest(name, debian.unpacked("stress-ng", "stress-ng"), memory="3G", **configuration)


def _stressors(stressors=STRESSORS):
    guest = _stress_guest("stressors")
    for name in stressors:
        words = f"--temp-path . --{name} 1 --{name}-ops 20 -t 3 --no-rand-seed --verify"
        guest.add(name, f"/usr/bin/stress-ng {words}", limit=60)
    sides = [{name: status == 0 for name, _, status in run(3000)} for run in (guest.run_on_linux, guest.run)]
    compatibility.judge("stress-ng", *sides)


MANY = "cpu fork clone futex pthread mmap mremap signal pipe eventfd epoll schedpolicy switch".split()
# Free memory after the start, after a minute, and after the rest, each when what the stressors had is gone.
STRESS = """\
free() {
    until awk '/^AnonPages:/ { exit $2 > 1024 }' /proc/meminfo; do sleep 1; done
    awk '/^MemFree:/ { print $2 }' /proc/meminfo
}
stress() { stress-ng --temp-path . WORDS --no-rand-seed --verify -t $1; }
first=$(free) && stress 60 && before=$(free) && stress SECONDS && echo "free: $first $before $(free) kB"
"""

# At its end a stressor gets its own alarm and that of its parent; the second may interrupt this write to a full pipe.
HARMLESS = r"fail:.*pipe: termination write failed, errno=4 .*"


def _stress(processors, seconds=300):
    """Many stressors at once: nothing fails, and what memory is not free again are caches that do not grow."""
    guest = _stress_guest(f"stress-{processors}", smp=processors)
    script = guest.root / "stress.sh"
    script.write_text(STRESS.replace("WORDS", " ".join(f"--{name} 1" for name in MANY)).replace("SECONDS", str(seconds)))
    guest.add_script(script, limit=seconds * 4)
    ((_, output, status),) = guest.run(seconds * 5)
    if status or "fail" in re.sub(HARMLESS, "", output):
        raise Failure(f"status {status}\n{output}")
    first, before, after = map(int, re.search(r"free: (\d+) (\d+) (\d+) kB", output).groups())
    print(f"    many at once on {processors} CPUs: {first}, {before}, {after} kB free", flush=True)
    if first - after > 4096 or before - after > 512:
        raise Failure(f"{first - after} kB less are free than at first, {before - after} than after a minute\n{output}")


def tests(long):
    """The tests of this ring: they take long."""
    found = [("busybox' own test suite", _busybox)]
    found += [(f"the crate {crate}", lambda crate=crate: _crate(crate)) for crate in crates.CRATES]
    found += [(f"Python's test_{module}", lambda module=module: _python(module)) for module in PYTHON]
    found += [("stress-ng, one stressor after the other", _stressors)]
    found += [(f"stress-ng, many at once on {count} CPUs", lambda count=count: _stress(count)) for count in (1, 4)]
    return found if long else []
