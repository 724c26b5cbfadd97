# Three commands do all their own set-up: `make run`, `make test`, `make bench`. `make help` lists the rest.
# Needed: make, Python >= 3.11 with venv, and a package index that pip knows.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
JOBS ?= auto
SCALE ?= auto
PORT ?= 8000
DEV_EXTRAS = notebooks,geometry,topology,language,speech,kernels,sweeps,docs,dev

BIN = $(VENV)/bin
CHAPTERS = $(wildcard nbs/*.ipynb)
TWINS = $(wildcard nbs_py/*.py)
LINTED = modreg tests tools docs $(wildcard benchmarks/*.py) setup.py

# Real data that lies beside the project is found without being asked for.
ifndef MODREG_DATA
ifneq ($(wildcard ../shared/data/.),)
export MODREG_DATA = $(CURDIR)/../shared/data
endif
endif

.DEFAULT_GOAL = help
.PHONY: help run test test-slow test-faults test-browser docs serve bench lint export readme sync previews lab clean distclean
.DELETE_ON_ERROR:

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12
	@echo "PYTHON=python3.12 chooses the interpreter; ARGS='-p manifold sphere' goes to 'make run', ARGS='-k manifolds' to 'make test'"

run: $(VENV)/notebooks.stamp ## train a network that finds its way in the dark, dense and 90 % sparse (5 minutes); print its table
	$(BIN)/python tools/run.py navigation -p scale small -p seeds 1 -p twins plain -p lottery False -p out build/runs $(ARGS)

test: $(VENV)/dev.stamp lint ## all that CI checks
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-slow: $(VENV)/dev.stamp lint ## the same and the tests that take minutes
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'not faults' $(ARGS)

test-faults: $(VENV)/dev.stamp ## every death, damage and full disk on every task, and an hour of runs in one process (2 hours)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m faults $(ARGS)

bench: $(VENV)/bench.stamp ## time everything beside the published formulation, a plain one and the floor (15 minutes); print one table
	$(BIN)/python benchmarks/bench.py --write $(ARGS)

test-browser: $(VENV)/dev.stamp ## only the site and JupyterLab in a real browser; screenshots in build/screenshots
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m browser $(ARGS)

docs: $(VENV)/dev.stamp ## the site, in build/site/html; SCALE=small trains the experiments' networks first
	$(BIN)/python tools/docs.py --scale $(SCALE)

serve: $(VENV)/dev.stamp ## show the site at an address of this machine
	@test -f build/site/html/index.html || { echo 'there is no site yet: `make docs` builds it' >&2; exit 1; }
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory build/site/html

lint: $(VENV)/dev.stamp ## ruff, and mypy over the package
	$(BIN)/python -m ruff check $(LINTED)
	$(BIN)/python -m mypy

export: $(VENV)/dev.stamp ## notebooks -> modreg/
	$(BIN)/nbdev_export

readme: $(VENV)/dev.stamp ## nbs/index.ipynb -> README.md
	$(BIN)/python tools/notebooks.py

sync: $(VENV)/dev.stamp ## newer of notebook and twin -> the other; then export, README, clean
	$(BIN)/python -m jupytext --sync $(CHAPTERS) $(TWINS)
	$(BIN)/nbdev_clean
	$(BIN)/python -m jupytext --sync $(CHAPTERS) $(TWINS)
	$(BIN)/nbdev_export
	$(BIN)/python tools/notebooks.py

previews: $(VENV)/dev.stamp ## store each chapter's first figure, as `make test` has drawn it, in its notebook, for who opens it in JupyterLab
	$(BIN)/python tools/notebooks.py previews

lab: $(VENV)/dev.stamp ## open the chapters in JupyterLab
	$(BIN)/python -m jupyterlab nbs/index.ipynb

clean: ## remove what was built; build/runs and the virtual environment stay
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name runs -exec rm -rf {} +; fi
	rm -rf _proc _docs dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find modreg tests tools nbs nbs_py -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove results and the virtual environment too
	rm -rf build $(VENV)

# A stamp is older than these files only if they changed since the last installation.
$(VENV)/notebooks.stamp: EXTRAS = notebooks,geometry
$(VENV)/bench.stamp: EXTRAS = notebooks,kernels,bench
$(VENV)/dev.stamp: EXTRAS = $(DEV_EXTRAS)
$(VENV)/%.stamp: settings.ini constraints.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "modreg needs Python >= 3.11, and '$(PYTHON)' is not: name another one, as in 'make $(or $(MAKECMDGOALS),run) PYTHON=python3.12'" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu it is in the package python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
