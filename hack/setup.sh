#!/usr/bin/env bash
# Makes .venv with exactly the locked dependencies and the project in editable form, and builds the programs of the
# local control plane. A second run finds both and neither downloads nor builds anything.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
command -v "$python" >/dev/null || { echo "setup: '$python' not found; install Python 3.11 or newer, or set PYTHON=/path/to/python3" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: Python 3.11 or newer is needed, $("$python" --version) found; set PYTHON=/path/to/python3.11" >&2; exit 1; }

started=$(date +%s)
wanted=$(cat requirements.lock pyproject.toml hack/setup.sh | sha256sum | cut -d' ' -f1)
stamp=.venv/installed-from
if [ ! -x .venv/bin/python ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "setup: making .venv with the locked dependencies ..."
    if ! "$python" -m venv --clear .venv >/dev/null 2>&1; then
        # Debian ships venv in a package of its own; virtualenv from the package index does the same job.
        rm -rf .venv
        tools=$(mktemp -d)
        trap 'rm -rf "$tools"' EXIT
        "$python" -m pip install --quiet --target "$tools" virtualenv
        PYTHONPATH="$tools" "$python" -m virtualenv --quiet .venv
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    echo "$wanted" > "$stamp"
fi
.venv/bin/python -c 'from deepseek_operator import sandbox; sandbox.find_or_build_binaries(sandbox.on_stderr())'
echo "setup: ready after $(($(date +%s) - started)) s"
