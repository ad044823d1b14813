# `make demo` and `make test` set up what they need; nothing has to be installed by hand.

BIN := .venv/bin
SCRIPTS_PYTHON = $(or $(PYTHON),$(wildcard $(BIN)/python),python3)
PARALLEL = -n logical --no-loadscope-reorder
QUICK = -m "not slow" $(PARALLEL)
STUDY ?= demo
PORT ?= 4141
SITE = data/08_reporting/$(STUDY)/kedro_viz
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help install lock demo test check test-pythons test-processors lint style types cluster-demo bench gpu-check faults audit docs viz viz-site clean-venv

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo; echo "  Then: source .venv/bin/activate; kedro run --help names the studies, kedro --help the commands."

install:  ## create .venv with everything in it, or mend it; PYTHON=... names another Python
	@./install.sh

lock:  ## compile requirements.txt and requirements-ffcv.txt from pyproject.toml (needs a network)
	@$(SCRIPTS_PYTHON) scripts/lock.py

demo: install  ## train on the digits that come with scikit-learn and report
	@$(BIN)/kedro run --env=demo

test: install style  ## run the linters and every test, a process a core
	$(call types_and_tests,$(PARALLEL))

check: install style  ## run the linters and the tests that take less than a second each: what to run before a commit
	$(call types_and_tests,$(QUICK))

# mypy is one process: it works beside the tests, which would otherwise wait for it with one core idle, and is heard after them.
define types_and_tests
@said=$$(mktemp); $(BIN)/mypy >"$$said" 2>&1 & types=$$!; trap 'kill $$types 2>/dev/null; rm -f "$$said"' EXIT INT TERM; \
$(BIN)/python -m pytest $(1); tested=$$?; wait $$types; typed=$$?; cat "$$said"; exit $$((tested || typed))
endef

test-pythons:  ## set up and test with every Python of PYTHONS (3.11 3.12 3.13), in throw-away copies
	@$(SCRIPTS_PYTHON) -m scripts.test_pythons $(PYTHONS:%=--python=%) -- $(QUICK)

test-processors: install  ## run the numeric tests as each lesser processor would that this one can imitate
	@$(BIN)/python -m scripts.test_processors -- -m numeric $(PARALLEL)

lint: style types  ## check style and types

style: install  ## check style alone (ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: install  ## check types alone (mypy)
	@$(BIN)/mypy

docs: install  ## build the documentation into site/, without a network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Documentation: $(CURDIR)/site/index.html"

cluster-demo: install  ## run a small study on a Dask scheduler and two workers, which end with it
	@$(BIN)/python -m scripts.cluster_demo

bench: install  ## measure the ratios of benchmarks/ and write benchmarks/results/
	@for module in loaders augmentation training_step mlp_transfer stacking clustering alphanet frozen_features predict reporting bookkeeping cluster checks copies intervals; do $(BIN)/python -m benchmarks.$$module --write || exit 1; done

gpu-check: install  ## check on a GPU that nothing waits, that numbers are the CPU's, and how fast it is (docs/gpu.md)
	@$(BIN)/python -m benchmarks.gpu

faults: install  ## kill, damage and fill up everything (some twenty minutes) and write the table of docs/faults.md
	@$(BIN)/python -m tests.faults --write

audit: install  ## compare the libraries with the known vulnerabilities (needs a network)
	@PYTHON=$(BIN)/python ./scripts/audit.sh

viz: viz-site  ## show the pipelines of STUDY (demo), with its figures and tables, at http://localhost:PORT (4141)
	@$(BIN)/python -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null || \
		{ echo "Port $(PORT) is in use; name another: make viz STUDY=$(STUDY) PORT=$$(($(PORT) + 1))" >&2; exit 1; }
	@echo "Pipelines of $(STUDY): http://localhost:$(PORT)/?pid=__default__&types=nodes (Ctrl-C ends)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(SITE) >/dev/null 2>&1 || true

# kedro-viz always builds into build/, ends with 0 even if it fails, and lets a library warn of its own future.
viz-site: install  ## build that site into data/08_reporting/STUDY/kedro_viz
	@test -d data/08_reporting/$(STUDY) || \
		{ echo "The study '$(STUDY)' has not run yet; run it first: kedro run --env=$(STUDY)" >&2; exit 1; }
	@echo "kedro-viz draws the pipelines of $(STUDY) ..."
	@rm -rf build
	@KEDRO_ENV=$(STUDY) PYTHONWARNINGS="ignore:ORJSONResponse is deprecated" \
		$(BIN)/kedro viz build --include-previews | tr '\r' '\n' | grep -v -e "^\.\.\.Creating" -e "Success!" || true
	@test -f build/index.html || { echo "kedro-viz has built nothing; see above." >&2; exit 1; }
	@rm -rf $(SITE) && mv build $(SITE)

clean-venv:  ## remove .venv
	rm -rf .venv
