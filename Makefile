# Every target sets itself up: a virtual environment in .venv with the package,
# its command and the tools in it, renewed when pyproject.toml or constraints.txt change.
# `make PYTHON=python3.12 test` uses another interpreter.

PYTHON ?= python3
TEST_OPTIONS ?= -n 2 --dist worksteal
BENCHMARKS ?= time_to_quality step_time encode

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_BENCH := $(VENV)/.installed-bench
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help demo test check bench clean

help:
	@echo "make demo    fit scikit-learn's digits: table here; model, codes and report in demo/"
	@echo "make test    run the tests"
	@echo "make check   check format, lint and types"
	@echo "make bench   run every benchmark against its peers (takes long)"
	@echo "make clean   remove everything that these targets made"

# torch goes in first and alone, so that nothing else can pull another build of it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[dev,onnx]'
	touch $@

$(INSTALLED_BENCH): $(INSTALLED)
	$(PIP) install -c constraints.txt -e '.[bench]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/autoencode demo -o demo --force

# One thread per worker: the workers fill the cores, and small networks are faster so.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_OPTIONS)

check: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

bench: $(INSTALLED_BENCH)
	set -e; for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py; done

clean:
	rm -rf $(VENV) demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
