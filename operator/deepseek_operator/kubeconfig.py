"""What to tell a person whose kubeconfig leads to no cluster."""

from __future__ import annotations

import os
from pathlib import Path

from deepseek_operator.errors import shortened


def no_cluster(kubeconfig: str | None, why: str) -> str:
    """Return which kubeconfig leads to no cluster, why, and what to give instead, as one sentence.

    Args:
        kubeconfig: as it was given; None looks where clients look.
        why: what reading it said.
    """
    name = kubeconfig if kubeconfig is not None else os.environ.get("KUBECONFIG") or "~/.kube/config"
    files = [Path(each).expanduser() for each in name.split(os.pathsep)]
    if not any(file.exists() for file in files):
        found = f"there is no file {shortened(name)}"
    else:
        found = f"{shortened(name)}: {shortened(why)}"
    instead = "set KUBECONFIG or give --kubeconfig" if kubeconfig is None else "give --kubeconfig another file"
    return (
        f"no cluster to talk to ({found}); {instead}, or give a snapshot with --cluster FILE "
        "(explain and status: saved objects with -f)"
    )
