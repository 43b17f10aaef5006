# Needs Python 3.11 or newer, make, and nothing else. `make` alone lists what there is.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The first Python that is new enough; PYTHON=... names another one.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if "$$each" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo "$$each"; break; fi; done)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
CONTAINER_IMAGE := localhost/leveret
CODE := broker protocol storage conformance bench tests

.PHONY: help run test check format types conformance differential conformance-document bench bench-compare torture soak docs container container-test tools-test clean

# The engine that answers, docker or podman; HEALTHCHECK is not part of podman's usual format.
define FIND_ENGINE
for engine in $(or $(CONTAINER_ENGINE),docker podman) ""; do \
	test -n "$$engine" || { echo "no container engine: neither docker nor podman answers" \
		"(CONTAINER_ENGINE=$(CONTAINER_ENGINE))" >&2; exit 69; }; \
	if "$$engine" info >/dev/null 2>&1; then break; fi; done; \
	case "$$engine" in *podman) format="--format docker";; *) format=;; esac
endef

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer (with venv) is needed; PYTHON=... names one" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $(READY)

run: $(READY) ## Start the broker on port 5672 (FLAGS="--port 5673 ...")
	@exec $(BIN)/leveret $(FLAGS)

test: $(READY) ## Run all tests (TESTS=tests/test_config.py ARGS=-x)
	$(BIN)/python -m pytest $(TESTS) $(ARGS)

check: $(READY) ## Lint, formatting, types, direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_imports.py

format: $(READY) ## Format the code, and repair what lint can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

conformance: $(READY) ## Run the conformance suite: URL=amqp://... any broker; else Leveret and the RabbitMQ found here
	@if test -n "$(URL)"; then exec $(BIN)/python -m conformance $(URL) $(ARGS); \
	else exec $(BIN)/python -m tests.conformance_self suite $(ARGS); fi

differential: $(READY) ## Run random scripts on Leveret and the RabbitMQ found here (ARGS="--seed S --scripts N")
	$(BIN)/python -m tests.conformance_self scripts $(ARGS)

conformance-document: $(READY) ## Renew the results in docs/conformance.md
	results=$$(mktemp) && $(BIN)/python -m tests.conformance_self suite --json $$results >/dev/null && \
		$(BIN)/python -m conformance.document docs/conformance.md $$results && rm $$results

bench: $(READY) ## Measure messages per second (ARGS=...)
	$(BIN)/python -m bench $(ARGS)

bench-compare: $(READY) ## Start RabbitMQ and Leveret, compare them, write docs/performance.md and README's figures (ARGS=...)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python -m bench --peers leveret rabbitmq --series --largest 10000000,1000000 \
		--page docs/performance.md --charts docs --json docs/performance.json --summary README.md $(ARGS)

torture: $(READY) ## Run the tests of the promises with their nightly numbers, which takes hours; goes on where it was (KINDS="T3 T9" ARGS=--fresh)
	$(BIN)/python -m tests.torture $(KINDS) $(ARGS)

soak: $(READY) ## Work a broker at 60 % of what it can take for HOURS=8, with faults; tell what grows
	$(BIN)/python -m tests.soak --hours $(or $(HOURS),8) $(ARGS)

docs: $(READY) ## Renew what the documentation has from the code
	$(BIN)/python -m broker.settings_table docs/configuration.md README.md

container: ## Build the container image (CONTAINER_ENGINE=podman, CONTAINER_FLAGS=...)
	@$(FIND_ENGINE); set -x; exec $$engine build $$format $(CONTAINER_FLAGS) --tag $(CONTAINER_IMAGE) .

container-test: container $(VENV)/container/ready ## Build the container image, run it and test it from outside
	@$(FIND_ENGINE); CONTAINER_ENGINE=$$engine CONTAINER_IMAGE=$(CONTAINER_IMAGE) \
		exec $(VENV)/container/bin/python -m pytest $(or $(TESTS),tests/container) $(ARGS)

$(VENV)/container/ready: tests/container/requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer (with venv) is needed; PYTHON=... names one" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)/container
	$(VENV)/container/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

tools-test: $(READY) ## Install Celery, Flower and pyrabbit2, and run the tests that use them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,tools]'
	$(BIN)/python -m pytest tests/tools $(ARGS)

clean: ## Remove the environment and all that was built; data stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +
