"""The judgement on suites that others wrote: what passes on Linux passes on Stele, or stands in docs/compatibility.md
with its reason. An entry there that is not true any more is a failure as well."""

import re

from qemu import ROOT, Failure

LIST = ROOT / "docs/compatibility.md"


def verdicts(output, head, passed):
    """Finds each case's verdict: HEAD matches where a case begins and names it, PASSED what a passing one ends in.

    Between the two stands whatever the case and its children printed. Returns {name: bool}."""
    found = {}
    heads = list(re.finditer(head, output, re.M))
    for this, following in zip(heads, [*heads[1:], None]):
        text = output[this.end() : following.start() if following else len(output)]
        if word := re.search(passed, text, re.M):
            found[this.group(1)] = found.get(this.group(1), True) and word.group(1) == "ok"
    return found


def judge(suite, linux, stele):
    """Compares the verdicts {case: bool} of both sides; prints the row for the table in the list."""
    passing = {case for case, passes in linux.items() if passes}
    if not passing:
        raise Failure("no case passes on Linux, so this proves nothing")
    missing = {case for case in passing if not stele.get(case)}
    listed = {entry: {case for case in missing if entry.fullmatch(case)} for entry in _entries(suite)}
    print(f"    | {suite} | {len(linux)} | {len(passing)} | {len(passing - missing)} |", flush=True)
    faults = [f"passes on Linux, not here: {case}" for case in sorted(missing.difference(*listed.values()))]
    faults += [f"listed without cause: {entry.pattern}" for entry, cases in listed.items() if not cases]
    if faults:
        raise Failure("\n".join(faults))


def _entries(suite):
    """The cases listed under a suite's heading, as "- `case`, `case`: reason"; in a case, `*` stands for anything."""
    section = re.search(rf"^## {re.escape(suite)}\n(.*?)(?=^## |\Z)", LIST.read_text(), re.M | re.S)
    lines = re.findall(r"^- (`.*?`): \S", section.group(1), re.M | re.S) if section else []
    names = [name for line in lines for name in re.findall(r"`([^`]*)`", " ".join(line.split()))]
    return [re.compile(".*".join(map(re.escape, name.split("*"))), re.S) for name in names]
