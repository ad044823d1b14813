# `make demo` and `make test` set up what they need; nothing has to be installed by hand.

PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench docs viz clean-venv

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

install: $(INSTALLED)  ## create .venv with everything in it

$(INSTALLED): requirements.txt pyproject.toml install.sh
	@PYTHON=$(PYTHON) ./install.sh
	@touch $@

demo: install  ## train on the digits that come with scikit-learn and report
	@$(BIN)/kedro run --env=demo

test: install lint  ## run the linters and every test, a process a core
	@$(BIN)/python -m pytest -n logical --dist loadfile

lint: install  ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: install  ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Documentation: $(CURDIR)/site/index.html"

bench: install  ## measure the ratios of benchmarks/ and write benchmarks/results/
	@for module in loaders augmentation training_step mlp_transfer stacking clustering alphanet; do $(BIN)/python -m benchmarks.$$module --write || exit 1; done

viz: install  ## build the site of STUDY (demo) with kedro-viz and serve it at http://localhost:4141
	@KEDRO_ENV=$(or $(STUDY),demo) $(BIN)/kedro viz build --include-previews
	@$(BIN)/python -m http.server 4141 --directory build

clean-venv:  ## remove .venv
	rm -rf .venv
