# make demo       a phone call on the offline twin, start to end, in under a minute
# make demo-campaign  people of a list called on the twin, from CSV to report, likewise
# make test       all tests but the long ones
# make test-long  the long ones: many calls on several workers, outages as long as real ones
# make check      formatting, lint, types, import contracts
# make lock       pin the dependencies anew
# make docs       write the page of the session's states from its table
#
# PYTHON chooses the interpreter; each version gets a virtual environment of its own.

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV ?= .venv-$(VERSION)
BIN := $(VENV)/bin

.PHONY: demo demo-campaign test test-long check setup setup-dev lock docs clean

demo: setup
	$(BIN)/evercall demo

demo-campaign: setup
	$(BIN)/evercall demo --campaign

# Most tests wait for sockets and for speech in real time rather than for the processor, so several
# processes share them, a file each. First what does not mind a processor that is busy, in three,
# since two of them wait for the demos' calls at first; then whole calls, which are judged by when
# things were heard, beside nothing but each other; last those that need the machine to themselves.
SHARED := --dist loadfile --no-loadscope-reorder

test: setup-dev
ifeq ($(strip $(ARGS)),)
	status=0; \
	$(BIN)/python -m pytest -m "not real_time and not long" -n 3 $(SHARED) || status=$$?; \
	$(BIN)/python -m pytest -m "real_time and not alone and not long" -n 2 $(SHARED) || status=$$?; \
	$(BIN)/python -m pytest -m "real_time and alone and not long" || status=$$?; \
	exit $$status
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-long: setup-dev
	$(BIN)/python -m pytest -m long $(ARGS)

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/.ready

setup-dev: $(VENV)/.ready-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "evercall needs Python 3.11 or later; $(PYTHON) is $(VERSION). Name another: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
		|| { echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps carry the lock files' times: nothing is fetched again, so both targets work offline
# after the first time.
$(VENV)/.ready: infra/requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.ready-dev: infra/requirements-dev.lock $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/requirements-dev.lock
	@touch $@

lock: setup-dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header \
		pyproject.toml --extra postgresql -o infra/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header \
		pyproject.toml --extra postgresql --extra dev -c infra/requirements.lock -o infra/requirements-dev.lock

docs: setup-dev
	$(BIN)/python -m agent.live.diagram > infra/readme/session.md

clean:
	rm -rf .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
