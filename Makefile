# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Everything is installed into .venv. Outside of the checkout `make test` alone leaves something:
# the official clients in the user's cache folder, for all checkouts (tests/interop/clients.py), and the Debian packages of
# $(DEBIAN) when it runs as root and they are missing.

.POSIX:
.SUFFIXES:
.DEFAULT_GOAL := help

PYTHON = python3
UV_VERSION = 0.13.9
# fonts-vlgothic: 2 MB, so that the Japanese pages are letters and not boxes where their width is tested and pictures are taken.
# softhsm2: a PKCS#11 token in files, which the tests put keys into and take away.
DEBIAN = openssl gcc chromium-headless-shell fonts-vlgothic docker-registry nginx libnginx-mod-stream systemd postgresql iproute2 softhsm2
ROUNDS = 10
# Processes that run tests at a time, whole files each; what measures times waits for its turn (tests/turns.py). Thousands of
# processes are started by the tests: each would compile our modules anew where the environment says to keep no bytecode.
PROCESSES = 2
DIST = dist
PROGRAM =
PICTURES = screenshots

VENV = .venv
BIN = $(VENV)/bin
PACKAGES = sigcore oidc_dev ca tlog tsa client stack
FREEZER = $(VENV)/binary/bin
PINNED = $(VENV)/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate
COMPILE = $(PINNED) pyproject.toml requirements/build.in

.PHONY: help demo up test hunt matrix differential mutation screenshots clients lint format bench wheelhouse binary requirements clean system

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/run.stamp ## a stack, a signature, its verification, a refusal: explained step by step
	@$(BIN)/sigbox demo

up: $(VENV)/run.stamp ## a stack that stays, data in ./sigbox-data
	@$(BIN)/sigbox up --data ./sigbox-data

test: $(VENV)/test.stamp system ## all tests, the official clients included
	@$(MAKE) --no-print-directory clients || echo "the tests of a missing client are skipped; in CI they fail" >&2
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

hunt: $(VENV)/test.stamp ## the tests at random (faults, parsers) from fresh seeds, for ROUNDS rounds or until one fails
	@for round in $$(seq $(ROUNDS)); do echo "round $$round" >&2; \
		SIGBOX_TEST_SEED=new $(BIN)/pytest -q -rP tests/faults tests/property || exit 1; done

matrix: $(VENV)/test.stamp ## who reads what whom wrote; PROGRAM=dist/sigbox: with that executable as stack and as our client
	@$(MAKE) --no-print-directory clients || echo "the cells of a missing client are red" >&2
	@SIGBOX_TEST_PROGRAM=$(PROGRAM) $(BIN)/python -m tests.interop.matrix
	@SIGBOX_TEST_PROGRAM=$(PROGRAM) $(BIN)/python -m tests.interop.image_matrix

differential: $(VENV)/test.stamp ## every client's verdict on the conformance suite's bundles and 1,500 changes to them
	@$(MAKE) --no-print-directory clients
	@$(BIN)/python -m tests.differential

mutation: $(VENV)/test.stamp ## small mistakes in the verification and the Merkle trees: do the tests notice each?
	@$(BIN)/python -m tests.mutation

screenshots: $(VENV)/test.stamp system ## every page in each language, width and scheme as a picture, in $(PICTURES)
	@$(BIN)/python -m tests.browser.screenshots $(PICTURES)

clients: ## build cosign, gitsign, crane and Dex with Go and install sigstore-js and axe-core with npm, as they are pinned
	@$(PYTHON) -m tests.interop.clients

lint: $(VENV)/test.stamp ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/test.stamp ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/test.stamp ## start-up and throughput, as ratios to figures measured in the same run
	@$(BIN)/python -m bench.run $(BENCH_FLAGS)

wheelhouse: $(VENV)/run.stamp ## an archive in $(DIST) that installs sigbox without a network, for this Python and kind of machine
	@$(BIN)/python deploy/wheelhouse/make.py $(DIST)

