# The verbs that prepare, prove and measure: setup, test, test-long, check, bench, profile.

.PHONY: setup test test-long check bench profile

setup:
	@sh tests/setup.sh

# One test or a few: make test ONLY=shell
test:
	@python3 tests/run.py $(ONLY)

# What takes longer than a landing should wait for.
test-long:
	@python3 tests/run.py --long $(ONLY)

check:
	@python3 tests/check/run.py

# The same programs on Stele and on Debian's Linux, counted in instructions. ONLY="stat fstat" picks some rows.
bench: $(KERNEL)
	@MAKEFLAGS= python3 bench/table.py $(ONLY)

# Where a row's instructions go, by kernel function: make profile ROW=stat, or PROGRAM=file ARGS="its arguments".
profile: $(KERNEL)
	@MAKEFLAGS= python3 bench/profile.py $(ROW) $(PROGRAM) $(ARGS)
