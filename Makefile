# `make demo` and `make test` are all a newcomer needs; each sets up .venv by itself.

PYTHON ?= python3
BIN := .venv/bin
MINUTES ?= 1
JOBS ?= 3
INSTALL := python -m pip install --quiet --disable-pip-version-check
NATIVE := setup.py $(wildcard loadgen/*/*.[ch])
LOCK = .tools/bin/uv pip compile pyproject.toml --quiet --upgrade --universal \
  --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'
TESTS = $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal
BENCH = $(BIN)/python -m pytest bench --benchmark-sort=name \
  --benchmark-columns=min,median,max,ops,rounds

# Tests start Python some hundred times: each would compile all of loadgen.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage check lint format types bench bench-compare bench-once bench-limits soak lock audit clean help

help:            ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: .venv/done ## Load the embedded server with a thousand connections
	$(BIN)/python -m loadgen --conns 1000 --backend epoll

test: .venv/done ## Run the tests, JOBS=3 at a time: more than cores, for most of them wait
	$(TESTS) -m 'not image'

coverage: .venv/done ## The same, and fail where too little of loadgen is tested
	$(TESTS) --cov --cov-report=json:.coverage.json
	$(BIN)/python -m bench coverage .coverage.json

check: lint types coverage bench-once soak ## Everything that CI runs

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

bench-once: .venv/done ## Run every benchmark once, time nothing, and test the benchmarks
	$(BIN)/python -m pytest bench --benchmark-disable
	$(BIN)/python -m pytest bench/tests

bench-limits: .venv/done ## Compare with the limits of this machine (ten minutes)
	-$(BIN)/python -m bench.limit # fails where an aim is missed, and so do the others
	-$(BIN)/python -m bench open_loop
	-$(BIN)/python -m bench.turn
	-$(BIN)/python -m bench.footprint
	-$(BIN)/python -m bench.fidelity

soak: .venv/done ## Does a run grow, or lose count? One minute of it; MINUTES=30 for more
	$(BIN)/python -m bench soak --duration $(MINUTES)m

lock: .tools/done ## Take the newest of all that is locked: requirements/, and the base image
	$(LOCK) --extra all --group build --output-file requirements/all.txt
	$(LOCK) --extra locust --extra http --group build --constraint requirements/all.txt \
	  --output-file requirements/locust.txt
	$(LOCK) --group tools --output-file requirements/tools.txt
	.ci/base-image

audit: .tools/done ## Is anything that is locked known to be vulnerable?
	.tools/bin/pip-audit --require-hashes --disable-pip --requirement requirements/all.txt \
	  --requirement requirements/tools.txt

clean:           ## Remove what the other commands have made
	rm -rf .venv .tools .mypy_cache .pytest_cache .ruff_cache .benchmarks .coverage .coverage.* .loadgen build dist
	rm -rf *.egg-info loadgen/*/_native*.so

.venv/done: .venv/locked pyproject.toml $(NATIVE)
	CC='$(CC)' $(BIN)/$(INSTALL) --no-deps --no-build-isolation --editable .
	@ls loadgen/*/_native*.so > /dev/null 2>&1 || echo "The modules in C are not built: $(CC) is missing, \
	or has failed. loadgen works without them, in Python alone, and takes longer for each message." >&2
	@touch $@

.venv/locked: requirements/all.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "loadgen needs Python 3.11 or newer; this is $$($(PYTHON) --version). \
	Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv; this takes about a minute."
	$(PYTHON) -m venv .venv
	$(BIN)/$(INSTALL) --require-hashes --requirement requirements/all.txt
	@touch $@

.tools/done: requirements/tools.txt
	$(PYTHON) -m venv .tools
	.tools/bin/$(INSTALL) --require-hashes --requirement $<
	@touch $@
