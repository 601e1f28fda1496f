# Two commands matter: make demo, make test. Everything happens in .venv; nothing outside is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint check bench install clean

help:            ## Show the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(VENV)/installed  ## Cluster real data: one pass, which k, labels, pictures, reports
	$(BIN)/shoal demo --out demo-out --ask

test: $(VENV)/test-installed  ## Install what is needed and run every test
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(VENV)/test-installed  ## Format, style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## What the continuous integration runs

bench: $(VENV)/test-installed  ## All benchmarks, side by side with the peers (slow)
	$(BIN)/pip install -q --group bench
	$(BIN)/python -m benchmarks.run

install: $(VENV)/installed  ## Install into .venv

clean:           ## Remove what was built
	rm -rf $(VENV) build demo-out

$(VENV)/bin/python:
	@PYTHON=$(PYTHON) sh scripts/debian_packages.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'

# a client our formats and jobs are tested with; it wants older releases of what we use, so it has a room of its own
SAGEMAKER_SDK := sagemaker==2.257.7 scipy

SOURCES := pyproject.toml CMakeLists.txt $(wildcard src/shoal/kernels/*.?pp)

$(VENV)/installed: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install -q -e '.[serve]'
	touch $@

$(VENV)/test-installed: $(VENV)/installed
	@sh scripts/debian_packages.sh test
	$(BIN)/python -m pip install -q --group test --group lint
	$(PYTHON) -m venv $(VENV)/sagemaker-sdk
	$(VENV)/sagemaker-sdk/bin/python -m pip install -q $(SAGEMAKER_SDK) || echo "without the SageMaker SDK its tests are skipped"
	touch $@
