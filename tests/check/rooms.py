"""The architecture as a check: src/lib.rs and src/machine/mod.rs list modules lowest first, and a module names only
modules listed above it."""

import re

MODULE = re.compile(r"^\s*(?:pub(?:\(crate\))? )?mod (\w+);", re.M)


def _files(folder, name):
    """The files of the module `name` in `folder`."""
    one = folder / f"{name}.rs"
    return [one] if one.exists() else sorted((folder / name).rglob("*.rs"))


def _code(path):
    """The file's text without line comments and string contents, so that prose names nothing."""
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', path.read_text())
    return re.sub(r"//.*", "", text)


def _uses(code, prefix):
    """The modules that `code` names below `prefix`, alone or in a braced list."""
    names = set(re.findall(prefix + r"::(\w+)", code))
    for group in re.findall(prefix + r"::\{([^;]*)\}", code):
        depth = 0
        for part in re.findall(r"[{}]|\w+(?=\s*(?:::|,|$|\}))", group):
            if part == "{":
                depth += 1
            elif part == "}":
                depth -= 1
            elif depth == 0:
                names.add(part)
    return names


def _supers(folder, path):
    """How the file at `path` reaches the module whose folder is `folder`: `super`, `super::super`, …"""
    depth = len(path.relative_to(folder).parts) - (path.name == "mod.rs")
    return r"(?<!super::)" + "::".join(["super"] * depth)


def _ordered(root, index, absolute):
    folder = index.parent
    modules = MODULE.findall(_code(index))
    found = []
    for place, module in enumerate(modules):
        higher = set(modules[place + 1 :])
        for path in _files(folder, module):
            code = _code(path)
            for prefix in (absolute, _supers(folder, path)):
                for name in sorted(_uses(code, prefix) & higher):
                    found.append(f"{path.relative_to(root)}: {module} uses {name}, which is listed below it")
    return found


def order(root):
    """Uses of a room, or of a module of `machine`, that is listed below the user."""
    source = root / "src"
    return _ordered(root, source / "lib.rs", "crate") + _ordered(root, source / "machine/mod.rs", "crate::machine")


def unsafe_border(root):
    """The word `unsafe` outside `machine`; lib.rs may have the entry symbol's attribute."""
    found = []
    for path in sorted((root / "src").rglob("*.rs")):
        if (root / "src/machine") in path.parents:
            continue
        for number, line in enumerate(_code(path).splitlines(), 1):
            if re.search(r"\bunsafe\b", line) and not (path.name == "lib.rs" and "no_mangle" in line):
                found.append(f"{path.relative_to(root)}:{number}: {line.strip()}")
    return found


def assembly(root):
    """Assembly in Rust files outside `machine`."""
    return [
        str(path.relative_to(root))
        for path in sorted((root / "src").rglob("*.rs"))
        if (root / "src/machine") not in path.parents and re.search(r"\b(global_)?asm!", _code(path))
    ]


def lines(root):
    """Lines of code by room: without blank lines, comments and tests."""
    counts = {}
    for path in [*(root / "src").rglob("*.rs"), *(root / "asm").rglob("*.s")]:
        text = path.read_text() if path.name != "tests.rs" else ""
        comment = "//" if path.suffix == ".rs" else "#"
        if re.search(r"^mod tests \{", text, re.M):
            text = text[: text.index("#[cfg(test)]")]
        code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(comment)]
        parts = path.relative_to(root).parts
        room = parts[1] if parts[0] == "src" and len(parts) > 2 else parts[0]
        counts[room] = counts.get(room, 0) + len(code)
    return counts
