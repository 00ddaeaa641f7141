# Stele's verbs. `make help` lists them with their words.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := iso
.DELETE_ON_ERROR:

BUILD := build
TARGET := x86_64-unknown-none

# Which programs the build needs; `need` names a missing one in a plain sentence.
need = command -v $(1) >/dev/null || { echo "Stele: '$(1)' is missing; 'make setup' installs it." >&2; exit 1; }
QUIET := @

# --- The kernel -------------------------------------------------------------------------------------

# `core` comes from rustup's target where it is installed, else from Debian's Rust sources.
HAS_TARGET := $(shell rustup target list --installed 2>/dev/null | grep -cx $(TARGET))
ifeq ($(HAS_TARGET),1)
CARGO := cargo
CARGO_FLAGS :=
else
CARGO := RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo
CARGO_FLAGS := -Zbuild-std=core,alloc,compiler_builtins -Zbuild-std-features=compiler-builtins-mem
endif

# No path of the build machine gets into the kernel, so that every folder builds the same bytes.
CARGO_HOME_FOLDER := $(or $(CARGO_HOME),$(HOME)/.cargo)
RUSTFLAGS_KERNEL := -Crelocation-model=static -Ccode-model=kernel -Cforce-frame-pointers=yes \
	--remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(CARGO_HOME_FOLDER)=cargo -Awarnings

SOURCES := $(shell find src -name '*.rs') Cargo.toml Cargo.lock
ASSEMBLY := $(wildcard asm/*.s)
OBJECTS := $(ASSEMBLY:asm/%.s=$(BUILD)/asm/%.o)
# `release`, or `checked`: built faster, and it checks lock order, sleeping under spin locks and arithmetic.
PROFILE ?= release
LIBRARY := target/$(TARGET)/$(PROFILE)/libstele.a
LINK := ld -n -nostdlib -static -T linker.ld --gc-sections --build-id=none -z noexecstack -z max-page-size=4096

# What is packed, and where to; a test packs others beside the usual one.
KERNEL ?= $(BUILD)/stele.elf
ISO ?= $(BUILD)/stele.iso

.PHONY: iso
iso: $(ISO)

$(BUILD)/asm/%.o: asm/%.s
	@$(call need,as)
	@mkdir -p $(@D)
	@as --fatal-warnings -I $(BUILD) -o $@ $<

# The code that programs share is a shared object of its own, and data of the kernel.
$(BUILD)/vdso.so: asm/vdso/vdso.s asm/vdso/vdso.ld
	@$(call need,ld)
	@mkdir -p $(@D)
	@as --fatal-warnings -o $(BUILD)/vdso.o $<
	@ld -shared -s -soname linux-vdso.so.1 --hash-style=both --build-id=none -z max-page-size=4096 -z noexecstack \
		-T asm/vdso/vdso.ld -o $@ $(BUILD)/vdso.o
$(BUILD)/asm/shared_code.o: $(BUILD)/vdso.so

$(LIBRARY): $(SOURCES)
	@$(if $(CARGO_FLAGS),test -x /usr/bin/cargo || { echo "Stele: no Rust that can build for $(TARGET); 'make setup' installs it." >&2; exit 1; },$(call need,cargo))
	@echo "Compiling the kernel ($(if $(CARGO_FLAGS),core from Debian's Rust sources,core from rustup))"
	@RUSTFLAGS="$(RUSTFLAGS_KERNEL)" $(CARGO) build --quiet --profile $(PROFILE) $(CARGO_FLAGS) --target $(TARGET)
	@touch $@

# Linked twice: first with an empty table of function names, then with the table of that first result,
# which lies behind all code and so moves none of it.
$(BUILD)/profile: FORCE
	@mkdir -p $(@D)
	@echo $(PROFILE) | cmp -s - $@ || echo $(PROFILE) > $@

$(BUILD)/stele.elf: $(LIBRARY) $(BUILD)/profile $(OBJECTS) linker.ld asm/symbols.awk
	@$(call need,ld)
	@echo "Linking $@"
	@$(LINK) -o $(BUILD)/first.elf $(OBJECTS) $(LIBRARY)
	@nm --numeric-sort $(BUILD)/first.elf | awk -f asm/symbols.awk > $(BUILD)/symbols.s
	@as -o $(BUILD)/symbols.o $(BUILD)/symbols.s
	@$(LINK) -o $@ $(OBJECTS) $(LIBRARY) $(BUILD)/symbols.o
	@rm $(BUILD)/first.elf

# --- What it boots into -----------------------------------------------------------------------------

# Words for the kernel's command line, and after `--` those for init.
CMDLINE ?=
ROOT ?=
INITRAMFS ?=
PROGRAM ?=
ARGS ?=
# As they are, with blanks and quotes, to grub/initramfs and grub/iso.
export CMDLINE ROOT INITRAMFS PROGRAM ARGS

# The ISO is packed anew when one of these words changed.
WORDS := CMDLINE=$(CMDLINE) ROOT=$(ROOT) INITRAMFS=$(INITRAMFS) PROGRAM=$(PROGRAM) ARGS=$(ARGS)
$(ISO).words: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(WORDS))' | cmp -s - $@ || echo '$(subst ','\'',$(WORDS))' > $@
.PHONY: FORCE
FORCE:

$(ISO).initramfs: $(ISO).words grub/initramfs $(shell find user -type f) $(if $(ROOT)$(PROGRAM)$(INITRAMFS),FORCE)
	@grub/initramfs $@

$(ISO): $(KERNEL) $(ISO).initramfs grub/grub.cfg grub/iso
	@grub/iso $(KERNEL) $(ISO).initramfs $@

# --- Running it -------------------------------------------------------------------------------------

UEFI ?=
SMP ?= 1
MEMORY ?= 512M
DISK ?=
NET ?=
export ISO UEFI SMP MEMORY DISK NET

.PHONY: run debug
run debug: $(ISO)
	@grub/run $@

# The verbs, as README.md has them.
.PHONY: help
help:
	@sed -n '/^| verb/,/^$$/s/^| `\(make [^|]*\) | \(.*\) |$$/\1\n    \2/p' README.md | tr -d '`'

.PHONY: clean
clean:
	@rm -rf $(BUILD) target

# setup, test, check, bench
-include tests/tests.mk
