# The two commands are "make demo" and "make test"; each sets up what it needs and is quick when it is there.
# Set-up needs Debian and root (or Docker, a compose tool, gcc and python3-venv already there); it says so if not.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
CLUSTER := slurm-test-cluster/cluster
# Python of this machine for .venv: Debian's own, else the one in PATH; 3.11 or newer
BASE_PYTHON = $(firstword $(foreach python,/usr/bin/python3 python3 python3.13 python3.12 python3.11,\
    $(shell $(python) -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null </dev/null)))
SCRIPTS := .ci/run $(addprefix slurm-test-cluster/,cluster deploy host-setup.sh mkbase.sh entrypoint.sh)
# auto, criu or dmtcp: what "make demo" uses
BACKEND ?= auto
# INT, not TERM: pytest then takes its cluster down
IN_AN_HOUR := timeout --foreground --signal=INT --kill-after=120 3600
# pytest processes at a time, each with a cluster of its own
WORKERS ?= 2
# more options for pytest, e.g. make test PYTEST="-k continuity -x"
PYTEST ?=
BENCH ?=
MATRIX ?=
SOAK ?=

.PHONY: help demo test unit lint format cluster-test test-matrix soak bench setup host image launcher clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## */  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

demo: setup ## a job is checkpointed, killed and brought back twice; about two minutes (BACKEND=criu|dmtcp)
	@$(PYTHON) slurm-test-cluster/demo.py --backend $(BACKEND)

test: ## everything: lint, unit, contract, command line, documentation, cluster
	@slurm-test-cluster/host-setup.sh || { status=$$?; \
	  echo "make test: no cluster is possible here (above), so its tests cannot run; the others follow" >&2; \
	  $(MAKE) lint || true; $(MAKE) unit || true; \
	  echo "make test: incomplete, the tests on the cluster did not run: see the reason at the top" >&2; exit $$status; }
	@$(MAKE) .venv/ready launcher
	@status=0; $(MAKE) lint || status=$$?; \
	  $(IN_AN_HOUR) $(PYTHON) -m pytest --cluster -n $(WORKERS) $(PYTEST) </dev/null || status=$$?; \
	  exit $$status

unit: .venv/ready launcher ## the tests that need no cluster: seconds
	@$(PYTHON) -m pytest -n $(WORKERS) $(PYTEST) </dev/null

cluster-test: image launcher ## only the tests on the cluster
	@$(IN_AN_HOUR) $(PYTHON) -m pytest --cluster -m cluster -n $(WORKERS) $(PYTEST) </dev/null

test-matrix: setup launcher ## part of them with Slurm 20.11, 22.05, 24.11, 26.05 (MATRIX="--suite sid --write")
	@$(PYTHON) tests/matrix/run_matrix.py $(MATRIX) </dev/null

soak: setup launcher ## jobs under random faults (SOAK="MINUTES JOBS SEED"; an hour on ten jobs otherwise)
	@SYSCR_SOAK="$(SOAK)" $(PYTHON) -m pytest --cluster -s -p no:randomly tests/cluster/soak_jobs.py </dev/null

lint: .venv/ready ## ruff, mypy, import-linter; shellcheck where it is installed
	@failed=; \
	  .venv/bin/ruff check --quiet --output-format concise . || failed+=" ruff-check"; \
	  .venv/bin/ruff format --quiet --check --output-format concise . || failed+=" ruff-format"; \
	  .venv/bin/mypy --no-error-summary || failed+=" mypy"; \
	  for file in $$(find tests -name conftest.py); do \
	    MYPYPATH=$$(find tests -name '*_support.py' -printf '%h:') .venv/bin/mypy --no-error-summary $$file || failed+=" mypy($$file)"; done; \
	  .venv/bin/lint-imports --no-logo >.lint-imports.log 2>&1 || { cat .lint-imports.log; failed+=" import-linter"; }; \
	  rm -f .lint-imports.log; \
	  if command -v shellcheck >/dev/null; then shellcheck -x -P slurm-test-cluster $(SCRIPTS) || failed+=" shellcheck"; fi; \
	  if [ -n "$$failed" ]; then echo "lint: failed:$$failed"; exit 1; else echo "lint: ruff, mypy, import-linter: nothing found"; fi

format: .venv/ready ## put the code into shape
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

bench: setup ## checkpoint, restart, launch and list against the bare tools; a table
	@$(PYTHON) tests/bench $(BENCH)

setup: host .venv/ready ## what the other targets need: packages, Docker, .venv

host:
	@slurm-test-cluster/host-setup.sh

image: setup
	@$(CLUSTER) build

launcher: .venv/ready
	@$(MAKE) -s -C syscr/csrc

# A virtual environment with syscr (editable) and all tools. Made again when what goes into it changes.
.venv/ready: pyproject.toml
	@[ -n "$(BASE_PYTHON)" ] || slurm-test-cluster/host-setup.sh
	@[ -x $(PYTHON) ] && $(PYTHON) -c 'import pip' 2>/dev/null || $(or $(BASE_PYTHON),/usr/bin/python3) -m venv --clear .venv
	@echo "setup: installing syscr and the test tools into .venv"
	@timeout 900 $(PYTHON) -m pip install --quiet --disable-pip-version-check --timeout 30 -e '.[test]' </dev/null || \
	  { echo "setup: pip could not install them; is the package registry reachable, is gcc there?" >&2; exit 1; }
	@touch $@

clean: ## remove what was made here: the clusters of demo and tests, their images, .venv, caches
	@SYSCR_CLUSTER=syscr-test-$$(pwd -P | tr -d '\n' | sha256sum | cut -c1-6) $(CLUSTER) down || true
	@$(CLUSTER) purge || echo "clean: no Docker here, so no cluster either"
	@rm -rf .venv dist build syscr/csrc/bin .*_cache .hypothesis .coverage slurm-test-cluster/.state
