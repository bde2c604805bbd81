# Two commands do all set-up: `make demo` (no root, no apt) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: demo test lint bench chaos docs sandbox clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.ostiary
	@$(BIN)/ostiary demo

sandbox: $(VENV)/.ostiary
	@$(BIN)/ostiary sandbox up

test: $(VENV)/.test
	@$(BIN)/python tests/run.py

lint: $(VENV)/.test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.test
	@$(BIN)/python bench/run.py

chaos: $(VENV)/.test
	@$(BIN)/python tests/run.py --chaos

docs: $(VENV)/.ostiary
	@$(BIN)/python docs/make.py
	@$(BIN)/python docs/commands.py
	@$(BIN)/python docs/gateway.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ostiary: error: $(PYTHON) is not Python 3.11 or newer with venv" >&2; \
	  echo "  why: $$($(PYTHON) --version 2>&1 | head -n 1)" >&2; \
	  echo "  fix: install python3.11 and python3.11-venv, then run: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ostiary: $(VENV)/bin/python requirements/ostiary.lock.txt requirements/build.lock.txt pyproject.toml
	@echo "installing into $(VENV)" >&2
	@$(PIP_INSTALL) -r requirements/ostiary.lock.txt -r requirements/build.lock.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index -e .
	@touch $@

$(VENV)/.test: $(VENV)/.ostiary requirements/test.lock.txt
	@$(PIP_INSTALL) -r requirements/test.lock.txt
	@touch $@

clean:
	rm -rf $(VENV) .envs
