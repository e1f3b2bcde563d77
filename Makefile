# Two commands matter: `make run` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV ?= uv
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help run test check lint format lock bench fuzz clean
.DEFAULT_GOAL := help

help: ## show these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "tocsin: setting up .venv (once, about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tocsin needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(VENV)/.installed ## start tocsin with a real attack to look at
	@$(BIN)/tocsin run --demo

test: $(VENV)/.installed check ## lint, types, import rules and every test
	@$(BIN)/pytest -n auto

check: $(VENV)/.installed ## lint, types and import rules only
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports --no-logo

format: $(VENV)/.installed ## put the code in its standard form
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check --fix --quiet

bench: $(VENV)/.installed ## measure events a second, memory, and how long many rules load
	@$(BIN)/python -m benchmarks.bench
	@$(BIN)/python -m benchmarks.rules

fuzz: $(VENV)/.installed ## a million random rule files, a million random records
	@FUZZ=1 $(BIN)/pytest -n auto tests/property/test_fuzz.py

lock: ## pin the dependencies anew (needs uv)
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --extra embedded --extra geo --group dev pyproject.toml -o requirements.lock

clean: ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
