"""Makes ``manifests/install`` (a Kustomize base) from the Helm chart, and the chart's CRDs from ``crds/``.

Both ways of installing are then the same objects by construction. ``--check`` writes nothing and fails when a file
is not up to date.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "deepseek-operator"
INSTALL = ROOT / "manifests" / "install"
NAMESPACE = "deepseek-operator"
HEADER = "# Made by hack/render_install.py from charts/deepseek-operator; do not edit.\n"

NAMESPACE_MANIFEST = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    app.kubernetes.io/part-of: deepseek-operator
    pod-security.kubernetes.io/enforce: restricted
"""


def main(arguments: list[str]) -> int:
    """Write or check all files; return the exit code."""
    crds = {CHART / "files" / "crds" / path.name: path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))}
    stale = _update(crds, CHART / "files" / "crds", check="--check" in arguments)
    stale += _update(install_files(), INSTALL, check="--check" in arguments)
    if stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"not up to date: {names}; run hack/render_install.py", file=sys.stderr)
    return 1 if stale else 0


def install_files() -> dict[Path, str]:
    """Return the Kustomize base: one file per template of the chart, with the namespace and the list of them."""
    documents: dict[str, list[str]] = {"namespace.yaml": [NAMESPACE_MANIFEST]}
    for document in _rendered().split("\n---\n"):
        source, _, text = document.removeprefix("---\n").partition("\n")
        if text.strip():
            documents.setdefault(source.rsplit("/", 1)[-1], []).append(text.strip("\n") + "\n")
    listed = "".join(f"- {name}\n" for name in sorted(documents, key=lambda name: (name != "namespace.yaml", name)))
    files = {INSTALL / name: HEADER + "---\n".join(texts) for name, texts in documents.items()}
    files[INSTALL / "kustomization.yaml"] = (
        f"{HEADER}apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{listed}"
    )
    return files


def _rendered() -> str:
    """Return what ``helm template`` makes of the chart with its default values."""
    helm = Path(sys.executable).with_name("helm")
    command = [str(helm), "template", "deepseek-operator", str(CHART), "--namespace", NAMESPACE]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _update(wanted: dict[Path, str], folder: Path, *, check: bool) -> list[Path]:
    """Bring a folder to the wanted files; with ``check``, return those that differ or are superfluous instead."""
    present = set(folder.glob("*.yaml"))
    stale = sorted(path for path, text in wanted.items() if path not in present or path.read_text() != text)
    superfluous = sorted(present - set(wanted))
    if check:
        return stale + superfluous
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
    for path in superfluous:
        path.unlink()
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
