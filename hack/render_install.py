"""Makes the Kustomize files in ``manifests`` from the Helm chart, and the chart's CRDs from ``crds/``.

``manifests/install`` is what the chart renders with its default values; each of ``manifests/components`` is the
difference that some values make, and each of ``manifests/overlays`` is the base with some components. Both ways of
installing are then the same objects by construction. ``--check`` writes nothing and fails when a file is out of date.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "deepseek-operator"
MANIFESTS = ROOT / "manifests"
INSTALL = MANIFESTS / "install"
NAMESPACE = "deepseek-operator"
HEADER = "# Made by hack/render_install.py from charts/deepseek-operator; do not edit.\n"

COMPONENTS: dict[str, dict[str, Any]] = {
    "high-availability": {"replicas": 2},
    "monitoring": {"monitoring": {"podMonitor": True, "rules": True, "dashboards": True}},
    "namespaced": {"watchNamespaces": ["models"]},
    "network-policy": {"networkPolicy": {"install": True}},
}
"""Values of the chart by component."""

OVERLAYS: dict[str, tuple[str, ...]] = {
    "high-availability": ("high-availability",),
    "monitoring": ("monitoring",),
    "namespaced": ("namespaced",),
    "production": ("high-availability", "monitoring", "network-policy"),
}
"""Components by overlay."""

NAMESPACE_MANIFEST = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    app.kubernetes.io/part-of: deepseek-operator
    pod-security.kubernetes.io/enforce: restricted
"""

Manifest = dict[str, Any]
Texts = dict[str, list[str]]
"""Documents as Helm writes them, by the name of the template that they come from."""


def main(arguments: list[str]) -> int:
    """Write or check all files; return the exit code."""
    check = "--check" in arguments
    crds = {CHART / "files" / "crds" / path.name: path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))}
    stale = _update(crds, CHART / "files" / "crds", check=check)
    base = rendered({})
    stale += _update(install_files(base), INSTALL, check=check)
    for name, values in COMPONENTS.items():
        stale += _update(component_files(name, base, rendered(values)), MANIFESTS / "components" / name, check=check)
    for name in OVERLAYS:
        stale += _update(overlay_files(name), MANIFESTS / "overlays" / name, check=check)
    if stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        print(f"not up to date: {names}; run hack/render_install.py", file=sys.stderr)
    return 1 if stale else 0


def install_files(base: Texts) -> dict[Path, str]:
    """Return the Kustomize base: one file per template of the chart, with the namespace and the list of them."""
    documents = {"namespace.yaml": [NAMESPACE_MANIFEST], **base}
    names = sorted(documents, key=lambda name: (name != "namespace.yaml", name))
    files = {INSTALL / name: HEADER + "---\n".join(texts) for name, texts in documents.items()}
    return files | _kustomization(INSTALL, "Kustomization", {"resources": names})


def component_files(name: str, base: Texts, changed: Texts) -> dict[Path, str]:
    """Return a component: the objects that its values add, and patches for those that they change.

    Raises:
        ValueError: values that take an object away; a component must not.
    """
    folder = MANIFESTS / "components" / name
    before = {_key(document): document for document in _parsed(base)}
    after = {_key(document): document for document in _parsed(changed)}
    if missing := before.keys() - after.keys():
        raise ValueError(f"the values of component {name} take away {sorted(missing)}")
    added = {
        template: new
        for template, texts in changed.items()
        if (new := [text for text in texts if _key(yaml.safe_load(text)) not in before])
    }
    patches = [
        {"target": {"kind": kind, "name": object_name}, "patch": _text(operations)}
        for (kind, object_name, _), document in before.items()
        if (operations := list(_operations(document, after[kind, object_name, _], "")))
    ]
    files = {folder / template: HEADER + "---\n".join(texts) for template, texts in added.items()}
    content = {"resources": sorted(added), "patches": patches}
    return files | _kustomization(folder, "Component", {key: value for key, value in content.items() if value})


def overlay_files(name: str) -> dict[Path, str]:
    """Return an overlay: the base and its components."""
    components = [f"../../components/{component}" for component in OVERLAYS[name]]
    return _kustomization(
        MANIFESTS / "overlays" / name, "Kustomization", {"resources": ["../../install"], "components": components}
    )


def rendered(values: Manifest) -> Texts:
    """Return what ``helm template`` makes of the chart with some values."""
    helm = Path(sys.executable).with_name("helm")
    command = [str(helm), "template", "deepseek-operator", str(CHART), "--namespace", NAMESPACE, "--values", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=json.dumps(values))
    documents: Texts = {}
    for document in done.stdout.split("\n---\n"):
        source, _, text = document.removeprefix("---\n").partition("\n")
        if text.strip():
            documents.setdefault(source.rsplit("/", 1)[-1], []).append(text.strip("\n") + "\n")
    return documents


def _operations(before: Any, after: Any, path: str) -> Iterator[Manifest]:  # noqa: ANN401 - any part of an object
    """Return the JSON patch (RFC 6902) from one value to another; lists grow at their end or are replaced."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            inner = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in after:
                yield {"op": "remove", "path": inner}
            elif key not in before:
                yield {"op": "add", "path": inner, "value": after[key]}
            else:
                yield from _operations(before[key], after[key], inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _operations(old, new, f"{path}/{number}")
    elif isinstance(before, list) and isinstance(after, list) and after[: len(before)] == before:
        for value in after[len(before) :]:
            yield {"op": "add", "path": f"{path}/-", "value": value}
    else:
        yield {"op": "replace", "path": path, "value": after}


def _parsed(texts: Texts) -> Iterable[Manifest]:
    return [yaml.safe_load(text) for group in texts.values() for text in group]


def _key(document: Manifest) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return document["kind"], metadata["name"], metadata.get("namespace", "")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else "")
)


def _text(content: Any) -> str:  # noqa: ANN401 - anything that YAML can write
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120))


def _kustomization(folder: Path, kind: str, content: Manifest) -> dict[Path, str]:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    head = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind}
    return {folder / "kustomization.yaml": HEADER + _text(head | content)}


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
