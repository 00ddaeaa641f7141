"""Fetches Debian source packages for test suites, without touching the machine's own package configuration."""

import pathlib
import subprocess

from qemu import ROOT, Failure

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def source(package):
    """Downloads and unpacks a source package below build/suites; returns its folder. Does so once."""
    folder = ROOT / "build/suites" / package
    tree = folder / "source"
    if tree.exists():
        return tree
    (folder / "lists/partial").mkdir(parents=True, exist_ok=True)
    (folder / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    release = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().split() if "=" in line)
    codename = release["VERSION_CODENAME"]
    (folder / "sources.list").write_text(f"deb-src [signed-by={KEYS}] http://deb.debian.org/debian {codename} main\n")
    options = [
        "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=/nonexistent",
        "-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache",
    ]  # fmt: skip
    for words in (["update", "-qq"], ["source", "--download-only", "-qq", package]):
        result = subprocess.run(["apt-get", *options, *words], cwd=folder, capture_output=True, text=True)
        if result.returncode:
            raise Failure(f"apt-get {' '.join(words)} failed:\n{result.stderr}")
    description = next(folder.glob("*.dsc"))
    subprocess.run(["dpkg-source", "-x", description, tree], cwd=folder, check=True, capture_output=True)
    return tree
