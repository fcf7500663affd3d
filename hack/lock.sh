#!/usr/bin/env bash
# Resolves requirements.lock again from pyproject.toml (needs `pip install uv` and network access), and
# requirements-triton.lock: the real tritonserver, 370 MB, which only tests/engine installs and only when they run.
set -euo pipefail
cd "$(dirname "$0")/.."
uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 \
    --no-annotate --no-header --quiet --output-file requirements.lock "$@"
exec uv pip compile hack/requirements-triton.in --no-deps --universal --generate-hashes --python-version 3.11 \
    --no-annotate --no-header --quiet --output-file requirements-triton.lock "$@"
