"""The second ring, third part: keys typed on the PS/2 keyboard, and the screen read back."""

import re

from qemu import PROMPT, ROOT, Failure, Machine

IMAGE = ROOT / "build/stele.iso"
CELL = (8, 16)


class Picture:
    """A screendump, seen as character cells."""

    def __init__(self, machine):
        self.width, self.height, self.pixels = machine.screen()

    def cell(self, column, row):
        """The pixels of one cell."""
        width, height = CELL
        rows = []
        for y in range(row * height, (row + 1) * height):
            start = (y * self.width + column * width) * 3
            rows.append(self.pixels[start : start + width * 3])
        return tuple(rows)

    def row(self, row, first=0, length=60):
        """The cells of a part of a row."""
        return [self.cell(column, row) for column in range(first, first + length)]

    def last_rows(self, count=3):
        """The last rows with something on them, the cursor's row left out."""
        blank = self.cell(self.width // CELL[0] - 1, self.height // CELL[1] - 1)
        used = [r for r in range(self.height // CELL[1]) if any(cell != blank for cell in self.row(r))]
        return used[-1 - count : -1]


def _wait_for(machine, holds, what):
    """Looks at the screen until something holds."""
    for _ in range(100):
        picture = Picture(machine)
        if holds(picture):
            return picture
        try:
            machine.process.wait(0.1)
        except Exception:  # still running, as it should
            pass
    raise Failure(f"the screen does not show {what}")


def _typed_text_appears():
    """What `echo` prints looks like what was typed, letter for letter."""
    word = "hello-World/42"
    with Machine(IMAGE) as machine:
        machine.expect(PROMPT)
        machine.keys("clear\n")
        _wait_for(machine, lambda picture: len(picture.last_rows(9)) == 0, "an empty screen after clear")
        machine.keys(f"echo {word}\n")
        prompt = len("root@stele:/# echo ")

        def shows(picture):
            typed = picture.row(0, prompt, len(word))
            printed = picture.row(1, 0, len(word))
            return typed == printed and len(set(typed)) == len(set(word))

        _wait_for(machine, shows, "the typed word and its echo")


def _keys_of_the_terminal():
    """Arrows recall and edit, Ctrl-C interrupts, as TERM=linux sends them."""
    with Machine(IMAGE) as machine:
        machine.expect(PROMPT)
        machine.keys("echo one > /tmp/a\n")
        machine.monitor("sendkey up")
        for _ in " > /tmp/a":
            machine.monitor("sendkey left")
        machine.keys(" two")
        machine.keys("\n")
        machine.keys("sleep 1000\n")
        machine.monitor("sendkey ctrl-c")
        machine.keys("echo done >> /tmp/a\n")
        machine.send("while ! grep -q done /tmp/a; do sleep 0.1; done; cat /tmp/a\n")
        output = machine.expect(r"^(.*)\ndone\n", 30).group(1)
        if output != "one two":
            raise Failure(f"the edited command wrote {output!r}")


def _scrolls_fast():
    """A screen of 1280 by 800 scrolls 200 lines in less than a second; the best of three, as the host may be busy."""
    with Machine(IMAGE) as machine:
        machine.expect(PROMPT)
        best = 60.0
        for _ in range(3):
            output = machine.run("time sh -c 'seq 1 250 > /dev/tty0; stty -F /dev/tty0 sane'")
            minutes, seconds = re.search(r"real\s+(\d+)m ?([\d.]+)s", output).groups()
            best = min(best, 60 * int(minutes) + float(seconds))
        if best >= 1:
            raise Failure(f"200 lines took {best} s")
        width, height, _ = machine.screen()
        if (width, height) != (1280, 800):
            raise Failure(f"the screen is {width} by {height}")


def tests(_long):
    """The tests of this ring."""
    return [
        ("typed text appears", _typed_text_appears),
        ("keys that edit and interrupt", _keys_of_the_terminal),
        ("scrolls 200 lines within a second", _scrolls_fast),
    ]
