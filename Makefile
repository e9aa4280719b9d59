# Everything a developer runs. `make up` and `make test` work on a fresh machine with Python 3.11 and nothing of ours.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
RUN := $(VENV)/bin
TOOLS := .venv-tools
# What the caller's shell says about another project must not change what is made and run here. Bytecode is wanted:
# without it every start of a command costs a second more.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE UV_PROJECT UV_PYTHON

.PHONY: help up down test test-airflow test-cluster test-pods test-image simulate mutants wrong-statements docs check format bench lock clean

help: ## This list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

up: $(VENV)/.made ## Start Armillary and a first Airflow, and stay. CHECK=1: in a temporary home, run a DAG, leave nothing.
	@$(RUN)/armillary up $(if $(CHECK),--check) $(ARGS)

down: $(VENV)/.made ## Stop everything that `make up` started. Data stays.
	@$(RUN)/armillary down $(ARGS)

test: $(VENV)/.made ## The whole test suite, a real Airflow included. ARGS=… goes to pytest instead.
ifdef ARGS
	$(RUN)/pytest $(ARGS)
else
	$(RUN)/pytest -m "not image and not airflow and not whole_airflow and not pods" -n 2 --dist loadscope --durations=10 -rs
	$(RUN)/pytest -m airflow --durations=10
endif

test-airflow: $(VENV)/.made ## Real Airflows for long: Celery, switches of executors, 2.11 beside 3, upgrades (12 minutes).
	$(RUN)/pytest -m whole_airflow --durations=10

test-cluster: $(VENV)/.made ## What needs a Kubernetes: ARMILLARY_TEST_KUBECONFIG names one, or one is started.
	$(RUN)/pytest -m cluster -rs

test-pods: $(VENV)/.made ## A real Airflow in real pods, as root: LocalExecutor, then Celery, a busy worker scaled away.
	$(RUN)/pytest -m pods -rs --durations=10

test-image: $(VENV)/.made ## Build and run the container image with buildah, on a base made by debootstrap.
	$(RUN)/pytest -m image -rs tests/image

simulate: $(VENV)/.made ## Simulated lives of the whole daemon: SEEDS=2000 new ones (FROM=… these), or SEED=… once more.
	$(RUN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000) $(if $(FROM),--from $(FROM))) $(ARGS)

mutants: $(VENV)/.made ## Known controller bugs, put into the engine one by one: the simulation must catch each. ONLY=name runs one.
	$(RUN)/python -m tests.mutants $(if $(ONLY),--only $(ONLY)) $(ARGS)

wrong-statements: $(VENV)/.made ## Wrong statements in psql, with the answers that a real server gives. ONLY=words runs those.
	$(RUN)/python -m tests.sql $(if $(ONLY),"$(ONLY)")

docs: $(VENV)/.made ## Write the generated table of docs/administrators.md anew.
	$(RUN)/python -m api.statements

check: $(VENV)/.made ## The gate: format, lint, types, import contracts.
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports

format: $(VENV)/.made ## Format everything, and mend what the linter can mend.
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: $(VENV)/.made ## The benchmarks (10 minutes): JSON, kept in benchmarks/results/. ARGS=adoption runs one.
	$(RUN)/python -m benchmarks $(ARGS)

clean: ## Remove the virtual environments and caches. Homes are not touched.
	rm -rf $(VENV) $(TOOLS) .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# The first Python in the supported range; `make up PYTHON=python3.12` names another. A shim of a version manager
# may exist and not work, so each is asked.
define find_python
  for one in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11); do \
    "$$one" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { \
      "$$one" -c 'import sys; print(sys.executable)'; exit 0; }; \
  done; \
  echo "Armillary needs Python 3.11, 3.12 or 3.13, and none of $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11) is one." >&2; \
  echo "Install one (Debian, Ubuntu: apt install python3 python3-venv), or name it: make up PYTHON=/path/to/python3.12" >&2; \
  exit 1
endef

# uv: the one on the PATH if it works, else our own, by pip: in a virtual environment where Python can make one, else
# in a plain folder. Neither touches the system's packages, so PEP 668 has nothing to refuse.
define find_uv
  uv --version >/dev/null 2>&1 && { command -v uv; exit 0; }; \
  for one in $(TOOLS)/bin/uv $(TOOLS)/site/bin/uv; do test -x $$one && { echo $$one; exit 0; }; done; \
  echo "uv is missing: installing it into $(TOOLS)" >&2; \
  if "$$python" -m venv $(TOOLS) >/dev/null 2>&1; then \
    $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv >&2 && { echo $(TOOLS)/bin/uv; exit 0; }; \
  elif "$$python" -m pip --version >/dev/null 2>&1; then \
    "$$python" -m pip install --quiet --disable-pip-version-check --target $(TOOLS)/site uv >&2 && { echo $(TOOLS)/site/bin/uv; exit 0; }; \
  else \
    rm -rf $(TOOLS); \
    echo "$$python has neither venv nor pip. Install them (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; \
  fi; \
  rm -rf $(TOOLS); \
  echo "uv could not be installed: does pip reach its package index? Or install uv yourself, and have it on the PATH." >&2; \
  exit 1
endef

$(VENV)/.made: pyproject.toml requirements-dev.lock
	@python="$$($(find_python))" && uv="$$($(find_uv))" && \
	{ test -x $(RUN)/python || "$$uv" venv --quiet --python "$$python" $(VENV); } && \
	"$$uv" pip sync --quiet --require-hashes --python $(RUN)/python requirements-dev.lock && \
	"$$uv" pip install --quiet --no-deps --no-build-isolation --python $(RUN)/python --editable . || { \
	  echo "The virtual environment $(VENV) could not be made." >&2; exit 1; }
	@touch $@

# Locks are plain lists with hashes: they name no index, so that every machine can use its own.
LOCK = $(RUN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11
lock: $(VENV)/.made ## Resolve the dependencies of pyproject.toml anew, into the three lock files.
	@$(LOCK) pyproject.toml -o requirements.lock
	@$(LOCK) pyproject.toml --group dev -o requirements-dev.lock
	@printf 'editables\nhatchling\n' | $(LOCK) - -o requirements-build.lock
