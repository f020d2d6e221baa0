# Two commands: `make run` and `make test`. Both set everything up first; nothing is needed beforehand but
# Python 3.11 and make.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

# The demo's dates: DAYS business dates from START, or until END.
START ?= 2017-01-01
DAYS ?= 31
DATES = --start $(START) $(if $(END),--end $(END),--days $(DAYS))
PORT ?= 3000
# The business date to score.
AT ?= 2017-01-31

export CDM_HOME ?= $(CURDIR)/.cdm
export DAGSTER_HOME ?= $(CDM_HOME)/dagster
export PYTHONWARNINGS ?= ignore

.PHONY: run scores ui test test-deep drill lint format bench status clean help

run: $(READY) ## Write the demo landing area and load it: Day 0 and the 30 days after it (DAYS=366, or START= END=)
	$(BIN)/cdm demo $(DATES)
	$(BIN)/cdm run $(DATES)

scores: $(READY) ## Train the demo's response model on what is published as of AT, write its scores back, load them
	$(BIN)/cdm demo-scores --at $(AT)
	$(BIN)/cdm run $(DATES)

ui: $(READY) ## Open the Dagster UI (webserver and daemon) over the same instance, on 127.0.0.1
	$(BIN)/cdm ui --port $(PORT)

status: $(READY) ## Show what is loaded and which checks failed
	$(BIN)/cdm status

# Three workers on two cores: the tests of the real UI wait most of their time.
test: $(READY) ## Run the tests
	$(BIN)/pytest -n 3 --dist worksteal

test-deep: $(READY) ## Run the slow tests: the laws of the load contract with hundreds of random histories
	$(BIN)/pytest -n 2 --dist worksteal -m slow

drill: $(READY) ## Inject fourteen faults into a small site; each must lead to the right incident and runbook (minutes)
	$(BIN)/python -m cdm_assets_tests.end_to_end.fault_drill

lint: $(READY) ## Format check, lint, types, package directions, runbooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cdm runbook --check

format: $(READY) ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## Measure ranges, ordinary days and a late one beside hand-written SQL (ten minutes)
	$(BIN)/python benchmarks/main_job.py

clean: ## Remove the environment and the demo's data
	rm -rf $(VENV) .cdm

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# uv installs in seconds what pip takes a minute for; pip installs uv.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "make: Python 3.11 is needed; set PYTHON=path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable '.[demo,dev]'
	touch $(READY)
