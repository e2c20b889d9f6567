# make demo: the main job on a fresh machine.  make test: lint, import contract, tests.
# make test-slow: the tests that train, build or search for long.
# make bench: a small version of each speed claim, beside the peers that are installed.
# make constraints: renews the versions that the tests run with.
PYTHON ?= python3
PIP_FLAGS ?=            # e.g. --no-index --find-links wheels, for a machine without network
RUN ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)
PROCESSES ?= 2          # that run tests, 1.5 GB each
COVERAGE ?=             # --cov --cov-append --cov-report= measures which lines run
VENV := .venv
BIN := $(VENV)/bin
# A file's tests share what they train, so each file goes to one process.
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile $(COVERAGE)

.PHONY: demo test test-slow bench constraints clean

demo: $(VENV)/installed
	$(BIN)/nexperia train --config demo --out $(RUN)
	$(BIN)/nexperia evaluate $(RUN) --labels data/sample-v2/raw/truth.csv

test: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/installed-test
	$(PYTEST) -m slow

bench: $(VENV)/installed
	$(BIN)/python benchmarks/quick.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install $(PIP_FLAGS) -e .[forest]
	touch $@

$(VENV)/installed-test: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e .[test]
	touch $@

# Newest versions that setup.cfg allows, in an environment of their own.
constraints:
	rm -rf $(VENV)-newest
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install $(PIP_FLAGS) -e .[test]
	sed -n '/^#/p' constraints.txt > $(VENV)-newest/constraints.txt
	$(VENV)-newest/bin/python -m pip freeze --exclude-editable | \
	  grep -v '^nexperia_tf' >> $(VENV)-newest/constraints.txt
	mv $(VENV)-newest/constraints.txt constraints.txt
	rm -rf $(VENV)-newest

clean:
	rm -rf $(VENV) build *.egg-info
