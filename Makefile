# Every target makes its own .venv: only Python 3.11 or newer, make and the package index are needed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench faults clean

help:
	@echo "make demo              the whole bus on this machine: stack, 20,000 citizens, deliveries, changes (KEEP=1: leave it up)"
	@echo "make check             format, lint, types, import rules and unit tests: under a minute"
	@echo "make test              every test, on real servers that it starts itself (SEED=n repeats a run)"
	@echo "make faults            the long fault tests: 20 kills of each kind of process"
	@echo "make bench ONLY=name   one benchmark of bench/, or all of them; results in bench/results/"
	@echo "make clean             end the local stack, remove its data, .venv and what tools left (downloads in .cache stay)"
	@echo "PYTHON=/path/python    chooses the Python that makes .venv"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "govbus needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python")'
	@test -x $(BIN)/python || $(PYTHON) -c 'import os, subprocess, sys; sys.exit(subprocess.call([os.path.realpath(sys.executable), "-m", "venv", ".venv"]))' \
	    || { echo "no virtual environment could be made (on Debian: apt-get install python3-venv)"; exit 1; }
	@echo "installing govbus and its tools into .venv"
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable '.[stack,parquet,fast]' --group dev
	@touch $(READY)

demo: $(READY)
	@$(BIN)/govbus demo

check: $(READY)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q --hypothesis-profile=quick tests/unit tests/properties

test: $(READY)
	@$(BIN)/python -m pytest --hypothesis-profile=full tests

faults: $(READY)
	@GOVBUS_FAULTS=full $(BIN)/python -m pytest --timeout=3600 tests/faults

bench: $(READY)
	@for file in bench/$(or $(ONLY),*).py; do \
	    test -f "$$file" || { echo "there is no benchmark $$file"; exit 1; }; \
	    echo "$$file"; $(BIN)/python "$$file" || exit 1; \
	done

clean:
	@test ! -x $(BIN)/govbus || $(BIN)/govbus stack down --purge
	rm -rf .venv .govbus dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
