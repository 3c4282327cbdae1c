# The commands of the project. `make demo` and `make test` work from a fresh clone: they create .venv and install.
PYTHON ?= python3
CONSTRAINTS ?= -c constraints.txt
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(CONSTRAINTS)
RECIPE := pyproject.toml constraints.txt
# Two workers of one thread each: tests are small, and two cores are all that is asked for.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile
CODE := ot_latent tests $(wildcard benchmarks examples notebooks docs/*.py)

export MPLBACKEND ?= Agg
ifneq ($(wildcard ../shared/data),)
export OT_LATENT_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help demo test test-all lint types docs tree notebooks bench atlas clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo       digits -> train -> sample -> evaluate -> demo/report.html'
	@echo 'make test       lint, types, documentation, fast tests, notebooks in their quick size'
	@echo 'make test-all   the same with the slow tests'
	@echo 'make notebooks  notebooks in their full size'
	@echo 'make bench      side-by-side runs against peers (JSON and tables in benchmarks/)'
	@echo 'make atlas      the picture of the README'
	@echo 'make docs       documentation in docs/_build/html'
	@echo 'make lint | types | clean'

# -- installation: repeated only when pyproject.toml or constraints.txt change ---------------------
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-core: $(RECIPE) | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.stamp-test: $(RECIPE) | $(BIN)/python
	$(PIP) -e '.[test,docs,notebooks,metrics,baselines,tabular,download]'
	@touch $@ $(VENV)/.stamp-core

$(VENV)/.stamp-bench: $(RECIPE) $(VENV)/.stamp-test
	$(PIP) -e '.[bench]'
	@touch $@

# -- what a user runs ------------------------------------------------------------------------------
demo: $(VENV)/.stamp-core
	$(BIN)/ot-latent demo --out demo

atlas: $(VENV)/.stamp-core
	$(BIN)/python -m benchmarks.atlas

# -- what a developer runs -------------------------------------------------------------------------
test: export OT_LATENT_QUICK ?= 1
test: lint types docs
	$(PYTEST)

test-all: export OT_LATENT_QUICK ?= 1
test-all: lint types docs
	$(PYTEST) -m ''

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.stamp-test
	$(BIN)/mypy

docs: $(VENV)/.stamp-test
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

tree:  # redraws docs/architecture.md
	$(PYTHON) docs/tree.py

notebooks: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -q -m notebook tests

bench: $(VENV)/.stamp-bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) docs/_build demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
