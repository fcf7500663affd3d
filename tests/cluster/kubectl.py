"""The real kubectl, called from tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


class KubectlError(AssertionError):
    """kubectl said no; the text is what it wrote."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl against one cluster, and in one namespace when that is given."""

    program: Path
    kubeconfig: Path
    namespace: str = ""

    def within(self, namespace: str) -> Kubectl:
        return replace(self, namespace=namespace)

    def __call__(self, *arguments: str, stdin: str | Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the answer: parsed when ``-o json`` was asked for, else text. ``stdin`` goes with ``-f -``."""
        command = [str(self.program), f"--kubeconfig={self.kubeconfig}"]
        command += [f"--namespace={self.namespace}"] if self.namespace else []
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        answer = subprocess.run(
            [*command, *arguments], input=text, capture_output=True, text=True, check=False, timeout=180
        )
        if answer.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {answer.stderr.strip()}")
        asked_for_json = "json" in arguments or "-ojson" in arguments or "--output=json" in arguments
        return json.loads(answer.stdout) if asked_for_json else answer.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Create or change objects."""
        self("apply", "--filename=-", stdin={"apiVersion": "v1", "kind": "List", "items": list(manifests)})
