# Everything a checkout can do. Each target makes .venv itself from the hashed locks; nothing is installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/.uv/bin/uv
INSTALL = $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --no-build-isolation -e .

.DEFAULT_GOAL := help
.PHONY: help demo up test browser check bench simulate mutants lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(UV): requirements-uv.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found; Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: Python 3.11 or newer is needed; name one with PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/.uv --require-hashes -r requirements-uv.lock
	@touch $(UV)

# The runtime is a subset of the development set, so a development environment is never torn down for it.
$(VENV)/.runtime: $(UV) requirements.lock pyproject.toml
	@echo "Installing the packages into $(VENV) ..." >&2
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(INSTALL)
	@rm -f $(VENV)/.dev && touch $@

$(VENV)/.dev: $(UV) requirements.lock requirements-dev.lock pyproject.toml
	@echo "Installing the packages for development into $(VENV) ..." >&2
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock
	@$(INSTALL)
	@touch $(VENV)/.runtime $@

demo: $(VENV)/.runtime  ## the main job, from nothing to stored results, then stop
	@$(BIN)/orchestrator demo

up: $(VENV)/.runtime  ## the product on this machine; Ctrl-C stops it
	@$(BIN)/orchestrator up

check: $(VENV)/.dev  ## ruff, mypy --strict and the rules of the house
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && $(BIN)/mypy --no-error-summary && $(BIN)/pytest tests/house

# Tests of killed, frozen and restarted processes mostly wait, so more of them run side by side than there are cores.
test: check browser  ## everything: check, then the whole suite
	@$(BIN)/pytest --ignore=tests/house --numprocesses 4 --dist worksteal

browser:  ## Debian's Chromium for the tests of the pages, where it may be installed
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing Chromium ..." >&2 \
		&& { apt-get install -y -qq chromium || { apt-get update -qq && apt-get install -y -qq chromium; }; } >/dev/null 2>&1; } \
		|| echo "make: NO CHROMIUM: the tests of the pages in a browser will be SKIPPED; as root: apt-get install -y chromium" >&2

# Within a quarter of an hour at default sizes; larger ones by the flags of each. JSON on stdout, how far it is on stderr.
bench: $(VENV)/.dev  ## the benchmarks at default sizes, JSON lines on stdout
	@for what in polling observing forecasts throughput keys scale; do $(BIN)/python -m benchmarks.$$what || exit 1; done

simulate: $(VENV)/.dev  ## simulated worlds until 20,000 runs have lived (long)
	@$(BIN)/python -m tests.simulation --lifecycles 20000 --size 200 --hot --quiet

mutants: $(VENV)/.dev  ## plant every bug of the list, and say which were caught (long)
	@$(BIN)/python -m tests.mutants

lock: $(UV)  ## resolve the locks anew (hashed, naming no index)
	@$(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 pyproject.toml -o requirements.lock --upgrade
	@$(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock --upgrade
	@echo uv | $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 - -o requirements-uv.lock --upgrade

clean:  ## remove the environment and the demo's data
	rm -rf $(VENV) .orchestrator-demo
