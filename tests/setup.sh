#!/bin/sh
# make setup: installs what building, running and testing Stele need and this machine lacks. Says what it does; does
# nothing where nothing is missing. Debian 12 and later, Ubuntu 24.04 and later.
set -eu

missing=
need() { # need PACKAGE FILE-OR-COMMAND…: the package is missing when one of them is
    package=$1
    shift
    for thing; do
        case $thing in
            /*) [ -e "$thing" ] || missing="$missing $package" ;;
            *) command -v "$thing" >/dev/null || missing="$missing $package" ;;
        esac
    done
}

need make make
need binutils as ld nm
need gcc cc
need libc6-dev /usr/include/stdio.h
need git git
need qemu-system-x86 qemu-system-x86_64
need grub-common grub-mkrescue grub-file
need grub-pc-bin /usr/lib/grub/i386-pc
need grub-efi-amd64-bin /usr/lib/grub/x86_64-efi
need xorriso xorriso
need mtools mformat
need ovmf /usr/share/OVMF
need cpio cpio
need zstd zstd
need busybox-static /bin/busybox
need python3 python3
need musl-tools musl-gcc
need debootstrap /usr/sbin/debootstrap
need bochs bochs-bin
need bochsbios /usr/share/bochs/BIOS-bochs-latest
need vgabios /usr/share/vgabios/vgabios.bin

# `core` for a bare machine: rustup's target where rustup is and can fetch it, else Debian's sources and -Zbuild-std.
target=x86_64-unknown-none
if command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx $target; then
    :
elif command -v rustup >/dev/null && rustup target add $target >/dev/null 2>&1; then
    echo "setup: added the Rust target $target with rustup"
else
    need rustc-web /usr/bin/rustc
    need cargo-web /usr/bin/cargo
    need rust-web-src /usr/lib/rustlib/src
fi

missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
if [ -z "${missing% }" ]; then
    echo "setup: nothing is missing"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "setup: this is not Debian or Ubuntu; install what these packages hold: $missing" >&2
    exit 1
fi
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "setup: installing $missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one word a package
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "setup: done"
