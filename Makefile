# `make demo` shows the product, `make test` checks all of it; each sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo sandbox test check format benchmark scaling-benchmark crds docs lock clean

PYTHON ?= python3
export PYTHON
BIN := .venv/bin

help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with the locked dependencies and build the local control plane (once).
	@hack/setup.sh

demo: setup ## Plan and run two models on a fake cluster of this machine, then take everything down.
	@$(BIN)/python hack/demo.py

sandbox: setup ## The same, but keep the cluster and the operator running until Ctrl-C.
	@$(BIN)/python hack/demo.py --keep

test: setup ## Run all checks and tests.
	@$(BIN)/python -m pytest

check: setup ## Run the quick checks only: format, lint, types, layers.
	@$(BIN)/python -m pytest tests/house

format: setup ## Format the code.
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

benchmark: setup ## Print the benchmark tables (1,000 objects on the local control plane; some minutes).
	@$(BIN)/python -m pytest tests/benchmarks --override-ini addopts=--import-mode=importlib -s -q --force-enable-socket --timeout=1800

scaling-benchmark: setup ## Compare scaling policies on the request traces in TRACES=FOLDER (an hour).
	@$(BIN)/python hack/scaling_benchmark.py --traces $(TRACES)

crds: setup ## Write crds/ again from the types, and what the chart and manifests/install take from them.
	@for kind in deepseekdeployments capacityplans; do \
	  $(BIN)/kubectl-deepseek crd $$kind > crds/$$kind.deepseek-operator.io.yaml; done
	@$(BIN)/python hack/render_install.py

docs: setup ## Write the generated pages of docs/ again: examples, sizing, reference, dashboards.
	@for script in render_examples render_sizing render_reference dashboards; do $(BIN)/python hack/$$script.py; done

lock: ## Resolve requirements.lock again (needs uv).
	@hack/lock.sh

clean: ## Remove .venv and caches of this folder; built programs stay in the user's cache folder.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
