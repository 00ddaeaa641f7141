"""The third ring, first part: a shell session over the serial line, and scripts whose output must be what the same
busybox prints on the build host's Linux."""

import difflib
import os
import pathlib
import re
import subprocess
import tempfile

from qemu import PROMPT, ROOT, Failure, Machine, iso
from guest import Guest, busybox_folder

IMAGE = ROOT / "build/stele.iso"
SCRIPTS = sorted((ROOT / "tests/scripts").glob("*.sh"))


def _host_output(script):
    """Runs a script with the same busybox on this Linux, in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="stele-host-") as folder:
        programs = busybox_folder(folder)
        work = pathlib.Path(folder, "work")
        work.mkdir()
        isolate = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--mount-proc"]
        if os.geteuid() != 0:
            isolate.insert(1, "--map-root-user")
        result = subprocess.run(
            [*isolate, "env", "-i", f"PATH={programs}", "HOME=/", f"{programs}/busybox", "sh", script], cwd=work,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )
        return result.stdout.decode("utf-8", "replace").replace(str(script), script.name), result.returncode


def _scripts_agree(smp):
    guest = Guest(f"scripts-{smp}", memory="512M", smp=smp)
    for script in SCRIPTS:
        guest.add_script(script)
    differences = []
    for (name, output, status), script in zip(guest.run(), SCRIPTS, strict=True):
        wanted, wanted_status = _host_output(script)
        if (output, status) != (wanted, wanted_status):
            lines = difflib.unified_diff(wanted.splitlines(), output.splitlines(), "Linux", "Stele", lineterm="")
            differences.append(f"{name}: status {wanted_status} on Linux, {status} here\n" + "\n".join(lines))
    if differences:
        raise Failure("\n".join(differences))


def _with_shell(test, smp):
    def run():
        with Machine(IMAGE, smp=smp) as machine:
            machine.expect(PROMPT)
            test(machine)

    return run


def _wants(machine, command, pattern):
    """Runs a command; its whole output must match."""
    output = machine.run(command)
    if not re.fullmatch(pattern, output.strip(), re.S):
        raise Failure(f"{command!r} printed {output!r}, wanted {pattern!r}")


def _foreground(machine, command="sleep 1000"):
    """Starts a job and waits until it has the terminal: only then does a key's signal go to it."""
    machine.send(f"sh -c 'echo it runs; exec {command}'\n")
    machine.expect("^it runs\n", 20)


def _interrupt(machine):
    _foreground(machine)
    machine.send("\x03")
    machine.expect(PROMPT, 10)
    _wants(machine, "echo $?", "130")
    _foreground(machine, "cat")
    machine.send("one line\n")
    machine.expect("one line\none line\n", 10)
    machine.send("\x04")
    machine.expect(PROMPT, 10)
    _foreground(machine, "yes | cat > /dev/null")
    machine.send("\x03")
    machine.expect(PROMPT, 10)
    _foreground(machine)
    for _ in range(5):  # busybox' shell ignores SIGQUIT for a moment while it executes `exec`, on Linux too
        machine.send("\x1c")
        try:
            machine.expect(PROMPT, 4)
            break
        except Failure:
            continue
    _wants(machine, "echo $?", "131")


def _job_control(machine):
    _foreground(machine)
    machine.send("\x1a")
    machine.expect(r"Stopped", 10)
    machine.expect(PROMPT, 10)
    _wants(machine, "jobs", r"\[1\]\+\s+Stopped\s+sh -c .*")
    machine.send("bg\n")
    machine.expect(PROMPT, 10)
    _wants(machine, "jobs", r"\[1\]\+\s+Running\s+sh -c .*")
    machine.send("fg\n")
    machine.expect("exec sleep 1000.\n", 10)
    machine.send("\x03")
    machine.expect(PROMPT, 10)
    _wants(machine, "jobs", "")
    # The shell tells at its next prompt, which cat may be too late for.
    machine.send("cat & until grep -q '^State:.*T' /proc/$!/status; do :; done\n")
    machine.expect(r"Stopped \(tty input\)", 10)
    machine.run("kill -9 %1; wait")
    machine.run("sleep 1000 &")
    machine.run("kill %sleep; wait")
    _wants(machine, "jobs", ".*")


def _line_editing(machine):
    machine.send("echo wrong\x7f\x7f\x7f\x7f\x7fright\n")
    machine.expect(r"\nright\n", 10)
    machine.expect(PROMPT)
    machine.send("ech\x01\x05o recalled\n")
    machine.expect(r"\nrecalled\n", 10)
    machine.expect(PROMPT)
    machine.send("\x1b[A\n")
    machine.expect(r"\nrecalled\n", 10)
    machine.expect(PROMPT)
    _wants(machine, "stty -a | grep -c 'intr = ^C'", "1")
    _wants(machine, "stty size", r"\d+ \d+")
    machine.run("stty rows 33 cols 101")
    _wants(machine, "stty size", "33 101")
    _foreground(machine, "cat > typed")
    machine.send("a wrong word\x17right\x15whole line again\n\x04")
    machine.expect(PROMPT, 10)
    _wants(machine, "cat typed", "whole line again")


