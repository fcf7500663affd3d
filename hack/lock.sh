#!/usr/bin/env bash
# Resolves requirements.lock again from pyproject.toml (needs `pip install uv` and network access).
set -euo pipefail
cd "$(dirname "$0")/.."
exec uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 \
    --no-annotate --no-header --quiet --output-file requirements.lock "$@"
