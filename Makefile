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
.PHONY: help demo web test lint type site format package clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-demo ## show an agent play the bundled world: a window, or demo.mp4 and demo.gif without a display
	$(VENV)/bin/genie-env demo

web: $(VENV)/.stamp-onnx ## write the bundled world as a static page to site/ and serve it; WORLD=breakout chooses another
	$(VENV)/bin/genie-env web $(or $(WORLD),pong) --out site --replace --serve

test: $(VENV)/.stamp-dev $(VENV)/.stamp-browser ## run the tests; ARGS="-k name" selects
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 $(ARGS)

lint: $(VENV)/.stamp-dev ## check rules and formatting
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

type: $(VENV)/.stamp-dev ## check types (pyright fetches Node.js where there is none)
	$(VENV)/bin/pyright

site: $(VENV)/.stamp-site ## build the documents and the pages of the bundled worlds as a site in build/site
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

format: $(VENV)/.stamp-dev ## format and apply the safe fixes
	$(VENV)/bin/ruff check --fix-only --exit-zero .
	$(VENV)/bin/ruff format .

# The clean environment is outside the repository, and is used from there: nothing of the source tree can be imported.
package: $(VENV)/.stamp-dev ## build wheel and sdist into dist/, check them, and use the wheel in a clean environment
	rm -rf dist
	$(PY) -m build --no-isolation
	$(VENV)/bin/twine check --strict dist/*
	@set -e; clean=$$(mktemp -d); trap 'rm -rf "$$clean"' EXIT; \
	$(PY) -m venv "$$clean/venv"; \
	"$$clean/venv/bin/pip" install -q --disable-pip-version-check -c constraints.txt dist/*.whl; \
	cd "$$clean"; \
	venv/bin/pip check; \
	venv/bin/genie-env info >/dev/null; \
	venv/bin/genie-env rollout --steps 20 --out dreamed; \
	venv/bin/genie-env training.record --help >/dev/null; \
	echo "the wheel works in a clean environment, without any extra"

clean: ## remove caches, build outputs and demo files; keeps .venv, data and runs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis demo.mp4 demo.gif
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# With the emulator, so that the real game is shown beside the dream.
$(VENV)/.stamp-demo: $(VENV)/.stamp-venv $(PINS)
	$(INSTALL) -e '.[video,atari]'
	@touch $@

$(VENV)/.stamp-onnx: $(VENV)/.stamp-venv $(PINS)
	$(INSTALL) -e '.[onnx]'
	@touch $@

$(VENV)/.stamp-site: $(VENV)/.stamp-venv $(PINS)
	$(INSTALL) -e '.[site,onnx]'
	@touch $(VENV)/.stamp-onnx $@

# dev includes the others, so a later `make demo`, `make web` or `make site` has nothing left to install.
$(VENV)/.stamp-dev: $(VENV)/.stamp-venv $(PINS)
	$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.stamp-demo $(VENV)/.stamp-onnx $(VENV)/.stamp-site $@

# A browser and the page's runtime, for the tests of the page; without them those tests are skipped and say why.
$(VENV)/.stamp-browser: $(VENV)/.stamp-dev
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
		(apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium) \
			|| echo "no Chromium: the page's tests will be skipped" >&2; \
	fi
	@$(PY) -c 'from genie_env.web.ort_web import find_ort_web; find_ort_web()' 2>/dev/null \
		|| echo "no onnxruntime-web: the page's tests will be skipped" >&2
	@touch $@

# A working environment is kept; one that is missing, half-made or too old is made anew. Debian's pip (23.2) looks for a
# quarter of an hour for the versions that constraints.txt names, where torch comes with CUDA; a later one for half a minute.
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
		$(INSTALL) -q pip; \
	fi
	@touch $@