def _vi(machine):
    machine.run("printf 'first\\nsecond\\nthird\\n' > text")
    machine.send("vi text\n")
    machine.expect("third", 10)
    machine.send("jdwichanged\x1b")
    machine.expect(r"- text \[Modified\] 2/3", 10)  # command mode again
    machine.send("o")
    machine.expect("3/4", 10)
    machine.send("inserted line\x1b")  # alone, so that it is not taken for the start of a key's sequence
    machine.expect(r"- text \[Modified\] 3/4", 10)
    machine.send(":wq\n")
    machine.expect(PROMPT, 10)
    _wants(machine, "cat text", "first\nchanged\ninserted line\nthird")


def _full_screen_programs(machine):
    machine.send("top\n")
    machine.expect("Mem: +\\d+K used", 20)
    machine.expect("PID")
    machine.send("q")
    machine.expect(PROMPT, 10)
    machine.send("seq 1 500 | less\n")
    machine.expect("22\n.*23\n", 10)
    machine.send("G")
    machine.expect("500", 10)
    machine.send("q")
    machine.expect(PROMPT, 10)


def _bad_input(machine):
    machine.send("\x00\x01\x02\xff\xfe\x1b[999;999Z\x1b]\x07\x18\x03")
    machine.send("\n")
    # More than the shell takes, but no more than a terminal keeps for a reader that is slow.
    machine.send("x" * 4000 + "\n")
    machine.expect("not found|too long", 20)
    # Not before: the shell leaves whatever it is in at ^C, malloc too, while it does not read.
    machine.expect(PROMPT, 20)
    machine.send("\x03\n")
    _settle(machine)
    _wants(machine, "ls /nowhere", "ls: /nowhere: No such file or directory")
    _wants(machine, "cat /", "cat: read error: Is a directory")
    _wants(machine, "/etc/passwd", ".*Permission denied")
    _wants(machine, "echo > /proc/version", ".*")
    _wants(machine, "kill -9 1; echo alive", "alive")
    _wants(machine, "mount -t nothing none /mnt 2>&1", ".*")
    _wants(machine, "head -c 3 /dev/full; echo x > /dev/full", ".*No space left on device")


def _settle(machine):
    """Waits for a prompt that answers."""
    machine.send("echo settled-$((1 + 1))\n")
    machine.expect("settled-2\n", 20)
    machine.expect(PROMPT, 10)


def _system_information(machine):
    for command, pattern in {
        "uname -srm": r"Linux 6\.\d+\.\d+-stele x86_64",
        "id": r"uid=0\(root\) gid=0\(root\).*",
        "pwd; cd /etc; pwd; cd": ".*/etc",
        "ps | grep -c '[i]nit'": "1",
        "free | head -n 2 | tail -n 1": r"Mem: +\d+ +\d+ +\d+.*",
        "mount | grep -c ' / '": "1",
        "df /dev/shm | tail -n 1": r"\S+ +\d+ +\d+ +\d+ +\d+% /dev/shm",
        "uptime": r".*up .*load average.*",
        "dmesg | grep -ci stele": r"[1-9]\d*",
        "ls -l /proc/self/fd 2>/dev/null | grep -c /dev/ttyS0": "1",
        "nproc; grep -c ^cpu[0-9] /proc/stat": r"(\d+)\n\1",
        "nproc; grep -c processor /proc/cpuinfo": r"(\d+)\n\1",
        "hostname": "stele",
        "tty": "/dev/ttyS0",
        "date +%Y": r"20\d\d",
        "time true 2>&1 | grep -c real": "1",
        "ls -l /dev/null | cut -c1-10": "crw-rw-rw-",
    }.items():
        _wants(machine, command, pattern)


def _idle_rests(machine):
    """A CPU that has nothing to do is not interrupted."""
    def counts():
        lines = machine.run("cat /proc/interrupts").splitlines()
        rows = [line.split() for line in lines if re.match(r" *(LOC|RES|CAL):", line)]
        return [sum(int(row[1 + cpu]) for row in rows) for cpu in range(len(lines[0].split()))]

    machine.run("sleep 2")
    before = counts()
    machine.run("sleep 1")
    more = [after - count for count, after in zip(before, counts(), strict=True)]
    # Typing the commands and starting programs takes some; a periodic tick would be 250.
    if max(more) > 120 or sum(more) > 120 + 30 * len(more):
        raise Failure(f"interrupts while idle, by CPU: {more}")


def _ends(command, restarts, smp):
    def run():
        with Machine(IMAGE, smp=smp) as machine:
            machine.expect(PROMPT)
            machine.send(command + "\n")
            if restarts:
                machine.wait_for_end(60)  # -no-reboot: QEMU ends where the PC would restart
            elif command == "halt":
                machine.expect("(?i)halt", 60)
            else:
                machine.wait_for_end(60)

    return run


def tests(_long, smp=4):
    """The tests of this ring."""
    found = [("scripts print what they print on Linux", lambda: _scripts_agree(smp))]
    shell = {
        "interrupt and end of file": _interrupt,
        "job control": _job_control,
        "line editing": _line_editing,
        "vi edits a file": _vi,
        "top and less": _full_screen_programs,
        "bad input": _bad_input,
        "system information": _system_information,
        "idle CPUs rest": _idle_rests,
    }
    found += [(name, _with_shell(test, smp)) for name, test in shell.items()]
    found += [(name, _ends(name, restarts, smp)) for name, restarts in
              {"poweroff": False, "reboot": True, "halt": False, "poweroff -f": False, "reboot -f": True}.items()]
    return found
