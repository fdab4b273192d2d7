# Two commands for a newcomer: `make demo` and `make test`. `make check` is the quick subset.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-vm check format completions clean

help:                ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' && $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "Python 3.11 or newer with its venv module is needed (Debian: apt-get install python3-venv)" >&2; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed     ## simulate, sample, submit, plan, apply, rebalance, MIG and drain on an embedded cluster
	@GPUALLOC=$(BIN)/gpualloc bash bench/demo.sh

test:                ## everything: system packages, format, lint, types, layers, all tests
	@bash tests/system-packages.sh
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -q

test-vm: $(VENV)/.installed-dev ## the tests on a virtual Debian node with systemd; builds it the first time (docs/vm.md)
	@bash tests/vm/system-packages.sh
	@cd tests && $(abspath $(BIN))/python -m vm.image
	$(BIN)/python -m pytest -n 0 -m vm -o timeout=600 tests/vm

check: lint          ## the quick subset: format, lint, types, layers, unit and architecture tests
	$(BIN)/python -m pytest -q tests/unit tests/cases tests/architecture

.PHONY: lint
lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --no-tips --target=3.6- --violations gpualloc/node gpualloc/__init__.py gpualloc/adapters/loader.py

format: $(VENV)/.installed-dev ## put every file in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

completions: $(VENV)/.installed-dev ## write completions/ anew
	$(BIN)/python -m gpualloc.cli.completions completions

clean:               ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
