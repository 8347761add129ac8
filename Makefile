# make setup | demo | demo-down | test | test-fast | check-alloy | lint | bench | lock
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed

.PHONY: help setup demo demo-down needs test test-fast check-alloy lint bench lock clean

help:  ## what can be done here
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything pinned in requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@echo "setup: making $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Say which with: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { test $$(id -u) = 0 && apt-get update -q && apt-get install -yq python3-venv; } || { echo "setup: python3-venv is missing: sudo apt-get install python3-venv" >&2; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --require-hashes -r requirements.lock
	@$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup  ## build and boot the lab host, deploy a studio on it, feed it, show it
	@$(VENV)/bin/studio demo

demo-down: setup  ## stop the demo and leave nothing behind
	@$(VENV)/bin/studio demo --down

test: setup lint needs  ## all tests, those on the lab host included; three files at a time, since most of it is waiting; the long ones of the lab host first
	@$(VENV)/bin/python -m lab build
	@REQUIRE_LAB=1 $(VENV)/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

needs:
	@missing=; has() { command -v $$1 >/dev/null || test -x /usr/sbin/$$1; }; \
	has mosquitto || missing="$$missing mosquitto"; \
	has chromium || missing="$$missing chromium"; \
	has systemd-analyze || missing="$$missing systemd"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	test -z "$$missing" || { echo "test: installing$$missing"; apt-get update -q && apt-get install -yq --no-install-recommends $$missing; }
	@command -v go >/dev/null || test -x /usr/local/go/bin/go || { echo "test: the Go toolchain (1.26 or newer) is missing: https://go.dev/dl" >&2; exit 1; }
	@$(VENV)/bin/python tests/services/loki_support.py

test-fast: setup lint  ## the unit tests: a minute, no lab host
	@$(VENV)/bin/pytest -n 2 --dist loadfile tests/unit

lint: setup  ## ruff, mypy, import-linter
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

check-alloy: setup  ## Alloy's own validator over what is rendered for it; builds parts of Alloy, ten minutes the first time
	@cd tests/alloy && CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" go build -o ../../.lab/cache/alloycheck .
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; for studio in inventories/*.yaml tests/golden/everything.yaml; do \
	  $(VENV)/bin/studio render "$$studio" --out "$$out" >/dev/null && .lab/cache/alloycheck "$$out/alloy/config.alloy" && echo "$$studio: valid" || exit 1; done

bench: setup  ## benchmarks against peers, each a ratio of one run
	@$(VENV)/bin/python -m bench

lock: setup  ## resolve requirements.lock anew from pyproject.toml
	@$(VENV)/bin/pip install --quiet uv
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --upgrade pyproject.toml -o requirements.lock
	@$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --constraints requirements.lock hub/requirements.in -o hub/requirements.lock

clean: demo-down  ## remove what was built here
	@rm -rf $(VENV) .lab
