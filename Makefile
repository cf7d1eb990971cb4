# Everything runs in $(VENV), made on first use: `make demo` needs Python 3.11 or newer, git and make, no more.
# Which package index pip asks is pip's own affair: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS
# and pip's configuration files hold here as anywhere.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# No build isolation: the package is built by the pinned tools, not by the newest ones. A warning of the compiler is
# an error here, not in a user's build: `make WERROR=OFF` with a compiler that knows more of them.
WERROR ?= ON
# More words for the study of `make demo`: `make demo DEMO="--seeds 2 --epochs 2 --out build/short"`.
DEMO ?=
EDITABLE := $(INSTALL) --no-build-isolation --config-settings=cmake.define.NOISEGATE_WERROR=$(WERROR) --editable
# An import does not build: a target does, when one of these is newer than what is installed.
NATIVE := $(wildcard native/CMakeLists.txt native/*.cpp native/*.h native/lanes/*) spec/normal_table.txt
# The engine without Python, for its own tests, with the same pinned tools.
CMAKE := $(BIN)/cmake -S native -G Ninja -D CMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -D NOISEGATE_PYTHON=OFF \
	-D NOISEGATE_TESTS=ON -D NOISEGATE_WERROR=$(WERROR)
PYTEST := $(BIN)/python -m pytest -n 2
TREES := src tests $(wildcard tools bench examples)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-distributed extras test test-slow check lint format types native native-test neon-test sanitize bench vectors \
	pictures notebook same-vectors clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.study ## install what the study needs and run it: networks with and without noise
	$(BIN)/noisegate study --out build/study --resume $(DEMO)

demo-distributed: export OMP_NUM_THREADS = 1
demo-distributed: $(VENV)/.study ## train in 1, 2 and 4 processes: equal masks, and the losses
	for world in 1 2 4; do \
		$(BIN)/torchrun --standalone --local-addr localhost --nproc-per-node $$world \
			examples/distributed.py || exit 1; \
	done

extras: ## try what each extra promises, each with nothing but its own packages, in build/extras
	$(PYTHON) tools/try_extras.py

test test-slow: export OMP_NUM_THREADS = 1
test: $(VENV)/.dev ## run the tests, the slow ones left out
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.dev native-test ## run all the tests, with the native engine and without it
	build/native/fuzz 100000
	$(PYTEST)
	NOISEGATE_NATIVE=0 $(PYTEST)

check: lint types same-vectors test ## lint, format, types, vectors, tests: what a change must pass

lint: $(VENV)/.dev ## say what ruff finds, in the code and in its format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.dev ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.dev ## check the types of the package
	$(BIN)/mypy --strict src

native: $(VENV)/.study ## build the native engine into .venv; say why where that fails
	@NOISEGATE_NATIVE=1 $(BIN)/python -c 'import noisegate.engines._native' || { rm -rf $(VENV)/.study build/*/editable; $(EDITABLE) . --no-deps --verbose; exit 1; }

native-test: $(VENV)/.tools ## test the native engine alone, without Python: vectors, any shapes, threads
	$(CMAKE) -B build/native
	$(BIN)/cmake --build build/native --parallel 2
	build/native/vectors spec/vectors
	build/native/fuzz 20000
	NOISEGATE_THREADS=4 build/native/threads_test

neon-test: $(VENV)/.tools ## the same for 64-bit ARM, on its emulator: needs aarch64-linux-gnu-g++ and qemu-aarch64
	$(CMAKE) -B build/neon -D CMAKE_SYSTEM_NAME=Linux -D CMAKE_SYSTEM_PROCESSOR=aarch64 \
		-D CMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -D CMAKE_EXE_LINKER_FLAGS=-static
	$(BIN)/cmake --build build/neon --parallel 2
	qemu-aarch64 build/neon/vectors spec/vectors
	qemu-aarch64 build/neon/fuzz 2000

sanitize: $(VENV)/.tools ## look for wrong addresses, undefined behaviour and races in the native engine
	$(CMAKE) -B build/sanitize-address -D NOISEGATE_SANITIZE=address,undefined
	$(BIN)/cmake --build build/sanitize-address --parallel 2
	build/sanitize-address/vectors spec/vectors
	build/sanitize-address/fuzz
	$(CMAKE) -B build/sanitize-thread -D NOISEGATE_SANITIZE=thread
	$(BIN)/cmake --build build/sanitize-thread --parallel 2
	NOISEGATE_THREADS=4 build/sanitize-thread/threads_test

bench: $(VENV)/.study ## time noise against its goals, its peers and a copy; and in models; JSON in build/bench
	$(BIN)/python bench/run.py --json build/bench/run.json
	$(BIN)/python bench/models.py --json build/bench/models.json
	$(BIN)/python bench/predictions.py --json build/bench/predictions.json
	$(BIN)/python bench/training.py --json build/bench/training.json
	$(BIN)/python bench/places.py --json build/bench/places.json
	$(BIN)/python bench/branches.py
	$(BIN)/python bench/compiled.py --json build/bench/compiled.json

vectors: $(VENV)/.study ## make the tables and vectors in spec/ anew
	$(BIN)/python tools/make_normal_table.py
	$(BIN)/python tools/make_vectors.py

pictures: $(VENV)/.dev ## make the pictures of docs anew
	$(BIN)/python tools/make_pictures.py
	$(BIN)/python tools/make_figures.py
	$(BIN)/python tools/make_by_hand.py
	$(BIN)/python tools/make_walks.py

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

$(VENV)/.tools: $(VENV)/.python constraints.txt
	$(INSTALL) cmake ninja nanobind scikit-build-core
	@touch $@

$(VENV)/.study: $(VENV)/.tools pyproject.toml constraints.txt $(NATIVE)
	$(INSTALL) torch
	$(EDITABLE) '.[study]'
	@touch $@

$(VENV)/.dev: $(VENV)/.study
	$(EDITABLE) '.[study,tune,parquet,excel,dev]'
	@touch $@
