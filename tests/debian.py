"""Fetches Debian packages, source and binary, for test suites, without touching the machine's own package
configuration."""

import pathlib
import shutil
import subprocess

from qemu import ROOT, Failure

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def _apt(folder, kind, *words):
    """Runs apt-get with lists, cache and state of its own below FOLDER, as on a machine without any package."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    release = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().split() if "=" in line)
    codename = release["VERSION_CODENAME"]
    (folder / "sources.list").write_text(f"{kind} [signed-by={KEYS}] http://deb.debian.org/debian {codename} main\n")
    options = [
        "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=/nonexistent",
        "-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::State::status={folder}/status",
        "-o", f"Dir::Cache={folder}/cache", "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    result = subprocess.run(["apt-get", *options, "-qq", *words], cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise Failure(f"apt-get {' '.join(words)} failed:\n{result.stderr}")


def source(package):
    """Downloads and unpacks a source package below build/suites; returns its folder. Does so once."""
    folder = ROOT / "build/suites" / package
    tree = folder / "source"
    if tree.exists():
        return tree
    folder.mkdir(parents=True, exist_ok=True)
    _apt(folder, "deb-src", "update")
    _apt(folder, "deb-src", "source", "--download-only", package)
    description = next(folder.glob("*.dsc"))
    subprocess.run(["dpkg-source", "-x", description, tree], cwd=folder, check=True, capture_output=True)
    return tree


def unpacked(name, *packages):
    """Unpacks packages and all that they depend on, without configuring them; returns the folder. Does so once."""
    folder = ROOT / "build/suites" / name
    tree = folder / "tree"
    if tree.exists():
        return tree
    folder.mkdir(parents=True, exist_ok=True)
    _apt(folder, "deb", "update")
    _apt(folder, "deb", "install", "--yes", "--download-only", "--no-install-recommends", *packages)
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    for package in sorted(folder.glob("cache/archives/*.deb")):
        subprocess.run(["dpkg", "-x", package, part], check=True)
        package.unlink()
    part.rename(tree)
    return tree
