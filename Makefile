# Everything is installed and cached in .venv; nothing else is needed than python3.11 or newer.
# `make help` lists the targets.

PYTHON ?= python3

VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python
CACHE  := $(VENV)/cache
READY  := $(VENV)/.ready-dev
BENCH  := $(VENV)/.ready-bench
INPUTS := pyproject.toml constraints.txt
CODE   := $(wildcard src tests benchmarks)

export PYTHONPYCACHEPREFIX := $(CURDIR)/$(CACHE)/pycache
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/$(CACHE)/hypothesis

.PHONY: help demo test server torture lint types contracts bench clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s%s\n", $$1, $$2 }'

demo: $(READY)  ## watch palatine keep, diff and restore made-up palaces
	$(PY) -m palatine.testing.demo

test: $(READY)  ## run the tests, in parallel; ARGS="-k name" chooses some
	$(PY) -m pytest -n auto $(ARGS)

server: $(READY)  ## build the S3 server that some tests talk to; from the Go module proxy
	tests/s3/build

torture: export PALATINE_TORTURE := 1
torture: export PYTEST_ADDOPTS := --timeout=3600
torture: test  ## run the same tests with full counts

lint: $(READY)  ## check style and formatting
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(READY)  ## check the types
	$(PY) -m mypy $(CODE)

contracts: $(READY)  ## check the floors: who may import whom
	$(BIN)/lint-imports --no-logo --cache-dir $(CACHE)/import-linter

bench: $(BENCH)  ## measure palatine against restic, borg and tar
	$(PY) benchmarks/race.py $(ARGS)

clean:  ## remove what the other targets made
	rm -rf $(VENV)

$(READY): $(INPUTS)
	@command -v '$(PYTHON)' >/dev/null || { \
	  echo "there is no '$(PYTHON)' here; choose another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "palatine needs Python 3.11 or newer, and '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>&1); choose another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(BENCH): $(READY)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@
