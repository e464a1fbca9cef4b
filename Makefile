# run, test, check: each sets up what it needs in .venv and is quick when nothing changed.
.DEFAULT_GOAL := help
.PHONY: help run test check bench simulate lock

VENV := .venv
BIN := $(VENV)/bin
# Tried by running, not by name: a version manager's placeholder may stand in PATH without its Python.
FIND_PYTHON := for name in python3.13 python3.12 python3.11 python3; do \
	if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$name; break; fi; done
# Only hashed files are installed; this package itself comes from the tree, without fetching anything.
# Twice quiet: errors only. What a machine's own pip settings make it warn of is nobody's business here.
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

help:
	@echo "make run    set up $(VENV) and run the bot"
	@echo "make test   set up $(VENV) and run all tests"
	@echo "make check  set up $(VENV) and check style and types"
	@echo "make bench  measure the bot beside a stock aiogram bot, in four minutes (ARGS=--quick: in one and a half)"
	@echo "make simulate  let people register while SMS are lost, gateways fail and attackers ask too (ARGS=--quick)"
	@echo "make lock   write requirements.lock and requirements-dev.lock anew (needs uv)"

$(VENV)/made:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "error: Python 3.11 or newer with venv is needed (on Debian: python3-venv)" >&2; exit 1; fi; \
	echo "[1/3] making $(VENV) with $$($$python --version)"; \
	$$python -m venv --clear $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/made requirements.lock pyproject.toml
	@echo "[2/3] installing what the bot needs (a minute at first)"
	@$(INSTALL) --require-hashes -r requirements.lock
	@echo "[3/3] installing the bot"
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.lock
	@echo "[+] installing what the tests need"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

run: $(VENV)/run
	@exec $(BIN)/python -m bot

test: $(VENV)/dev
	@# Three at a time on two cores, as tests/lanes.py has it: many wait for processes more than they compute.
	@$(BIN)/python -m pytest -n 3

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py tests/test_texts.py tests/test_readme.py

bench: $(VENV)/dev
	@$(BIN)/python -m tests.bench $(ARGS)

simulate: $(VENV)/dev
	@$(BIN)/python -m tests.simulation $(ARGS)

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --extra build

lock:
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
