"""A PC under QEMU that a test drives like a person would: over the serial line, the keyboard and the screen.

A test waits for what it expects, never for a fixed time. When the limit passes, `Failure` carries the whole console.
"""

import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
KERNEL = ROOT / "build/tests/stele.elf"  # a copy, so that a change of the source does not reach a run that goes on
FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
FIRMWARE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"
PROMPT = r"root@stele:\S*# "


class Failure(Exception):
    """A test failed; the text says how."""


def iso(name, **variables):
    """Builds an ISO `build/tests/NAME.iso` by the project's own Makefile; returns its path."""
    target = ROOT / "build/tests" / f"{name}.iso"
    variables.setdefault("KERNEL", KERNEL)
    words = [f"{key}={value}" for key, value in variables.items()]
    result = subprocess.run(
        ["make", "--no-print-directory", "iso", f"ISO={target}", *words], cwd=ROOT, capture_output=True, text=True
    )
    if result.returncode:
        raise Failure(f"make iso {' '.join(words)} failed:\n{result.stdout}{result.stderr}")
    return target


class Machine:
    """A running QEMU. Use it as a context: it is killed at the end. Without an image, the options say what it boots."""

    def __init__(self, image, *options, memory="256M", cpu="max", machine="pc", smp=None, uefi=False, usb=False, serial=True,
                 counted=None, limit=120):
        self.folder = tempfile.TemporaryDirectory(prefix="stele-")
        self.monitor_path = f"{self.folder.name}/monitor"
        self.limit = limit
        self.output = ""
        self.seen = 0
        self.changed = threading.Condition()
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", memory, "-cpu", cpu, "-machine", machine]
        command += ["-smp", str(smp or os.environ.get("SMP", 1)), "-display", "none", "-no-reboot", "-net", "none"]
        command += ["-monitor", f"unix:{self.monitor_path},server=on,wait=off"]
        command += ["-serial", "stdio"] if serial else ["-serial", "none"]
        if counted is not None:  # time is what instructions take, 2^counted ns each, and sleep takes none
            command += ["-icount", f"shift={counted},sleep=off", "-rtc", "base=2024-01-01,clock=vm", "-seed", "1"]
        if uefi:
            variables = f"{self.folder.name}/variables.fd"
            pathlib.Path(variables).write_bytes(pathlib.Path(FIRMWARE_VARIABLES).read_bytes())
            command += ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}"]
            command += ["-drive", f"if=pflash,format=raw,file={variables}"]
        if usb:
            command += ["-drive", f"if=none,id=stick,format=raw,readonly=on,file={image}"]
            command += ["-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0"]
        elif image:
            command += ["-cdrom", str(image)]
        self.process = subprocess.Popen(
            [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        threading.Thread(target=self._collect, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def _collect(self):
        """Reads the serial line until QEMU ends."""
        while data := os.read(self.process.stdout.fileno(), 65536):
            with self.changed:
                self.output += data.decode("utf-8", "replace").replace("\r", "")
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def expect(self, pattern, limit=None):
        """Waits until the regular expression matches what came since the last match; returns the match."""
        end = time.monotonic() + (limit or self.limit)
        panicked = False  # what is still to come then comes soon
        with self.changed:
            while True:
                if match := re.compile(pattern, re.M).search(self.output, self.seen):
                    self.seen = match.end()
                    return match
                if "\nPANIC: " in self.output[self.seen :]:
                    end = min(end, time.monotonic() + 3) if not panicked else end
                    panicked = True
                left = end - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    why = "time is up" if left <= 0 else "the machine ended"
                    raise Failure(f"{why} waiting for {pattern!r}; the console:\n{self.output}")
                self.changed.wait(min(left, 1))

    def send(self, text):
        """Types on the serial line."""
        self.process.stdin.write(text.encode())

    def run(self, command, limit=None):
        """Runs a shell command at the prompt; returns what it printed."""
        self.send(command + "\n")
        self.expect(re.escape(command[-40:]) + r"\n", limit)
        start = self.seen
        match = self.expect(PROMPT, limit)
        return re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", self.output[start : match.start()])

    def monitor(self, command):
        """Gives QEMU's monitor a command; returns its answer."""
        with socket.socket(socket.AF_UNIX) as line:
            self._connect(line)
            line.settimeout(20)
            text = b""
            while not text.endswith(b"(qemu) "):
                text += line.recv(4096)
            line.sendall(command.encode() + b"\n")
            text = b""
            while not text.endswith(b"(qemu) "):
                text += line.recv(4096)
        return text.decode("utf-8", "replace")

    def _connect(self, line):
        """Connects to the monitor, which a QEMU that has just started has not made yet."""
        end = time.monotonic() + 20
        while True:
            try:
                return line.connect(self.monitor_path)
            except OSError:
                if time.monotonic() > end:
                    raise Failure("QEMU's monitor did not answer") from None
                time.sleep(0.05)

    def keys(self, text):
        """Types on the PS/2 keyboard."""
        names = {" ": "spc", "\n": "ret", "-": "minus", "/": "slash", ".": "dot", "=": "equal", ";": "semicolon",
                 "|": "shift-backslash", ">": "shift-dot", "_": "shift-minus", '"': "shift-apostrophe", "'": "apostrophe",
                 "$": "shift-4", "*": "shift-8", ",": "comma", "&": "shift-7"}
        for letter in text:
            name = names.get(letter) or (f"shift-{letter.lower()}" if letter.isupper() else letter)
            self.monitor(f"sendkey {name} 20")

    def screen(self):
        """Returns the screen as (width, height, RGB bytes)."""
        path = f"{self.folder.name}/screen.ppm"
        self.monitor(f"screendump {path}")
        data = pathlib.Path(path).read_bytes()
        magic, width, height, _, pixels = re.match(rb"(P6)\s+(\d+)\s+(\d+)\s+(\d+)\s(.*)", data, re.S).groups()
        return int(width), int(height), pixels

    def wait_for_end(self, limit=None):
        """Waits until the machine has switched itself off (or, with -no-reboot, restarted)."""
        try:
            self.process.wait(limit or self.limit)
        except subprocess.TimeoutExpired:
            raise Failure(f"the machine did not end; the console:\n{self.output}") from None
