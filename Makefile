# `make bench` and `make test` do all the set-up they need: Python 3.11 and make are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.PHONY: bench test test-slow test-browser lint format data tables report baselines docs behaviour wheel clean d4rl audit launcher-test slurm-test ray-test chaos speed scale

bench: .venv/.ready ## train and score the whole family on three tasks
	@$(BIN)/python -m bench suite=quick

test: .venv/.ready-dev ## the tests, in a few minutes
	@$(BIN)/python -m pytest -m "not slow and not browser"

test-slow: .venv/.ready-dev ## the tests that take longer
	@$(BIN)/python -m pytest -m slow

test-browser: .venv/.ready-dev ## the report page in headless Chromium, where there is one
	@$(BIN)/python -m pytest -m browser -rs

lint: .venv/.ready-dev ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.ready-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

data: .venv/.ready ## record all built-in data sets
	@$(BIN)/python -m envs.recorded.record --all

tables: .venv/.ready ## results/quick's tables from its raw runs
	@$(BIN)/python -m bench.report.suite results/quick

report: .venv/.ready ## tables, figures and report.html from raw runs: make report SUITE=quick
	@$(BIN)/python -m bench.report results/$(or $(SUITE),quick)

behaviour: .venv/.ready-behaviour ## train and measure a behaviour policy again: make behaviour NAME=hopper
	@$(BIN)/python -m envs.recorded.train $(NAME)
	@$(BIN)/python -m envs.recorded.measure $(NAME)

docs: .venv/.ready-docs ## the documentation site in build/docs, every command in it run
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo build/docs/index.html

wheel: .venv/.ready
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## everything that can be made again, but no results
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: Python 3.11 is needed, found $$($(PYTHON) --version 2>&1 || echo none); say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "setting up .venv, once: about two minutes" >&2
	@$(PYTHON) -m venv .venv

.venv/.ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing the suite's packages" >&2
	@$(PIP) --editable .
	@touch $@

.venv/.ready-dev: .venv/.ready
	@echo "installing what tests and lint need" >&2
	@$(PIP) --quiet --editable '.[dev]'
	@touch $@

.venv/.ready-behaviour: .venv/.ready
	@echo "installing what training behaviour policies needs" >&2
	@$(PIP) --editable '.[behaviour]'
	@touch $@

d4rl: .venv/.ready-dev ## put the package d4rl beside Minari and compare its tables with ours
	@$(PIP) --no-deps d4rl==1.1 gym==0.23.1 gym-notices==0.1.0 tqdm termcolor==3.3.0 click cloudpickle
	@$(BIN)/python -m pytest tests/envs/readers/test_d4rl.py -k package_d4rl

.venv/.ready-docs: .venv/.ready
	@echo "installing what the documentation site needs" >&2
	@$(PIP) --editable '.[docs]'
	@touch $@

baselines: .venv/.ready ## every method on six tasks, with what they cost: two and a half hours on two cores
	@$(BIN)/python -m bench suite=baselines
	@$(BIN)/python -m bench.report.costs results/baselines

chaos: .venv/.ready-dev ## kills, full disks, damaged files and more, injected into real runs: what is lost (nothing), what changes (nothing)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.helpers.chaos

.venv/.ready-audit: .venv/.ready-dev
	@echo "installing what the audit of packages needs" >&2
	@$(PIP) --quiet --editable '.[audit]'
	@touch $@

audit: .venv/.ready-audit ## known vulnerabilities of the installed packages, where the advisory service can be reached
	@$(BIN)/python -m pip_audit --local --skip-editable --progress-spinner off
extra-%: .venv/.ready-extra-% ## optional packages: make extra-joblib, extra-slurm, extra-ray, extra-optuna
	@:

.PRECIOUS: .venv/.ready-extra-%
.venv/.ready-extra-%: .venv/.ready
	@echo "installing what the extra '$*' needs" >&2
	@$(PIP) --quiet --editable '.[$*]'
	@touch $@

launcher-test: .venv/.ready-dev extra-joblib extra-slurm extra-optuna ## sweeps through joblib, submitit's local executor and Optuna
	@$(BIN)/python -m pytest tests/bench/launch/test_launchers_real.py -k "not on_slurm and not on_ray"

slurm-test: .venv/.ready-dev extra-slurm ## a sweep on a real SLURM of one node, installed, started and stopped; as root on Debian
	@tests/clusters/slurm.sh build/slurm $(BIN)/python -m pytest tests/bench/launch/test_launchers_real.py -k on_slurm

ray-test: .venv/.ready-dev extra-ray ## a sweep on a real Ray cluster of this machine
	@$(BIN)/python -m pytest tests/bench/launch/test_launchers_real.py -k on_ray

speed: .venv/.ready ## updates per second beside a plain loop and the machine's arithmetic, on a quiet machine: results/speed, 6 minutes
	@$(BIN)/python -m bench.speed

scale: .venv/.ready ## what an update costs against members, batch, width, data and method, and an estimate of the full protocol
	@$(BIN)/python -m bench.speed scale
