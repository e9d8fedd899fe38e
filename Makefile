# `make demo` and `make test` do all their set-up; `make` alone lists what there is.
#
# The environment is made once, in .venv, and made again when pyproject.toml or constraints.txt change. PyTorch is
# installed first and alone, so that pip takes the build that this machine is configured for. Variables:
#   PYTHON       the interpreter to use instead of the first suitable one below
#   TORCH_INDEX  a package index to install PyTorch from (say, one with builds for the CPU only) instead of pip's own
#   ARGS         arguments for pytest instead of -n 2: make test ARGS="tests/test_tiny.py -k llama"
#   PORT         port of the demo page
#   MERGEGUARD_MERGEKIT_PYTHON  an interpreter that has mergekit, instead of .venv-mergekit

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test mergekit lint types format coverage-table tables zoo clean

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check --constraint constraints.txt
CANDIDATES := $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14
SUITABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
MERGEKIT := .venv-mergekit
export MERGEGUARD_MERGEKIT_PYTHON ?= $(CURDIR)/$(MERGEKIT)/bin/python
MERGEKIT_READY := $(if $(filter $(CURDIR)/$(MERGEKIT)/%,$(MERGEGUARD_MERGEKIT_PYTHON)),$(MERGEKIT)/.ready)
OFFLINE := HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 GRADIO_ANALYTICS_ENABLED=False

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: $(VENV)/.ready-demo ## set up, then open the page: trained models, protected and merged
	$(OFFLINE) $(PY) -m space.app $(if $(PORT),--port $(PORT))

test: $(VENV)/.ready-dev $(MERGEKIT_READY) ## set up (a browser and mergekit too), then run all tests
	@$(PY) -m tests.browser
	OMP_NUM_THREADS=1 $(PY) -m pytest $(or $(ARGS),-n 2)

mergekit: $(MERGEKIT)/.ready ## install mergekit in an environment of its own, for the tests and the merge benchmark

lint: $(VENV)/.ready-dev ## ruff, as a linter and as a formatter's check
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.ready-dev ## mypy --strict on the package
	$(PY) -m mypy

format: $(VENV)/.ready-dev ## let ruff rewrite the files
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

coverage-table: $(VENV)/.ready-dev ## prove every causal language model of transformers and write docs/architectures.md
	$(OFFLINE) OMP_NUM_THREADS=1 $(PY) -m benchmarks.architectures
	$(PY) -m benchmarks.render_docs

tables: $(VENV)/.ready-dev ## put the measured tables of benchmarks/results into README.md and docs/
	$(PY) -m benchmarks.render_docs

zoo: $(VENV)/.ready-dev ## train every model of the zoo again, into build/zoo (hours); ZOO=folder for another place
	$(OFFLINE) OMP_NUM_THREADS=1 $(PY) -m space.zoo.train --out $(or $(ZOO),build/zoo)
	$(OFFLINE) OMP_NUM_THREADS=1 $(PY) -m space.zoo.harden --out $(or $(ZOO),build/zoo)

clean: ## remove the environment, caches and build outputs
	rm -rf $(VENV) $(MERGEKIT) build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.ready-torch: constraints.txt
	@python=""; \
	for candidate in $(CANDIDATES); do \
	  if "$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "No Python 3.11 or newer with venv and ensurepip among: $(CANDIDATES). Install one, or name it: make PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi; \
	if ! $(PY) -c '$(SUITABLE)' >/dev/null 2>&1; then \
	  echo "Making $(VENV) with $$("$$python" -V)"; \
	  rm -rf $(VENV); \
	  "$$python" -m venv $(VENV); \
	fi
	@echo "Installing $(TORCH) (a few minutes, this once)"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	@touch $@

$(VENV)/.ready-demo: $(VENV)/.ready-torch pyproject.toml
	@echo "Installing mergeguard-hub and what the page needs"
	@$(PIP) --editable '.[key,space]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready-torch pyproject.toml
	@echo "Installing mergeguard-hub and what its tests need"
	@$(PIP) --editable '.[dev]'
	@touch $@

$(MERGEKIT)/.ready: $(VENV)/.ready-torch constraints-mergekit.txt
	@echo "Installing mergekit in $(MERGEKIT) (a few minutes, this once)"
	@rm -rf $(MERGEKIT)
	@$(PY) -m venv $(MERGEKIT)
	@install="$(MERGEKIT)/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints-mergekit.txt"; \
	$$install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH); \
	$$install mergekit
	@touch $@
