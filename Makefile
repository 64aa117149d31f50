# The commands of this repository. Every install is pinned by constraints.txt, so that pip never replaces the
# small CPU build of torch by one that brings gigabytes of CUDA, and is stamped, so that repeats are instant.

VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --disable-pip-version-check -c constraints.txt
PINS := pyproject.toml constraints.txt

# The first interpreter that is new enough; choose another with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
# Two installs at once would write the same environment.
.NOTPARALLEL:
.PHONY: help demo test lint type format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-video ## play the bundled world: a window, or demo.mp4 and demo.gif without a display
	$(VENV)/bin/genie-env demo

test: $(VENV)/.stamp-dev ## run the tests; ARGS="-k name" selects
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 $(ARGS)

lint: $(VENV)/.stamp-dev ## check rules and formatting
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

type: $(VENV)/.stamp-dev ## check types (pyright fetches Node.js where there is none)
	$(VENV)/bin/pyright

format: $(VENV)/.stamp-dev ## format and apply the safe fixes
	$(VENV)/bin/ruff check --fix-only --exit-zero .
	$(VENV)/bin/ruff format .

clean: ## remove caches, build outputs and demo files; keeps .venv, data and runs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis demo.mp4 demo.gif
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(VENV)/.stamp-video: $(VENV)/.stamp-venv $(PINS)
	$(INSTALL) -e '.[video]'
	@touch $@

# dev includes video, so a later `make demo` has nothing left to install.
$(VENV)/.stamp-dev: $(VENV)/.stamp-venv $(PINS)
	$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.stamp-video $@

# A working environment is kept; one that is missing, half-made or too old is made anew.
$(VENV)/.stamp-venv:
	@set -e; \
	if ! $(PY) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		py="$(PYTHON)"; \
		if [ -z "$$py" ]; then \
			echo "Python 3.11 or newer is needed and was not found (Debian packages: python3 python3-venv)" >&2; \
			exit 1; \
		fi; \
		if ! $$py -c 'import ensurepip, venv' 2>/dev/null; then \
			if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
				echo "$$py cannot make virtual environments: install the Debian package python3-venv" >&2; \
				exit 1; \
			fi; \
			apt-get update -q; \
			DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv; \
		fi; \
		$$py -m venv --clear $(VENV); \
	fi
	@touch $@
