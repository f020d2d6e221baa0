# Two commands: `make run` and `make test`. Both set everything up first; nothing is needed beforehand but
# Python 3.11 and make.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# The stand-in for Snowflake, in an environment of its own.
FAKESNOW := $(VENV)/fakesnow/.installed

# The demo's dates: DAYS business dates from START, or until END.
START ?= 2017-01-01
DAYS ?= 31
DATES = --start $(START) $(if $(END),--end $(END),--days $(DAYS))
PORT ?= 3000
STAND_IN_PORT ?= 8787
# The business date to score.
AT ?= 2017-01-31
# duckdb, or the engine of the database that CDM_DATABASE names. Without that, ENGINE=postgresql starts a server of its own.
ENGINE ?= duckdb

export CDM_HOME ?= $(CURDIR)/.cdm
export DAGSTER_HOME ?= $(CDM_HOME)/dagster$(if $(filter-out duckdb,$(ENGINE)),-$(ENGINE))
export PYTHONWARNINGS ?= ignore

OWN_SERVER = $(BIN)/python -m cdm_assets_tests.engines.postgres_server $(CDM_HOME)/postgresql
ifeq ($(ENGINE),duckdb)
CDM := $(BIN)/cdm
else ifeq ($(ENGINE),postgresql)
CDM := CDM_DATABASE="$${CDM_DATABASE:-$$($(OWN_SERVER))}" $(BIN)/cdm
else
CDM := CDM_DATABASE="$${CDM_DATABASE:?set it to the URL of the $(ENGINE) database, see docs/engines.md}" $(BIN)/cdm
endif

.PHONY: compare run scores ui test test-deep snowflake-stand-in drill lint format bench status clean help

run: $(READY) ## Write the demo landing area and load it: Day 0 and the 30 days after it (DAYS=366, or START= END=; ENGINE=)
	$(BIN)/cdm demo $(DATES)
	$(CDM) run $(DATES)

compare: $(READY) ## Compare what is published on ENGINE with what is on DuckDB, row by row (after a `make run` of each)
	$(subst $(BIN)/cdm,$(BIN)/python,$(CDM)) -m cdm_assets_tests.engines.comparison $(CDM_HOME)/warehouse/cdm.duckdb

scores: $(READY) ## Train the demo's response model on what is published as of AT, write its scores back, load them
	$(CDM) demo-scores --at $(AT)
	$(CDM) run $(DATES)

ui: $(READY) ## Open the Dagster UI (webserver and daemon) over the same instance, on 127.0.0.1
	$(CDM) ui --port $(PORT)

status: $(READY) ## Show what is loaded and which checks failed
	$(CDM) status

# Three workers on two cores: the tests of the real UI wait most of their time.
test: $(READY) $(FAKESNOW) ## Run the tests
	$(BIN)/pytest -n 3 --dist worksteal

test-deep: $(READY) $(FAKESNOW) ## Run the slow tests: the laws of the load contract with hundreds of random histories
	$(BIN)/pytest -n 2 --dist worksteal -m slow

snowflake-stand-in: $(READY) $(FAKESNOW) ## Start a stand-in for Snowflake (fakesnow, in memory) and print its CDM_DATABASE; Ctrl-C ends it
	$(BIN)/python -m cdm_assets_tests.engines.fakesnow_server --port $(STAND_IN_PORT)

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
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt --editable '.[demo,dev,kubernetes,postgresql]'
	touch $(READY)

$(FAKESNOW): $(READY) cdm_assets_tests/engines/fakesnow-constraints.txt
	$(BIN)/python -m cdm_assets_tests.engines.fakesnow_server --install