binary: $(VENV)/test.stamp ## sigbox as one executable in $(DIST) that needs no Python, tried in an empty root file system
	@rm -rf $(VENV)/binary && $(PYTHON) -m venv $(VENV)/binary
	@$(FREEZER)/python -m pip install --quiet --no-deps --require-hashes -r requirements/run.txt \
		-r requirements/postgres.txt -r requirements/pkcs11.txt -r requirements/binary.txt
	@$(FREEZER)/python -m pip install --quiet --no-deps --no-build-isolation .
	@$(FREEZER)/pyinstaller --onefile --name sigbox --noconfirm --log-level ERROR --copy-metadata sigbox \
		$$(printf -- '--collect-all %s ' $(PACKAGES)) \
		--distpath $(DIST) --workpath $(VENV)/binary/work --specpath $(VENV)/binary/work deploy/binary/entry.py
	@$(BIN)/python -m tests.deploy.empty_root $(DIST)/sigbox

requirements: ## pin anew what pyproject.toml asks for, with hashes
	$(PYTHON) -m venv $(VENV)/uv
	$(VENV)/uv/bin/pip install --quiet uv==$(UV_VERSION)
	$(COMPILE) --output-file requirements/run.txt
	$(COMPILE) --extra test --extra interop --extra postgres --extra pkcs11 --output-file requirements/test.txt
	$(PINNED) --constraint requirements/run.txt --output-file requirements/postgres.txt requirements/postgres.in
	$(PINNED) --constraint requirements/run.txt --output-file requirements/pkcs11.txt requirements/pkcs11.in
	$(PINNED) --constraint requirements/run.txt --output-file requirements/binary.txt requirements/binary.in

clean: ## remove .venv and every cache of the checkout; sigbox-data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find $(PACKAGES) tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- installation -----------------------------------------------------------------------------------
# A stamp is younger than what it was made from, or its recipe runs again. The pins have hashes; the build backend is
# pinned with them, so nothing is fetched that is not named there. The files name every package, therefore --no-deps: else pip
# would look for the newest `pydantic[email]`, which has no pin of its own, and stop when it is newer than our pydantic.
INSTALL = $(BIN)/python -m pip install --quiet
EDITABLE = $(INSTALL) --no-deps --no-build-isolation --editable .
# pip says nothing for half a minute: a line for each part, on a terminal and in a log.
COUNT = grep -c '=='
PATIENCE = packages, each held against its hash; half a minute on a new machine

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "sigbox needs Python 3.11 or newer; give one with: make PYTHON=python3.12" >&2; exit 1; }
	@echo "environment: Python $$($(PYTHON) -c 'import platform; print(platform.python_version())'), in $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "python3 cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --quiet --disable-pip-version-check uninstall --quiet --yes setuptools # Python 3.11 puts it there: it is loaded at every start

$(VENV)/run.stamp: $(BIN)/python pyproject.toml requirements/run.txt
	@echo "dependencies: $$($(COUNT) requirements/run.txt) $(PATIENCE)" >&2
	@$(INSTALL) --no-deps --require-hashes --requirement requirements/run.txt
	@echo "sigbox: this checkout" >&2
	@$(EDITABLE)
	@$(BIN)/python -m pip check --quiet
	@touch $@

# Everything in run.txt is in test.txt too, therefore both stamps.
$(VENV)/test.stamp: $(BIN)/python pyproject.toml requirements/test.txt
	@echo "dependencies: $$($(COUNT) requirements/test.txt) $(PATIENCE)" >&2
	@$(INSTALL) --no-deps --require-hashes --requirement requirements/test.txt
	@echo "sigbox: this checkout" >&2
	@$(EDITABLE)
	@$(BIN)/python -m pip check --quiet
	@touch $(VENV)/run.stamp $@

system: # a failure here is a line, not the end: in CI the skipped tests are the failure
	@missing=$$(for package in $(DEBIAN); do \
		{ command -v $$package || dpkg -s $$package; } >/dev/null 2>&1 || printf '%s ' $$package; done); \
	[ -n "$$missing" ] || exit 0; able=; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& echo "Debian packages for the tests: $$missing" >&2 && apt-get update -qq && able=yes; \
	for package in $$missing; do \
		[ "$$able" ] && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$package >/dev/null && continue; \
		echo "$$package is missing: the tests that need it are skipped" >&2; \
	done
