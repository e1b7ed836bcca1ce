# Everything a contributor or CI does, from a fresh clone, alone. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.p2pcache-ready
UV := $(shell command -v uv 2>/dev/null)
NPM := $(shell command -v npm 2>/dev/null)
RECORDINGS := tests/recordings/github3.py-4.0.1.tar.gz
MERMAID_READY := $(if $(NPM),tests/mermaid/node_modules/.package-lock.json)
INTERCEPTION_READY := $(if $(NPM),tests/interception/node_modules/.package-lock.json)
MCP_READY := $(if $(NPM),tests/mcp/node_modules/.package-lock.json)
CI_PROGRAMS = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/p2pcache-ci
NODE_READY := $(if $(NPM),tests/node/node_modules/.package-lock.json)
# Two cores are what CI and most laptops under load have. There are more workers than that, since tests wait for processes
# and peers as long as they compute; tests that share an engine stay on one worker.
PYTEST := $(RUN) -m pytest -q
WORKERS ?= 4

.PHONY: help setup demo test coverage lint workflows bench e2e format reference docs lock pyz clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## .venv from the locks (uv when present, else pip)

$(READY): requirements-dev.lock pyproject.toml
	@bash .ci/venv "$(PYTHON)" "$(VENV)" requirements-dev.lock
	@touch $@

# --ignore-scripts: what the tests need of these packages is files.
tests/%/node_modules/.package-lock.json: tests/%/package-lock.json
	@cd tests/$* && npm ci --ignore-scripts --no-progress --loglevel=error
	@touch $@

$(RECORDINGS): tests/recordings/requirements.txt | $(READY)
	@bash .ci/recordings "$(PYTHON)" "$(VENV)" $(@D)
	@[[ ! -e $@ ]] || touch $@

demo: $(READY)  ## a stand-in GitHub, a hub, three runners, a workload, the report
	@$(RUN) -m p2pcache demo

# Fifty nodes in a given time are what two cores can do: they have the machine to themselves.
FLEETS := tests/integration/swarm

test: $(READY) $(NODE_READY) $(RECORDINGS)  ## the whole suite but e2e; what is left out is listed by name
	@$(PYTEST) -n $(WORKERS) --ignore=tests/e2e $(addprefix --ignore=,$(FLEETS))
	@$(PYTEST) $(FLEETS)

coverage: $(READY)  ## every line and branch of github/, cache/ and swarm/ runs in their unit tests, or it fails
	@$(RUN) -m coverage erase
	@printf '%s\n' tests/unit/swarm 'tests/unit/github tests/unit/cache' \
	  | xargs -P $(WORKERS) -L 1 $(RUN) -m coverage run -m pytest -q -p no:xdist
	@$(RUN) -m coverage combine -q
	@$(RUN) -m coverage report

e2e: $(READY) $(NODE_READY) $(MCP_READY) $(MERMAID_READY) $(INTERCEPTION_READY)  ## whole lives: workflows, containers, shells, a browser
	@$(PYTEST) -n 2 --timeout=600 tests/e2e

lint: $(READY)  ## ruff, formatting, types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

# zizmor does not ask GitHub, so that it says the same everywhere.
workflows: $(READY)  ## actionlint (.ci/programs builds it) and zizmor, over every workflow and action
	@$(CI_PROGRAMS)/actionlint-1.7.12/actionlint
	@$(VENV)/bin/zizmor --offline --quiet .

format: $(READY)  ## let ruff mend what it can
	@$(VENV)/bin/ruff check --fix-only -q .
	@$(VENV)/bin/ruff format -q .

bench: $(READY)  ## the benchmarks
	@for bench in bench/*.py; do [[ $$bench == */_* ]] || $(RUN) "$$bench"; done

# Left out of the lock: what pyproject.toml's override-dependencies say is never imported. `--no-emit-index-url` and
# friends keep the lock free of the registry it was made against. requirements-s3.lock and requirements-mcp.lock are
# installed on top of the first.
LEFT_OUT := coincurve fastecdsa grpcio miniupnpc mypy-protobuf rpcudp types-protobuf types-requests u-msgpack-python
COMPILE := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate $(addprefix --no-emit-package ,$(LEFT_OUT))

reference: $(READY)  ## docs/settings.md from p2pcache/declarations.py
	@$(RUN) docs/reference.py > docs/settings.md

docs: $(READY)  ## the documentation's site in build/site; a link or an anchor that leads nowhere fails it
	@$(RUN) docs/site_pages.py build/pages
	@$(VENV)/bin/zensical build --clean --strict

lock:  ## refresh the locks (needs uv; LOCK_FLAGS=--upgrade for newer versions)
	@$(COMPILE) $(LOCK_FLAGS) --group libp2p -o requirements.lock pyproject.toml
	@$(COMPILE) $(LOCK_FLAGS) --group libp2p --group dev --all-extras -c requirements.lock -o requirements-dev.lock pyproject.toml
	@echo obstore | $(COMPILE) $(LOCK_FLAGS) -c requirements-dev.lock --no-emit-package typing-extensions \
	  -o requirements-s3.lock -
	@echo 'mcp>=2.3,<3' | $(COMPILE) $(LOCK_FLAGS) -c requirements-dev.lock $$(sed -nE \
	  's/^([a-z0-9.-]+)==.*/--no-emit-package \1/p' requirements.lock) -o requirements-mcp.lock -
	@echo uv | $(COMPILE) $(LOCK_FLAGS) -o requirements-uv.lock -

pyz:  ## dist/p2pcache-PLATFORM.pyz, p2pcache in one file (PYTHON needs pip; PLATFORM=Linux-aarch64 for another one)
	@$(PYTHON) release/pyz.py $(if $(PLATFORM),dist/p2pcache-$(PLATFORM).pyz $(PLATFORM))

clean:  ## remove what the targets above made
	@rm -rf $(VENV) $(RECORDINGS) tests/node/node_modules tests/mcp/node_modules tests/mermaid/node_modules tests/interception/node_modules build dist .mypy_cache .ruff_cache .pytest_cache
