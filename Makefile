# `make bench` and `make test` install all that they need into .venv: Python 3.11 or later and make are enough.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do $$p -c $(SUPPORTED) 2>/dev/null && echo $$p && break; done)
SUPPORTED := 'import sys; sys.exit(sys.version_info < (3, 11))'
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --constraint constraints.txt
# pip prints errors alone: no notice of a new version, no warning that nothing here depends on.
export PIP_QUIET := 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.PHONY: help venv bench paper reference selection language speed scale data tables test test-slow test-browser launcher-test slurm-test ray-test d4rl studies \
	gpu chaos fuzz load lint format behaviour docs wheel docker audit clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9%-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bench: .venv/.ready ## train and score eight methods on one task, print the table
	@$(BIN)/python -m bench suite=quick

paper: .venv/.ready ## the family with the paper's updates, ten seeds, twelve tasks: an evening on two cores; continues where it stopped
	@$(BIN)/python -m bench suite=paper

reference: .venv/.ready ## every method on nine tasks, days on two cores; continues where it stopped; SHARD="dataset=ID algo=NAME" runs a part
	@$(BIN)/python -m bench suite=reference $(SHARD)

tables: .venv/.ready ## rebuild tables, figures and page from raw runs: make tables SUITE=quick
	@$(BIN)/python -m bench tables results/$(or $(SUITE),quick)

data: .venv/.ready .venv/.ready-robotics ## record all built-in data sets
	@$(BIN)/python -m bench record --all

speed: .venv/.ready ## updates per second beside a plain loop and the machine's limit: results/speed, 6 minutes
	@$(BIN)/python -m bench speed

scale: .venv/.ready ## cost of an update against members, batch, width, data and method
	@$(BIN)/python -m bench speed scale

test: .venv/.ready-dev ## the fast tests; make test JOBS=2 runs them in two processes, under 20 minutes on two slow cores
	@$(BIN)/python -m pytest -m "not slow and not browser"$(if $(JOBS), -n $(JOBS) --dist loadfile)

test-slow: .venv/.ready-dev ## long tests, and more cases of fast ones
	@$(BIN)/python -m pytest -m slow

test-browser: .venv/.ready-dev ## the report page in headless Chromium, where installed
	@$(BIN)/python -m pytest -m browser -rs

launcher-test: .venv/.ready-dev .venv/.ready-joblib .venv/.ready-slurm .venv/.ready-optuna ## sweeps through joblib, submitit's local executor and Optuna
	@$(BIN)/python -m pytest tests/bench/launch/test_launchers_real.py -k "not on_slurm and not on_ray"

slurm-test: .venv/.ready-dev .venv/.ready-slurm ## a sweep on a real SLURM of one node; as root on Debian
	@tests/clusters/slurm.sh build/slurm $(BIN)/python -m pytest tests/bench/launch/test_launchers_real.py -k on_slurm

ray-test: .venv/.ready-dev .venv/.ready-ray ## a sweep on a Ray cluster of this machine
	@$(BIN)/python -m pytest tests/bench/launch/test_launchers_real.py -k on_ray

d4rl: .venv/.ready-dev ## compare our D4RL tables with those of the package d4rl
	@$(PIP) --no-deps d4rl==1.1 gym==0.23.1 gym-notices==0.1.0 tqdm termcolor==3.3.0 click cloudpickle
	@$(BIN)/python -m pytest tests/envs/readers/test_d4rl.py -k package_d4rl

selection: .venv/.ready ## how well estimates from logged data choose among policies: results/selected, a quarter of an hour
	@$(BIN)/python -m bench suite=selection
	@$(BIN)/python -m bench select results/selection

language: .venv/.ready .venv/.ready-language ## objectives on SmolLM2-135M: results/language, an hour or two on a core, resumable
	@$(BIN)/python -m bench language --layers 10 --learning-rates 3e-4

studies: .venv/.ready .venv/.ready-robotics ## test the claims of the paper: results/studies, most of a day on two cores, resumable
	@$(BIN)/python -m bench study all

gpu: .venv/.ready-dev ## check, measure and use a GPU for SECONDS (600): results in build/gpu
	@$(BIN)/python -m tests.clusters.gpu --seconds $(or $(SECONDS),600)

chaos: .venv/.ready-dev ## inject kills, full disks and damaged files into real runs and compare the results; SHARE=0.1: a tenth of them
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.helpers.chaos$(if $(SHARE), --share $(SHARE))

load: .venv/.ready-dev ## time and memory of tables and report for 300 runs, in build/load
	@rm -rf build/load
	@$(BIN)/python -m tests.helpers.load build/load

fuzz: .venv/.ready-dev ## read 10,000 mutations of every kind of file that may be a stranger's
	@FUZZ=10000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_fuzz.py

lint: .venv/.ready-dev ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.ready-dev ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

behaviour: .venv/.ready-behaviour ## train and measure a behaviour policy: make behaviour NAME=hopper
	@$(BIN)/python -m bench behaviour $(NAME)

docs: .venv/.ready-docs ## build the documentation in build/docs; every command in it runs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo build/docs/index.html

wheel: .venv/.ready ## build a wheel in dist/
	@$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

docker: ## build the image iwsft-bench and try it, where Docker runs; see docs/installation.md
	@if docker info >/dev/null 2>&1; then \
	  docker build --quiet --tag iwsft-bench . && docker run --rm iwsft-bench --help >/dev/null && echo built iwsft-bench; \
	else echo "skipped: no Docker daemon answers here"; fi

audit: .venv/.ready-audit ## known vulnerabilities of the installed packages; needs the network
	@$(BIN)/python -m pip_audit --local --skip-editable --progress-spinner off

clean: ## remove .venv and everything built, but no results
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

extra-%: .venv/.ready-% ## add an extra: make extra-wandb, extra-robotics, extra-slurm, extra-optuna ...
	@:

venv:
	@test -n "$(PYTHON)" && $(PYTHON) -c $(SUPPORTED) 2>/dev/null || \
	  { echo "error: Python 3.11 or later is needed, $(if $(PYTHON),not '$(PYTHON)',none was found); use make PYTHON=/path/to/python3" >&2; exit 2; }
	@version() { "$$1" -c 'import sys; print(*sys.version_info[:2], sep=".")'; }; \
	  if ! test -x $(BIN)/python; then echo "setting up .venv, once: a few minutes" >&2; $(PYTHON) -m venv .venv; \
	  elif test "$(origin PYTHON)" = "command line" && test "$$(version $(BIN)/python)" != "$$(version $(PYTHON))"; then \
	    echo "error: .venv has Python $$(version $(BIN)/python), not $$(version $(PYTHON)); run make clean first" >&2; exit 2; fi

.PRECIOUS: .venv/.ready-%
.venv/.ready: pyproject.toml constraints.txt | venv
	@echo "installing the suite's packages" >&2
	@$(PIP) --editable '.[report]'
	@touch $@

.venv/.ready-%: .venv/.ready
	@echo "installing the extra '$*'" >&2
	@$(PIP) --editable '.[$*]'
	@touch $@
