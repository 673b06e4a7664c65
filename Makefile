# Everything runs from a virtual environment in .venv; pytest is called as `pytest`, because `python -m pytest`
# would put the checkout's own kernels/ and traces/ first on the import path.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# A stamp named by the content of pyproject.toml and the place of the checkout: a second run installs nothing.
KEY := $(shell (pwd; cat pyproject.toml) | cksum | tr ' ' '-')
INSTALLED := $(VENV)/.installed-$(KEY)
INSTALLED_DEV := $(VENV)/.installed-dev-$(KEY)
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
WORKERS ?= auto
# SCALE-Sim needs an older numpy than the rest may have, so it is installed alone, beside.
SCALE_SIM := $(VENV)/scale-sim
SCALE_SIM_INSTALLED := $(SCALE_SIM)/.installed-$(KEY)
export SCALE_SIM_NEEDS := import tomllib; file = open("pyproject.toml", "rb"); \
    print(*tomllib.load(file)["project"]["optional-dependencies"]["scale-sim"], sep="\n")

.PHONY: help run test bench scale-sim lint format dev clean

help:
	@echo "make run     install and simulate Llama 3 70B on eight H100 GPUs, one cycle log out"
	@echo "make test    install the development tools and run the test suite"
	@echo "make bench   measure the speed of kernels, engine and command line"
	@echo "make scale-sim   install SCALE-Sim in an environment of its own, for make bench to run beside"
	@echo "make lint    style and types"
	@echo "make format  put every file into the house format"

run: $(INSTALLED)
	@$(BIN)/dieshot run dgx-h100 llama-3-70b --prompt 1024 --generate 128 --precision fp8 -o llama-3-70b_dgx-h100.h5

# The special modes come first, so that the last line is the verdict on the whole suite. Compiled code does not know
# whether it checks bounds, so the checked mode keeps a cache of its own.
test: $(INSTALLED_DEV)
	@echo "kernels with array bounds checked"
	@XDG_CACHE_HOME=$(CURDIR)/$(VENV)/boundscheck NUMBA_BOUNDSCHECK=1 $(BIN)/pytest -q -n $(WORKERS) -m kernels
	@echo "small tests with the compiler off"
	@NUMBA_DISABLE_JIT=1 $(BIN)/pytest -q -m nojit
	@echo "the whole suite"
	@$(BIN)/pytest -q -n $(WORKERS)

bench: $(INSTALLED_DEV)
	@$(MAKE) --no-print-directory scale-sim || echo "SCALE-Sim does not install here, so it is not run side by side"
	@DIESHOT_SCALE_SIM_PYTHON=$$(test ! -f $(SCALE_SIM_INSTALLED) || echo '$(CURDIR)/$(SCALE_SIM)/bin/python') \
	    $(BIN)/pytest -q -rs tests/benchmarks --benchmark-columns=min,median,stddev,rounds

scale-sim: $(SCALE_SIM_INSTALLED)
	@:

$(SCALE_SIM_INSTALLED): | $(BIN)/python
	@$(BIN)/python -m venv $(SCALE_SIM)
	@$(BIN)/python -c "$$SCALE_SIM_NEEDS" >$(SCALE_SIM)/requirements.txt
	@$(SCALE_SIM)/bin/python -m pip install -qq --disable-pip-version-check -r $(SCALE_SIM)/requirements.txt
	@touch $@

lint: $(INSTALLED_DEV)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy -p dieshot

format: $(INSTALLED_DEV)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

dev: $(INSTALLED_DEV)

$(INSTALLED): | $(BIN)/python
	@$(PIP_INSTALL) -e .
	@rm -f $(VENV)/.installed-* && touch $@

$(INSTALLED_DEV): | $(BIN)/python
	@$(PIP_INSTALL) -e '.[dev]'
	@rm -f $(VENV)/.installed-* && touch $(INSTALLED) $@

$(BIN)/python:
	@for python in python3.11 python3; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "dieshot: Python 3.11 or later is needed, neither python3.11 nor python3 is one" >&2; exit 2

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
