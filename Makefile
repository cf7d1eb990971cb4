# Everything runs in $(VENV), made on first use: `make demo` needs Python 3.11 or newer, git and make, no more.
# Which package index pip asks is pip's own affair: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS
# and pip's configuration files hold here as anywhere.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# No build isolation: the package is built by the pinned hatchling, not by the newest one.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --no-build-isolation
PYTEST := $(BIN)/python -m pytest -n 2
TREES := src tests $(wildcard tools bench examples)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow check lint format types bench vectors pictures notebook same-vectors clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.study ## install what the study needs and run it: networks with and without noise
	$(BIN)/noisegate study --out build/study

test test-slow: export OMP_NUM_THREADS = 1
test: $(VENV)/.dev ## run the tests, the slow ones left out
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.dev ## run all the tests
	$(PYTEST)

check: lint types same-vectors test ## lint, format, types, vectors, tests: what a change must pass

lint: $(VENV)/.dev ## say what ruff finds, in the code and in its format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.dev ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.dev ## check the types of the package
	$(BIN)/mypy --strict src

bench: $(VENV)/.study ## time noise against torch's own dropout, a NumPy mask and a copy; and in models
	$(BIN)/python bench/run.py
	$(BIN)/python bench/models.py
	$(BIN)/python bench/training.py

vectors: $(VENV)/.study ## make the tables and vectors in spec/ anew
	$(BIN)/python tools/make_normal_table.py
	$(BIN)/python tools/make_vectors.py

pictures: $(VENV)/.dev ## make the pictures of docs anew
	$(BIN)/python tools/make_pictures.py
	$(BIN)/python tools/make_figures.py
	$(BIN)/python tools/make_by_hand.py

notebook: $(VENV)/.study ## make the notebook of docs/by_hand.md anew
	$(BIN)/python tools/make_notebook.py

same-vectors: $(VENV)/.study ## say whether making them anew would change a bit
	$(BIN)/python tools/make_normal_table.py --check
	$(BIN)/python tools/make_vectors.py --check

clean: ## remove what was built and cached; `rm -rf .venv` removes the environment too
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(TREES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@command -v $(PYTHON) > /dev/null || { echo 'noisegate needs Python 3.11 or newer, and there is no `$(PYTHON)` here: name one, as in `make PYTHON=python3.12 test`.' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "noisegate needs Python 3.11 or newer, and \`$(PYTHON)\` is $$($(PYTHON) --version 2>&1): name another, as in \`make PYTHON=python3.12 test\`." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.study: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) torch hatchling
	$(INSTALL) --editable '.[study]'
	@touch $@

$(VENV)/.dev: $(VENV)/.study
	$(INSTALL) --editable '.[study,dev]'
	@touch $@
