# Two commands are enough: `make demo` and `make test`. Both set everything up on a fresh machine.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data

.PHONY: demo test unit lint firmware clean help

help:
	@echo 'make demo      one virtual board, from label to PASS (DATA=DIR for another data folder)'
	@echo 'make test      all tests       make unit   what a developer runs while editing'
	@echo 'make lint      ruff and mypy   make firmware   rebuild firmware/ and compare it with what is committed'
	@echo 'make clean     remove the virtual environment and caches; data/ stays'

demo: $(VENV)/.base
	$(BIN)/pytest --station=sim --data=$(DATA)

test: $(VENV)/.dev
	$(BIN)/python firmware/build.py --check
	$(BIN)/pytest -q -p xdist -n auto tests_unit
	$(BIN)/pytest -q -p xdist -n auto tests_virtual

unit: $(VENV)/.dev
	$(BIN)/pytest -q -p xdist -n auto -m 'not slow' tests_unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

firmware: $(VENV)/.dev
	$(BIN)/python firmware/build.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# Stamps: pip runs only when pyproject.toml has changed, so that the second call works without a network.
$(VENV)/.base: pyproject.toml tools/setup.sh
	@bash tools/setup.sh $(VENV)
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@bash tools/setup.sh $(VENV) dev
	@touch $@
