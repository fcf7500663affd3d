#!/usr/bin/env bash
# Resolves requirements.lock again from pyproject.toml (needs `pip install uv` and network access),
# requirements-image.lock: the part of it that the image is built from, without tools for tests, and
# requirements-triton.lock: the real tritonserver, 370 MB, which only tests/engine installs and only when they run.
set -euo pipefail
cd "$(dirname "$0")/.."
uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 \
    --no-annotate --no-header --quiet --output-file requirements.lock "$@"
uv pip compile pyproject.toml --group build --constraint requirements.lock --universal --generate-hashes \
    --python-version 3.11 --no-annotate --no-header --quiet --output-file requirements-image.lock
exec uv pip compile hack/requirements-triton.in --no-deps --universal --generate-hashes --python-version 3.11 \
    --no-annotate --no-header --quiet --output-file requirements-triton.lock "$@"
