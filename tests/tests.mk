# The verbs that prepare and prove: setup, test, test-long, check.

.PHONY: setup test test-long check

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
