"""The third ring, third part: Debian's dynamic programs, untouched: scripts whose output must be what the same tree's
programs print on the build host's Linux, and a session at the terminal."""

import difflib
import re
import subprocess

import userland
from qemu import PROMPT, ROOT, Failure

SCRIPTS = sorted((ROOT / "tests/debian").glob("*.sh"))
# What takes minutes in an emulator.
SLOW = {"debuggers", "terminals"}


def _channels():
    """Builds the Rust program that a script runs."""
    program = ROOT / "build/tests/channels"
    command = ["rustc", "-O", "--edition", "2024", "-C", "target-feature=+crt-static", "-o", program, ROOT / "tests/debian/channels.rs"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise Failure(result.stderr)
    return program


def _agree(smp, scripts):
    guest = userland.Userland(f"debian-{smp}", session=True, smp=smp)
    program = _channels()
    for script in scripts:
        guest.add_script(script, program, limit=1800)
    differences = []
    for (name, output, status), script in zip(guest.run(3600, _session), scripts, strict=True):
        wanted, wanted_status = userland.on_linux(script, program)
        if (output, status) != (wanted, wanted_status):
            lines = difflib.unified_diff(wanted.splitlines(), output.splitlines(), "Linux", "Stele", lineterm="")
            differences.append(f"{name}: status {wanted_status} on Linux, {status} here\n" + "\n".join(lines))
    if differences:
        raise Failure("\n".join(differences))


def _wants(machine, command, pattern, limit=60):
    output = machine.run(command, limit)
    if not re.fullmatch(pattern, output.strip(), re.S):
        raise Failure(f"{command!r} printed {output!r}, wanted {pattern!r}")


def _session(machine):
    """Types at the serial line: an editor, a terminal within the terminal, a recorded session, another user's login."""
    machine.send("stty cols 100; cd /tmp\n")
    machine.expect(PROMPT)
    _wants(machine, "tty; who am i | wc -l; ps -o tty= -p $$", "/dev/ttyS0\n[01]\nttyS0")
    machine.send("vim -u NONE -N edited\n")
    machine.expect("edited.*New")
    machine.send("ihello\x1byypA world\x1b:wq\n")
    machine.expect(PROMPT)
    _wants(machine, "cat edited", "hello\nhello world")
    machine.send("tmux -f /dev/null new-session -s inner\n")
    machine.expect(r"\[inner\]")
    machine.send("echo in-$((1 + 1))-tmux\n")
    machine.expect("in-2-tmux")
    machine.send("\x02d")
    machine.expect(r"\[detached \(from session inner\)\]")
    machine.expect(PROMPT)
    machine.send("tmux attach\n")
    machine.expect("in-2-tmux")
    machine.send("exit\n")
    machine.expect(r"\[exited\]")
    machine.expect(PROMPT)
    machine.send("script -q recorded\n")
    machine.expect(PROMPT)
    _wants(machine, "tty", r"/dev/pts/\d+")
    machine.send("exit\n")
    machine.expect("exit\n")
    machine.expect(PROMPT)
    _wants(machine, "grep -c /dev/pts recorded", "1")

    _wants(machine, "useradd -m -s /bin/bash guest; echo guest:secret | chpasswd", "")
    machine.send("exec login\n")
    for password in ("wrong", "secret"):
        machine.expect("login: ")
        machine.send("guest\n")
        machine.expect("Password: ")
        machine.send(password + "\n")
        machine.expect("Login incorrect" if password == "wrong" else r"guest@stele:~\$ ")
    machine.send("id -un; cat /etc/shadow; su -c 'id -un'\n")
    machine.expect(r"guest\n.*Permission denied\nPassword: ")
    machine.send("wrong\n")
    machine.expect("Authentication failure")
    machine.send("logout\n")
    machine.expect(PROMPT)


def tests(long):
    """The tests of this ring: they need the root user, for chroot and mounts."""
    quick = [script for script in SCRIPTS if script.stem not in SLOW]
    found = [("programs print what they print on Linux, 1 CPU", lambda: _agree(1, quick))]
    every = [(f"all programs print what they print on Linux, {smp} CPUs", lambda smp=smp: _agree(smp, SCRIPTS)) for smp in (1, 2, 4, 8)]
    return found + every if long else found
