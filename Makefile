# `make demo` and `make test` are all a newcomer needs; each sets up .venv by itself.

PYTHON ?= python3
BIN := .venv/bin
MINUTES ?= 1
BENCH = $(BIN)/python -m pytest bench --benchmark-sort=name \
  --benchmark-columns=min,median,max,ops,rounds

.PHONY: demo test check lint format types bench bench-compare bench-once bench-limits soak clean help

help:            ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: .venv/done ## Load the embedded server with a thousand connections
	$(BIN)/python -m loadgen --conns 1000 --backend epoll

test: .venv/done ## Run the tests
	$(BIN)/python -m pytest

check: lint types test bench-once soak ## Everything that CI runs

lint: .venv/done ## Look for style and other mistakes
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: .venv/done ## Format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

types: .venv/done ## Check the types
	$(BIN)/mypy

bench: .venv/done ## Time loadgen and its runs, and save the figures (four minutes)
	$(BENCH) --benchmark-autosave --benchmark-save-data

bench-compare: .venv/done ## The same, beside the figures that were saved last
	$(BENCH) --benchmark-compare

bench-once: .venv/done ## Run every benchmark once, and time nothing
	$(BIN)/python -m pytest bench --benchmark-disable

bench-limits: .venv/done ## Compare with the limits of this machine (ten minutes)
	$(BIN)/python -m bench.limit
	$(BIN)/python -m bench.turn
	$(BIN)/python -m bench.footprint
	$(BIN)/python -m bench.fidelity

soak: .venv/done ## Does a run grow, or lose count? One minute of it; MINUTES=30 for more
	$(BIN)/python -m bench soak --duration $(MINUTES)m

clean:           ## Remove what the other commands have made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .benchmarks .loadgen build dist

.venv/done: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "loadgen needs Python 3.11 or newer; this is $$($(PYTHON) --version). \
	Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv; this takes about a minute."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $@
