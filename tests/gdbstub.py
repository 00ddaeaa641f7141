"""QEMU's gdb stub: stops a machine at an address and changes registers and memory there, so that a test can lie to the
kernel about how it was started. Protocol: GDB manual, appendix E."""

import socket
import struct
import time

from qemu import Failure

EAX, EBX = 0, 1
INFORMATION_LIMIT = 1 << 20


class Debugger:
    """One connection to a QEMU started with `-S -gdb unix:PATH,server=on,wait=off`."""

    def __init__(self, path, limit=60):
        end = time.monotonic() + limit
        while True:
            try:
                self.line = socket.socket(socket.AF_UNIX)
                self.line.connect(path)
                break
            except OSError:
                if time.monotonic() > end:
                    raise Failure("QEMU's gdb stub did not answer") from None
                time.sleep(0.05)
        self.line.settimeout(limit)
        self.buffer = b""
        self.command("qXfer:features:read:target.xml:0,1000")  # else QEMU refuses to write single registers

    def command(self, text):
        """Sends one packet and returns the answer's content."""
        body = text.encode()
        self.line.sendall(b"$" + body + b"#%02x" % (sum(body) & 0xFF))
        return self.answer()

    def answer(self):
        """Returns the next packet's content."""
        while True:
            start = self.buffer.find(b"$")
            stop = self.buffer.find(b"#", start)
            if start >= 0 and 0 <= stop <= len(self.buffer) - 3:
                content, self.buffer = self.buffer[start + 1 : stop], self.buffer[stop + 3 :]
                self.line.sendall(b"+")
                return content.decode()
            data = self.line.recv(65536)
            if not data:
                raise Failure("QEMU's gdb stub went away")
            self.buffer += data

    def run_to(self, address):
        """Lets the machine run until it is about to execute `address`."""
        self.command(f"Z1,{address:x},1")
        self.command("c")
        self.command(f"z1,{address:x},1")

    def go(self):
        """Lets the machine run on; the connection ends."""
        self.command("D")
        self.line.close()

    def registers(self):
        """Returns the general registers' packet, eight bytes each from rax on."""
        return bytearray.fromhex(self.command("g").replace("x", "0"))

    def register(self, number):
        """Returns a general register, numbered as gdb does (0 = rax, 1 = rbx)."""
        return struct.unpack_from("<Q", self.registers(), number * 8)[0]

    def set_register(self, number, value):
        """Changes a general register."""
        if self.command(f"P{number:x}={struct.pack('<Q', value).hex()}") != "OK":
            raise Failure("QEMU's gdb stub does not set registers")

    def read(self, address, length):
        """Reads memory."""
        data = b""
        while len(data) < length:
            data += bytes.fromhex(self.command(f"m{address + len(data):x},{min(1024, length - len(data)):x}"))
        return data

    def write(self, address, data):
        """Writes memory."""
        for start in range(0, len(data), 512):
            part = data[start : start + 512]
            self.command(f"M{address + start:x},{len(part):x}:{part.hex()}")


def information(debugger):
    """Returns the address of the Multiboot2 information and its tags as (address, type, size), at the kernel's entry."""
    block = debugger.register(EBX) & 0xFFFF_FFFF
    total = struct.unpack("<I", debugger.read(block, 4))[0]
    data = debugger.read(block, min(total, INFORMATION_LIMIT))
    tags, at = [], 8
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        tags.append((block + at, kind, size))
        if kind == 0 or size < 8:
            break
        at += (size + 7) & ~7
    return block, tags
