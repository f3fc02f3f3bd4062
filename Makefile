# The chores of OpenLDN; `make` lists them.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help setup up test check bench clean
help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

setup: $(STAMP) ## install into .venv
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) tools/setup.py

up: $(STAMP) ## install and start the whole network here
	@exec $(BIN)/openldn up $(ARGS)

test: $(STAMP) ## run every test; sets up what they need
	@$(PYTHON) tools/prepare_tests.py
	@$(BIN)/pytest -q -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(STAMP) ## style, types, rooms, house rules, docs
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy src tests tools benchmarks
	@PYTHONPATH=src $(BIN)/lint-imports
	@$(BIN)/pytest -q tests/test_house.py tests/test_docs.py tests/trust/test_rules_index.py

bench: $(STAMP) ## measure; prints a table and JSON
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove everything that was made here
	rm -rf .venv var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
